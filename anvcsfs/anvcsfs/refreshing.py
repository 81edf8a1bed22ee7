"""When the room or its base changes under loaded nodes: re-read what is affected, tell the kernel.

What is to be looked at waits in queues, so that a catch-up of ten thousand paths is
worked off in slices: trees of a new base first, then renames, then one directory after
the other, each with all of its paths.  Only directories that are loaded cost anything.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf

from anvcs.git.index_format import Stat
from anvcs.model.ids import Oid, Seq
from anvcs.model.room import Entry, Moved
from anvcs.model.tree import DIRECTORY
from anvcsfs.attributes import Attributes, join, split
from anvcsfs.births import is_directory
from anvcsfs.handles import Handles
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Node, Place
from anvcsfs.renewing import Renewer
from anvcsfs.replacing import saved_over
from anvcsfs.shadows import carry_shadow, shows_directory
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View


class Refresher:
    """Brings nodes in line with the room."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles, handles: Handles) -> None:
        self._view = view
        self._inodes = inodes
        self._files = files
        self.renewer = Renewer(view, inodes, files, handles)
        self._trees: deque[tuple[Dir, Oid | None]] = deque()
        self._renamed: deque[tuple[Moved, bytes, bytes]] = deque()
        self._paths: dict[bytes, None] = {}
        self._left: dict[bytes, Entry] = {}
        self._before: dict[bytes, Seq] = {}
        """Paths that others changed, with the last op before that."""
        self._reloads: dict[Dir, dict[bytes, None]] = {}
        """Loaded directories to be read again, each with the paths for whose sake."""
        self._failed: dict[Dir, dict[bytes, None]] = {}
        """Directories that could not be read: the next news try again."""
        self._unloaded: dict[bytes, None] = {}
        """Changed paths of which nothing is in memory."""

    def apply(self, changed: Iterable[bytes]) -> None:
        """The content or existence of *changed* paths is new; other sources may be, too."""
        self._try_again()
        self._paths.update(dict.fromkeys(changed))
        self._note_base()
        self.go_on(inf)

    def take(self, told: Sequence[Moved]) -> None:
        """Note what other processes did; `go_on` shows it."""
        if told:
            self._try_again()
        for moved in told:
            if self._view.behind is None:
                self._view.behind = Seq(moved.seq - 1)
            self._paths.update(dict.fromkeys(moved.paths))
            for path in moved.paths:
                self._before.setdefault(path, Seq(moved.seq - 1))
            self._left.update({entry.path: entry for entry in moved.left if entry.path is not None})
            if moved.renamed is not None:
                self._renamed.append((moved, *moved.renamed))
        self._note_base()

    def _try_again(self) -> None:
        for node, paths in self._failed.items():
            self._reloads[node] = self._reloads.get(node, {}) | paths
        self._failed.clear()

    def go_on(self, until: float) -> bool:
        """Work until `time.monotonic` passes *until*; whether everything is done."""
        while self._step():
            if time.monotonic() > until:
                return False
        return True

    def _step(self) -> bool:
        """Do one piece of work; whether there was one."""
        if self._trees:
            self._retree(*self._trees.popleft())
        elif self._renamed:
            moved, old, new = self._renamed.popleft()
            self._note_move(moved, old, new)
            self._rename(old, new)
        elif self._paths:
            path, _ = self._paths.popitem()
            self._find(path)
        elif self._reloads:
            node, paths = self._reloads.popitem()
            try:
                self._reload(node, paths)
            except BaseException:
                self._failed[node] = self._failed.get(node, {}) | paths
                raise
        elif self._unloaded:
            path, _ = self._unloaded.popitem()
            self._note_time(path)
        else:
            self._left.clear()
            self._before.clear()
            self._view.behind = None
            self._view.room.all_told()
            return False
        return True

    # A new base

    def _note_base(self) -> None:
        tree = self._view.base_tree()
        if tree != self._inodes.root.tree:  # else what is left of the last move goes on
            self._trees.clear()
            self._trees.append((self._inodes.root, tree))

    def _retree(self, node: Dir, tree: Oid | None) -> None:
        """Give a loaded directory its tree of the new base; where it differs, read the directory again."""
        if node.tree == tree or node.removed:
            return
        node.tree = tree
        if node.children is None:
            return
        self._reloads.setdefault(node, {})
        names = {item.name: item for item in self._view.git.tree(tree)} if tree is not None else {}
        for child in self._inodes.loaded_nodes(node):
            if isinstance(child, Dir) and child.place is Place.SHARED:
                item = names.get(child.name)
                below = item.oid if item is not None and item.mode == DIRECTORY else None
                self._trees.append((child, below))

    # Renames: the node moves along, with all that is open in it

    def _rename(self, old: bytes, new: bytes) -> None:
        if self._view.is_on_disk(old):
            self._carry_shadow(old, new)
        node = self._inodes.find_loaded(old)
        directory, name = split(new)
        if node is None or node.place is not Place.SHARED or node.parent is None or not self._went(node, old, new):
            return
        parent = self._inodes.walk(directory)
        if parent is None or parent.place is not Place.SHARED:
            return
        at_place = self._inodes.children(parent).get(name)
        if at_place is node or (isinstance(at_place, Node) and isinstance(node, Dir)):
            return
        if isinstance(at_place, Node):
            self._vanish(parent, name, at_place)
            self._inodes.detach(parent, name)
        old_parent, old_name = node.parent, node.name
        self._inodes.detach(old_parent, old_name)
        self._inodes.attach(parent, name, node)
        for each, each_name in ((old_parent, old_name), (parent, name)):
            self._view.notifier.entry(each.ino, each_name)
            self._reloads.setdefault(each, {})
        if isinstance(node, Dir):
            self._trees.append((node, self._inodes.subtree(parent, name)))
            self._again(node)

    def _note_move(self, moved: Moved, old: bytes, new: bytes) -> None:
        """Who knew the file *old* knows *new*, also where the kernel has forgotten both."""
        gone = {entry.path: entry for entry in moved.left if entry.base_path is None}
        if moved.exchanged:
            self._view.bases.exchanged(old, new)
        elif new in gone:  # an editor's backup is what it was again
            saved_over(self._view, old, gone[new], new, Seq(moved.seq - 1))
        elif old in gone:
            saved_over(self._view, new, gone[old], new, Seq(moved.seq - 1))
        else:
            self._view.bases.moved(old, new)

    def _carry_shadow(self, old: bytes, new: bytes) -> None:
        """What is local in a directory goes along when somebody else renames it."""
        view = self._view
        if os.path.isdir(view.real(old)) and not shows_directory(view, old) and shows_directory(view, new):
            carry_shadow(view, old, new)

    def _went(self, node: Node, old: bytes, new: bytes) -> bool:
        """Whether what *node* stands for is at *new* now: a save by renaming leaves the target what it was."""
        if isinstance(node, Dir):
            return True
        entry = self._view.room.entry(new)
        if entry is None:
            return False
        return entry.base_path == old or (isinstance(node.source, Entry) and entry.id == node.source.id)

    def _again(self, node: Dir) -> None:
        """Read *node* and the directories below it again: their paths are others now."""
        if node.children is not None and node.place is Place.SHARED:
            self._reloads.setdefault(node, {})
            for child in self._inodes.loaded_nodes(node):
                if isinstance(child, Dir):
                    self._again(child)

    # Directories

    def _find(self, path: bytes) -> None:
        """Note which loaded directory has to be read again for the sake of *path*."""
        self._view.journal.add(path)
        node = self._nearest(path.rpartition(b"/")[0])
        if node is not None:
            self._reloads.setdefault(node, {})[path] = None
        else:
            self._unloaded[path] = None

    def _nearest(self, directory: bytes) -> Dir | None:
        """The loaded directory at or above *directory*, where a change must show."""
        node = self._inodes.root
        for name in directory.split(b"/") if directory else ():
            child = (node.children or {}).get(name)
            if not isinstance(child, Dir) or child.place is not Place.SHARED:
                return node if node.children is not None else None
            node = child
        return node if node.children is not None else None

    def _reload(self, node: Dir, changed: dict[bytes, None]) -> None:
        """Read *node* again, keep the nodes that still fit, invalidate the rest."""
        before = node.children
        if before is None or node.removed:
            self._unloaded.update(changed)
            return
        after = self._inodes.fresh_children(node)
        path = node.path
        for name, item in before.items():
            if isinstance(item, Node):
                each = join(path, name)
                self._keep_or_bury(node, name, item, after, each if each in changed else None)
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
        for each in changed:
            if not isinstance(after.get(each.rpartition(b"/")[2]), Node) or split(each)[0] != path:
                self._unloaded[each] = None

    def _keep_or_bury(
        self, parent: Dir, name: bytes, node: Node, after: dict[bytes, object], changed: bytes | None
    ) -> None:
        source = after.get(name)
        if source is None and isinstance(node, File) and node.work is not None and node.work.dirty:
            after[name] = node  # what is being written here is saved at its close, and makes the file again
            node.taken = self._before_change(join(parent.path, name)) if node.taken is None else node.taken
        elif source is None or is_directory(source) != isinstance(node, Dir):
            self._vanish(parent, name, node)
        elif node.place is not Place.SHARED:
            after[name] = node
        elif isinstance(node, File) and not self.renewer.fits(node, source):
            self._vanish(parent, name, node)
        else:
            after[name] = node
            if node.parent is parent and node.name == name:  # and not the further name of a hard link
                self.renewer.renew(node, source, changed, self._left.get(changed) if changed is not None else None)

    def _vanish(self, parent: Dir, name: bytes, node: Node) -> None:
        if isinstance(node, File):
            self._files.lost_name(node, self._before_change(join(parent.path, name)))
            if node.unlinked:
                self._view.notifier.deleted(parent.ino, name, node.ino)
                return
        elif isinstance(node, Dir):
            node.removed = True
        self._view.notifier.entry(parent.ino, name)

    def _before_change(self, path: bytes) -> Seq:
        return self._before.get(path, self._view.told)

    # Times

    def _note_time(self, path: bytes) -> None:
        """Nothing of *path* is in memory: keep what will tell its time when it is loaded."""
        view = self._view
        if view.room.entry(path) is not None:
            self.renewer.forget_time(path, None)
            return
        if view.room.hides(path):
            return
        left = self._left.get(path)
        kept = left.mtime_ns if left is not None and self.renewer.shows_base(left, path) else time.time_ns()
        self.renewer.keep_time(path, kept)

    def index_stats(self, paths: Iterable[bytes]) -> dict[bytes, Stat]:
        """What ``stat`` says of loaded shared files among *paths*, for Git's index."""
        found = {}
        for path in paths:
            node = self._inodes.find_loaded(path)
            if isinstance(node, File) and node.place is Place.SHARED:
                self._keep_looked_at(node)
                found[path] = Stat(node.mtime_ns, self._files.size(node), node.ctime_ns, node.ino)
        return found

    def _keep_looked_at(self, node: File) -> None:
        """An artifact has the change time that it will have after a remount, or Git would read all of it then."""
        if node.ctime_ns != node.mtime_ns and self._files.pin_of(node) is not None:
            node.ctime_ns, node.reply = node.mtime_ns, None
            self._view.notifier.attributes(node.ino)

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
