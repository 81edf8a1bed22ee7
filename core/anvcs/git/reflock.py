"""The files under a ref: its lock, its value, its log, as git's files backend keeps them.

Plain git works on the same files at the same time, so every step is the one git takes:
create ``<ref>.lock`` exclusively, look, write, sync, rename.  A lock of ours has a second
name, which tells it from Git's, and is flocked, which tells whether its process lives: what a
killed one left is removed.
"""

# ruff: noqa: PTH103, PTH104, PTH106, PTH108, PTH112, PTH113, PTH120 - plain strings: built on each call
import contextlib
import fcntl
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from anvcs.errors import AnvcsError

LOCK_PATIENCE_S = 1.0
"""How long to wait for another process's lock on a ref; git holds one for milliseconds."""

_OWN = "anvcs-ref.lock."
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

    def __init__(self, path: str, own: str, fd: int) -> None:
        self._path, self._own, self._fd = path, own, fd
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
        try:
            if self._held:
                os.unlink(self._path + ".lock")
            os.unlink(self._own)
        finally:
            os.close(self._fd)


@contextlib.contextmanager
def locked(root: str, name: str) -> Iterator[RefLock]:
    """Hold the lock of ref *name* under *root*; waits briefly for other holders."""
    path, own = f"{root}/{name}", f"{root}/{_OWN}{os.urandom(8).hex()}"
    fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _acquire(root, name, path + ".lock", own)
    except BaseException:
        os.unlink(own)
        os.close(fd)
        raise
    lock = RefLock(path, own, fd)
    try:
        yield lock
    finally:
        lock.release()


def _acquire(root: str, name: str, lock: str, own: str) -> None:
    """Make *lock*, as a second name of *own*."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    pause = _FIRST_PAUSE_S
    while True:
        try:
            os.link(own, lock)
        except FileExistsError as error:
            if _left_by_the_dead(root, lock):
                continue
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
        else:
            return


def _left_by_the_dead(root: str, lock: str) -> bool:
    """Remove *lock* if a process of ours died while it held it."""
    for own in Path(root).glob(f"{_OWN}*"):
        try:
            with own.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if own.samefile(lock):
                    os.unlink(lock)
                    own.unlink()
                    return True
        except (BlockingIOError, FileNotFoundError):
            continue
    return False


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
