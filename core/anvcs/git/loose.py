"""Writing loose objects ourselves: a third of libgit2's time, and other threads run meanwhile.

Files are written under a temporary name that ``git gc`` knows to clean up, and renamed.  They are not
synced one by one; :meth:`LooseWriter.sync` makes all of them durable at once.
"""

# ruff: noqa: PTH101, PTH103, PTH104, PTH108, PTH123 - system calls on plain strings: a commit comes here forty times
import ctypes
import hashlib
import itertools
import os
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from anvcs.model.ids import Oid

_FASTEST = 1  # git's own level for loose objects
_SYNC_FILE_RANGE_WRITE = 2
_SYNC_THREADS = 8
_FILE_MODE = 0o444
_TEMPORARY = "tmp_obj_"  # what git gc cleans up


class LooseWriter:
    """Adds objects to one ``objects`` directory; any thread may call it."""

    def __init__(self, objects: Path) -> None:
        self._root = os.fspath(objects)
        # `git init --shared` marks the directory; new folders get the same mode so that the group can write.
        mode = objects.stat().st_mode & 0o7777
        self._folder_mode = mode if mode & 0o2020 == 0o2020 else None
        self._unsynced: list[Oid] = []
        self._numbers = itertools.count()

    def write(self, kind: str, data: bytes) -> Oid:
        """Store an object; one that exists already is only marked as fresh, so that gc leaves it alone."""
        whole = b"%b %d\0%b" % (kind.encode(), len(data), data)
        digest = hashlib.sha1(whole, usedforsecurity=False)
        name = digest.hexdigest()
        oid = Oid(digest.digest())
        folder = f"{self._root}/{name[:2]}"
        self._unsynced.append(oid)
        try:
            os.utime(f"{folder}/{name[2:]}")
        except FileNotFoundError:
            self._create(folder, name[2:], zlib.compress(whole, _FASTEST))
        except PermissionError:  # another user's object in a shared repository: it is there, which is what counts
            pass
        return oid

    def remember(self, oid: Oid) -> None:
        """Include an object that another program wrote for us in the next :meth:`sync`."""
        self._unsynced.append(oid)

    def sync(self) -> None:
        """Make everything written so far survive power loss.

        All data is sent out first and then all is awaited at once, so that a journalling file system
        needs two or three commits for it.  The folders need no sync of their own: renaming a file
        changes its inode too, so its name is in the same journal commit.
        """
        written, self._unsynced = self._unsynced, []
        if not written:
            return
        files = [fd for fd in map(self._open, written) if fd is not None]
        try:
            for fd in files:
                _send_out(fd)
            with ThreadPoolExecutor(_SYNC_THREADS) as pool:
                for _ in pool.map(os.fsync, files):
                    pass  # an error of any is raised here
        finally:
            for fd in files:
                os.close(fd)

    def _create(self, folder: str, name: str, data: bytes) -> None:
        temporary = f"{folder}/{_TEMPORARY}{os.getpid()}_{threading.get_ident()}_{next(self._numbers)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(temporary, flags, _FILE_MODE)
        except FileNotFoundError:
            self._make_folder(folder)
            fd = os.open(temporary, flags, _FILE_MODE)
        try:
            with open(fd, "wb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            os.rename(temporary, f"{folder}/{name}")
        except BaseException:
            os.unlink(temporary)
            raise

    def _make_folder(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        if self._folder_mode is not None:
            os.chmod(folder, self._folder_mode)

    def _open(self, oid: Oid) -> int | None:
        name = oid.hex()
        try:
            return os.open(f"{self._root}/{name[:2]}/{name[2:]}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # git has packed it meanwhile, and git syncs packs
            return None


def _send_out(fd: int) -> None:
    """Start the writing of a file's data without waiting; ``fsync`` follows."""
    libc = _libc()
    if libc is not None:
        libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, "sync_file_range") else None
