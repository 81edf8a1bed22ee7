"""When the room gives a file another place than its maker asked for: its node goes there.

Two views that claim one name, a save under a name that a peer has just changed, a
deletion that yields: the kernel believes what it asked for, until it is told.
"""

from anvcs.model.room import Entry
from anvcsfs.attributes import join, split
from anvcsfs.births import is_directory
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Marker, Node, Place
from anvcsfs.view import View


class Placing:
    """Puts nodes where the room has their files."""

    def __init__(self, view: View, inodes: Inodes) -> None:
        self._view = view
        self._inodes = inodes

    def put(self, node: Node, at: bytes) -> None:
        """*node* is at *at* from now on; its old name shows what the room has there."""
        parent, name = node.parent, node.name
        assert parent is not None  # nobody renames the top
        if join(parent.path, name) != at:
            self._leave(parent, name, node)
        directory, last = split(at)
        home = self._home(directory)
        if home is None:  # a file of this view has the directory's name: the next look at the room finds the way
            return
        there = self._inodes.children(home).get(last)
        if there is not node:
            if isinstance(there, Node):
                self._inodes.detach(home, last)
            self._inodes.attach(home, last, node)
        node.source = self._inodes.source_of(home, last) or Marker.SHARED_DIR
        node.reply = None
        if isinstance(node, File):
            node.unlinked, node.taken, node.data = False, None, None
        elif isinstance(node, Dir):
            node.removed = False
        self._changed(home, last)
        self._view.notifier.attributes(node.ino)

    def find(self, at: bytes) -> Node | None:
        """The node of *at*, which the room has just got, though no loaded directory may know it."""
        directory, name = split(at)
        home = self._home(directory)
        if home is None:
            return None
        source = self._inodes.source_of(home, name)
        children = self._inodes.children(home)
        if not isinstance(children.get(name), Node):
            home.nlink += is_directory(source) and name not in children
            children[name] = Marker.SHARED_DIR if source is None else source
            self._changed(home, name)
        return self._inodes.child(home, name)

    def stays(self, parent: Dir, name: bytes, node: File) -> None:
        """A deletion of *name* yielded: the kernel took it for done and has to look again."""
        if parent.children is not None and parent.children.get(name) is not node:
            self._inodes.attach(parent, name, node)
        node.unlinked = False
        node.data = None
        node.source = source = self._inodes.source_of(parent, name)
        node.unasked = None
        if isinstance(source, Entry):
            node.opened = source.content_seq  # who deletes it once more means it
        node.size = -1
        node.reply = None
        self._view.notifier.content(node.ino)
        self._changed(parent, name)
        self._view.notifier.attributes(node.ino)

    def look_again(self, parent: Dir, name: bytes) -> None:
        """The kernel believes something of *name* that isn't so: it shows what the room has there."""
        children = parent.children
        if children is not None and not isinstance(children.get(name), Node):
            source = self._inodes.fresh_children(parent).get(name)
            if source is None:
                children.pop(name, None)
            else:
                children[name] = source
        self._changed(parent, name)

    def _leave(self, parent: Dir, name: bytes, node: Node) -> None:
        if parent.children is not None and parent.children.get(name) is node:
            self._inodes.detach(parent, name)
        self.look_again(parent, name)

    def _home(self, path: bytes) -> Dir | None:
        """The directory at *path*, which the room has, though nodes may not know it yet."""
        node: Node | None = self._inodes.root
        for name in path.split(b"/") if path else ():
            if not isinstance(node, Dir):
                return None
            child = self._inodes.child(node, name)
            if child is None:
                source = self._inodes.source_of(node, name)
                if isinstance(source, Entry) and source.mode != 0o040000:
                    return None
                self._inodes.children(node)[name] = Marker.SHARED_DIR if source is None else source
                node.nlink += 1
                child = self._inodes.child(node, name)
                self._changed(node, name)
            node = child
        return node if isinstance(node, Dir) and node.place is Place.SHARED else None

    def _changed(self, parent: Dir, name: bytes) -> None:
        self._view.journal.add(join(parent.path, name))
        self._view.notifier.entry(parent.ino, name)
        self._view.directory_changed(parent)
