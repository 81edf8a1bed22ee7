"""A `BaseTree` out of dictionaries, which the contract in tests/rooms holds to Git's ways."""

import hashlib
from collections.abc import Iterator, Mapping

from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, REGULAR, Leaf, TreeChange, TreeEntry

_SOME_TREE = Oid(b"\1" * 20)


class FakeTree:
    """Commits as dictionaries from path to leaf."""

    def __init__(self) -> None:
        self.blobs: dict[Oid, bytes] = {}
        self.commits: dict[Oid, dict[bytes, Leaf]] = {}

    def blob(self, data: bytes) -> Oid:
        oid = Oid(hashlib.sha1(b"blob\0" + data).digest())
        self.blobs[oid] = data
        return oid

    def leaf(self, data: bytes, mode: int = REGULAR) -> Leaf:
        return Leaf(mode, self.blob(data))

    def commit(self, files: Mapping[bytes, bytes | Leaf]) -> Oid:
        leaves = {path: self.leaf(what) if isinstance(what, bytes) else what for path, what in files.items()}
        ordered = dict(sorted(leaves.items()))
        oid = Oid(hashlib.sha1(repr(ordered).encode()).digest())
        self.commits[oid] = ordered
        return oid

    def find(self, commit: Oid, path: bytes) -> TreeEntry | None:
        leaves = self.commits[commit]
        name = path.rpartition(b"/")[2]
        if path in leaves:
            return TreeEntry(name, *leaves[path])
        if not path or any(other.startswith(path + b"/") for other in leaves):
            return TreeEntry(name, DIRECTORY, _SOME_TREE)
        return None

    def names(self, commit: Oid, directory: bytes) -> set[bytes]:
        start = directory + b"/" if directory else b""
        return {path[len(start) :].split(b"/")[0] for path in self.commits[commit] if path.startswith(start)}

    def leaves(self, commit: Oid, prefix: bytes) -> Iterator[tuple[bytes, int, Oid]]:
        start = prefix + b"/" if prefix else b""
        for path, leaf in self.commits[commit].items():
            if path.startswith(start):
                yield path, leaf.mode, leaf.oid

    def diff(self, old: Oid | None, new: Oid | None) -> Iterator[TreeChange]:
        left = self.commits[old] if old else {}
        right = self.commits[new] if new else {}
        for path in sorted({*left, *right}):
            if left.get(path) != right.get(path):
                yield TreeChange(path, left.get(path), right.get(path))

    def show(self, oid: Oid, path: bytes) -> bytes:
        return self.blobs[oid]

    def shown_size(self, oid: Oid, path: bytes) -> int:
        return len(self.blobs[oid])

    def shown_hash(self, oid: Oid, path: bytes) -> bytes:
        return hashlib.sha256(self.blobs[oid]).digest()

    has_wholes = False

    def is_whole(self, path: bytes, size: int, oid: Oid | None) -> bool:
        return False

    def named_by(self, path: bytes, data: bytes) -> tuple[Oid, int] | None:
        return None
