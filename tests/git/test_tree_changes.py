"""Laws of trees: random changes against a dictionary and against plain Git."""

import functools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anvcs.git.objects import ClashingChanges, UnstorablePath
from anvcs.git.trees import check_name
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, EXECUTABLE, REGULAR, SYMLINK, Leaf
from support.plumbing import Repo

NAMES = st.sampled_from([b"a", b"b", b"a.b", b"a-b", b"ab", b"\xff", b"c d"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
LEAVES = st.tuples(st.sampled_from([REGULAR, EXECUTABLE, SYMLINK]), st.binary(min_size=1, max_size=2))
CHANGES = st.dictionaries(PATHS, st.none() | LEAVES, max_size=8)


@functools.cache
def repo() -> Repo:
    """One repository for all examples: objects don't get in each other's way."""
    return Repo(Path(tempfile.mkdtemp(prefix="trees")) / "repo")


def stored(changes) -> dict[bytes, Leaf | None]:
    return {
        path: None if leaf is None else Leaf(leaf[0], repo().store.write_blob(leaf[1]))
        for path, leaf in changes.items()
    }


def parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


def applied(model: dict[bytes, Leaf], changes: dict[bytes, Leaf | None]) -> dict[bytes, Leaf]:
    """What a child would expect: removals first, then each new leaf clears its own place."""
    result = {path: leaf for path, leaf in model.items() if path not in changes}
    for path, leaf in changes.items():
        if leaf is not None:
            result = {p: kept for p, kept in result.items() if not p.startswith(path + b"/") and p not in parents(path)}
            result[path] = leaf
    return result


def clashing(changes: dict[bytes, Leaf | None]) -> bool:
    leaves = [path for path, leaf in changes.items() if leaf is not None]
    return any(parent in leaves for path in leaves for parent in parents(path))


def contents(tree: Oid) -> dict[bytes, Leaf]:
    return {path: Leaf(mode, oid) for path, mode, oid in repo().store.walk(tree)}


@given(st.lists(CHANGES, min_size=1, max_size=4))
def test_changes_do_what_a_dictionary_does(steps):
    model: dict[bytes, Leaf] = {}
    tree = None
    for step in steps:
        changes = stored(step)
        if clashing(changes):
            with pytest.raises(ClashingChanges):
                repo().store.write_tree(tree, changes)
            continue
        tree = repo().store.write_tree(tree, changes)
        model = applied(model, changes)
        assert contents(tree) == model
        assert tree == repo().store.write_tree(None, model)  # one content has one tree, however it came about


@given(CHANGES, CHANGES)
def test_diff_finds_what_git_finds_and_leads_from_one_to_the_other(first, second):
    one, two = stored(first), stored(second)
    if clashing(one) or clashing(two):
        return
    store = repo().store
    old = store.write_tree(None, one)
    new = store.write_tree(old, two)
    changes = list(store.diff(old, new))
    assert {(change.path, change.old, change.new) for change in changes} == git_diff(old, new)
    assert [change.path for change in changes] == sorted(change.path for change in changes)
    assert store.write_tree(old, {change.path: change.new for change in changes}) == new
    assert store.write_tree(new, {change.path: change.old for change in changes}) == old
    assert {change.path for change in store.diff(None, new)} == contents(new).keys()


def git_diff(old: Oid, new: Oid) -> set[tuple[bytes, Leaf | None, Leaf | None]]:
    fields = repo().raw("diff-tree", "-r", "-z", "--no-renames", old.hex(), new.hex()).split(b"\0")[:-1]
    found = set()
    for head, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old_oid, new_oid, _ = head[1:].split(b" ")
        found.add((path, side(old_mode, old_oid), side(new_mode, new_oid)))
    return found


def side(mode: bytes, oid: bytes) -> Leaf | None:
    return None if mode == b"000000" else Leaf(int(mode, 8), Oid(bytes.fromhex(oid.decode())))


def test_everything_written_above_is_strictly_sound():
    test_changes_do_what_a_dictionary_does()
    repo().fsck()


@pytest.mark.parametrize(
    "path",
    [
        b"", b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b".git", b"a/.git/config", b".GIT", b".Git",
        b"git~1", b"GIT~1", b".git ", b".git...", b".git::$INDEX", b"a\\.git", ".g\N{ZERO WIDTH NON-JOINER}it".encode(),
        b"nul\0",
    ],
)  # fmt: skip
def test_paths_that_fsck_would_reject(path):
    with pytest.raises(UnstorablePath):
        repo().store.write_tree(None, {path: Leaf(REGULAR, repo().store.write_blob(b"x"))})


@pytest.mark.parametrize(
    "name", [b".gitignore", b".github", b"git", b"digit~1", b"...", b".g\xffit", b"x.git", b".git~"]
)
def test_names_that_only_look_dangerous(name):
    check_name(name, name)
    repo().store.write_tree(None, {name: Leaf(REGULAR, repo().store.write_blob(b"x"))})
    repo().fsck()


@pytest.mark.parametrize(
    "leaf",
    [Leaf(DIRECTORY, Oid(b"\x01" * 20)), Leaf(0o100600, Oid(b"\x01" * 20)), Leaf(REGULAR, Oid(bytes(20)))],
)
def test_leaves_that_no_tree_may_hold(leaf):
    with pytest.raises(UnstorablePath):
        repo().store.write_tree(None, {b"a": leaf})


def test_a_symlink_called_gitmodules_is_refused():
    with pytest.raises(UnstorablePath):
        repo().store.write_tree(None, {b".gitmodules": Leaf(SYMLINK, repo().store.write_blob(b"x"))})


def test_only_touched_directories_are_read_and_written(monkeypatch):
    store = repo().store
    tree = store.write_tree(None, stored({b"d%d/s%d/f" % (i, j): (REGULAR, b"x") for i in range(9) for j in range(9)}))
    reads, writes = [], []
    read, write = store.tree, store._loose.write
    monkeypatch.setattr(type(store), "tree", lambda _self, oid: (reads.append(oid), read(oid))[1])
    monkeypatch.setattr(store._loose, "write", lambda kind, data: (writes.append(kind), write(kind, data))[1])
    store.write_tree(tree, {b"d1/s1/f": None, b"d1/s2/g": Leaf(REGULAR, Oid(b"\x02" * 20))})
    assert len(reads) == 4  # the top, d1, s1, s2
    assert writes == ["tree"] * 3  # s1 is empty now and gone
