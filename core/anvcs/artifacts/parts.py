"""Artifacts that are partly here: which pieces are verified, kept over any death of a process.

``cache/parts/<sha256>.<piece digest, 16 digits, or "whole">/`` has up to four files:

``data``   the content; only pieces that the map has are meaningful
``map``    a line with the boot it was written in, then a byte for each piece: 1 is verified
``list``   the piece list, once it was fetched and verified
``frames`` the stored bytes of a compressed artifact, for a hybrid store's fallback

A piece is fetched by whoever holds an open-file-description lock on its byte of ``map``
(counted from 0), in any process; the kernel releases the locks of the dead.  A byte far
behind them is locked by all who have it open, so that nobody drops it.  Without pieces there is one byte, and ``stored`` grows until its whole hash can be looked at.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from anvcs.artifacts.errors import CacheFull
from anvcs.artifacts.pieces import CHUNK, PieceList, decode_pieces, piece_span
from anvcs.errors import AnvcsError
from anvcs.model.pin import Pin

_HEAD: Final = 64
"""Bytes of the map before its first piece."""
_TRIES: Final = 5000
_IN_USE: Final = 1 << 40
"""The byte of the map that everybody who has it open locks, with others."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux


class Part:
    """One artifact on its way, as this process has it open.  Threads of one process agree among themselves."""

    def __init__(self, parts: Path, pin: Pin) -> None:
        self.pin = pin
        self._parts = parts
        self.folder = parts / part_name(pin)
        try:
            self._data, self._map = self._opened()
            self._begin()
        except OSError as error:
            raise self._meaning(error) from error

    def _opened(self) -> tuple[int, int]:
        """Data and map, with a lock that keeps others from dropping them."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        for _ in range(_TRIES):
            self.folder.mkdir(parents=True, exist_ok=True)
            opened: list[int] = []
            try:
                opened = [os.open(self.folder / "map", flags, 0o600)]
                opened.append(os.open(self.folder / "data", flags, 0o600))
            except FileNotFoundError:  # dropped since the line above
                pass
            else:
                if _lock(opened[0], fcntl.F_RDLCK, _IN_USE, 1) and _is_there(self.folder / "map", opened[0]):
                    return opened[1], opened[0]
            for fd in opened:
                os.close(fd)
            time.sleep(0.001)  # whoever drops it is about to be through
        raise FileNotFoundError(errno.ENOENT, "it goes away again and again", os.fspath(self.folder))

    def _begin(self) -> None:
        head = boot_id().encode().ljust(_HEAD - 1) + b"\n"
        found = os.pread(self._map, _HEAD, 0)
        if found == head:
            return
        # After a power loss the map may know more than the disk: then every piece is looked at again.
        if found and self.pin.pieces is not None:
            self._doubt()
        elif found:
            (self.folder / "stored").unlink(missing_ok=True)
        os.pwrite(self._map, head, 0)

    def _doubt(self) -> None:
        pieces = self.pieces()
        for index in range(self.pin.piece_count):
            if not self.done(index):
                continue
            span = piece_span(self.pin, index)
            data = os.pread(self._data, span.length, span.start)
            if pieces is None or hashlib.sha256(data).digest() != pieces.digests[index]:
                os.pwrite(self._map, b"\0", _HEAD + index)

    # The piece list

    def pieces(self) -> PieceList | None:
        """The piece list, if it was fetched before."""
        if self.pin.pieces is None:
            return None
        try:
            data = self.list_file.read_bytes()
            return decode_pieces(data, self.pin, self.pin.pieces)
        except (FileNotFoundError, AnvcsError):  # damaged by a power loss: fetched again
            return None

    @property
    def list_file(self) -> Path:
        """The piece list."""
        return self.folder / "list"

    def keep_list(self, data: bytes) -> None:
        """Remember the bytes of a verified piece list."""
        part = self.folder / f"list.{os.getpid()}"
        try:
            part.write_bytes(data)
            part.replace(self.list_file)
        except OSError as error:
            raise self._meaning(error) from error

    # Pieces

    def done(self, index: int) -> bool:
        """Whether a piece is verified, by whatever process."""
        return os.pread(self._map, 1, _HEAD + index) == b"\1"

    def marks(self) -> bytes:
        """A byte for each piece; 1 is verified."""
        return os.pread(self._map, self.pin.piece_count, _HEAD).ljust(self.pin.piece_count, b"\0")

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Put bytes of the content where they belong; they count for nothing before `mark`."""
        try:
            _write(self._data, data, at)
        except OSError as error:
            raise self._meaning(error) from error

    @property
    def frames_file(self) -> Path:
        """The stored bytes of a compressed artifact, as far as they came; only for a store that wants a copy."""
        return self.folder / "frames"

    def write_frame(self, frame: bytes, at: int) -> None:
        """Put stored bytes where they belong; nothing relies on them."""
        fd = os.open(self.frames_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, frame, at)
        except OSError as error:
            raise self._meaning(error) from error
        finally:
            os.close(fd)

    def mark(self, index: int) -> None:
        """Say that a piece is here and verified."""
        os.pwrite(self._map, b"\1", _HEAD + index)

    def read(self, offset: int, size: int) -> bytes:
        """Content of verified pieces; the caller knows that they are."""
        return os.pread(self._data, min(size, self.pin.size - offset), offset)

    # A whole without pieces

    @property
    def stored_file(self) -> Path:
        """Stored bytes from the start of the object, not verified."""
        return self.folder / "stored"

    def received(self) -> int:
        """How many bytes of the stored object are here, not verified."""
        try:
            return self.stored_file.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, chunks: Iterable[bytes]) -> None:
        """Add to the stored bytes, as they come."""
        fd = os.open(self.stored_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            for chunk in chunks:
                try:
                    view = memoryview(chunk)
                    while view:
                        view = view[os.write(fd, view) :]
                except OSError as error:
                    raise self._meaning(error) from error
        finally:
            os.close(fd)

    # Between processes

    def claim(self, first: int, count: int = 1) -> bool:
        """Lock some pieces against other processes; False when one of them has some."""
        return _lock(self._map, fcntl.F_WRLCK, first, count)

    def release(self, first: int, count: int = 1) -> None:
        """Unlock what `claim` locked."""
        _lock(self._map, fcntl.F_UNLCK, first, count)

    def discard(self) -> None:
        """Forget all of it."""
        gone = self._parts.parent / "tmp" / f"{os.getpid()}-{self.folder.name}"
        gone.parent.mkdir(exist_ok=True)
        try:
            self.folder.rename(gone)  # so that nobody finds half of it
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)

    @property
    def data_file(self) -> Path:
        """The content, once every piece is verified."""
        return self.folder / "data"

    def close(self) -> None:
        """Close it; what is here stays for the next one."""
        for fd in (self._data, self._map):
            os.close(fd)

    def _meaning(self, error: OSError) -> Exception:
        return CacheFull(self._parts.parent) if error.errno in _NO_SPACE else error


def part_name(pin: Pin) -> str:
    """The folder of a pin's part: pins that disagree about the pieces don't share one."""
    return f"{pin.sha256}.{pin.pieces.digest[:16] if pin.pieces is not None else 'whole'}"


def progress(parts: Path, pin: Pin) -> tuple[float, bool] | None:
    """How much of a pin is here, from 0 to 1, and whether somebody is fetching it; None when nothing was begun."""
    folder = parts / part_name(pin)
    try:
        fd = os.open(folder / "map", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        active = _locked(fd)
        if pin.pieces is not None:
            return os.pread(fd, pin.piece_count, _HEAD).count(1) / max(pin.piece_count, 1), active
        try:
            received = (folder / "stored").stat().st_size
        except FileNotFoundError:
            received = 0
        return min(received / max(pin.size, 1), 1.0), active
    finally:
        os.close(fd)


class Claims:
    """Who fetches or sends which content, between processes: a locked byte of one file for each."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self._lock = threading.Lock()
        self._fd = -1

    def claim(self, sha256: str) -> bool:
        """Lock a content against other processes; False when one of them has it."""
        with self._lock:
            if self._fd < 0:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return _lock(self._fd, fcntl.F_WRLCK, _place(sha256), 1)

    def release(self, sha256: str) -> None:
        """Unlock what `claim` locked."""
        _lock(self._fd, fcntl.F_UNLCK, _place(sha256), 1)

    def close(self) -> None:
        """Unlock everything."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


class Partial(NamedTuple):
    """An artifact that is partly here."""

    folder: Path
    size: int
    """Bytes on the disk."""
    last_used_s: float


def partials(parts: Path) -> Iterator[Partial]:
    """Everything that is partly here, in no order."""
    for folder in parts.glob("*.*/"):
        try:
            found = {file.name: file.stat() for file in folder.iterdir()}
        except FileNotFoundError:  # finished since
            continue
        if "map" in found:
            used = max(found[name].st_mtime for name in ("data", "map") if name in found)
            yield Partial(folder, sum(one.st_blocks for one in found.values()) * 512, used)


def drop(folder: Path) -> bool:
    """Forget what is partly here, unless somebody has it open."""
    try:
        fd = os.open(folder / "map", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _lock(fd, fcntl.F_WRLCK, 0, 0):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(fd)


def sweep(parts: Path, older_s: float) -> int:
    """Forget what nobody is fetching and nothing was added to for so long: how many."""
    return sum(drop(one.folder) for one in partials(parts) if time.time() - one.last_used_s > older_s)


def _place(sha256: str) -> int:
    return int(sha256[:15], 16)  # 60 bits: below the largest offset


def _write(fd: int, data: bytes | memoryview, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view[: 16 * CHUNK], at)
        at += written
        view = view[written:]


def _lock(fd: int, kind: int, first: int, count: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, first, count, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _locked(fd: int) -> bool:
    """Whether any process (this one, too, through another descriptor) has claimed a piece."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _is_there(path: Path, fd: int) -> bool:
    """Whether *path* still leads to the file that is open."""
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def boot_id() -> str:
    """Names this run of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
