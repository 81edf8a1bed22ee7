"""The room's entries in memory, with indexes by path, by base path and by directory.

The directory index is built at its first use: a process that only commits or only
appends doesn't need it.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType

from anvcs.model.changes import Overlay
from anvcs.model.ids import FileId
from anvcs.model.room import Entry


class Node:
    """What the room has in and below one directory."""

    __slots__ = ("entries", "gone", "hidden", "live", "subs")

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.hidden: set[bytes] = set()
        self.subs: set[bytes] = set()
        self.live = 0
        """Entries in or below this directory."""
        self.gone = 0
        """Hidden base paths in or below this directory."""


def parent_of(path: bytes) -> bytes:
    """The directory of *path*; ``b""`` for a name at the top."""
    return path.rpartition(b"/")[0]


def ancestors(path: bytes) -> Iterator[bytes]:
    """The directories above *path*, nearest first, the top last."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def fold(name: bytes) -> bytes:
    """Equal for names that a file system without case takes for one."""
    if name.isascii():
        return name.lower()
    text = unicodedata.normalize("NFC", name.decode(errors="surrogateescape")).casefold()
    return unicodedata.normalize("NFC", text).encode(errors="surrogateescape")


def _fold_last(path: bytes) -> bytes:
    directory, slash, name = path.rpartition(b"/")
    return directory + slash + fold(name)


class TreeState:
    """All entries of a room.  Every change goes through `put` and `drop`."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.by_id: dict[FileId, Entry] = {entry.id: entry for entry in entries}
        self.by_path: dict[bytes, Entry] = {}
        self.by_base: dict[bytes, Entry] = {}
        for entry in self.by_id.values():
            if entry.path is not None:
                self.by_path[entry.path] = entry
            if entry.base_path is not None:
                self.by_base[entry.base_path] = entry
        self._nodes: dict[bytes, Node] | None = None
        self._folds: dict[bytes, list[bytes]] | None = None
        """Paths by what a file system without case takes them for; built when first asked."""
        self._overlays: dict[bytes, Overlay] = {}

    def put(self, entry: Entry) -> Entry | None:
        """Add *entry* or replace the one with its id, which is returned."""
        previous = self.drop(entry.id) if entry.id in self.by_id else None
        self.by_id[entry.id] = entry
        if entry.path is not None:
            if self._folds is not None and entry.path not in self.by_path:
                self._folds.setdefault(_fold_last(entry.path), []).append(entry.path)
            self.by_path[entry.path] = entry
        if entry.base_path is not None:
            self.by_base[entry.base_path] = entry
        if self._nodes is not None:
            self._index(self._nodes, entry)
        return previous

    def drop(self, file: FileId) -> Entry | None:
        """Remove the entry of *file* and return it."""
        entry = self.by_id.pop(file, None)
        if entry is None:
            return None
        # In the middle of an exchange another file may already have the name.
        if entry.path is not None and _is(self.by_path.get(entry.path), file):
            del self.by_path[entry.path]
            if self._folds is not None:
                self._unfold(self._folds, entry.path)
        if entry.base_path is not None and _is(self.by_base.get(entry.base_path), file):
            del self.by_base[entry.base_path]
        if self._nodes is not None:
            self._unindex(self._nodes, entry)
        return entry

    def like(self, path: bytes) -> list[bytes]:
        """Paths of entries that differ from *path* at most in the case of the last name."""
        if self._folds is None:
            self._folds = {}
            for each in self.by_path:
                self._folds.setdefault(_fold_last(each), []).append(each)
        return self._folds.get(_fold_last(path), [])

    @staticmethod
    def _unfold(folds: dict[bytes, list[bytes]], path: bytes) -> None:
        key = _fold_last(path)
        paths = folds[key]
        paths.remove(path)
        if not paths:
            del folds[key]

    def node(self, directory: bytes) -> Node | None:
        """What the room has at *directory*."""
        if not self.by_id:
            return None
        if self._nodes is None:
            self._nodes = {}
            for entry in self.by_id.values():
                self._index(self._nodes, entry)
        return self._nodes.get(directory)

    def below(self, directory: bytes) -> Iterator[Entry]:
        """Live entries below *directory*, in no particular order."""
        node = self.node(directory)
        if node is None or not node.live:
            return
        yield from node.entries.values()
        for name in node.subs:
            yield from self.below(directory + b"/" + name if directory else name)

    def overlay(self, directory: bytes, emptied: Callable[[bytes], bool]) -> Overlay | None:
        """What the room lays over *directory*.

        *emptied* says whether a base directory with hidden paths has nothing else.
        """
        node = self.node(directory)
        if node is None:
            return None
        found = self._overlays.get(directory)
        if found is None:
            found = self._overlays[directory] = self._overlay(directory, node, emptied)
        return found

    def forget_overlays(self) -> None:
        """The base has moved: what it shows below a directory may differ."""
        self._overlays.clear()

    def _overlay(self, directory: bytes, node: Node, emptied: Callable[[bytes], bool]) -> Overlay:
        dirs: set[bytes] = set()
        hidden = set(node.hidden)
        prefix = directory + b"/" if directory else b""
        for name in node.subs:
            child = self.node(prefix + name)
            if child is None:
                continue
            if child.live:
                dirs.add(name)
            elif name not in node.entries and emptied(prefix + name):
                hidden.add(name)
        return Overlay(MappingProxyType(node.entries), frozenset(dirs), frozenset(hidden))

    def _index(self, nodes: dict[bytes, Node], entry: Entry) -> None:
        if entry.path is not None:
            directory, _, name = entry.path.rpartition(b"/")
            node = self._climb(nodes, directory, 1, 0)
            node.entries[name] = entry
        if entry.base_path is not None:
            directory, _, name = entry.base_path.rpartition(b"/")
            self._climb(nodes, directory, 0, 1).hidden.add(name)

    def _unindex(self, nodes: dict[bytes, Node], entry: Entry) -> None:
        if entry.path is not None:
            directory, _, name = entry.path.rpartition(b"/")
            node = nodes[directory]
            if _is(node.entries.get(name), entry.id):
                del node.entries[name]
            self._climb(nodes, directory, -1, 0)
        if entry.base_path is not None:
            directory, _, name = entry.base_path.rpartition(b"/")
            if entry.base_path not in self.by_base:
                nodes[directory].hidden.discard(name)
            self._climb(nodes, directory, 0, -1)

    def _climb(self, nodes: dict[bytes, Node], directory: bytes, live: int, gone: int) -> Node:
        """Add to the counts of *directory* and of all above it; the node of *directory*."""
        first: Node | None = None
        below = b""
        while True:
            node = nodes.get(directory)
            if node is None:
                node = nodes[directory] = Node()
            node.live += live
            node.gone += gone
            if first is None:
                first = node
            elif below:
                node.subs.add(below)
            self._overlays.pop(directory, None)
            if not (node.live or node.gone):
                del nodes[directory]
                if directory:
                    above, _, name = directory.rpartition(b"/")
                    if above in nodes:
                        nodes[above].subs.discard(name)
            if not directory:
                return first
            kept = bool(node.live or node.gone)
            directory, _, below = directory.rpartition(b"/")
            if not kept:
                below = b""


def _is(entry: Entry | None, file: FileId) -> bool:
    return entry is not None and entry.id == file
