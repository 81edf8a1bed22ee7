"""Whose turn it is to append to a room: who waits sleeps, and is woken when it is free.

SQLite's own lock can only be tried again and again.  Twenty processes that do so spend the
processor that the one which has it needs, and whoever has just appended is the likeliest to
get it again.  So everybody takes this lock first, one byte of the room's ``-owner`` file
that the kernel guards (open file description locks, fcntl(2)): it ends with its process,
and waiting for it costs nothing.  SQLite's lock is still taken and is what keeps the log
whole; this one only tells who tries.
"""

import fcntl
import os
import struct
import threading
from pathlib import Path

_BYTE = 64  # behind the process id that the file holds
_KEPT_S = 1.0
"""After which time a turn that nobody used is given back."""


class Turnstile:
    """One process's place at the turnstile of the room whose ``-owner`` file is *file*."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._own = self._open()
        self._taken = False
        self._state = threading.Condition()
        self._waiting = 0
        self._fetching = False
        self._fetched: int | None = None
        """The descriptor with which the turn was got for who waits, until somebody gives it back."""

    def close(self) -> None:
        """Give everything back; nobody may be waiting."""
        self.give()
        os.close(self._own)

    def take(self) -> bool:
        """Take the turn if nobody has it; never waits."""
        if not self._taken and self._fetched is None:
            self._taken = _lock(self._own, wait=False)
        return self._taken or self._fetched is not None

    def give(self) -> None:
        """Give the turn back, if this process has it."""
        if self._taken:
            _unlock(self._own)
            self._taken = False
        with self._state:
            if self._fetched is not None:
                _unlock(self._fetched)  # now, and not when the thread is woken
                self._fetched = None
                self._state.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until it is this process's turn, for a thread; `take` then finds it taken for about a second."""
        with self._state:
            self._waiting += 1
            if not self._fetching:
                self._fetching = True
                threading.Thread(target=self._fetch, name="turnstile", daemon=True).start()
            try:
                return self._state.wait_for(lambda: self._fetched is not None, seconds)
            finally:
                self._waiting -= 1

    def _fetch(self) -> None:
        """Get the turn for who waits, again and again until nobody does."""
        try:
            while self._fetch_once():
                pass
        except BaseException:
            with self._state:
                self._fetching = False
            raise

    def _fetch_once(self) -> bool:
        descriptor = self._open()
        try:
            _lock(descriptor, wait=True)
            with self._state:
                if self._waiting:
                    self._fetched = descriptor
                    self._state.notify_all()
                    self._state.wait_for(lambda: self._fetched is None, _KEPT_S)
                self._fetched = None
                self._fetching = self._waiting > 0
                return self._fetching
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._file, os.O_RDWR | os.O_CLOEXEC)


def _lock(descriptor: int, *, wait: bool) -> bool:
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(descriptor, command, _flock(fcntl.F_WRLCK))
    except (BlockingIOError, PermissionError):  # POSIX allows either
        return False
    return True


def _unlock(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK))


def _flock(kind: int) -> bytes:
    """The kernel's ``struct flock``: type, whence, start, length, and a process id that must be 0."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, _BYTE, 1, 0)
