"""A folder as a store of versions: the embedded default, and what a mounted network folder builds on.

``<root>/<key, percent-encoded>/<sha256 of the version>``.  A version's id is the SHA-256
of its bytes, so two machines that store the same content make the same file: files are
written under another name and renamed, and nothing needs a lock.
"""

import errno
import hashlib
import os
import secrets
import shutil
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from anvcs.artifacts.errors import NoSuchVersion, StoreRefused
from anvcs.artifacts.pieces import CHUNK
from anvcs.artifacts.protocol import Body, Moved, Stored, StoreSettings

T = TypeVar("T")

_DIGITS = 64
_LONGEST_NAME = 240
_NO_SUCH = (errno.ENOENT, errno.ENOTDIR)


class FolderBlobStore:
    """Versions below one folder, by content.  `_steady` is where a subclass tries things again."""

    bucket = ""
    region = ""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self.name = name

    def upload(self, local_path: Path, key: str, *, sha256: str | None = None, moved: Moved | None = None) -> Stored:
        """Store a file as the newest version of *key*."""
        folder = self._folder(key)

        def store() -> Stored:
            self._prepare(folder)
            if sha256 is not None and _renewed(folder / sha256):
                digest = sha256
            else:
                digest = self._publish(local_path, folder, sha256)
            return Stored(key=key, version_id=digest, sha256=digest, size=(folder / digest).stat().st_size)

        stored = self._steady(store)
        if moved is not None:
            moved(stored["size"])
        return stored

    def download(self, key: str, version_id: str | None, dest_path: Path) -> None:
        """Copy a version to *dest_path*."""

        def fetch() -> None:
            part = dest_path.with_name(f".{dest_path.name[:200]}.{secrets.token_hex(4)}")
            try:
                _copy(self._file(key, version_id), part)
                part.replace(dest_path)
            finally:
                part.unlink(missing_ok=True)

        self._steady(fetch)

    def exists(self, key: str, version_id: str | None = None) -> bool:
        """Whether there is this version, or any."""
        if version_id:
            return self._steady(lambda: self._named(key, version_id).is_file())
        return bool(self._steady(lambda: self._versions(key)))

    def delete_version(self, key: str, version_id: str) -> None:
        """Remove a version, and the folder of a key that has none left."""

        def remove() -> None:
            self._named(key, version_id).unlink(missing_ok=True)
            try:
                self._folder(key).rmdir()
            except OSError as error:  # other versions, or it is gone already
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, *_NO_SUCH):
                    raise

        self._steady(remove)

    def read(self, key: str, version_id: str | None, start: int = 0, length: int | None = None) -> Body:
        """The bytes of a version from *start*."""
        try:
            fd = os.open(self._file(key, version_id), os.O_RDONLY)
            try:
                end = start + length if length is not None else os.fstat(fd).st_size
                while start < end and (chunk := os.pread(fd, min(CHUNK, end - start), start)):
                    yield chunk
                    start += len(chunk)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._meaning(error, key, version_id) from error

    def _steady(self, action: Callable[[], T]) -> T:
        return action()

    def _meaning(self, error: OSError, key: str, version_id: str | None) -> Exception:
        """What an error of the disk says about the store."""
        if error.errno in _NO_SUCH:
            return NoSuchVersion(self.name, key, version_id)
        return StoreRefused(self.name, f"{key} can't be read: {error.strerror}")

    def _prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    def _folder(self, key: str) -> Path:
        name = urllib.parse.quote(key, safe=" ()+,=@", errors="surrogateescape")
        if len(name) > _LONGEST_NAME:  # a file system's limit is 255
            name = f"{name[:100]}%{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()}"
        return self._root / f"k{name}"  # never "." or ".."

    def _named(self, key: str, version_id: str) -> Path:
        if len(version_id) != _DIGITS or not version_id.isalnum():
            return self._folder(key) / "none"  # such a version was never made
        return self._folder(key) / version_id

    def _file(self, key: str, version_id: str | None) -> Path:
        """The file of a version that is there."""
        if not version_id:
            versions = self._versions(key)
            if not versions:
                raise NoSuchVersion(self.name, key, None)
            return max(versions)[1]
        path = self._named(key, version_id)
        if not path.is_file():
            raise NoSuchVersion(self.name, key, version_id)
        return path

    def _versions(self, key: str) -> list[tuple[int, Path]]:
        """When each version was last stored, and where it is."""
        found: list[tuple[int, Path]] = []
        try:
            with os.scandir(self._folder(key)) as entries:
                names = [entry.name for entry in entries if len(entry.name) == _DIGITS]
        except FileNotFoundError:
            return found
        for name in names:
            path = self._folder(key) / name
            try:
                found.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:  # deleted since
                continue
        return found

    def _publish(self, source: Path, folder: Path, sha256: str | None) -> str:
        """Store a copy under its hash, which is that of the copy: the file may be changing."""
        part = folder / f"new-{secrets.token_hex(8)}"
        try:
            _copy(source, part)
            digest = sha256 or _sha256(part)
            part.chmod(0o444)
            part.replace(folder / digest)
            _sync_folder(folder)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return digest


class LocalBlobStore(FolderBlobStore):
    """The embedded store: everything works with no cloud at all."""

    def __init__(self, root: Path, frozen: Path | None = None) -> None:
        """*frozen*: a folder on the same disk whose files never change, so that they are shared and not copied."""
        super().__init__(root, "local")
        self._frozen = frozen

    def local_file(self, key: str, version_id: str) -> Path | None:
        """The stored file itself, for a cache on the same disk to link to."""
        path = self._named(key, version_id)
        return path if path.is_file() else None

    def _publish(self, source: Path, folder: Path, sha256: str | None) -> str:
        if sha256 is not None and self._frozen is not None and source.is_relative_to(self._frozen):
            part = folder / f"new-{secrets.token_hex(8)}"
            try:
                os.link(source, part)
            except OSError:  # another disk, or too many links: a copy will do
                part.unlink(missing_ok=True)
            else:
                part.replace(folder / sha256)
                part.unlink(missing_ok=True)  # two names of one file: such a rename does nothing
                _sync_folder(folder)
                return sha256
        return super()._publish(source, folder, sha256)

    def _prepare(self, folder: Path) -> None:
        if self._root.exists() and not self._root.is_dir():
            raise StoreRefused(self.name, f"{self._root} is not a folder")
        super()._prepare(folder)


def _renewed(target: Path) -> bool:
    """Whether the version is there; it then is the newest."""
    try:
        os.utime(target)
    except FileNotFoundError:
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    """Copy to a new file that is on the disk then; inside the kernel where that works."""
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            reader.seek(0)
            writer.truncate(0)
            writer.seek(0)
            shutil.copyfileobj(reader, writer, CHUNK)
        os.fsync(writer.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_local(settings: StoreSettings) -> LocalBlobStore:
    """The embedded store of a repository; the cache beside it has files that never change."""
    return LocalBlobStore(settings.local, frozen=settings.local.parent / "cache" / "sha256")
