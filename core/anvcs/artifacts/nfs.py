"""A folder that several machines mount.

Nothing here relies on ``flock``, on modification times of other machines or on a
directory listing that is up to date: versions are named by their content and appear by
rename.  A handle that went stale, because another machine removed or replaced a file or
the server restarted, is opened again.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from anvcs.artifacts.errors import AccessDenied, NoSuchBucket, StorageNotConfigured, StoreUnreachable, TransferBroken
from anvcs.artifacts.folders import FolderBlobStore
from anvcs.artifacts.protocol import Body, StoreSettings
from anvcs.artifacts.retrying import Backoff, again

T = TypeVar("T")

_STALE: Final = (errno.ESTALE, errno.EIO, errno.EREMOTEIO)
_AWAY: Final = (
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENOTCONN,
    errno.ECONNREFUSED,
)
_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class NFSBlobStore(FolderBlobStore):
    """Versions in a folder on a network file system."""

    def __init__(self, root: Path, backoff: Backoff | None = None) -> None:
        super().__init__(root, f"nfs {root}")
        self._backoff = backoff or Backoff()

    def read(self, key: str, version_id: str | None, start: int = 0, length: int | None = None) -> Body:
        """The bytes of a version; a stale handle is a broken transfer, which the caller resumes."""
        try:
            self._mounted()
        except OSError as error:
            raise self._meaning(error, key, version_id) from error
        yield from super().read(key, version_id, start, length)

    def _steady(self, action: Callable[[], T]) -> T:
        def attempt() -> T:
            try:
                self._mounted()
                return action()
            except OSError as error:
                told = self._told_about(error)
                if told is None:
                    raise
                raise told from error

        return again(attempt, self._backoff, self.name)

    def _meaning(self, error: OSError, key: str, version_id: str | None) -> Exception:
        return self._told_about(error) or super()._meaning(error, key, version_id)

    def _told_about(self, error: OSError) -> Exception | None:
        if error.errno in _STALE:
            return TransferBroken(self.name, os.strerror(error.errno))
        if error.errno in _AWAY:
            return StoreUnreachable(self.name, os.strerror(error.errno))
        return AccessDenied(self.name, os.strerror(error.errno)) if error.errno in _DENIED else None

    def _mounted(self) -> None:
        """Refuse a folder that isn't there: a share that isn't mounted must not look like an empty store."""
        if not self._root.is_dir():
            raise NoSuchBucket(self.name, "the folder is not there: is the share mounted?")


def make(settings: StoreSettings) -> NFSBlobStore:
    """From the configuration: ``adapters.nfs.mount_path``."""
    path = str(settings.options.get("mount_path") or "")
    if not Path(path).is_absolute():
        raise StorageNotConfigured("nfs", "adapters.nfs.mount_path must be an absolute path")
    return NFSBlobStore(Path(path))
