"""How directories load and how nodes come to be, from whatever source names them."""

import os
import stat as st

from anvcs.model.ids import LOCAL_INODE, Oid, inode_number
from anvcs.model.room import Entry
from anvcs.model.tree import DIRECTORY, EXECUTABLE, GITLINK, SYMLINK, TreeEntry
from anvcsfs.attributes import join
from anvcsfs.nodes import Dir, File, HistorySource, Marker, Node, Place
from anvcsfs.view import View, is_shadow

RESERVED = (b".git", b".anvcs")
"""Names at the top of a view that are ours, whatever a tree says."""
_MAX_RANDOM = 1 << 61


def permissions(git_mode: int) -> int:
    """The ``st_mode`` that a checkout gives a file of *git_mode*."""
    if git_mode == SYMLINK:
        return st.S_IFLNK | 0o777
    return st.S_IFREG | (0o755 if git_mode == EXECUTABLE else 0o644)


def _path_in_history(parent: Dir, name: bytes) -> bytes:
    """The path in the tree of the past that *parent* is a part of."""
    parts, above = [name], parent
    while isinstance(above.source, HistorySource) and above.parent is not None:
        parts.append(above.name)
        above = above.parent
    return b"/".join(reversed(parts))


def _make_real(directory: bytes) -> None:
    """A directory on the disk no longer stands for a shared one: what is in it made it one of its own."""
    found = os.stat(directory)
    if is_shadow(found):
        os.chmod(directory, st.S_IMODE(found.st_mode) & ~st.S_ISVTX)


def is_directory(item: object) -> bool:
    """Whether a child (node or source) is a directory."""
    if isinstance(item, TreeEntry):
        return item.mode in (DIRECTORY, GITLINK)
    if isinstance(item, Entry):
        return item.mode in (DIRECTORY, GITLINK)
    if isinstance(item, HistorySource):
        return item.entry.mode in (DIRECTORY, GITLINK)
    return isinstance(item, Dir) or item is Marker.SHARED_DIR or item is Marker.LOCAL_DIR


class Births:
    """Loads directories and makes nodes; knows no request."""

    def __init__(self, view: View, nodes: dict[int, Node]) -> None:
        self._view = view
        self._nodes = nodes
        self._several: dict[int, File] = {}
        """Pending files with several names, by their number on the real disk."""

    # Loading directories

    def load(self, parent: Dir) -> dict[bytes, object]:
        """Read the children of a shared or history directory, all sources merged."""
        children = self._load_history(parent) if parent.place is Place.HISTORY else self._load_shared(parent)
        parent.children = children
        parent.nlink = 2 + sum(map(is_directory, children.values()))
        if parent.place is Place.SHARED:
            self._view.load_rules(parent.path, children)
        return children

    def fresh(self, parent: Dir) -> dict[bytes, object]:
        """The children of a shared directory as they are now, without touching the node's."""
        children = self._load_shared(parent)
        self._view.load_rules(parent.path, children)
        return children

    def _load_history(self, parent: Dir) -> dict[bytes, object]:
        time_ns = parent.mtime_ns
        if parent.past is not None:
            return parent.past.children(self._view.git, parent.tree, time_ns)
        if parent.tree is None:
            return {}
        return {entry.name: HistorySource(entry, time_ns) for entry in self._view.git.tree(parent.tree)}

    def _load_shared(self, parent: Dir) -> dict[bytes, object]:
        view, path = self._view, parent.path
        children: dict[bytes, object] = {}
        if parent.tree is not None:
            children = {entry.name: entry for entry in view.git.tree(parent.tree)}
        overlay = view.room.overlay(path)
        if overlay is not None:
            for name in overlay.hidden:
                children.pop(name, None)
            for name in overlay.dirs:
                if not is_directory(children.get(name)):
                    children[name] = Marker.SHARED_DIR
            for name, entry in overlay.entries.items():
                if entry.mode != DIRECTORY or not is_directory(children.get(name)):
                    children[name] = entry
        self._add_disk(parent, path, children)
        if parent.parent is None:
            for name in RESERVED:
                children.pop(name, None)
        parent.overrides = view.attributes.has_directory(path)
        return children

    def _add_disk(self, parent: Dir, path: bytes, children: dict[bytes, object]) -> None:
        """Add what lies on the real disk here: shared names win, shared directories merge."""
        view = self._view
        try:
            real = view.real(path)
            entries = list(os.scandir(real))
        except (FileNotFoundError, NotADirectoryError):
            return
        # The shadow has the directory's time: whatever changes one changes the other.
        parent.mtime_ns = os.stat(real).st_mtime_ns
        parent.ctime_ns = max(parent.ctime_ns, parent.mtime_ns)
        directories = []
        for entry in entries:
            if entry.name in children:
                continue
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                pending = join(path, entry.name) in view.pending
                children[entry.name] = Marker.PENDING if pending else Marker.LOCAL
        if directories:
            view.load_rules(path, children)
            self._add_directories(path, directories, children)

    def _add_directories(self, above: bytes, names: list[bytes], children: dict[bytes, object]) -> None:
        """Directories that only the disk has; the rules of the one above are loaded."""
        view = self._view
        for name in names:
            path = join(above, name)
            if view.pending.below(path):  # to be shared, although the room doesn't know it yet
                children[name] = Marker.SHARED_DIR
            elif view.skeleton.ignored(path, True) or not view.drop_empty(path):
                children[name] = Marker.LOCAL_DIR
                _make_real(view.real(path))
            # Else the room's directory is gone and its empty shadow wasn't: a peer did it, or somebody who then died.

    # Making nodes

    def make(self, parent: Dir, name: bytes, source: object) -> Node:
        """The node of *name*, from *source*; it replaces the source among the children."""
        node: Node
        if isinstance(source, TreeEntry):
            node = self._from_tree(parent, name, source)
        elif isinstance(source, Entry):
            node = self._from_entry(parent, name, source)
        elif isinstance(source, HistorySource):
            node = self._from_history(parent, name, source)
        elif source is Marker.SHARED_DIR:
            directory = self._shared_dir(parent, name, self._view.epoch_ns)
            directory.tree = self.subtree(parent, name)
            node = directory
        else:
            node = self._from_disk(parent, name, pending=source is Marker.PENDING)
        if node.parent is parent and node.name == name:  # and not the further name of a hard link
            node.source = source
        self._adopt(parent, name, node)
        return node

    def disk_child(self, parent: Dir, name: bytes) -> Node | None:
        """The node of *name* in a local directory; ``None`` when the disk has no such name."""
        if parent.children is None:
            parent.children = {}
        known = parent.children.get(name)
        if isinstance(known, Node):
            return known
        try:
            node = self._from_disk(parent, name, pending=False)
        except FileNotFoundError:
            return None
        node.source = Marker.LOCAL
        self._adopt(parent, name, node)
        return node

    def _adopt(self, parent: Dir, name: bytes, node: Node) -> None:
        if parent.children is None:
            parent.children = {}
        parent.children[name] = node
        parent.live += 1
        self._nodes[node.ino] = node

    def _from_tree(self, parent: Dir, name: bytes, source: TreeEntry) -> Node:
        epoch = self._view.epoch_ns
        if source.mode == DIRECTORY:
            directory = self._shared_dir(parent, name, epoch)
            directory.tree = source.oid
            return directory
        if source.mode == GITLINK:
            return self._submodule(parent, name)
        pin = self._view.artifacts.pin_of(source, join(parent.path, name))
        return self._shared_file(parent, name, source.mode, epoch if pin is None else pin.shown_mtime_ns(epoch))

    def _from_entry(self, parent: Dir, name: bytes, source: Entry) -> Node:
        if source.mode == DIRECTORY:
            directory = self._shared_dir(parent, name, source.mtime_ns or self._view.epoch_ns)
            directory.tree = self.subtree(parent, name)
            return directory
        if source.mode == GITLINK:
            return self._submodule(parent, name)
        node = self._shared_file(parent, name, source.mode, source.mtime_ns or self._view.epoch_ns)
        node.size = source.size
        return node

    def _submodule(self, parent: Dir, name: bytes) -> Dir:
        """A submodule's work tree is local: ``git submodule update`` fills it."""
        path = join(parent.path, name)
        os.makedirs(self._view.real(path), mode=0o755, exist_ok=True)
        node = Dir(self._free_number(path), parent, name, Place.LOCAL, st.S_IFDIR | 0o755)
        node.children = {}
        return node

    def _from_history(self, parent: Dir, name: bytes, source: HistorySource) -> Node:
        entry = source.entry
        ino = self._free_number(b"\0" + join(parent.path, name))
        node: Node
        if entry.mode in (DIRECTORY, GITLINK):
            directory = Dir(ino, parent, name, Place.HISTORY, st.S_IFDIR | 0o755)
            if isinstance(entry, TreeEntry) and entry.mode == DIRECTORY:
                directory.tree = entry.oid or None
            directory.past = None if parent.past is None else parent.past.below(name)
            node = directory
        else:
            node = File(ino, parent, name, Place.HISTORY, permissions(entry.mode))
        pin = self._view.artifacts.pin_of(entry, _path_in_history(parent, name))
        self._own(node, source.time_ns if pin is None or not pin.mtime_ns else pin.mtime_ns)
        return node

    def subtree(self, parent: Dir, name: bytes) -> Oid | None:
        """The base's tree at *name* in *parent*, also while the room hides all of it."""
        if parent.tree is None:
            return None
        found = self._view.git.find(parent.tree, name)
        return found.oid if found is not None and found.mode == DIRECTORY else None

    def _shared_dir(self, parent: Dir, name: bytes, time_ns: int) -> Dir:
        path = join(parent.path, name)
        node = Dir(self._free_number(path), parent, name, Place.SHARED, st.S_IFDIR | 0o755)
        self._own(node, time_ns)
        if parent.overrides:
            self.override(node, path)
        return node

    def _shared_file(self, parent: Dir, name: bytes, git_mode: int, time_ns: int) -> File:
        path = join(parent.path, name)
        known = self._linked(path) if parent.overrides else None
        if known is not None:
            known.links = [*(known.links or []), (parent, name)]
            return known
        node = File(self._free_number(path), parent, name, Place.SHARED, permissions(git_mode))
        self._own(node, time_ns)
        if parent.overrides:
            self.override(node, path)
        return node

    def _linked(self, path: bytes) -> File | None:
        """The node that *path* is a further name of."""
        kept = self._view.attributes.get(path)
        if kept is None or kept.link is None:
            return None
        known = self._nodes.get(kept.ino or 0)
        return known if isinstance(known, File) and known.group == kept.link else None

    def _from_disk(self, parent: Dir, name: bytes, *, pending: bool) -> Node:
        path = join(parent.path, name)
        found = os.lstat(self._view.real(path))
        if pending:
            return self._pending_file(parent, name, path, found)
        if st.S_ISDIR(found.st_mode):
            directory = Dir(self._free_local(found), parent, name, Place.LOCAL, found.st_mode)
            directory.children = {}
            return directory
        known = self._several.get(found.st_ino) or self._nodes.get(found.st_ino | LOCAL_INODE)
        if found.st_nlink > 1 and isinstance(known, File) and self._is_named(known, Place.LOCAL):
            known.links = [*(known.links or []), (parent, name)]
            return known
        node = File(self._free_local(found), parent, name, Place.LOCAL, found.st_mode)
        if found.st_nlink > 1:
            self._several[found.st_ino] = node
        return node

    def _is_named(self, node: File, place: Place) -> bool:
        """Whether *node* is one that a further name of its may lead to.

        The real disk gives the number of a deleted file to the next one at once, while the
        kernel may still refer to the deleted file's node.
        """
        return node.place is place and not node.unlinked and self._nodes.get(node.ino) is node

    def _free_local(self, found: os.stat_result) -> int:
        """The number on the real disk as a local inode number, or a random one while another node has that."""
        ino = found.st_ino | LOCAL_INODE
        return ino if ino not in self._nodes else self._random_number()

    def _pending_file(self, parent: Dir, name: bytes, path: bytes, found: os.stat_result) -> File:
        """The node of a file to be published; its names, if it has several, are one node."""
        known = self._several.get(found.st_ino) if found.st_nlink > 1 else None
        if known is not None and self._is_named(known, Place.PENDING):
            known.links = [*(known.links or []), (parent, name)]
            return known
        node = File(self._free_number(path), parent, name, Place.PENDING, found.st_mode)
        if found.st_nlink > 1:
            self._several[found.st_ino] = node
        return node

    def override(self, node: Node, path: bytes) -> None:
        """Apply what the view remembers of *path*."""
        kept = self._view.attributes.get(path)
        if kept is None:
            return
        if kept.mode is not None:
            node.mode = st.S_IFMT(node.mode) | kept.mode
        node.uid = node.uid if kept.uid is None else kept.uid
        node.gid = node.gid if kept.gid is None else kept.gid
        if kept.mtime_ns is not None:
            node.mtime_ns = node.ctime_ns = kept.mtime_ns
        node.atime_ns = node.mtime_ns if kept.atime_ns is None else kept.atime_ns
        if kept.ino is not None and kept.ino not in self._nodes:
            node.ino = kept.ino
        if isinstance(node, File):
            node.group = kept.link

    def _own(self, node: Node, time_ns: int) -> None:
        node.uid, node.gid = self._view.uid, self._view.gid
        node.mtime_ns = node.ctime_ns = node.atime_ns = time_ns

    def _free_number(self, path: bytes) -> int:
        """The path's own inode number, or a random one while another node has that."""
        ino = inode_number(path)
        return ino if ino not in self._nodes else self._random_number()

    def _random_number(self) -> int:
        while (ino := int.from_bytes(os.urandom(8), "big") % _MAX_RANDOM | (1 << 17)) in self._nodes:
            pass
        return ino
