"""A directory of a room as it was: the base's tree of then with the room's entries of then over it."""

from collections.abc import Callable

from anvcs.git.objects import ObjectStore
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, GITLINK, TreeEntry
from anvcs.rooms.snapshots import Snapshot
from anvcsfs.nodes import HistorySource

_NO_TREE = Oid(b"")


class PastTree:
    """One directory of a snapshot, which is made when it is first needed."""

    __slots__ = ("_find", "_path")

    def __init__(self, find: Callable[[], Snapshot], path: bytes = b"") -> None:
        """*find* gives the snapshot, or raises `Later`."""
        self._find = find
        self._path = path

    def below(self, name: bytes) -> "PastTree":
        """The directory *name* in this one."""
        return PastTree(self._find, self._path + b"/" + name if self._path else name)

    def children(self, git: ObjectStore, tree: Oid | None, time_ns: int) -> dict[bytes, object]:
        """What the directory held, whose tree in the base of then is *tree*."""
        snapshot = self._find()
        if not self._path and snapshot.base is not None:
            tree = git.tree_of(snapshot.base)
        found: dict[bytes, object] = {}
        if tree:
            found = {entry.name: HistorySource(entry, time_ns) for entry in git.tree(tree)}
        overlay = snapshot.overlay(self._path)
        if overlay is None:
            return found
        for name in overlay.hidden:
            found.pop(name, None)
        for name in overlay.dirs:
            found[name] = self._directory(git, tree, name, time_ns)
        for name, entry in overlay.entries.items():
            if entry.mode in (DIRECTORY, GITLINK):
                found.setdefault(name, self._directory(git, tree, name, time_ns))
            else:
                found[name] = HistorySource(entry, entry.mtime_ns or time_ns)
        return found

    @staticmethod
    def _directory(git: ObjectStore, tree: Oid | None, name: bytes, time_ns: int) -> HistorySource:
        below = git.find(tree, name) if tree else None
        oid = below.oid if below is not None and below.mode == DIRECTORY else _NO_TREE
        return HistorySource(TreeEntry(name, DIRECTORY, oid), time_ns)
