"""When the room or its base changes under loaded nodes: re-read what is affected, tell the kernel."""

import time
from collections.abc import Iterable
from dataclasses import replace

from anvcs.git.index_format import Stat
from anvcs.model.ids import Oid
from anvcs.model.room import Entry
from anvcs.model.tree import DIRECTORY, TreeEntry
from anvcsfs.attributes import Attributes, join
from anvcsfs.births import is_directory, permissions
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Node, Place
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View

_FORMAT = 0o170000


class Refresher:
    """Brings nodes in line with the room; only directories that are loaded cost anything."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles) -> None:
        self._view = view
        self._inodes = inodes
        self._files = files

    def apply(self, changed: Iterable[bytes]) -> None:
        """The content or existence of *changed* paths is new; other sources may be, too."""
        paths = set(changed)
        directories = {path.rpartition(b"/")[0] for path in paths}
        self._retree(self._inodes.root, self._view.base_tree(), directories)
        for directory in directories:
            node = self._nearest(directory)
            if node is not None:
                self._reload(node, paths)
        now = time.time_ns()
        for path in paths:
            self._view.journal.add(path)
            self._touch(path, now)

    def _nearest(self, directory: bytes) -> Dir | None:
        """The loaded directory at or above *directory*, where a change must show."""
        node = self._inodes.root
        for name in directory.split(b"/") if directory else ():
            child = (node.children or {}).get(name)
            if not isinstance(child, Dir) or child.place is not Place.SHARED:
                return node if node.children is not None else None
            node = child
        return node if node.children is not None else None

    def _retree(self, node: Dir, tree: Oid | None, directories: set[bytes]) -> None:
        """Give loaded directories the trees of the new base; note those whose tree changed."""
        if node.tree == tree:
            return
        node.tree = tree
        if node.children is None:
            return
        directories.add(node.path)
        names = {item.name: item for item in self._view.git.tree(tree)} if tree is not None else {}
        for child in self._inodes.loaded_nodes(node):
            if isinstance(child, Dir) and child.place is Place.SHARED:
                item = names.get(child.name)
                below = item.oid if item is not None and item.mode == DIRECTORY else None
                self._retree(child, below, directories)

    def _reload(self, node: Dir, changed: set[bytes]) -> None:
        """Read *node* again, keep the nodes that still fit, invalidate the rest."""
        before = node.children
        if before is None:
            return
        after = self._inodes.fresh_children(node)
        path = node.path
        for name, item in before.items():
            if not isinstance(item, Node):
                continue
            source = after.get(name)
            if source is None or is_directory(source) != isinstance(item, Dir):
                self._vanish(node, name, item)
                continue
            if item.place is Place.SHARED:
                self._renew(item, source, shown_anew=join(path, name) in changed)
            after[name] = item
        differing = after.keys() ^ before.keys()
        for name in differing:
            self._view.notifier.entry(node.ino, name)
        if differing:
            self._view.directory_changed(node)
        node.children = after
        node.live = sum(isinstance(item, Node) for item in after.values())
        node.nlink = 2 + sum(map(is_directory, after.values()))
        node.reply = None
        self._view.notifier.attributes(node.ino)

    def _vanish(self, parent: Dir, name: bytes, node: Node) -> None:
        if isinstance(node, File):
            self._files.keep_content(node)
        elif isinstance(node, Dir):
            node.removed = True
        self._view.notifier.entry(parent.ino, name)

    def _renew(self, node: Node, source: object, *, shown_anew: bool) -> None:
        node.source = source
        node.reply = None
        if not isinstance(node, File):
            return
        node.size = -1
        if shown_anew and node.work is not None and not node.work.dirty and not node.unlinked:
            node.work.close()  # nothing in it but what was read
            node.work = None
        git_mode = source.mode if isinstance(source, (TreeEntry, Entry)) else None
        if git_mode is not None and (permissions(git_mode) ^ node.mode) & (_FORMAT | 0o100):
            node.mode = permissions(git_mode)
            shown_anew = True
        if shown_anew:
            self._view.notifier.content(node.ino)

    def _touch(self, path: bytes, now: int) -> None:
        """What changed under the reader gets a new time: make and Git must notice."""
        view = self._view
        entry = view.room.entry(path)
        node = self._inodes.find_loaded(path)
        time_ns = entry.mtime_ns if entry is not None else now
        if isinstance(node, File) and node.place is Place.SHARED:
            node.mtime_ns = node.ctime_ns = time_ns
            node.reply = None
        if entry is None and not view.room.hides(path):
            view.attributes.update(path, mtime_ns=now)
            parent = self._inodes.find_loaded(path.rpartition(b"/")[0])
            if isinstance(parent, Dir):
                parent.overrides = True

    def index_stats(self, paths: Iterable[bytes]) -> dict[bytes, Stat]:
        """What ``stat`` says of loaded shared files among *paths*, for Git's index."""
        found = {}
        for path in paths:
            node = self._inodes.find_loaded(path)
            if isinstance(node, File) and node.place is Place.SHARED:
                found[path] = Stat(node.mtime_ns, self._files.size(node), node.ctime_ns, node.ino)
        return found

    def remember_times(self, entries: dict[bytes, int]) -> None:
        """Files that stop being entries of the room keep the times they had as such."""
        view = self._view
        kept: dict[bytes, Attributes] = {}
        for path, mtime_ns in entries.items():
            if view.room.entry(path) is None and not view.room.hides(path):
                old = view.attributes.get(path) or Attributes()
                kept[path] = old if old.mtime_ns is not None else replace(old, mtime_ns=mtime_ns)
        for directory in {path.rpartition(b"/")[0] for path in kept}:
            node = self._inodes.find_loaded(directory)
            if isinstance(node, Dir):
                node.overrides = True
        if kept:
            view.attributes.update_many(kept)
