"""Requests about names: they are looked up, made, removed and moved."""

import errno
import os

from anvcs.committing import Committer
from anvcsfs.attributes import join
from anvcsfs.disk import DiskFiles
from anvcsfs.extended import ExtendedAttributes
from anvcsfs.following import Follower
from anvcsfs.handles import Caller, Handles
from anvcsfs.inodes import Inodes
from anvcsfs.linking import Links
from anvcsfs.nodes import Dir, File, Node, Place
from anvcsfs.publishing import Publisher
from anvcsfs.renames import Renames
from anvcsfs.setting import Setting
from anvcsfs.shared import SharedFiles
from anvcsfs.shared_tree import SharedTree
from anvcsfs.view import View

_NAME_MAX = 255


def fail(number: int) -> OSError:
    """An error that means *number* to the kernel."""
    return OSError(number, os.strerror(number))


class Names:
    """The verbs on names, and the parts that all verbs work with."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.inodes = Inodes(view)
        self.handles = Handles()
        self.files = SharedFiles(view, self.inodes)
        self.tree = SharedTree(view, self.inodes, self.files)
        self.disk = DiskFiles(view, self.inodes)
        self.publisher = Publisher(view, self.inodes, self.handles, self.files)
        self.renames = Renames(view, self.inodes, self.handles, self.files, self.tree, self.disk, self.publisher)
        self.setting = Setting(view, self.files, self.disk)
        self.xattrs = ExtendedAttributes(view, self.disk, self.files)
        self.links = Links(view, self.inodes, self.files, self.tree, self.disk)
        self.committer: Committer
        self.follower: Follower

    def lookup(self, parent_ino: int, name: bytes) -> Node | None:
        """The node of *name*, with one more reference; ``None`` when there is none."""
        if len(name) > _NAME_MAX:
            raise fail(errno.ENAMETOOLONG)
        parent = self.inodes.directory(parent_ino)
        node = self.inodes.child(parent, name)
        if node is not None:
            node.nlookup += 1
        return node

    def forget(self, ino: int, count: int) -> None:
        """The kernel drops *count* references."""
        self.inodes.forget(ino, count)

    def slim(self) -> None:
        """After FORGETs: what is kept of files that the kernel has dropped goes, too.

        Nodes and what is cached lie mixed in memory, which can only be given back in larger pieces.
        """
        if self.inodes.has_shrunk():
            self.view.slim()

    def _parent(self, ino: int, name: bytes) -> Dir:
        """The directory *ino*, which is about to change at *name*."""
        parent = self.inodes.directory(ino)
        if len(name) > _NAME_MAX:
            raise fail(errno.ENAMETOOLONG)
        self.changeable(parent)
        if name in self.inodes.fixed and parent is self.inodes.root:
            raise fail(errno.EPERM)
        if parent.removed:
            raise fail(errno.ENOENT)
        return parent

    def changeable(self, node: Node) -> None:
        """Raise unless requests may change *node*."""
        if node.place is Place.HISTORY or self.view.read_only:
            raise fail(errno.EROFS)
        if node.place is Place.CONTROL:
            raise fail(errno.EPERM)
        if self.view.lost:
            raise fail(errno.ESTALE)

    def _absent(self, parent: Dir, name: bytes) -> None:
        if self.inodes.child(parent, name) is not None:
            raise fail(errno.EEXIST)

    def _present(self, parent: Dir, name: bytes) -> Node:
        node = self.inodes.child(parent, name)
        if node is None:
            raise fail(errno.ENOENT)
        return node

    def mkdir(self, parent_ino: int, name: bytes, mode: int, caller: Caller) -> Node:
        """``mkdir(2)``."""
        parent = self._parent(parent_ino, name)
        self._absent(parent, name)
        node: Node
        if self.disk.place_for(parent, join(parent.path, name), is_dir=True) is Place.LOCAL:
            node = self.disk.mkdir(parent, name, mode, caller)
        else:
            node = self.tree.mkdir(parent, name, mode)
            self.setting.give_to(node, caller)
        node.nlookup += 1
        return node

    def mknod(self, parent_ino: int, name: bytes, mode: int, rdev: int, caller: Caller) -> Node:
        """``mknod(2)``."""
        parent = self._parent(parent_ino, name)
        self._absent(parent, name)
        node = self.disk.mknod(parent, name, mode, rdev, caller)
        node.nlookup += 1
        return node

    def symlink(self, parent_ino: int, name: bytes, target: bytes, caller: Caller) -> Node:
        """``symlink(2)``."""
        parent = self._parent(parent_ino, name)
        self._absent(parent, name)
        node: Node
        if self.disk.place_for(parent, join(parent.path, name)) is Place.LOCAL:
            node = self.disk.symlink(parent, name, target, caller)
        else:
            node = self.tree.symlink(parent, name, target)
            self.setting.give_to(node, caller)
        node.nlookup += 1
        return node

    def readlink(self, ino: int) -> bytes:
        """``readlink(2)``."""
        node = self.inodes.get(ino)
        if not isinstance(node, File):
            raise fail(errno.EINVAL)
        if node.on_disk:
            return os.readlink(self.disk.real(node))
        return self.tree.read_link(node)

    def unlink(self, parent_ino: int, name: bytes, pid: int = 0) -> None:
        """``unlink(2)`` by *pid*."""
        parent = self._parent(parent_ino, name)
        node = self._present(parent, name)
        if not isinstance(node, File):
            raise fail(errno.EISDIR)
        if node.on_disk:
            self.disk.unlink(parent, name, node)
        else:
            self.tree.unlink(parent, name, node, pid)

    def rmdir(self, parent_ino: int, name: bytes) -> None:
        """``rmdir(2)``."""
        parent = self._parent(parent_ino, name)
        node = self._present(parent, name)
        if not isinstance(node, Dir):
            raise fail(errno.ENOTDIR)
        if node.place is Place.LOCAL:
            self.disk.rmdir(parent, name, node)
        else:
            self.tree.rmdir(parent, name, node)
        self.inodes.drop_if_unused(node)

    def rename(self, old_ino: int, old: bytes, new_ino: int, new: bytes, flags: int, caller: Caller) -> None:
        """``renameat2(2)``."""
        old_dir, new_dir = self._parent(old_ino, old), self._parent(new_ino, new)
        self.renames.rename(old_dir, old, new_dir, new, flags, caller.pid)

    def link(self, ino: int, parent_ino: int, name: bytes) -> Node:
        """``link(2)``."""
        node = self.inodes.get(ino)
        parent = self._parent(parent_ino, name)
        self._absent(parent, name)
        if not isinstance(node, File):
            raise fail(errno.EPERM)
        self.changeable(node)
        self.links.link(node, parent, name)
        node.nlookup += 1
        node.reply = None
        return node
