"""Old ops go; what is shown, and everything after them, stays."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from anvcs.model.ids import Seq
from anvcs.model.moment import Moment
from anvcs.model.room import Author
from anvcs.model.tree import EXECUTABLE
from anvcs.rooms.errors import NoSuchPath
from anvcs.rooms.fsck import fsck
from anvcs.rooms.pruning import Horizon, Limits
from anvcs.rooms.room import Room
from anvcs.rooms.undoing import Wanted
from support.past import shown_at
from support.rooms import Place, shown

BASE = {b"a": b"one\ntwo\n", b"d/b": b"b\n", b"opaque": b"\xff\xfe"}
BEN = Author(agent="ben")


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def room(here: Place) -> Iterator[Room]:
    with here.room("ann", here.tree.commit(BASE)) as opened:
        yield opened
        seen = shown(opened)
        with here.room("reader") as fresh:
            assert shown(fresh) == seen
        assert fsck(here.file).problems == []


def prune(room: Room, until: int, *, uncommitted: bool = True) -> Horizon:
    return room.prune(Limits(before_ns=room.time_of(Seq(until)), uncommitted=uncommitted))


def work(room: Room) -> None:
    room.write(b"a", b"one\n2\n")
    room.write(b"new", b"new\n", author=BEN)
    room.rename(b"d", b"e")
    room.write(b"opaque", b"\xff\x00")
    room.remove(b"new")
    room.write(b"a", b"one\n2\n3\n", author=BEN)
    room.set_mode(b"a", EXECUTABLE)


def test_the_present_stays_and_the_past_before_the_horizon_goes(room: Room) -> None:
    work(room)
    before, then = shown(room), shown_at(room, room.snapshot(room.past(Moment(Seq(5), None))))
    told = prune(room, 4)
    assert (told.until, told.ops, told.held) == (4, 4, "")
    assert shown(room) == before
    assert [op.kind for op in room.ops()] == ["prune", "delete", "edit", "mode"]
    assert [op.seq for op in room.ops()] == [4, 5, 6, 7]
    assert room.floor == 4
    assert room.past(Moment(Seq(3), None)) is None
    assert shown_at(room, room.snapshot(room.past(Moment(Seq(5), None)))) == then


def test_numbers_and_work_go_on(here: Place, room: Room) -> None:
    work(room)
    prune(room, 7)
    seq = room.seq
    room.write(b"a", shown(room)[b"a"] + b"4\n")
    assert room.seq == seq + 1
    room.write(b"new", b"again\n")
    assert shown(room)[b"new"] == b"again\n"
    room.move_base(here.tree.commit(shown(room)), keep=True)
    told = prune(room, room.seq)
    assert told.until == room.seq
    room.write(b"a", b"after\n")


def test_a_window_that_saw_nothing_of_it_goes_on(here: Place, room: Room) -> None:
    with here.room("ben") as other:
        work(room)
        prune(room, 6)
        moved = other.catch_up()
        assert shown(other) == shown(room)
        assert {path for one in moved for path in one.paths} >= {b"a", b"d/b", b"e/b", b"opaque"}
        other.write(b"a", b"bens\n")
        room.catch_up()
        assert shown(room)[b"a"] == b"bens\n"
        prune(room, 7)
        other.write(b"a", b"bens 2\n")  # it had seen all of that
        room.catch_up()
        assert shown(room) == shown(other)


def test_a_stale_save_after_the_horizon_is_merged(here: Place, room: Room) -> None:
    room.write(b"a", b"zero\none\ntwo\n")
    prune(room, 1)
    seq = room.seq
    with here.room("ben") as other:
        room.write(b"a", b"zero\none\ntwo\nend\n")
        other.write(b"a", b"start\nzero\none\ntwo\n", base=seq)
        assert shown(other)[b"a"] == b"start\nzero\none\ntwo\nend\n"
    room.catch_up()


def test_what_is_not_committed_is_kept_unless_asked(here: Place, room: Room) -> None:
    room.write(b"d/b", b"bee\n")
    room.move_base(here.tree.commit(shown(room)), keep=True)
    room.write(b"a", b"mine\n")
    room.write(b"new", b"new\n")
    told = prune(room, 4, uncommitted=False)
    assert (told.until, told.ops) == (2, 2)
    assert told.held == "a has uncommitted work since op 3: commit it"
    room.undo(Wanted(agent="ann"))
    assert shown(room)[b"a"] == BASE[b"a"]


def test_an_open_conflict_is_kept(here: Place, room: Room) -> None:
    seq = room.seq
    room.write(b"a", b"one\nann\n")
    room.write(b"a", b"one\nben\n", base=seq, author=BEN)
    assert room.conflicts()
    told = prune(room, 2)
    assert (told.until, told.ops) == (1, 1)
    assert told.held == "conflict 2 is open: resolve it"


def test_by_size(room: Room) -> None:
    for number in range(100):
        room.write(b"a", b"%d\n" % number * 50)
    told = room.prune(Limits(max_bytes=5_000, uncommitted=True))
    assert 50 < told.until < 100
    assert room.prune(Limits(max_bytes=1, spare_ns=room.time_of(Seq(98)) - 1, uncommitted=True)).until <= 98


def test_nothing_to_prune_is_no_harm(room: Room) -> None:
    assert prune(room, 0) == Horizon(Seq(0), 0, "")
    work(room)
    prune(room, 7)
    assert prune(room, 7) == Horizon(Seq(7), 0, "")


def test_blame_knows_who_wrote_after_the_horizon(room: Room) -> None:
    room.write(b"a", b"one\ntwo\nann\n")
    prune(room, 1)
    room.write(b"a", b"one\ntwo\nann\nben\n", author=BEN)
    assert [line.agent for line in room.blame(b"a")] == ["", "", "", "ben"]


def test_a_pruned_log_can_be_repaired(here: Place) -> None:
    with here.room("ann", here.tree.commit(BASE)) as room:
        work(room)
        prune(room, 4)
        seen, seq = shown(room), room.seq
    with closing(sqlite3.connect(here.file)) as db, db:
        db.execute("UPDATE ops SET payload = x'00' WHERE seq = 7")
    assert not fsck(here.file).ok
    report = fsck(here.file, repair=True)
    assert report.repaired
    assert (report.first, report.floor, report.lost) == (4, 4, [7])
    with here.room("ann") as room:
        assert shown(room) == seen
        assert room.seq >= seq
        assert room.floor == 4
    assert fsck(here.file).ok


def test_many_files_make_several_records(here: Place, room: Room) -> None:
    big = b"".join(b"line %d of many\n" % number for number in range(3_000))
    for number in range(40):
        room.write(b"file%d" % number, big + b"%d\n" % number)
    prune(room, 40)
    assert 1 < len(list(room.ops())) < 20
    assert room.text_at(room.entry(b"file7").id, room.seq).endswith(b"7\n")


def test_a_window_that_remembers_a_large_op_sees_what_took_its_place(here: Place, room: Room) -> None:
    big = b"".join(b"line %d of many\n" % number for number in range(9_000))
    with here.room("ben") as other:
        room.write(b"new", b"new\n")
        room.write(b"big", big)
        other.catch_up()
        assert other.text_at(other.entry(b"big").id, Seq(2)) == big
        prune(room, 2)
        room.write(b"big", big + b"end\n")
        other.catch_up()
        assert other.text_at(other.entry(b"big").id, Seq(2)) == big
        assert other.text_at(other.entry(b"new").id, Seq(2)) == b"new\n"


def test_a_version_that_is_not_told_any_more_is_an_error_and_no_other_version(room: Room) -> None:
    room.write(b"a", b"1\n")
    first = room.entry(b"a")
    room.write(b"d/b", b"bee\n")
    kept = room.entry(b"d/b")
    room.write(b"a", b"2\n")
    prune(room, 3)
    room.write(b"d/b", b"later\n")
    assert room.read(kept) == b"bee\n"
    with pytest.raises(NoSuchPath):
        room.read(first)


def test_a_file_that_is_touched_while_the_past_is_put_together_keeps_its_document(
    here: Place, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.write(b"a", b"one\n2\n")
    room.write(b"a", BASE[b"a"])  # it leaves the room, its document stays
    room.write(b"d/b", b"bee\n")
    with here.room("ben") as other:
        began = room._core.log.begin

        def late() -> None:
            monkeypatch.undo()
            other.write(b"a", b"one\nlate\n")
            began()

        monkeypatch.setattr(room._core.log, "begin", late)
        assert prune(room, 3).until == 3
        assert shown(room)[b"a"] == shown(other)[b"a"] == b"one\nlate\n"
    assert room.text_at(room.entry(b"a").id, Seq(3)) == BASE[b"a"]


def test_two_who_prune_at_once(here: Place, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    work(room)
    with here.room("ben") as other:
        began = room._core.log.begin

        def late() -> None:
            monkeypatch.undo()
            assert prune(other, 5).until == 5
            began()

        monkeypatch.setattr(room._core.log, "begin", late)
        assert prune(room, 4) == Horizon(Seq(5), 0, "")
