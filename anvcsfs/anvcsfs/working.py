"""Content that is being written: in memory while small, else in a scratch file.

One `Working` belongs to an inode and is shared by all its handles, so that every
reader of the view sees writes at once, as on a local disk.
"""

import errno
import os
from pathlib import Path

from anvcs.model.ids import Seq

SPILL_BYTES = 4 << 20
"""Above this a working copy moves from memory to a scratch file."""
MAX_BYTES = 1 << 40
"""No shared file grows beyond this; ``truncate`` to more is EFBIG."""
_COPY_BYTES = 1 << 20


class Working:
    """A private, mutable copy of one file's bytes."""

    __slots__ = ("_buffer", "_fd", "_scratch", "base", "dirty", "doubts", "had", "path", "version")

    def __init__(self, scratch: Path, data: bytes = b"") -> None:
        self._scratch = scratch
        self._buffer: bytearray | None = bytearray(data)
        self._fd = -1
        self.path: Path | None = None
        self.dirty = False
        self.base: int | None = None
        """The version of the file that this content was derived from; ``None``: the current one."""
        self.had: bytes | None = None
        """What it was derived from, when that is no version."""
        self.doubts: tuple[Seq, ...] = ()
        """Other versions that it may have been derived from."""
        self.version = 0
        """Counts writes, so that a slow reader can tell whether it saw one state."""

    @classmethod
    def from_file(cls, scratch: Path, source: Path | None) -> "Working":
        """A working copy on disk, reflinked from *source* where the disk can."""
        work = cls(scratch)
        work._spill()
        if source is not None:
            with source.open("rb") as file:
                _copy(file.fileno(), work._fd)
        return work

    @property
    def in_memory(self) -> bool:
        """Whether `bytes` is cheap."""
        return self._buffer is not None

    @property
    def key(self) -> Path:
        """The scratch file, for one who reads it from another thread."""
        if self.path is None:
            self._spill()
        assert self.path is not None  # _spill made it
        return self.path

    @property
    def size(self) -> int:
        """Length in bytes."""
        if self._buffer is not None:
            return len(self._buffer)
        return os.fstat(self._fd).st_size

    def content(self) -> bytes:
        """All of the content; only for working copies that are small."""
        if self._buffer is not None:
            return bytes(self._buffer)
        return os.pread(self._fd, self.size, 0)

    def read(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes from *offset*."""
        if self._buffer is not None:
            return bytes(self._buffer[offset : offset + length])
        return os.pread(self._fd, length, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* at *offset*; a gap before it reads as zeros."""
        end = offset + len(data)
        if end > MAX_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if self._buffer is not None and end > SPILL_BYTES:
            self._spill()
        self.dirty = True
        self.version += 1
        buffer = self._buffer
        if buffer is None:
            _write_all(self._fd, data, offset)
        elif offset > len(buffer):
            buffer.extend(bytes(offset - len(buffer)))
            buffer.extend(data)
        else:
            buffer[offset:end] = data

    def truncate(self, size: int) -> None:
        """Cut or extend with zeros to *size* bytes."""
        if size > MAX_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if self._buffer is not None and size > SPILL_BYTES:
            self._spill()
        self.dirty = True
        self.version += 1
        if self._buffer is None:
            os.ftruncate(self._fd, size)
        elif size <= len(self._buffer):
            del self._buffer[size:]
        else:
            self._buffer.extend(bytes(size - len(self._buffer)))

    def detach(self) -> Path:
        """Give the scratch file away (it is now somebody else's to move or delete)."""
        if self._buffer is not None:
            self._spill()
        path, self.path = self.path, None
        if path is None:
            raise OSError(errno.EBADF, "this working copy was given away before")
        os.close(self._fd)
        self._fd = -1
        return path

    def close(self) -> None:
        """Drop the content."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None
        self._buffer = None

    def _spill(self) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
        path = self._scratch / f"{id(self):x}-{os.urandom(4).hex()}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._buffer:
            _write_all(fd, bytes(self._buffer), 0)
        self._fd, self.path, self._buffer = fd, path, None


def _write_all(fd: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:] if done else data, offset + done)


def _copy(source: int, target: int) -> None:
    while os.copy_file_range(source, target, 1 << 30):
        pass
