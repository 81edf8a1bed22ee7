"""What each side of a merge defines in files where it was not before: asked for only when something was moved."""

from anvcs.git.objects import ObjectStore
from anvcs.git.treemerge import renames
from anvcs.merging.between import Placed, arrivals, found_again, may_hold
from anvcs.merging.profiles import profile_for
from anvcs.model.ids import Oid
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf

_LARGEST = 2 << 20
_MOST_BYTES = 64 << 20
"""Of files in which moved definitions are looked for."""


class Arrivals:
    """The files of a base and two sides, and what came into them."""

    def __init__(self, objects: ObjectStore, commits: tuple[Oid, Oid, Oid]) -> None:
        self._objects = objects
        self._commits = commits
        self._trees = [objects.tree_of(commit) for commit in commits]
        self._new: dict[int, list[tuple[bytes, bytes | None, bytes]]] = {}
        self._renamed: dict[int, dict[bytes, bytes]] = {}
        self._placed: dict[tuple[int, bytes], list[Placed]] = {}

    def places(self, path: bytes, taker: int, gone: Placed) -> list[tuple[bytes, Placed]]:
        """Where in the files of side *taker* may be what it took out of *path*."""
        profile = profile_for(path)
        family = profile.family if profile is not None else ""
        found: list[tuple[bytes, Placed]] = []
        for there, before, text in self.changed(taker):
            other = profile_for(there)
            if other is None or other.family != family or not may_hold(text, gone):
                continue
            if (taker, there) not in self._placed:
                self._placed[taker, there] = arrivals(before, text, there)
            found += [(there, place) for place in found_again(gone, self._placed[taker, there])]
        named = [pair for pair in found if pair[1].title[-1] == gone.title[-1]]
        return named or found

    def changed(self, taker: int) -> list[tuple[bytes, bytes | None, bytes]]:
        """The files that a side changed or has new: path, text before, text."""
        if taker not in self._new:
            objects = self._objects
            moved = self.renames(taker)
            files: list[tuple[bytes, bytes | None, bytes]] = []
            size = 0
            for change in objects.diff(self._trees[0], self._trees[taker + 1]):
                text = self.text_of(change.new) if profile_for(change.path) is not None else None
                if text is None:
                    continue
                size += len(text)
                if size > _MOST_BYTES:
                    break
                before = change.old or self.leaf(0, moved.get(change.path, b""))
                files.append((change.path, self.text_of(before), text))
            self._new[taker] = files
        return self._new[taker]

    def both_changed(self) -> dict[bytes, tuple[Leaf | None, Leaf | None, Leaf | None]]:
        """The base's, our and their version of files of the base that both sides changed or deleted, also in the same way."""
        ours, theirs = (
            {change.path: change for change in self._objects.diff(self._trees[0], tree) if change.old is not None}
            for tree in self._trees[1:]
        )
        return {
            path: (ours[path].old, ours[path].new, theirs[path].new) for path in sorted(ours.keys() & theirs.keys())
        }

    def merged_name(self, there: bytes, side: int) -> bytes:
        """What the file *there* of a side is called in the merge; empty where nobody can say."""
        if self.leaf(2 - side, there) is not None or self.leaf(0, there) is None:
            return there
        return next((new for new, old in self.renames(1 - side).items() if old == there), b"")

    def renames(self, side: int) -> dict[bytes, bytes]:
        """New name → old name, of the files that a side renamed."""
        if side not in self._renamed:
            commits = self._commits
            self._renamed[side] = renames(self._objects, commits[0], commits[side + 1])
        return self._renamed[side]

    def leaf(self, tree: int, path: bytes) -> Leaf | None:
        """What is at *path* in the base (0), ours (1) or theirs (2)."""
        found = self._objects.find(self._trees[tree], path) if path else None
        return None if found is None else Leaf(found.mode, found.oid)

    def text_of(self, leaf: Leaf | None) -> bytes | None:
        """The content of a regular file that isn't too large."""
        objects = self._objects
        if leaf is None or leaf.mode not in (REGULAR, EXECUTABLE) or objects.header(leaf.oid) > _LARGEST:
            return None
        return objects.blob(leaf.oid)
