"""A room as it was: what was shown then is what is shown of then."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.model.ids import Seq
from anvcs.model.moment import Moment
from anvcs.model.tree import EXECUTABLE
from anvcs.rooms.room import Room
from anvcs.rooms.snapshots import Snapshot
from support.past import shown_at
from support.rooms import Place, shown

BASE = {b"a.py": b"one\ntwo\n", b"dir/b.py": b"b\n", b"dir/sub/c.py": b"c\n", b"opaque": b"\xff\xfe"}


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def room(here: Place) -> Iterator[Room]:
    with here.room("ann", here.tree.commit(BASE)) as opened:
        yield opened


def at(room: Room, seq: int) -> Snapshot:
    past = room.past(Moment(Seq(seq), None))
    assert past is not None
    assert past.seq == seq
    return room.snapshot(past)


def test_every_moment_shows_what_was_shown(here: Place, room: Room) -> None:
    then = {0: shown(room)}
    steps = [
        lambda: room.write(b"a.py", b"one\n2\n"),
        lambda: room.write(b"new", b"new\n"),
        lambda: room.rename(b"dir", b"other"),
        lambda: room.write(b"other/b.py", b"bee\n"),
        lambda: room.remove(b"a.py"),
        lambda: room.write(b"opaque", b"\xff\x00"),
        lambda: room.write(b"a.py", b"again\n"),
        lambda: room.move_base(here.tree.commit(shown(room)), keep=True),
        lambda: room.set_mode(b"a.py", EXECUTABLE),
        lambda: room.remove(b"new"),
        lambda: room.write(b"a.py", b"later\n"),
    ]
    for step in steps:
        step()
        then[room.seq] = shown(room)
    assert len(then) > len(steps) - 1
    for seq, files in then.items():
        assert shown_at(room, at(room, seq)) == files, seq
    assert at(room, 9).entry(b"a.py") is not None


def test_a_moment_may_be_a_time(room: Room) -> None:
    room.write(b"a.py", b"1\n")
    room.write(b"a.py", b"2\n")
    first, second = room.ops()
    assert room.past(Moment(None, first.time_ns)).seq == 1
    assert room.past(Moment(None, second.time_ns - 1)).seq == (1 if second.time_ns > first.time_ns else 0)
    assert room.past(Moment(None, second.time_ns + 10**12)).seq == 2
    assert room.past(Moment(None, 0)).seq == 0
    assert room.past(Moment(None, first.time_ns)).time_ns == first.time_ns


def test_a_moment_that_is_not_yet_is_none(room: Room) -> None:
    assert room.past(Moment(Seq(1), None)) is None


def test_a_reader_in_another_thread_sees_the_same(room: Room) -> None:
    room.write(b"a.py", b"1\n")
    with room.reader() as reader:
        assert shown(reader) == shown(room)
        assert reader.past(Moment(Seq(0), None)).entries == ()
