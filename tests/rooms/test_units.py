"""A whole command as one op: merged with what others did meanwhile, or taking back only what its agent did."""

from pathlib import Path

import pytest

from anvcs.model.ids import Oid
from anvcs.model.unit import Step
from anvcs.rooms.forking import copy_room, remove_room
from anvcs.rooms.room import Room
from support.rooms import Place, closed_at_last, shown

TEXT = b"one\ntwo\nthree\nfour\nfive\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def base(place: Place) -> Oid:
    return place.tree.commit({b"a": TEXT, b"b": b"b\n", b"c": b"c\n"})


def both(place: Place, base: Oid) -> tuple[Room, Room]:
    return place.room("ann", base), place.room("bob")


def step(fork: Room, path: bytes, seq: int, *, discards: bool = False) -> Step:
    """What *path* shows in *fork*, as a command that saw op *seq* left it."""
    entry = fork.entry(path)
    leaf = None
    data = b""
    if entry is not None:
        data = fork.read(entry)
    elif not fork.hides(path) and (found := fork._core.base.leaf(path)) is not None:
        leaf = found
        data = fork._core.base.tree.show(found.oid, path)
    return Step(path=path, entry=entry, leaf=leaf, data=lambda: data, base=seq, discards=discards)


def fork_of(place: Place, room: Room) -> Room:
    file = place.folder / "aside.sqlite"
    copy_room(room.file, file)
    author = room.author
    return closed_at_last(Room.open(file, tree=place.tree, objects=place.objects, author=author))


def test_a_copy_is_the_room_and_goes_its_own_way(place: Place, base: Oid):
    ann, bob = both(place, base)
    ann.write(b"a", TEXT.replace(b"two", b"TWO"))
    fork = fork_of(place, ann)
    assert shown(fork) == shown(ann)
    assert fork.seq == ann.seq
    fork.write(b"b", b"fork\n")
    bob.write(b"c", b"bob\n")
    ann.catch_up()
    assert shown(ann)[b"b"] == b"b\n"
    assert shown(fork)[b"c"] == b"c\n"
    fork.close()
    remove_room(fork.file)
    assert not list(place.folder.glob("aside*"))


def test_what_a_command_did_is_one_op_merged_with_others(place: Place, base: Oid):
    ann, bob = both(place, base)
    fork = fork_of(place, ann)
    seq = fork.seq
    fork.write(b"a", TEXT.replace(b"one", b"ONE"))
    fork.remove(b"b")
    fork.write(b"new", b"new\n")
    bob.write(b"a", TEXT.replace(b"five", b"FIVE"))
    before = bob.seq
    ann.take([step(fork, path, seq) for path in (b"a", b"b", b"new")])
    told = bob.catch_up()
    assert len(told) == 1
    assert [op.kind for op in bob.ops(before)] == ["git"]
    expected = {b"a": b"ONE\ntwo\nthree\nfour\nFIVE\n", b"c": b"c\n", b"new": b"new\n"}
    assert shown(ann) == shown(bob) == expected


def test_discarding_takes_back_the_agents_own_ops(place: Place, base: Oid):
    ann, bob = both(place, base)
    ann.write(b"a", TEXT.replace(b"one", b"ONE"))
    bob.catch_up()
    bob.write(b"a", b"ONE\ntwo\nthree\nfour\nFIVE\n")
    bob.write(b"b", b"bob's\n")
    ann.catch_up()
    ann.write(b"mine", b"mine\n")
    ann.remove(b"c")
    fork = fork_of(place, ann)
    seq = fork.seq
    fork.write(b"a", TEXT)
    fork.write(b"b", b"b\n")
    fork.write(b"c", b"c\n")
    fork.remove(b"mine")
    ann.take([step(fork, path, seq, discards=True) for path in (b"a", b"b", b"c", b"mine")])
    bob.catch_up()
    assert shown(ann) == shown(bob)
    assert shown(ann) == {b"a": TEXT.replace(b"five", b"FIVE"), b"b": b"bob's\n", b"c": b"c\n"}


def test_discarding_and_moving_to_another_commit(place: Place, base: Oid):
    ann, bob = both(place, base)
    older = place.tree.commit({b"a": TEXT.replace(b"three", b"3"), b"b": b"b\n", b"d": b"d\n"})
    ann.write(b"a", TEXT.replace(b"one", b"ONE"))
    bob.catch_up()
    bob.write(b"a", b"ONE\ntwo\nthree\nfour\nFIVE\n")
    ann.catch_up()
    fork = fork_of(place, ann)
    seq = fork.seq
    fork.write(b"a", TEXT.replace(b"three", b"3"))
    fork.write(b"d", b"d\n")
    fork.remove(b"c")
    ann.take([step(fork, path, seq, discards=True) for path in (b"a", b"c", b"d")], base=older)
    bob.catch_up()
    assert shown(ann) == shown(bob)
    assert ann.base == bob.base == older
    assert [change.path for change in ann.changes()] == [b"a"]
    assert shown(ann) == {b"a": b"one\ntwo\n3\nfour\nFIVE\n", b"b": b"b\n", b"d": b"d\n"}


def test_a_restored_text_meets_what_others_have_not_committed(place: Place, base: Oid):
    """Lines that both changed stay both, and a record says so; the file has a new time."""
    ann, bob = both(place, base)
    ann.write(b"a", TEXT.replace(b"one", b"ONE"), mtime_ns=1)
    bob.catch_up()
    bob.write(b"a", b"ONE\ntwo\nthree\nfour\nbob's\n", mtime_ns=2)
    ann.catch_up()
    fork = fork_of(place, ann)
    fork.write(b"a", TEXT.replace(b"five", b"restored").replace(b"two", b"TWO"), mtime_ns=3)
    ann.take([step(fork, b"a", ann.seq, discards=True)])
    text = shown(ann)[b"a"]
    assert text.startswith(b"one\nTWO\nthree\nfour\n")
    assert b"bob's\n" in text
    assert b"restored\n" in text
    assert [record.kind for record in ann.conflicts()] == ["lines"]
    entry = ann.entry(b"a")
    assert entry is not None
    assert entry.mtime_ns == 3


def test_a_moved_base_keeps_what_the_command_left(place: Place, base: Oid):
    """``git reset --soft``: the branch moves and no file does."""
    ann, _ = both(place, base)
    older = place.tree.commit({b"a": b"older\n", b"b": b"b\n", b"c": b"c\n"})
    ann.take([], base=older)
    assert shown(ann)[b"a"] == TEXT
    assert [(change.path, change.status) for change in ann.changes()] == [(b"a", "M")]


def test_a_text_that_was_checked_out_meets_an_edit_made_meanwhile(place: Place, base: Oid):
    """What Git wrote may be in the copy as a blob: it is merged and attributed as any text."""
    ann, bob = both(place, base)
    checked_out = TEXT.replace(b"one", b"ONE")
    leaf = place.tree.leaf(checked_out)
    fork = fork_of(place, ann)
    seq = fork.seq
    fork.put_leaf(b"a", leaf, len(checked_out), 5)
    bob.write(b"a", TEXT.replace(b"five", b"FIVE"))
    ann.take([step(fork, b"a", seq)])
    bob.catch_up()
    assert shown(ann) == shown(bob)
    assert shown(ann)[b"a"] == checked_out.replace(b"five", b"FIVE")
    lines = {one.agent: (one.added, one.removed) for one in ann.contributors()}
    assert lines == {"ann": (1, 1), "bob": (1, 1)}


def test_a_deletion_yields_to_an_edit_made_meanwhile(place: Place, base: Oid):
    ann, bob = both(place, base)
    fork = fork_of(place, ann)
    seq = fork.seq
    fork.remove(b"b")
    bob.write(b"b", b"edited\n")
    ann.take([step(fork, b"b", seq)])
    assert shown(ann)[b"b"] == b"edited\n"


def test_discarding_without_a_command(place: Place, base: Oid):
    ann, bob = both(place, base)
    ann.write(b"a", TEXT.replace(b"one", b"ONE"))
    ann.write(b"b", b"ann's\n")
    bob.write(b"a", b"ONE\ntwo\nthree\nfour\nFIVE\n")
    ann.discard([b"a"])
    assert shown(ann)[b"a"] == TEXT.replace(b"five", b"FIVE")
    assert shown(ann)[b"b"] == b"ann's\n"
    ann.discard([b"a", b"b"])
    assert [change.path for change in ann.changes()] == [b"a"]


def test_views_without_an_agent_are_told_apart(place: Place, base: Oid):
    ann, bob = both(place, base)
    for room in (ann, bob):
        room.write_as(type(room.author)(agent="", view=room.author.view))
    ann.write(b"a", TEXT.replace(b"one", b"ONE"))
    bob.write(b"b", b"bob's\n")
    ann.discard([b"a", b"b"])
    assert shown(ann) == {b"a": TEXT, b"b": b"bob's\n", b"c": b"c\n"}


def test_a_commit_of_an_earlier_save_is_nothing_new(place: Place, base: Oid):
    """Whoever sees the moved branch first brings the room along; what was saved since the cut stays as it is."""
    ann, bob = both(place, base)
    ann.write(b"a", TEXT.replace(b"two", b"committed"))
    cut = place.tree.commit({b"a": TEXT.replace(b"two", b"committed"), b"b": b"b\n", b"c": b"c\n"})
    bob.catch_up()
    after = TEXT.replace(b"two", b"after the cut").replace(b"four", b"also after")
    bob.write(b"a", after)
    bob.move_base(cut, keep=False)
    assert shown(bob)[b"a"] == after
    ann.catch_up()
    ann.advance_base(base, cut, keep=True)  # has happened already
    assert shown(ann) == shown(bob)
    assert ann.base == cut
