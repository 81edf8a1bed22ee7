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

from anvcs.model.ids import Oid

_FASTEST = 1  # git's own level for loose objects
_START = 2  # SYNC_FILE_RANGE_WRITE
_AWAIT = 7  # and SYNC_FILE_RANGE_WAIT_BEFORE, _WAIT_AFTER
_ONE_JOURNAL = frozenset({0xEF53, 0x58465342})  # ext4, XFS
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

        The folders need no sync of their own: renaming a file changes its inode too, so its name is in
        the same journal commit as the file.
        """
        written, self._unsynced = self._unsynced, []
        files = [fd for fd in map(self._open, written) if fd is not None]
        try:
            if files:
                _sync_files(files)
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


def _sync_files(files: list[int]) -> None:
    """Like ``fsync`` of each, which takes 0.3 ms a file; a commit has forty.

    Where one journal holds the metadata of all files, their data is written out first, and then one
    ``fsync`` commits the journal for all.  Elsewhere (btrfs logs each file apart) each is synced.
    """
    libc = _libc()
    if libc is None or not _shares_journal(libc, files[0]):
        with ThreadPoolExecutor(_SYNC_THREADS) as pool:
            for _ in pool.map(os.fsync, files):
                pass  # an error of any is raised here
        return
    for flags in (_START, _AWAIT):
        for fd in files:
            if libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), flags) != 0:
                os.fsync(fd)  # says what is wrong
    os.fsync(files[-1])


def _shares_journal(libc: ctypes.CDLL, fd: int) -> bool:
    buffer = ctypes.create_string_buffer(512)  # struct statfs begins with the type
    return libc.fstatfs(fd, buffer) == 0 and ctypes.c_long.from_buffer(buffer).value in _ONE_JOURNAL


@cache
def _libc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, "sync_file_range") else None
