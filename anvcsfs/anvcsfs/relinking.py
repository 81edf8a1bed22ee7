"""What a rename means in memory: nodes under new names, described by new sources."""

import time

from anvcsfs.attributes import Fields, join
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Node, Place
from anvcsfs.shared import SharedFiles
from anvcsfs.shared_tree import SharedTree
from anvcsfs.view import View


class Relinking:
    """Moves names of nodes and keeps what hangs on them; the room and the disk have moved already."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles, tree: SharedTree) -> None:
        self._view = view
        self._inodes = inodes
        self._files = files
        self._tree = tree

    def relink(self, old_dir: Dir, old: bytes, node: Node, new_dir: Dir, new: bytes) -> None:
        """Move the name in memory."""
        others = None
        if isinstance(node, File) and node.links:
            others = [pair for pair in node.links if pair != (old_dir, old)]
            if not (node.parent is old_dir and node.name == old):
                assert node.parent is not None
                others.append((node.parent, node.name))
        self._inodes.detach(old_dir, old)
        self._inodes.attach(new_dir, new, node)
        if isinstance(node, File):
            node.links = others or None
        node.ctime_ns = time.time_ns()
        self.touched(old_dir, join(old_dir.path, old), node)
        self.touched(new_dir, join(new_dir.path, new), node)

    def touched(self, parent: Dir, path: bytes, node: Node) -> None:
        """*node* came to *path* in *parent*, or left it."""
        node.reply = None
        if parent.place is not Place.LOCAL:
            self._tree.touch_directory(parent)
        self._view.journal.add(path + b"/" if isinstance(node, Dir) else path)

    def keep_identity(self, node: Node, path: bytes) -> None:
        """After a rename the inode number and times are no longer what the path alone gives."""
        fields = Fields(ino=node.ino)
        if node.mtime_ns != getattr(node.source, "mtime_ns", self._view.epoch_ns):
            fields["mtime_ns"] = node.mtime_ns
        self._view.attributes.update(path, **fields)
        if node.parent is not None:
            node.parent.overrides = True

    def save_below(self, node: Dir) -> None:
        """Save what is written below *node* and not yet saved: the room must have it before it moves."""
        for child in self._inodes.loaded_nodes(node):
            if isinstance(child, Dir):
                self.save_below(child)
            elif isinstance(child, File) and child.work is not None and child.place is Place.SHARED:
                self._files.save(child, None)

    def refresh(self, node: Dir) -> None:
        """Children that were described by the old path are described anew."""
        if node.parent is not None:
            node.tree = self._inodes.subtree(node.parent, node.name)
        if node.children is None:
            return
        living = {name: child for name, child in node.children.items() if isinstance(child, Node)}
        node.children = None
        node.live = 0
        children = self._inodes.children(node)
        for name, child in living.items():
            child.source = children.get(name, child.source)
            children[name] = child
            node.live += 1
            if isinstance(child, Dir) and child.place is Place.SHARED:
                self.refresh(child)
