"""What every `BaseTree` must do; subclass it and give the fixtures ``tree`` and ``commit``.

``commit`` turns a dictionary from path to leaf or bytes into a commit of ``tree``.
"""

from collections.abc import Callable
from hashlib import sha256

from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, EXECUTABLE, REGULAR, Leaf
from anvcs.rooms.basetree import BaseTree

FILES: dict[bytes, bytes] = {b"a": b"one\n", b"d/e/f": b"", b"d/g": b"two\n", b"d-": b"\xff", b"\xfe\n": b"odd\n"}
Committing = Callable[[dict[bytes, bytes]], Oid]


class BaseTreeContract:
    def test_finds_files_and_directories(self, tree: BaseTree, commit: Committing) -> None:
        oid = commit(FILES)
        found = tree.find(oid, b"d/e/f")
        assert found is not None
        assert (found.name, found.mode) == (b"f", REGULAR)
        for directory in (b"d", b"d/e"):
            entry = tree.find(oid, directory)
            assert entry is not None
            assert entry.mode == DIRECTORY
        for missing in (b"x", b"d/x", b"a/x", b"d/e/f/x", b"A"):
            assert tree.find(oid, missing) is None

    def test_lists_what_is_below_a_directory_and_no_more(self, tree: BaseTree, commit: Committing) -> None:
        oid = commit(FILES)
        assert {path for path, _, _ in tree.leaves(oid, b"")} == set(FILES)
        assert {path for path, _, _ in tree.leaves(oid, b"d")} == {b"d/e/f", b"d/g"}
        for nothing in (b"x", b"a", b"dx"):
            assert list(tree.leaves(oid, nothing)) == []

    def test_names_what_is_in_a_directory(self, tree: BaseTree, commit: Committing) -> None:
        oid = commit(FILES)
        assert sorted(tree.names(oid, b"")) == sorted([b"a", b"d", b"d-", b"\xfe\n"])
        assert sorted(tree.names(oid, b"d")) == [b"e", b"g"]
        for nothing in (b"x", b"a", b"dx"):
            assert list(tree.names(oid, nothing)) == []

    def test_shows_what_a_checkout_would_write(self, tree: BaseTree, commit: Committing) -> None:
        oid = commit(FILES)
        for path, mode, blob in tree.leaves(oid, b""):
            assert mode in {REGULAR, EXECUTABLE}
            assert tree.show(blob, path) == FILES[path]
            assert tree.shown_size(blob, path) == len(FILES[path])
            assert tree.shown_hash(blob, path) == sha256(FILES[path]).digest()

    def test_tells_what_differs(self, tree: BaseTree, commit: Committing) -> None:
        old, new = commit(FILES), commit(FILES | {b"a": b"other\n", b"n/m": b"new\n", b"d/g": b"two\n"})
        changes = {change.path: change for change in tree.diff(old, new)}
        assert set(changes) == {b"a", b"n/m"}
        assert changes[b"n/m"].old is None
        assert isinstance(changes[b"a"].new, Leaf)
        assert list(tree.diff(old, old)) == []
        assert {change.path for change in tree.diff(None, old)} == set(FILES)
        assert all(change.new is None for change in tree.diff(old, None))

    def test_a_file_in_the_place_of_a_directory_is_told_leaf_by_leaf(self, tree: BaseTree, commit: Committing) -> None:
        changes = {change.path for change in tree.diff(commit({b"d/x": b"x"}), commit({b"d": b"d"}))}
        assert changes == {b"d", b"d/x"}
