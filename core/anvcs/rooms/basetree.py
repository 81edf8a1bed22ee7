"""The base: the commit a room stands on, read through what the façade injects."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, GITLINK, Leaf, TreeChange, TreeEntry
from anvcs.rooms.errors import NotCompared

T = TypeVar("T")


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

    def shown_hash(self, oid: Oid, path: bytes) -> bytes:
        """SHA-256 of what `show` gives, whatever its size, without holding it in memory."""

    @property
    def has_wholes(self) -> bool:
        """Whether `is_whole` is worth asking."""

    def is_whole(self, path: bytes, size: int, oid: Oid | None) -> bool:
        """Whether a file of *size* bytes at *path*, where the blob *oid* was, is never text (an artifact).

        Of such a file `shown_size` and `shown_hash` are those of the artifact, and `show` gives what names it.
        """

    def named_by(self, path: bytes, data: bytes) -> tuple[Oid, int] | None:
        """The blob and the shown size, if *data* is a text that names an artifact."""


class _Count(NamedTuple):
    known: int
    exact: bool


_CACHED = 4096
_AT_ONCE = 1 << 20
"""Bytes that are hashed where they are asked for."""


class Base:
    """One commit of a `BaseTree`, with small caches that a move of the base empties."""

    def __init__(self, tree: BaseTree, commit: Oid | None, *, patient: bool = True) -> None:
        """*patient*: large values are compared here and now; else `NotCompared` asks for a thread."""
        self.tree = tree
        self.commit = commit
        self.patient = patient
        self._leaves: dict[bytes, Leaf | None] = {}
        self._counts: dict[bytes, _Count] = {}
        self._sizes: dict[tuple[Oid, bytes], int] = {}
        self._hashes: dict[tuple[Oid, bytes], bytes] = {}

    def move(self, commit: Oid | None) -> None:
        """Stand on another commit."""
        self.commit = commit
        self._leaves.clear()
        self._counts.clear()
        self._sizes.clear()

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
        if leaf.mode == GITLINK:
            return 0
        key = leaf.oid, path
        size = self._sizes.get(key)
        if size is None:
            size = self.tree.shown_size(*key)
            _keep(self._sizes, key, size)
        return size

    def shows(self, leaf: Leaf, path: bytes, value: bytes) -> bool:
        """Whether the content with the SHA-256 *value*, of the right size, is what *leaf* shows at *path*.

        Raises:
            NotCompared: it is large and has not been hashed yet.
        """
        if leaf.mode == GITLINK:
            return False
        key = leaf.oid, path
        if key not in self._hashes:
            if not self.patient and self.size(leaf, path) > _AT_ONCE:
                raise NotCompared(path, lambda: self._hash(key))
            self._hash(key)
        return self._hashes[key] == value

    def note(self, leaf: Leaf, path: bytes, value: bytes) -> None:
        """Remember that *leaf* shows the content with the SHA-256 *value* at *path*."""
        _keep(self._hashes, (leaf.oid, path), value)

    def _hash(self, key: tuple[Oid, bytes]) -> None:
        _keep(self._hashes, key, self.tree.shown_hash(*key))


def hash_of(data: bytes) -> bytes:
    """How `Base.shows` names a content."""
    return sha256(data).digest()


def _keep(cache: dict[tuple[Oid, bytes], T], key: tuple[Oid, bytes], value: T) -> None:
    if len(cache) >= _CACHED:
        cache.clear()
    cache[key] = value
