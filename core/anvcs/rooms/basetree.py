"""The base: the commit a room stands on, read through what the façade injects."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple, Protocol

from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, GITLINK, Leaf, TreeChange, TreeEntry


class BaseTree(Protocol):
    """What a room asks Git.  A contract test runs on each implementation."""

    def find(self, commit: Oid, path: bytes) -> TreeEntry | None:
        """What *commit* has at *path*, directories included."""

    def names(self, commit: Oid, directory: bytes) -> Iterable[bytes]:
        """The names in *directory* of *commit*; none when that is no directory."""

    def leaves(self, commit: Oid, prefix: bytes) -> Iterable[tuple[bytes, int, Oid]]:
        """Full paths below the directory *prefix* that aren't directories, lazily."""

    def diff(self, old: Oid | None, new: Oid | None) -> Iterator[TreeChange]:
        """Paths whose leaf differs between two commits."""

    def show(self, oid: Oid, path: bytes) -> bytes:
        """The blob as a checkout to *path* would write it."""

    def shown_size(self, oid: Oid, path: bytes) -> int:
        """Length of what `show` gives, without reading it where that is possible."""

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        """A clean line merge, or ``None`` where the two sides conflict."""


class _Count(NamedTuple):
    known: int
    exact: bool


class _Shown(NamedTuple):
    size: int
    digest: bytes | None


_CACHED = 4096


class Base:
    """One commit of a `BaseTree`, with small caches that a move of the base empties."""

    def __init__(self, tree: BaseTree, commit: Oid | None) -> None:
        self.tree = tree
        self.commit = commit
        self._leaves: dict[bytes, Leaf | None] = {}
        self._counts: dict[bytes, _Count] = {}
        self._shown: dict[tuple[Oid, bytes], _Shown] = {}

    def move(self, commit: Oid | None) -> None:
        """Stand on another commit."""
        self.commit = commit
        self._leaves.clear()
        self._counts.clear()
        self._shown.clear()

    def leaf(self, path: bytes) -> Leaf | None:
        """What the base has at *path* unless that is a directory."""
        try:
            return self._leaves[path]
        except KeyError:
            found = self.find(path)
            leaf = None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)
            if len(self._leaves) >= _CACHED:
                self._leaves.clear()
            self._leaves[path] = leaf
            return leaf

    def find(self, path: bytes) -> TreeEntry | None:
        """What the base has at *path*."""
        return None if self.commit is None else self.tree.find(self.commit, path)

    def names(self, directory: bytes) -> Iterable[bytes]:
        """The names in *directory*."""
        return () if self.commit is None else self.tree.names(self.commit, directory)

    def leaves(self, directory: bytes) -> Iterable[tuple[bytes, int, Oid]]:
        """Everything below *directory* that isn't a directory."""
        return () if self.commit is None else self.tree.leaves(self.commit, directory)

    def has_more_than(self, directory: bytes, hidden: int) -> bool:
        """Whether the base has more than *hidden* leaves below *directory*.

        Counts only as far as the question needs, doubling, so that removing a whole
        tree file by file stays linear.
        """
        count = self._counts.get(directory, _Count(0, exact=False))
        if not count.exact and count.known <= hidden:
            wanted = 2 * hidden + 64
            found = sum(1 for _ in islice(self.leaves(directory), wanted))
            count = self._counts[directory] = _Count(found, found < wanted)
        return count.known > hidden

    def size(self, leaf: Leaf, path: bytes) -> int:
        """Length of *leaf* as shown at *path*; submodules have none."""
        return 0 if leaf.mode == GITLINK else self._look(leaf.oid, path).size

    def shows(self, leaf: Leaf, path: bytes, data: bytes) -> bool:
        """Whether *data* is what *leaf* shows at *path*."""
        if leaf.mode == GITLINK:
            return False
        shown = self._look(leaf.oid, path)
        if shown.size != len(data):
            return False
        if shown.digest is None:
            shown = _Shown(shown.size, _digest(self.tree.show(leaf.oid, path)))
            self._shown[leaf.oid, path] = shown
        return shown.digest == _digest(data)

    def _look(self, oid: Oid, path: bytes) -> _Shown:
        shown = self._shown.get((oid, path))
        if shown is None:
            if len(self._shown) >= _CACHED:
                self._shown.clear()
            shown = self._shown[oid, path] = _Shown(self.tree.shown_size(oid, path), None)
        return shown


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
