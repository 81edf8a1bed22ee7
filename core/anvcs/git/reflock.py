"""The files under a ref: its lock, its value, its log, as git's files backend keeps them.

Plain git works on the same files at the same time, so every step is the one git takes:
create ``<ref>.lock`` exclusively, look, write, sync, rename.
"""

# ruff: noqa: PTH103, PTH104, PTH106, PTH108, PTH112, PTH113, PTH120 - plain strings: built on each call
import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from anvcs.errors import AnvcsError

LOCK_PATIENCE_S = 1.0
"""How long to wait for another process's lock on a ref; git holds one for milliseconds."""

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


class RefLocked(AnvcsError):
    """Another process holds the lock of a ref, or died holding it."""

    def __init__(self, name: str, lock: Path) -> None:
        super().__init__(f"{name} is locked by another process; if none is running, remove {lock}")
        self.name, self.lock = name, lock


class RefClash(AnvcsError):
    """A ref cannot exist beside another: one name would be the directory of the other."""

    def __init__(self, name: str, other: str) -> None:
        super().__init__(f"{name} cannot be created: {other} exists, and a name cannot be a ref and a folder of refs")
        self.name, self.other = name, other


class RefLock:
    """A held ``<ref>.lock``; :meth:`publish` makes its content the ref's value."""

    def __init__(self, path: str, fd: int) -> None:
        self._path, self._fd = path, fd
        self._held = True

    def publish(self, value: bytes, *, at_once: bool = True) -> None:
        """Replace the ref's file; *at_once*: power loss can't take it back any more.

        Else it may for some seconds: the ref is what it was then, and never damaged.
        """
        os.write(self._fd, value)
        os.fsync(self._fd)
        os.rename(self._path + ".lock", self._path)
        self._held = False
        if at_once:
            sync_directory(os.path.dirname(self._path))

    def release(self) -> None:
        """Give the lock up if it is still held."""
        os.close(self._fd)
        if self._held:
            os.unlink(self._path + ".lock")


@contextlib.contextmanager
def locked(root: str, name: str) -> Iterator[RefLock]:
    """Hold the lock of ref *name* under *root*; waits briefly for other holders."""
    path = f"{root}/{name}"
    lock = RefLock(path, _acquire(root, name, path + ".lock"))
    try:
        yield lock
    finally:
        lock.release()


def _acquire(root: str, name: str, lock: str) -> int:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError as error:
            if time.monotonic() > deadline:
                raise RefLocked(name, Path(lock)) from error
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads waiters, hides nothing
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        except NotADirectoryError as error:
            raise RefClash(name, _file_above(root, name)) from error
        except FileNotFoundError as error:  # also when git removes an empty folder between our two steps
            if time.monotonic() > deadline:
                raise RefLocked(name, Path(lock)) from error
            make_parents(root, name, name)


def make_parents(root: str, path: str, name: str) -> None:
    """Create the folders above *path*; :class:`RefClash` when a file is in the way of ref *name*."""
    try:
        os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RefClash(name, _file_above(root, path)) from error


def _file_above(root: str, name: str) -> str:
    """Which parent of *name* is a file."""
    parts = name.split("/")
    parents = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return next((parent for parent in parents if os.path.isfile(f"{root}/{parent}")), name)


def clear_empty_folders(path: str) -> None:
    """Remove *path* and the folders in it where they hold no file: what deleted refs leave behind."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:  # something is in it; whoever needs the name finds out and says so
            return


def append_log(path: str, line: bytes) -> None:
    """Add one reflog line; a single write, so that two processes don't mix."""
    if os.path.isdir(path):
        clear_empty_folders(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the names in a folder survive power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
