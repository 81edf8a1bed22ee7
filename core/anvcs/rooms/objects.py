"""Opaque values by their SHA-256, in ``objects/ab/<the other 62 digits>``.

A value is complete when it has its name: it is written under a temporary name and
renamed.  It survives the death of the process at once, and a power loss after `sync`.
"""

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from anvcs.rooms.errors import RoomDamaged, RoomFull

_CHUNK = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class ObjectFiles:
    """The directory of opaque values; may be used from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsynced: dict[Path, None] = {}

    def path(self, sha256: bytes) -> Path:
        """Where the value with this hash is or would be."""
        digits = sha256.hex()
        return self._root / digits[:2] / digits[2:]

    def put_bytes(self, data: bytes) -> bytes:
        """Store *data*; its SHA-256."""
        sha256 = hashlib.sha256(data).digest()
        target = self.path(sha256)
        try:
            if not _renewed(target):
                self._publish_bytes(data, target)
        except OSError as error:
            raise _meaning(error, target) from error
        self._unsynced[target] = None
        return sha256

    def put_file(self, source: Path, *, move: bool = True) -> tuple[bytes, int]:
        """Store the content of *source* without reading it into memory: its SHA-256 and size.

        With *move* the file itself becomes the object where both are on one file system.
        """
        try:
            with source.open("rb") as stream:
                sha256, size = _hash(stream)
            target = self.path(sha256)
            if not _renewed(target):
                self._publish_file(source, target, move=move)
            elif move:
                source.unlink()
        except OSError as error:
            raise _meaning(error, source) from error
        self._unsynced[target] = None
        return sha256, size

    def open(self, sha256: bytes) -> BinaryIO:
        """The value for reading; raises `RoomDamaged` when it is missing."""
        path = self.path(sha256)
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            raise RoomDamaged(path, "an opaque value is missing") from error

    def read(self, sha256: bytes) -> bytes:
        """The whole value."""
        with self.open(sha256) as stream:
            return stream.read()

    def sync(self) -> None:
        """Make everything stored since the last call survive a power loss."""
        folders: set[Path] = set()
        for path in list(self._unsynced):
            _fsync(path)
            folders.update((path.parent, self._root))
            self._unsynced.pop(path, None)
        for folder in sorted(folders, reverse=True):
            _fsync(folder)

    def _publish_bytes(self, data: bytes, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="new-", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            temporary.chmod(0o444)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _publish_file(self, source: Path, target: Path, *, move: bool) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if move:
            try:
                source.chmod(0o444)
                source.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                return
        handle, name = tempfile.mkstemp(prefix="new-", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            _copy(source, temporary)
            temporary.chmod(0o444)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if move:
            source.unlink()


def _renewed(target: Path) -> bool:
    """Whether the value is there already; it then counts as just stored, so that no collection takes it."""
    try:
        os.utime(target)
    except FileNotFoundError:
        return False
    return True


def _hash(stream: BinaryIO) -> tuple[bytes, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.digest(), size


def _copy(source: Path, target: Path) -> None:
    """Copy inside the kernel, which shares blocks where the file system can."""
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            reader.seek(0)
            writer.truncate(0)
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _meaning(error: OSError, path: Path) -> Exception:
    return RoomFull(path) if error.errno in _NO_SPACE else error
