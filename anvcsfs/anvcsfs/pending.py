"""New files that the room hasn't heard of yet.

A new file that Git doesn't ignore is born on the real disk, like a local one, and
is published when it is renamed onto a shared name, has lived for a while, or is
committed: swap files and temporaries make no noise, and every write to it survives
the death of this process without a journal of ours.  The names are kept in a small
file of length-prefixed records, appended to at each birth: ``+`` or ``-``, four
bytes of length, the path.
"""

import errno
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from anvcs.model.ids import Seq

_REWRITE_AFTER = 10_000
_LIVES = 4
"""How many times as long as a quiet file one waits at most that is written again and again."""


class Pending:
    """Paths of pending files, in order of birth, with the time from which each may be published."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._due: dict[bytes, float] = {}
        self._born: dict[bytes, Seq] = {}
        self._latest: dict[bytes, float] = {}
        self._records = 0
        self._below: dict[bytes, int] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        for path in _read(file):
            self._due[path] = 0.0
            self._count(path, 1)
        self._fd = -1
        self._behind = False
        self.wake: Callable[[], None] = lambda: None
        """Called when something new is pending."""
        self.seen: Callable[[], Seq | None] = lambda: None
        """The last op of the room that this view has shown."""
        try:
            self._rewrite()
        except OSError:  # a full disk: the file is as good as it was, and rewritten before the next record
            self._fd = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._behind = True

    def __contains__(self, path: bytes) -> bool:
        return path in self._due

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._due))

    def below(self, directory: bytes) -> bool:
        """Whether some pending file lies in *directory* or deeper."""
        return directory in self._below

    def inside(self, directory: bytes) -> list[bytes]:
        """The pending files in *directory* or deeper."""
        if not directory:
            return list(self._due)
        if directory not in self._below:
            return []
        prefix = directory + b"/"
        return [path for path in self._due if path.startswith(prefix)]

    def add(self, path: bytes, *, due: float) -> None:
        """*path* is born; it may be published from *due* (`time.monotonic`) on."""
        if path not in self._due:
            self._append(b"+", path)
            self._count(path, 1)
            seen = self.seen()
            if seen is not None:
                self._born[path] = seen
        self._due[path] = due
        self.wake()

    def born(self, path: bytes) -> Seq | None:
        """What its maker saw of the room when *path* was born; ``None`` when that was before this process."""
        return self._born.get(path)

    def postpone(self, path: bytes, due: float) -> None:
        """*path* may be published from *due* on."""
        if path in self._due:
            self._due[path] = due

    def rest(self, path: bytes, seconds: float) -> None:
        """*path* has been written: it may be published when it has been left alone for so long, or was often enough."""
        now = time.monotonic()
        latest = self._latest.setdefault(path, now + _LIVES * seconds)
        self.postpone(path, min(now + seconds, latest))

    def remove(self, path: bytes) -> None:
        """*path* is published or gone.  Deletes from a full disk, too: the record may follow later."""
        if self._due.pop(path, None) is not None:
            self._born.pop(path, None)
            self._latest.pop(path, None)
            self._count(path, -1)
            try:
                self._append(b"-", path)
            except OSError:
                self._behind = True  # at worst the name of a file that isn't there is remembered

    def due(self) -> list[bytes]:
        """Paths whose time has come."""
        now = time.monotonic()
        return [path for path, when in self._due.items() if when <= now]

    def next_due(self) -> float | None:
        """When the next path is due."""
        return min(self._due.values(), default=None)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _count(self, path: bytes, step: int) -> None:
        directory = path
        while b"/" in directory:
            directory = directory.rpartition(b"/")[0]
            count = self._below.get(directory, 0) + step
            if count:
                self._below[directory] = count
            else:
                del self._below[directory]

    def _append(self, sign: bytes, path: bytes) -> None:
        if self._behind or self._records > _REWRITE_AFTER:
            self._rewrite()
        record = _record(sign, path)
        end = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            done = os.write(self._fd, record)
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        if done < len(record):  # a part of a record would make what follows unreadable
            os.ftruncate(self._fd, end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._records += 1

    def _rewrite(self) -> None:
        """Start the file afresh with what is pending now."""
        new = self._file.with_name(self._file.name + ".new")
        try:
            new.write_bytes(b"".join(_record(b"+", path) for path in self._due))
        except OSError:
            new.unlink(missing_ok=True)
            raise
        new.rename(self._file)
        self.close()
        self._fd = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._records = 0
        self._behind = False


def _record(sign: bytes, path: bytes) -> bytes:
    return sign + struct.pack(">I", len(path)) + path


def _read(file: Path) -> list[bytes]:
    """Paths that were pending; a torn last record (power loss) ends the list."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return []
    paths: dict[bytes, None] = {}
    at = 0
    while at + 5 <= len(data):
        sign, length = data[at : at + 1], struct.unpack_from(">I", data, at + 1)[0]
        path = data[at + 5 : at + 5 + length]
        at += 5 + length
        if len(path) < length or sign not in b"+-":
            break
        if sign == b"+":
            paths[path] = None
        else:
            paths.pop(path, None)
    return list(paths)
