"""One agent's uncommitted ops go; everybody else's stay."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anvcs.model.room import Author
from anvcs.model.tree import EXECUTABLE
from anvcs.model.undone import Undone
from anvcs.rooms.room import Room
from anvcs.rooms.undoing import Wanted
from support.rooms import Place, shown, shown_directories

TEXT = b"".join(b"line %d\n" % number for number in range(1, 10))
BASE = {b"a.py": TEXT, b"dir/b.py": b"b\n", b"run.sh": b"run\n", b"opaque": b"\xff\xfe"}
ANN = Author(agent="ann", model="model-1")
BEN = Author(agent="ben", model="model-2")


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def room(here: Place) -> Iterator[Room]:
    with here.room("ann", here.tree.commit(BASE)) as opened:
        yield opened
        # Nothing of an undo may be in memory alone.
        seen = shown(opened)
        with here.room("reader") as fresh:
            assert shown(fresh) == seen


def edit(room: Room, author: Author, old: bytes, new: bytes, path: bytes = b"a.py") -> None:
    data = shown(room)[path]
    assert old in data
    room.write(path, data.replace(old, new), author=author)


def undo(room: Room, agent: str = "ann", **wanted: Any) -> Undone:
    return room.undo(Wanted(agent=agent, **wanted))


def test_the_only_writers_edit_leaves_the_file_as_in_the_base(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    told = undo(room)
    assert shown(room) == BASE
    assert not list(room.changed())
    assert [(one.path, one.what, one.kept) for one in told.paths] == [(b"a.py", ("text",), ())]
    assert told.ops == (1,)
    assert told.seq == room.seq == 2
    assert told.shown == (b"a.py",)


def test_another_line_of_a_peer_stays(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    edit(room, BEN, b"line 8\n", b"line eight\n")
    edit(room, ANN, b"line 5\n", b"")
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 8", b"line eight")


def test_a_peers_edit_of_another_word_in_the_line_stays(room: Room) -> None:
    room.write(b"a.py", b"call(alpha, beta)\n" + TEXT, author=Author(agent="cat"))
    edit(room, ANN, b"alpha", b"first")
    edit(room, BEN, b"beta", b"second")
    assert not undo(room).paths[0].kept
    assert shown(room)[b"a.py"] == b"call(alpha, second)\n" + TEXT


def test_what_a_peer_wrote_over_mine_stays_and_is_told(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"value = two\n")
    edit(room, BEN, b"value = two\n", b"value = 2\n")
    told = undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 2", b"value = 2")
    assert told.paths[0].kept == ((2, 2),)


def test_a_line_that_a_peer_put_inside_my_lines_stays(room: Room) -> None:
    edit(room, ANN, b"line 3\n", b"line 3\nmine 1\nmine 2\nmine 3\n")
    edit(room, BEN, b"mine 2\n", b"mine 2\nbens\n")
    told = undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 3\n", b"line 3\nbens\n")
    assert told.paths[0].kept == ()


def test_a_line_of_mine_that_a_peer_edited_stays_whole(room: Room) -> None:
    edit(room, ANN, b"line 3\n", b"line 3\nmine 1\nmine 2\nmine 3\n")
    edit(room, BEN, b"mine 2\n", b"mine 2 and a half\n")
    told = undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 3\n", b"line 3\nmine 2 and a half\n")
    assert told.paths[0].kept == ((4, 4),)


def test_a_peers_deletion_of_what_i_wrote_stays(room: Room) -> None:
    edit(room, ANN, b"line 3\n", b"mine\n")
    edit(room, BEN, b"mine\n", b"")
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 3\n", b"")


def test_only_what_came_after_since(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    since = room.seq
    edit(room, ANN, b"line 8\n", b"line eight\n")
    undo(room, since=since)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 2", b"line two")


def test_only_what_came_after_a_time(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    first = next(iter(room.ops()))
    edit(room, ANN, b"line 8\n", b"line eight\n")
    undo(room, since_ns=first.time_ns)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 2", b"line two")


def test_only_these_paths(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    edit(room, ANN, b"b\n", b"bee\n", b"dir/b.py")
    undo(room, takes=lambda path: path.startswith(b"dir/"))
    assert shown(room) == {**BASE, b"a.py": TEXT.replace(b"line 2", b"line two")}


def test_an_undo_can_be_undone(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    edit(room, BEN, b"line 8\n", b"line eight\n")
    room.write(b"new", b"new\n", author=ANN)
    room.remove(b"run.sh", author=ANN)
    before = shown(room)
    told = undo(room)
    assert shown(room) != before
    undo(room, ops=[told.seq])
    assert shown(room) == before


def test_what_was_taken_back_and_written_again_is_taken_back_again(room: Room) -> None:
    """A peer's work keeps the file in the room: its history does not begin anew with an undo."""
    edit(room, BEN, b"line 8\n", b"line eight\n")
    for _ in range(3):
        edit(room, ANN, b"line 2\n", b"line two\n")
        told = undo(room)
        assert shown(room)[b"a.py"] == TEXT.replace(b"line 8\n", b"line eight\n")
        assert [one.kept for one in told.paths] == [()]
        assert len(told.ops) == 1
    assert [one.agent for one in room.contributors()] == ["ben"]


def test_undoing_twice_changes_nothing_more(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    edit(room, BEN, b"line 8\n", b"line eight\n")
    undo(room)
    after = shown(room)
    again = undo(room)
    assert (again.seq, again.paths) == (None, ())
    assert shown(room) == after


def test_what_can_not_be_undone_is_told_and_recorded_with_what_can(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"value = two\n")
    edit(room, BEN, b"value = two\n", b"value = 2\n")
    told = undo(room)
    assert (told.seq, told.paths[0].what, told.paths[0].kept) == (None, (), ((2, 2),))
    edit(room, ANN, b"line 9\n", b"nine\n")
    told = undo(room)
    assert (told.paths[0].what, told.paths[0].kept) == (("text",), ((2, 2),))
    assert [(one.kind, one.first_line) for one in room.conflicts()] == [("lines", 2)]


def test_a_dry_run_tells_and_changes_nothing(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    edit(room, BEN, b"line 8\n", b"line eight\n")
    room.write(b"new", b"new\n", author=ANN)
    before, seq = shown(room), room.seq
    told = room.undo(Wanted(agent="ann"), dry_run=True)
    assert told.seq is None
    assert [(one.path, one.what) for one in told.paths] == [(b"a.py", ("text",)), (b"new", ("removed",))]
    assert (shown(room), room.seq) == (before, seq)
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 8", b"line eight")


def test_nothing_of_this_agent_is_nothing_to_do(room: Room) -> None:
    edit(room, BEN, b"line 8\n", b"line eight\n")
    told = undo(room)
    assert (told.seq, told.paths, told.ops) == (None, (), ())
    assert room.seq == 1


def test_what_an_undo_brings_back_is_its_writers(room: Room) -> None:
    edit(room, BEN, b"line 8\n", b"line eight\n")
    edit(room, ANN, b"line eight\n", b"ate\n")
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 8", b"line eight")
    told = undo(room, "ben")
    assert shown(room) == BASE
    undo(room, ops=[told.seq])
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 8", b"line eight")


# --- the tree


def test_my_new_file_goes(room: Room) -> None:
    room.write(b"new", b"new\n", author=ANN)
    told = undo(room)
    assert shown(room) == BASE
    assert told.paths[0].what == ("removed",)


def test_a_file_that_i_made_and_a_peer_edited_stays_with_the_peers_lines(room: Room) -> None:
    room.write(b"new", b"mine\n", author=ANN)
    edit(room, BEN, b"mine\n", b"mine\nbens\n", b"new")
    undo(room)
    assert shown(room)[b"new"] == b"bens\n"


def test_what_i_deleted_comes_back(room: Room) -> None:
    room.remove(b"a.py", author=ANN)
    room.remove(b"dir/b.py", author=ANN)
    told = undo(room)
    assert shown(room) == BASE
    assert not list(room.changed())
    assert [one.what for one in told.paths] == [("restored",), ("restored",)]


def test_a_peers_new_file_that_i_deleted_comes_back(room: Room) -> None:
    room.write(b"new", b"bens\n", author=BEN)
    room.remove(b"new", author=ANN)
    undo(room)
    assert shown(room)[b"new"] == b"bens\n"
    assert room.text_at(room.entry(b"new").id, room.seq) == b"bens\n"


def test_a_peers_edit_that_i_reverted_comes_back(room: Room) -> None:
    edit(room, BEN, b"line 8\n", b"line eight\n")
    edit(room, ANN, b"line eight\n", b"line 8\n")
    assert shown(room) == BASE
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 8", b"line eight")


def test_my_own_file_that_i_deleted_stays_away(room: Room) -> None:
    room.write(b"new", b"mine\n", author=ANN)
    room.remove(b"new", author=ANN)
    assert undo(room).seq is None
    assert shown(room) == BASE


def test_a_deleted_file_whose_name_is_taken_comes_back_beside_it(room: Room) -> None:
    room.rename(b"a.py", b"old.py", author=ANN)
    room.write(b"new", b"bens\n", author=BEN)
    room.rename(b"new", b"a.py", author=BEN)
    undo(room)
    found = shown(room)
    assert found[b"a.py"] == b"bens\n"
    assert found[b"a.py~ann"] == TEXT
    assert b"old.py" not in found


def test_my_rename_goes_back_and_the_peers_edit_with_it(room: Room) -> None:
    room.rename(b"a.py", b"moved.py", author=ANN)
    edit(room, BEN, b"line 8\n", b"line eight\n", b"moved.py")
    told = undo(room)
    assert shown(room) == {**BASE, b"a.py": TEXT.replace(b"line 8", b"line eight")}
    assert told.paths[0].what == ("renamed",)
    assert told.paths[0].old_path == b"moved.py"


def test_a_peers_later_rename_stays(room: Room) -> None:
    room.rename(b"a.py", b"moved.py", author=ANN)
    room.rename(b"moved.py", b"bens.py", author=BEN)
    undo(room)
    assert b"bens.py" in shown(room)


def test_names_that_i_exchanged_go_back(room: Room) -> None:
    room.exchange(b"a.py", b"run.sh", author=ANN)
    undo(room)
    assert shown(room) == BASE
    assert not list(room.changed())


def test_a_renamed_directory_goes_back(room: Room) -> None:
    room.rename(b"dir", b"other", author=ANN)
    edit(room, BEN, b"b\n", b"bee\n", b"other/b.py")
    undo(room)
    assert shown(room) == {**BASE, b"dir/b.py": b"bee\n"}
    assert shown_directories(room) == {b"dir"}


def test_a_peers_directory_stays_when_my_file_leaves_it(room: Room) -> None:
    room.mkdir(b"other", 0, author=BEN)
    room.rename(b"a.py", b"other/a.py", author=ANN)
    undo(room)
    assert shown(room) == BASE
    assert shown_directories(room) == {b"dir", b"other"}


def test_my_mode_goes_back_and_the_peers_stays(room: Room) -> None:
    room.set_mode(b"run.sh", EXECUTABLE, author=ANN)
    room.set_mode(b"a.py", EXECUTABLE, author=BEN)
    undo(room)
    assert room.entry(b"run.sh") is None
    assert room.entry(b"a.py").mode == EXECUTABLE


def test_my_directory_goes_unless_something_is_in_it(room: Room) -> None:
    room.mkdir(b"empty", 0, author=ANN)
    room.mkdir(b"used", 0, author=ANN)
    room.write(b"used/file", b"bens\n", author=BEN)
    undo(room)
    assert room.entry(b"empty") is None
    assert shown(room)[b"used/file"] == b"bens\n"


def test_a_whole_value_goes_back_to_what_it_was(room: Room) -> None:
    room.write(b"opaque", b"\xff\x00ben", author=BEN)
    room.write(b"opaque", b"\xff\x00ann", author=ANN)
    undo(room)
    assert shown(room)[b"opaque"] == b"\xff\x00ben"
    undo(room, "ben")
    assert shown(room) == BASE
    room.write(b"a.py", b"\xff\x00ann", author=ANN)
    undo(room)
    assert shown(room) == BASE


def test_a_peers_later_whole_value_stays(room: Room) -> None:
    room.write(b"opaque", b"\xff\x00ann", author=ANN)
    room.write(b"opaque", b"\xff\x00ben", author=BEN)
    undo(room)
    assert shown(room)[b"opaque"] == b"\xff\x00ben"


def test_a_text_that_i_made_opaque_is_text_again(room: Room) -> None:
    edit(room, BEN, b"line 8\n", b"line eight\n")
    room.write(b"a.py", b"\xff\x00ann", author=ANN)
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 8", b"line eight")


def test_line_ends_stay_as_they_are(room: Room) -> None:
    crlf = TEXT.replace(b"\n", b"\r\n")
    room.write(b"dos", crlf, author=BEN)
    room.write(b"dos", crlf.replace(b"line 2", b"line two"), author=ANN)
    undo(room)
    assert shown(room)[b"dos"] == crlf


DOS = TEXT.replace(b"\n", b"\r\n")


def dos_room(here: Place) -> Room:
    return here.room("ann", here.tree.commit({b"dos": DOS, b"unix": TEXT}))


@pytest.mark.parametrize("new", [b"# mine\n" + DOS, TEXT, DOS.replace(b"line 2\r\n", b"line 2\n")])
def test_line_ends_that_i_mixed_are_again_as_in_the_base(here: Place, new: bytes) -> None:
    with dos_room(here) as room:
        room.write(b"dos", new, author=ANN)
        assert [one.what for one in undo(room).paths] == [("text",)]
        assert shown(room)[b"dos"] == DOS
        assert not list(room.changed())


def test_line_ends_that_i_made_crlf_are_lf_again(here: Place) -> None:
    with dos_room(here) as room:
        room.write(b"unix", DOS, author=ANN)
        undo(room)
        assert shown(room)[b"unix"] == TEXT
        assert not list(room.changed())


def test_what_a_peer_wrote_among_mixed_line_ends_gets_those_of_the_file(here: Place) -> None:
    with dos_room(here) as room:
        mixed = b"# mine\n" + DOS
        room.write(b"dos", mixed, author=ANN)
        room.write(b"dos", mixed + b"ben's\r\n", author=BEN)
        undo(room)
        assert shown(room)[b"dos"] == DOS + b"ben's\r\n"


def test_line_ends_that_a_peer_set_after_me_stay(here: Place) -> None:
    with dos_room(here) as room:
        room.write(b"dos", DOS.replace(b"line 2", b"line two"), author=ANN)
        room.write(b"dos", TEXT.replace(b"line 2", b"line two"), author=BEN)
        undo(room)
        assert shown(room)[b"dos"] == TEXT


def test_an_undo_of_mixed_line_ends_can_be_undone(here: Place) -> None:
    with dos_room(here) as room:
        room.write(b"dos", b"# mine\n" + DOS, author=ANN)
        told = undo(room)
        undo(room, ops=[told.seq])
        assert shown(room)[b"dos"] == b"# mine\n" + DOS


# --- what is committed stays


def test_committed_ops_stay(here: Place, room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    commit = here.tree.commit(shown(room))
    room.move_base(commit, keep=True)
    edit(room, ANN, b"line 5\n", b"line five\n")
    edit(room, BEN, b"line 8\n", b"line eight\n")
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 2", b"line two").replace(b"line 8", b"line eight")


def test_committed_ops_stay_when_a_peer_was_faster(here: Place, room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    commit = here.tree.commit(shown(room))
    edit(room, BEN, b"line 8\n", b"line eight\n")
    room.move_base(commit, keep=True)
    edit(room, ANN, b"line 5\n", b"line five\n")
    undo(room)
    assert shown(room)[b"a.py"] == TEXT.replace(b"line 2", b"line two").replace(b"line 8", b"line eight")


def test_what_peers_do_between_the_plan_and_the_lock_is_taken_in(here: Place, room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    edit(room, ANN, b"b\n", b"bee\n", b"dir/b.py")
    plan = room._undoer.plan(Wanted(agent="ann"))
    with here.room("ben") as other:
        edit(other, BEN, b"line 8\n", b"line eight\n")
        edit(other, ANN, b"line 5\n", b"line five\n")
        other.remove(b"run.sh", author=ANN)
    change = room._core.change(b"")
    with change as draft:
        told = room._undoer.undo(draft, Wanted(agent="ann"), plan)
    assert shown(room) == {**BASE, b"a.py": TEXT.replace(b"line 8", b"line eight")}
    assert told.ops == (1, 2, 4, 5)


def test_who_was_undone_is_no_contributor(room: Room) -> None:
    edit(room, ANN, b"line 2\n", b"line two\n")
    edit(room, BEN, b"line 8\n", b"line eight\n")
    told = undo(room)
    assert [(one.agent, one.added, one.removed) for one in room.contributors()] == [("ben", 1, 1)]
    undo(room, ops=[told.seq])
    assert {one.agent for one in room.contributors()} == {"ann", "ben"}
