"""The kernel's side of the file system without FUSE: the same verbs, the same reference counts.

Like the kernel it looks a path up name by name, counts every reference that an answer
gives it, gives all of them back when it forgets, and calls again after a `Later`.  It
caches nothing, so that each test sees what the handlers say.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from anvcs.rooms.errors import NotCompared
from anvcsfs.control_nodes import ControlHandle
from anvcsfs.handles import FileHandle
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, Node
from anvcsfs.status import AttributeChange, Status
from anvcsfs.table import Table

T = TypeVar("T")
ROOT = 1
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Process:
    """The process behind a request."""

    pid: int
    uid: int = 0
    gid: int = 0


class FakeKernel:
    """Drives a `Table`."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.references: Counter[int] = Counter()
        self.waits = 0
        """How many requests had to wait for a thread."""
        self.process = Process(os.getpid(), os.getuid(), os.getgid())

    def call(self, verb: Callable[[], T]) -> T:
        """Do *verb*, and whatever it has to wait for."""
        for _ in range(_ATTEMPTS):
            try:
                return verb()
            except (Later, NotCompared) as later:
                self.waits += 1
                later.job()
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    # Names

    def lookup(self, parent: int, name: bytes) -> Node | None:
        """LOOKUP."""
        node = self.call(lambda: self.table.lookup(parent, name))
        if node is not None:
            self.references[node.ino] += 1
        return node

    def find(self, path: bytes) -> Node | None:
        """The node at *path*, every component looked up."""
        node: Node | None = self.table.inodes.root
        for name in path.split(b"/") if path else ():
            assert node is not None
            node = self.lookup(node.ino, name)
            if node is None:
                return None
        return node

    def at(self, path: bytes) -> Node:
        """`find` of what must be there."""
        node = self.find(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        directory, _, name = path.rpartition(b"/")
        parent = self.at(directory)
        if not isinstance(parent, Dir):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
        return parent.ino, name

    def _born(self, node: Node) -> Node:
        self.references[node.ino] += 1
        return node

    def forget(self, ino: int, count: int) -> None:
        """FORGET."""
        self.references[ino] -= count
        self.table.forget(ino, count)

    def forget_all(self) -> None:
        """As under memory pressure: every reference is given back."""
        for ino, count in list(self.references.items()):
            self.table.forget(ino, count)
        self.references.clear()

    def mkdir(self, path: bytes, mode: int = 0o755) -> Node:
        """MKDIR."""
        parent, name = self._parent(path)
        return self._born(self.call(lambda: self.table.mkdir(parent, name, mode, self.process)))

    def symlink(self, target: bytes, path: bytes) -> Node:
        """SYMLINK."""
        parent, name = self._parent(path)
        return self._born(self.call(lambda: self.table.symlink(parent, name, target, self.process)))

    def link(self, old: bytes, new: bytes) -> Node:
        """LINK."""
        ino = self.at(old).ino
        parent, name = self._parent(new)
        return self._born(self.call(lambda: self.table.link(ino, parent, name)))

    def mknod(self, path: bytes, mode: int) -> Node:
        """MKNOD."""
        parent, name = self._parent(path)
        return self._born(self.call(lambda: self.table.mknod(parent, name, mode, 0, self.process)))

    def unlink(self, path: bytes) -> None:
        """UNLINK."""
        parent, name = self._parent(path)
        self.call(lambda: self.table.unlink(parent, name, self.process.pid))

    def rmdir(self, path: bytes) -> None:
        """RMDIR."""
        parent, name = self._parent(path)
        self.call(lambda: self.table.rmdir(parent, name))

    def rename(self, old: bytes, new: bytes, flags: int = 0) -> None:
        """RENAME2."""
        (old_dir, old_name), (new_dir, new_name) = self._parent(old), self._parent(new)
        self.call(lambda: self.table.rename(old_dir, old_name, new_dir, new_name, flags, self.process))

    # Attributes

    def stat(self, path: bytes) -> Status:
        """GETATTR."""
        node = self.at(path)
        return self.call(lambda: self.table.status(self.table.getattr(node.ino)))

    def set(self, path: bytes, **change: int) -> Node:
        """SETATTR."""
        ino = self.at(path).ino
        return self.call(lambda: self.table.setattr(ino, AttributeChange(**change), None, self.process))

    # Open files

    def open(self, path: bytes, flags: int = os.O_RDONLY) -> FileHandle | ControlHandle:
        """OPEN, or CREATE of what isn't there."""
        node = self.find(path)
        if node is not None:
            ino = node.ino
            return self.call(lambda: self.table.open(ino, flags, self.process))
        parent, name = self._parent(path)
        handle = self.call(lambda: self.table.create(parent, name, 0o644, flags, self.process))
        self._born(handle.node)
        return handle

    def close(self, handle: FileHandle | ControlHandle) -> None:
        """FLUSH and RELEASE."""
        try:
            self.call(lambda: self.table.flush(handle.number))
        finally:
            self.call(lambda: self.table.release(handle.number))

    def put(self, handle: FileHandle | ControlHandle, data: bytes, offset: int = 0) -> int:
        """WRITE."""
        return self.call(lambda: self.table.write(handle.number, offset, data))

    def get(self, handle: FileHandle | ControlHandle, offset: int = 0, length: int = 1 << 20) -> bytes:
        """READ."""
        return self.call(lambda: self.table.read(handle.number, offset, length))

    def write(self, path: bytes, data: bytes) -> Node:
        """As ``cat > path`` does it."""
        handle = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.put(handle, data)
        self.close(handle)
        return handle.node

    def read(self, path: bytes) -> bytes:
        """As ``cat path`` does it."""
        self.at(path)  # a missing file isn't made
        handle = self.open(path)
        try:
            self.call(lambda: self.table.status(self.table.getattr(handle.node.ino)))
            return self.get(handle)
        finally:
            self.close(handle)

    # Directories

    @contextmanager
    def directory(self, path: bytes):
        """OPENDIR … RELEASEDIR; gives a function from cookie to entries (name, node, next cookie)."""
        handle = self.table.opendir(self.at(path).ino)
        try:
            yield lambda start=0: list(self.table.readdir(handle.number, start))
        finally:
            self.table.releasedir(handle.number)

    def names(self, path: bytes = b"") -> list[bytes]:
        """As ``ls -a`` does it, with READDIRPLUS: each name becomes a reference."""
        names = []
        with self.directory(path) as entries:
            for name, node, cookie in entries():
                names.append(name)
                if cookie > 2:
                    node.nlookup += 1
                    self.references[node.ino] += 1
        return names

    def walk(self, path: bytes = b"") -> list[bytes]:
        """Every path below *path*, as ``find`` would meet them; each is looked at."""
        found = []
        for name in self.names(path):
            if name in (b".", b".."):
                continue
            each = path + b"/" + name if path else name
            found.append(each)
            self.stat(each)
            if isinstance(self.at(each), Dir):
                found += self.walk(each)
        return found
