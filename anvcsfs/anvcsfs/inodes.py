"""The inode table: which node the kernel means, how directories load, what is dropped."""

import errno
import os
import stat as st
from collections.abc import Iterator

from anvcs.model.ids import Oid
from anvcsfs.attributes import join, split
from anvcsfs.births import RESERVED, Births, is_directory
from anvcsfs.control_nodes import ControlDir
from anvcsfs.nodes import Dir, File, Marker, Node, Place
from anvcsfs.view import View

ROOT_INODE = 1
_MANY = 4096


class Inodes:
    """Nodes by inode number, and the directory tree that connects them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._nodes: dict[int, Node] = {}
        root = Dir(ROOT_INODE, None, b"", Place.SHARED, st.S_IFDIR | 0o755)
        root.tree = view.base_tree()
        root.nlookup = 1
        root.uid, root.gid = view.uid, view.gid
        root.mtime_ns = root.ctime_ns = root.atime_ns = view.epoch_ns
        self.root = root
        self._nodes[ROOT_INODE] = root
        self._births = Births(view, self._nodes)
        view.shown_time = self._shown_time
        self.fixed: dict[bytes, Node] = {}
        """Control nodes at the top, by name."""
        self.unlisted: set[bytes] = set()
        """Those of them that only who knows the name finds."""
        self._most = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, ino: int) -> Node:
        """The node the kernel calls *ino*.

        Raises:
            OSError: ESTALE, the kernel speaks of a node we don't have.
        """
        node = self._nodes.get(ino)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return node

    def was_shown(self, ino: int) -> bool:
        """Whether the kernel was given the node and has not given it back; for any thread."""
        node = self._nodes.get(ino)
        return node is not None and node.nlookup > 0

    def find(self, ino: int) -> Node | None:
        """The node the kernel calls *ino*, if there is one."""
        return self._nodes.get(ino)

    def directory(self, ino: int) -> Dir:
        """`get`, which must be a directory."""
        node = self.get(ino)
        if not isinstance(node, Dir):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return node

    def add(self, node: Node) -> None:
        """Take in a node that was made elsewhere (control files)."""
        self._nodes[node.ino] = node

    def has(self, node: Node) -> bool:
        """Whether *node* is still in the table."""
        return self._nodes.get(node.ino) is node

    def drop_fleeting(self, node: Node) -> None:
        """Let go of a control node after its one use; the kernel may take long to forget it."""
        if node.opens == 0:
            self._nodes.pop(node.ino, None)

    def _shown_time(self, path: bytes) -> int | None:
        node = self.find_loaded(path)
        return None if node is None else node.mtime_ns

    # Children

    def child(self, parent: Dir, name: bytes) -> Node | None:
        """The node of *name* in *parent*, made on demand."""
        if parent.parent is None and name in self.fixed:
            return self.fixed[name]
        if isinstance(parent, ControlDir):
            return parent.find(parent, name)
        if parent.place is Place.LOCAL:
            return self._births.disk_child(parent, name)
        source = self.children(parent).get(name)
        if source is None or isinstance(source, Node):
            return source
        return self._births.make(parent, name, source)

    def names(self, parent: Dir) -> list[bytes]:
        """Every name in *parent* but ``.`` and ``..``."""
        if isinstance(parent, ControlDir):
            return parent.list()
        if parent.place is Place.LOCAL:
            return [
                name
                for name in os.listdir(self.view.real(parent.path))
                if name not in RESERVED or parent.parent is not None
            ]
        names = list(self.children(parent))
        if parent.parent is None:
            names.extend(name for name in self.fixed if name not in self.unlisted)
        return names

    def loaded_nodes(self, parent: Dir) -> Iterator[Node]:
        """The children of *parent* that are nodes."""
        for item in list((parent.children or {}).values()):
            if isinstance(item, Node):
                yield item

    def children(self, parent: Dir) -> dict[bytes, object]:
        """Children of a directory that isn't local, loaded if need be."""
        if parent.children is None:
            return self._births.load(parent)
        return parent.children

    def subtree(self, parent: Dir, name: bytes) -> Oid | None:
        """The base's tree at *name* in *parent*."""
        return self._births.subtree(parent, name)

    def fresh_children(self, parent: Dir) -> dict[bytes, object]:
        """Sources of *parent*'s children as the room, the base and the disk have them now."""
        return self._births.fresh(parent)

    def attach(self, parent: Dir, name: bytes, node: Node) -> None:
        """Put *node* under *name*; the caller has removed what was there."""
        children = parent.children
        if children is None:
            children = parent.children = {}
        if not isinstance(children.get(name), Node):
            parent.live += 1
        children[name] = node
        node.parent, node.name = parent, name
        self._nodes[node.ino] = node
        if isinstance(node, Dir):
            parent.nlink += 1
            parent.reply = None

    def detach(self, parent: Dir, name: bytes) -> None:
        """Take *name* out of *parent*; the node lives on while it is referenced."""
        children = parent.children
        if children is None:
            return
        item = children.pop(name, None)
        if isinstance(item, Node):
            parent.live -= 1
        if isinstance(item, Dir) or is_directory(item):
            parent.nlink -= 1
            parent.reply = None

    def born_on_disk(self, parent: Dir, name: bytes, source: Marker) -> Node:
        """The node of a name that was just made on the real disk."""
        if parent.place is Place.LOCAL:
            node = self._births.disk_child(parent, name)
            if node is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            return node
        self.children(parent)[name] = source
        if source is Marker.LOCAL_DIR:
            parent.nlink += 1
        return self._births.make(parent, name, source)

    def attach_link(self, parent: Dir, name: bytes, node: File) -> None:
        """One more name for *node*, which stays where it is."""
        if parent.children is None and parent.place is not Place.LOCAL:
            self.children(parent)
        if parent.children is None:
            parent.children = {}
        parent.children[name] = node
        parent.live += 1

    def drop_name(self, parent: Dir, name: bytes, node: File) -> None:
        """*name* no longer leads to *node*; with its last name it becomes an orphan."""
        others = [(home, other) for home, other in (node.links or []) if not (home is parent and other == name)]
        self.detach(parent, name)
        node.reply = None
        if node.parent is parent and node.name == name:
            others = others or self._further_name(node)
            if others:
                node.parent, node.name = others.pop(0)
            else:
                node.unlinked = True
        node.links = others or None
        self.drop_if_unused(node)

    def _further_name(self, node: File) -> list[tuple[Dir, bytes]]:
        """A name of the shared hard link *node* that isn't in memory yet."""
        if node.group is None:
            return []
        own = node.path
        for path in self.view.attributes.paths_of_link(node.group):
            directory, name = split(path)
            parent = self.walk(directory) if path != own else None
            if parent is not None and not isinstance(self.children(parent).get(name), Node):
                self.attach_link(parent, name, node)
                return [(parent, name)]
        return []

    def walk(self, path: bytes) -> Dir | None:
        """The directory at *path*, made on demand."""
        node: Node | None = self.root
        for name in path.split(b"/") if path else ():
            if not isinstance(node, Dir):
                return None
            node = self.child(node, name)
        return node if isinstance(node, Dir) else None

    def swap(self, old_dir: Dir, old: bytes, node: Node, new_dir: Dir, new: bytes, target: Node) -> None:
        """Exchange two names."""
        self.detach(old_dir, old)
        self.detach(new_dir, new)
        self.attach(old_dir, old, target)
        self.attach(new_dir, new, node)

    def replace_source(self, parent: Dir, name: bytes, source: object) -> None:
        """Note what *name* is now without making a node of it."""
        if parent.children is not None and not isinstance(parent.children.get(name), Node):
            parent.children[name] = source

    def source_of(self, parent: Dir, name: bytes) -> object:
        """What the room, else the base tree, says of *name*; ``None`` when neither knows it."""
        view = self.view
        path = join(parent.path, name)
        entry = view.room.entry(path)
        if entry is not None:
            return entry
        if parent.tree is None or view.room.hides(path):
            return None
        return view.git.find(parent.tree, name)

    def find_loaded(self, path: bytes) -> Node | None:
        """The node at *path* if it and the directories above it are in memory."""
        node: object = self.root
        for name in path.split(b"/") if path else ():
            if not isinstance(node, Dir) or node.children is None:
                return None
            node = node.children.get(name)
        return node if isinstance(node, Node) else None

    # Life and death

    def forget(self, ino: int, count: int) -> None:
        """The kernel gave back *count* references."""
        node = self._nodes.get(ino)
        if node is not None:
            self._most = max(self._most, len(self._nodes))
            node.nlookup -= count
            self.drop_if_unused(node)

    def has_shrunk(self) -> bool:
        """Whether most of many nodes are gone since the last time that this was so."""
        shrunk = self._most > _MANY and len(self._nodes) < self._most // 4
        if shrunk:
            self._most = len(self._nodes)
        return shrunk

    def drop_if_unused(self, node: Node) -> None:
        """Let go of *node*, and of parents that were only there for it."""
        while node.nlookup <= 0 and node.opens == 0 and node.ino != ROOT_INODE:
            if node.place is Place.CONTROL and not node.fleeting:
                return
            if isinstance(node, Dir) and node.live:
                return
            self._nodes.pop(node.ino, None)
            if isinstance(node, File):
                if node.work is not None:
                    node.work.close()
                    node.work = None
                for home, name in node.links or ():
                    source = self.source_of(home, name) if node.place is Place.SHARED else node.source
                    if self._back_to_source(home, name, node, source):
                        self.drop_if_unused(home)
            if node.parent is None or not self._back_to_source(node.parent, node.name, node, node.source):
                return
            node = node.parent

    @staticmethod
    def _back_to_source(parent: Dir, name: bytes, node: Node, source: object) -> bool:
        """Keep of *node* only what it can be made from again."""
        if parent.children is None or parent.children.get(name) is not node:
            return False
        parent.live -= 1
        if parent.place is Place.LOCAL:
            del parent.children[name]
        else:
            parent.children[name] = source
        return True
