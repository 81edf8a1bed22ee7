"""How the processes of one room find and wake each other.

Beside a room's file ``<room>.sqlite`` lies the folder ``<room>.views``.  Each process
that shows the room binds a Unix datagram socket there and keeps a *card* next to it: a
JSON document that says who it is and what it is editing.  Whoever has appended to the
log sends an empty datagram to every socket.  It carries nothing: the receiver reads the
log.  A socket that refuses belongs to a dead process and is removed.

Sockets are addressed through ``/proc/self/fd`` because a socket's address holds 108
bytes only.  Specified in ``docs/reference/formats/store.md``.
"""

import contextlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
_SOCKET, _CARD = ".sock", ".json"
_MAX_CARD = 1 << 20


def folder_of(room_file: Path) -> Path:
    """Where the processes that show the room in *room_file* meet."""
    return room_file.with_suffix(".views")


class Bell:
    """Wakes every process that shows a room; for any process, a view or not."""

    def __init__(self, folder: Path, *, own: str = "") -> None:
        self._folder = folder
        self._own = own
        self._directory = -1
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def ring(self) -> None:
        """The log grew.  Never raises and never waits: who misses it looks at the log by itself."""
        try:
            names = self._names()
        except OSError as error:
            log.debug("nobody could be told: %s", error)
            return
        for name in names:
            if name.endswith(_SOCKET) and name != self._own:
                self._wake(name)

    def close(self) -> None:
        """Let go of the folder."""
        self._out.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _names(self) -> list[str]:
        if self._directory < 0:
            try:
                self._directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:  # no view was ever there
                return []
        return _names_in(self._directory)

    def _wake(self, name: str) -> None:
        try:
            self._out.sendto(b"", f"/proc/self/fd/{self._directory}/{name}")
        except BlockingIOError:
            return  # more than enough is waiting for it already
        except ConnectionRefusedError:
            _remove(self._directory, name)  # names are never used twice: its process is dead
        except OSError as error:
            log.debug("%s could not be told: %s", name, error)


class Presence:
    """This process among those that show a room: a socket to be woken by, a card, a bell."""

    def __init__(self, room_file: Path, view: str) -> None:
        self._view = view
        self._name = f"{view}.{os.getpid()}-{os.urandom(4).hex()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._directory = -1
        self._card: bytes = b""
        self.bell = Bell(folder_of(room_file), own=self._name + _SOCKET)
        self._enter(folder_of(room_file))
        self._socket.bind(f"/proc/self/fd/{self._directory}/{self._name}{_SOCKET}")

    def fileno(self) -> int:
        """The descriptor that becomes readable when the log may have grown; the same for ever."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Forget what has arrived; whether something had."""
        heard = False
        while True:
            try:
                self._socket.recv(1)
            except BlockingIOError:
                return heard
            heard = True

    def poke(self) -> None:
        """Wake this very process: something is left to be taken in."""
        with contextlib.suppress(BlockingIOError):
            self._socket.sendto(b"", f"/proc/self/fd/{self._directory}/{self._name}{_SOCKET}")

    def move(self, room_file: Path) -> None:
        """Leave this room for another one; the socket stays the same."""
        old, self._directory = self._directory, -1
        try:
            self._enter(folder_of(room_file))
            source = self._name + _SOCKET
            os.rename(source, source, src_dir_fd=old, dst_dir_fd=self._directory)
            _unlink(old, self._name + _CARD)
        finally:
            os.close(old)
        self.bell.close()
        self.bell = Bell(folder_of(room_file), own=self._name + _SOCKET)
        self._write()

    def show(self, card: Mapping[str, Any]) -> None:
        """Put *card* where others read it, unless it is there."""
        data = json.dumps(card).encode()
        if data != self._card:
            self._card = data
            self._write()

    def others(self) -> Iterator[dict[str, Any]]:
        """The cards of every living process of the room, this one's too."""
        for name in sorted(_names_in(self._directory)):
            if not name.endswith(_SOCKET):
                continue
            if name != self._name + _SOCKET and not self._lives(name):
                _remove(self._directory, name)
                continue
            card = self._read(name.removesuffix(_SOCKET) + _CARD)
            if card is not None:
                yield card

    def close(self) -> None:
        """Leave the room."""
        if self._directory < 0:
            return
        _remove(self._directory, self._name + _SOCKET)
        self._socket.close()
        self.bell.close()
        os.close(self._directory)
        self._directory = -1

    def _enter(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _write(self) -> None:
        if not self._card:
            return
        card = self._name + _CARD
        part = f".{card}"
        try:
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644, dir_fd=self._directory)
            with os.fdopen(file, "wb") as stream:
                stream.write(self._card)
            os.rename(part, card, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:  # a full disk: the old card stays
            log.debug("the card could not be written: %s", error)
            self._card = b""

    def _lives(self, name: str) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(f"/proc/self/fd/{self._directory}/{name}")
            except (ConnectionRefusedError, FileNotFoundError):
                return False
        return True

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
            with os.fdopen(file, "rb") as stream:
                card = json.loads(stream.read(_MAX_CARD))
        except FileNotFoundError:  # bound a moment ago
            return None
        except (OSError, ValueError) as error:
            log.warning("the card %s can't be read: %s", name, error)
            return None
        return card if isinstance(card, dict) else None


def _names_in(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def _remove(directory: int, name: str) -> None:
    for each in (name, name.removesuffix(_SOCKET) + _CARD):
        _unlink(directory, each)


def _unlink(directory: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
