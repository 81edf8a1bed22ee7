"""Lines belong to who inserted them, not to who saved last."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.model.room import Author
from anvcs.rooms.room import Room
from anvcs.rooms.undoing import Wanted
from support.rooms import Place, shown

TEXT = b"".join(b"line %d\n" % number for number in range(1, 6))
ANN = Author(agent="ann", model="model-1")
BEN = Author(agent="ben", model="model-2")


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def room(here: Place) -> Iterator[Room]:
    with here.room("ann", here.tree.commit({b"a.py": TEXT, b"opaque": b"\xff\xfe"})) as opened:
        yield opened


def edit(room: Room, author: Author, old: bytes, new: bytes, path: bytes = b"a.py") -> None:
    room.write(path, shown(room)[path].replace(old, new), author=author)


def told(room: Room, path: bytes = b"a.py") -> list[tuple[bytes, str, int]]:
    lines = room.blame(path)
    assert b"".join(line.text for line in lines) == shown(room)[path]
    return [(line.text.strip(), line.agent, line.base_line) for line in lines]


def test_untouched_lines_are_the_bases(room: Room) -> None:
    assert told(room) == [(b"line %d" % number, "", number) for number in range(1, 6)]


def test_each_line_is_its_writers(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"ann\n")
    edit(room, BEN, b"line 4\n", b"line 4\nben\n")
    edit(room, ANN, b"line 1\n", b"")
    assert told(room) == [
        (b"ann", "ann", 0),
        (b"line 3", "", 3),
        (b"line 4", "", 4),
        (b"ben", "ben", 0),
        (b"line 5", "", 5),
    ]
    line = room.blame(b"a.py")[0]
    assert (line.seq, line.model) == (1, "model-1")
    assert line.time_ns == next(iter(room.ops())).time_ns


def test_a_stale_save_takes_only_its_own_lines(room: Room) -> None:
    stale = room.version(b"a.py")
    edit(room, ANN, b"line 2\n", b"ann\n")
    room.write(b"a.py", TEXT.replace(b"line 4", b"ben"), base=stale, author=BEN)
    assert [agent for _, agent, _ in told(room)] == ["", "ann", "", "ben", ""]


def test_a_changed_word_makes_the_line_the_changers(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"call(one, two)\n")
    edit(room, BEN, b"two", b"three")
    assert told(room)[1] == (b"call(one, three)", "ben", 0)
    edit(room, ANN, b", three", b"")
    assert told(room)[1] == (b"call(one)", "ann", 0)


def test_lines_keep_their_writers_after_a_commit(here: Place, room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"ann\n")
    edit(room, BEN, b"line 4\n", b"ben\n")
    room.move_base(here.tree.commit({**shown(room)}), keep=True)
    assert not list(room.changed())
    assert [agent for _, agent, _ in told(room)] == ["", "ann", "", "ben", ""]
    assert [line for _, _, line in told(room)] == [1, 2, 3, 4, 5]
    edit(room, ANN, b"line 5\n", b"last\n")
    assert [agent for _, agent, _ in told(room)] == ["", "ann", "", "ben", "ann"]


def test_what_came_from_outside_is_nobodys(here: Place, room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"ann\n")
    room.move_base(here.tree.commit({**shown(room)}), keep=True)
    outside = {**shown(room), b"a.py": shown(room)[b"a.py"].replace(b"line 3", b"outside")}
    room.move_base(here.tree.commit(outside), keep=False)
    assert told(room)[1:3] == [(b"ann", "ann", 2), (b"outside", "", 3)]
    edit(room, BEN, b"line 5\n", b"ben\n")
    assert [agent for _, agent, _ in told(room)] == ["", "ann", "", "", "ben"]


def test_a_renamed_file_keeps_its_writers(room: Room) -> None:
    edit(room, BEN, b"line 2\n", b"ben\n")
    room.rename(b"a.py", b"b.py", author=ANN)
    assert [agent for _, agent, _ in told(room, b"b.py")] == ["", "ben", "", "", ""]


def test_a_new_file_is_its_writers(room: Room) -> None:
    room.write(b"new", b"one\ntwo", author=BEN)
    assert told(room, b"new") == [(b"one", "ben", 0), (b"two", "ben", 0)]


def test_a_text_that_was_opaque_is_whose_text_it_is(room: Room) -> None:
    room.write(b"opaque", b"one\ntwo\n", author=BEN)
    edit(room, ANN, b"two\n", b"two\nthree\n", b"opaque")
    assert [agent for _, agent, _ in told(room, b"opaque")] == ["ben", "ben", "ann"]


def test_what_is_no_text_has_no_lines(room: Room) -> None:
    assert room.blame(b"opaque") is None
    assert room.blame(b"missing") is None


def test_crlf_lines_are_told_as_shown(room: Room) -> None:
    room.write(b"dos", b"one\r\ntwo\r\n", author=BEN)
    edit(room, ANN, b"two", b"2", b"dos")
    assert [line.text for line in room.blame(b"dos")] == [b"one\r\n", b"2\r\n"]
    assert [line.agent for line in room.blame(b"dos")] == ["ben", "ann"]


def test_an_undo_gives_lines_back_to_their_writers(room: Room) -> None:
    edit(room, BEN, b"line 2\n", b"bens words\n")
    edit(room, ANN, b"bens words\n", b"anns words\n")
    room.undo(Wanted(agent="ann"))
    assert told(room)[1] == (b"bens words", "ben", 0)


def test_a_window_that_stands_still_is_explained_as_it_shows(here: Place, room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"ann\n")
    room.hold()
    still = shown(room)[b"a.py"]
    with here.room("ben") as other:
        edit(other, BEN, b"line 4\n", b"ben\n")
    room.catch_up()
    with room.reader() as reader:
        then = reader.blame(b"a.py", room.shown(b"a.py"))
        now = reader.blame(b"a.py")
    assert b"".join(line.text for line in then) == still
    assert [line.agent for line in then] == ["", "ann", "", "", ""]
    assert [line.agent for line in now] == ["", "ann", "", "ben", ""]
    assert room.blame(b"opaque") is None
