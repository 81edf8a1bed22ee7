"""What editors, Git commands and peers do to a room, told step by step."""

from pathlib import Path

import pytest

from anvcs.model.room import Content
from anvcs.model.tree import EXECUTABLE, GITLINK, REGULAR, SYMLINK, Leaf
from anvcs.rooms.errors import NoSuchPath
from anvcs.rooms.room import Room
from support.fake_tree import FakeTree
from support.rooms import Place, shown

BASE = {
    b"a.py": b"one\ntwo\nthree\nfour\nfive\n",
    b"dir/b.py": b"b\n",
    b"dir/c.py": b"c\n",
    b"dir/sub/d.py": b"d\n",
    b"opaque": b"\xff\xfe",
}


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def room(here: Place):
    with here.room("ann", here.tree.commit(BASE)) as opened:
        yield opened


def statuses(room: Room) -> dict[bytes, str]:
    return {change.path: change.status for change in room.changes()}


# --- ways of saving


def test_a_fresh_file_renamed_over_another_is_a_save_of_it(room: Room) -> None:
    version = room.version(b"a.py")
    room.write(b"a.py", b"zero\n" + BASE[b"a.py"])
    identity = room.entry(b"a.py").id
    room.write(b"a.py.tmp", BASE[b"a.py"] + b"six\n")
    room.rename(b"a.py.tmp", b"a.py", base=version)
    assert room.read(room.entry(b"a.py")) == b"zero\n" + BASE[b"a.py"] + b"six\n"
    assert room.entry(b"a.py").id == identity
    assert statuses(room) == {b"a.py": "M"}


def test_an_editors_backup_and_rename_ends_as_an_edit(room: Room) -> None:
    room.write(b"a.py", b"zero\n" + BASE[b"a.py"])
    identity = room.entry(b"a.py").id
    room.rename(b"a.py", b"a.py~")
    room.write(b"a.py", BASE[b"a.py"] + b"six\n")
    room.remove(b"a.py~")
    assert room.entry(b"a.py").id == identity
    assert statuses(room) == {b"a.py": "M"}
    assert room.text_at(identity, 1) == b"zero\n" + BASE[b"a.py"]


def test_unlink_and_create_is_the_same_file(room: Room) -> None:
    room.remove(b"a.py")
    assert statuses(room) == {b"a.py": "D"}
    room.write(b"a.py", BASE[b"a.py"])
    assert not list(room.changed())
    room.write(b"new", b"new\n")
    identity = room.entry(b"new").id
    room.remove(b"new")
    assert not list(room.changed())
    room.write(b"new", b"new again\n")
    assert room.entry(b"new").id == identity


def test_writing_the_base_content_again_makes_a_file_clean(room: Room) -> None:
    room.write(b"a.py", b"changed\n")
    room.set_mode(b"a.py", EXECUTABLE)
    room.write(b"a.py", BASE[b"a.py"])
    assert statuses(room) == {b"a.py": "M"}
    room.set_mode(b"a.py", REGULAR)
    assert not list(room.changed())
    assert [op.kind for op in room.ops()] == ["edit", "mode", "edit", "mode"]


def test_an_older_entry_reads_as_it_was(room: Room) -> None:
    room.write(b"a.py", b"first\n")
    first = room.entry(b"a.py")
    room.write(b"a.py", b"second\n")
    second = room.entry(b"a.py")
    room.write(b"a.py", BASE[b"a.py"])
    assert (room.read(first), room.read(second)) == (b"first\n", b"second\n")


def test_text_becomes_opaque_and_text_again(room: Room) -> None:
    for data in (b"text\n", b"\xff", b"more text\n", b"\0\0", b"more text\r\n", BASE[b"a.py"] + b"!\n"):
        room.write(b"a.py", data)
        assert room.read(room.entry(b"a.py")) == data
    for number, data in enumerate((b"text\n", b"\xff", b"more text\n"), 1):
        assert room.text_at(room.entry(b"a.py").id, number) == data


def test_a_text_over_the_limit_is_opaque(here: Place) -> None:
    with here.room(text_limit=10) as room:
        room.write(b"f", b"x" * 11)
        assert room.entry(b"f").content is Content.OPAQUE
        room.write(b"f", b"x" * 10)
        assert room.entry(b"f").content is Content.TEXT


def test_a_file_moves_into_the_objects(here: Place, room: Room, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(b"\xff" * 3_000_000)
    digest, size = room.put_file(source)
    room.write_object(b"big", digest, size, mode=EXECUTABLE)
    assert not source.exists()
    assert room.object_path(room.entry(b"big")).read_bytes() == b"\xff" * 3_000_000
    assert room.entry(b"big").mode == EXECUTABLE


def test_links_and_submodules(room: Room, here: Place) -> None:
    room.create_link(b"link", b"dir/b.py", 5)
    assert (room.entry(b"link").mode, room.read(room.entry(b"link"))) == (SYMLINK, b"dir/b.py")
    room.put_leaf(b"module", Leaf(GITLINK, here.tree.blob(b"")), 0, 5)
    assert room.entry(b"module").content is Content.NONE
    room.put_leaf(b"a.py", here.tree.leaf(b"old version\n"), 12, 5)
    assert shown(room)[b"a.py"] == b"old version\n"
    room.write(b"a.py", b"old version\nand more\n")
    assert statuses(room) == {b"a.py": "M", b"link": "A", b"module": "A"}


# --- the tree


def test_a_rename_carries_edits_of_others(room: Room, here: Place) -> None:
    with here.room("bob") as bob:
        version = bob.version(b"a.py")
        room.rename(b"a.py", b"moved.py")
        room.write(b"moved.py", b"zero\n" + BASE[b"a.py"])
        bob.catch_up()
        bob.write(b"moved.py", BASE[b"a.py"] + b"six\n", base=version)
        assert bob.read(bob.entry(b"moved.py")) == b"zero\n" + BASE[b"a.py"] + b"six\n"
        change = next(change for change in bob.changes() if change.path == b"moved.py")
        assert change.renamed_from == b"a.py"
        assert statuses(bob) == {b"a.py": "D", b"moved.py": "A"}


def test_a_directory_that_lost_its_files_stays_until_it_is_removed(room: Room) -> None:
    room.remove(b"dir/sub/d.py")
    overlay = room.overlay(b"dir")
    assert b"sub" in overlay.entries
    room.rmdir(b"dir/sub")
    assert b"sub" in room.overlay(b"dir").hidden
    room.remove(b"dir/b.py", keep_parent=False)
    room.remove(b"dir/c.py", keep_parent=False)
    assert b"dir" in room.overlay(b"").hidden
    assert room.overlay(b"elsewhere") is None


def test_moved_tells_what_to_invalidate(room: Room, here: Place) -> None:
    with here.room("bob") as bob:
        assert set(room.rename(b"a.py", b"x.py").paths) == {b"a.py", b"x.py"}
        assert set(room.remove(b"dir/sub/d.py").paths) == {b"dir/sub/d.py", b"dir/sub"}
        assert room.touch(b"dir/b.py", 1).paths == ()
        assert bob.write(b"y", b"y\n").paths == (b"y",)
        told = [set(moved.paths) for moved in bob.catch_up()]
        assert told == [{b"a.py", b"x.py"}, {b"dir/sub/d.py", b"dir/sub"}]
        assert bob.catch_up() == []


def test_a_failed_change_leaves_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write(b"a.py", b"kept\n")
    before = {entry.id: entry for entry in room.changed()}, room.seq, room.base

    def fail(*_: object) -> None:
        raise NoSuchPath(b"the disk")

    with monkeypatch.context() as patch:
        patch.setattr(room._core.log, "commit", fail)
        for call in (
            lambda: room.write(b"a.py", b"lost\n"),
            lambda: room.rename_tree(b"dir", b"other"),
            lambda: room.remove(b"a.py"),
            lambda: room.move_base(None, keep=True),
        ):
            with pytest.raises(NoSuchPath):
                call()
    assert ({entry.id: entry for entry in room.changed()}, room.seq, room.base) == before
    assert shown(room) == BASE | {b"a.py": b"kept\n"}
    room.write(b"a.py", b"kept\nand on\n")
    assert shown(room)[b"a.py"] == b"kept\nand on\n"


# --- the base


def test_a_commit_of_everything_leaves_a_clean_room(room: Room, here: Place) -> None:
    room.write(b"a.py", b"changed\n")
    room.rename(b"dir/b.py", b"moved.py")
    room.write(b"new", b"new\n")
    room.remove(b"opaque")
    files = shown(room)
    with here.room("bob") as bob:
        room.move_base(here.tree.commit(files), keep=False)
        assert not list(room.changed())
        bob.catch_up()
        assert shown(bob) == shown(room) == files


def test_a_commit_of_some_paths_leaves_the_others_changed(room: Room, here: Place) -> None:
    room.write(b"a.py", b"changed\n")
    room.write(b"new", b"new\n")
    room.rename(b"dir/b.py", b"moved.py")
    files = shown(room)
    room.move_base(here.tree.commit(BASE | {b"a.py": b"changed\n", b"moved.py": b"b\n"}), keep=True)
    assert shown(room) == files
    assert statuses(room) == {b"new": "A", b"dir/b.py": "D"}


def test_what_was_committed_elsewhere_is_followed_and_merged(room: Room, here: Place) -> None:
    room.write(b"a.py", b"one\ntwo\nthree\nfour\nFIVE\n")
    room.write(b"dir/c.py", b"mine\n")
    room.remove(b"dir/b.py")
    room.rename(b"opaque", b"renamed")
    theirs = {
        b"a.py": b"ONE\ntwo\nthree\nfour\nfive\n",
        b"dir/b.py": b"b of theirs\n",
        b"dir/sub/d.py": b"d of theirs\n",
        b"opaque": b"\xff\xff",
        b"added": b"added\n",
    }
    moved = room.move_base(here.tree.commit(theirs), keep=False)
    assert shown(room) == {
        b"a.py": b"ONE\ntwo\nthree\nfour\nFIVE\n",
        b"dir/c.py": b"mine\n",
        b"dir/sub/d.py": b"d of theirs\n",
        b"renamed": b"\xff\xff",
        b"added": b"added\n",
    }
    assert {b"a.py", b"dir/sub/d.py", b"renamed", b"added"} <= set(moved.paths)
    assert statuses(room) == {b"a.py": "M", b"dir/b.py": "D", b"dir/c.py": "A", b"opaque": "D", b"renamed": "A"}


def test_a_new_directory_of_the_base_meets_a_file_of_the_room(room: Room, here: Place) -> None:
    room.write(b"thing", b"a file\n")
    room.write(b"folder/x", b"x\n")
    room.move_base(here.tree.commit(BASE | {b"thing/y": b"y\n", b"folder": b"a file\n"}), keep=False)
    files = shown(room)
    assert files[b"thing/y"] == b"y\n"
    assert files[b"thing~ann"] == b"a file\n"
    assert files[b"folder/x"] == b"x\n"
    assert files[b"folder~ann"] == b"a file\n"


def test_a_soft_reset_keeps_every_byte(room: Room, here: Place) -> None:
    room.write(b"a.py", b"changed\n")
    files = shown(room)
    room.move_base(here.tree.commit({b"a.py": b"older\n", b"gone": b"gone\n"}), keep=True)
    assert shown(room) == files
    assert statuses(room)[b"gone"] == "D"
    room.move_base(here.tree.commit(BASE), keep=True)
    assert shown(room) == files
    assert statuses(room) == {b"a.py": "M"}


def test_restore_brings_the_base_back(room: Room) -> None:
    room.write(b"a.py", b"changed\n")
    room.remove(b"dir/b.py")
    room.rename(b"dir/c.py", b"dir/e.py")
    room.restore([b"a.py", b"dir/b.py", b"dir/c.py"])
    assert shown(room) == BASE | {b"dir/e.py": b"c\n"}
    room.restore([b"dir/e.py"])
    assert shown(room) == BASE


def test_a_save_from_before_a_restore_keeps_both(room: Room) -> None:
    version = room.write(b"a.py", b"zero\n" + BASE[b"a.py"]).seq
    room.restore([b"a.py"])
    after = room.version(b"a.py")
    room.write(b"a.py", BASE[b"a.py"].replace(b"two", b"2"))
    room.write(b"a.py", BASE[b"a.py"] + b"six\n", base=after)
    assert shown(room)[b"a.py"] == b"one\n2\nthree\nfour\nfive\nsix\n"
    room.write(b"a.py", b"zero\n" + BASE[b"a.py"] + b"seven\n", base=version)
    assert b"seven\n" in shown(room)[b"a.py"]


# --- who did what


def test_contributors_are_those_of_what_is_not_committed(room: Room, here: Place) -> None:
    with here.room("bob") as bob:
        room.write(b"a.py", BASE[b"a.py"] + b"six\nseven\n")
        bob.write(b"a.py", b"zero\n" + BASE[b"a.py"] + b"six\n")
        bob.write(b"dir/b.py", b"B\n")
        room.catch_up()
        told = {one.agent: (one.added, one.removed, one.paths) for one in room.contributors()}
        assert told == {"ann": (2, 0, (b"a.py",)), "bob": (2, 2, (b"a.py", b"dir/b.py"))}
        room.move_base(here.tree.commit(shown(room)), keep=True)
        assert room.contributors() == []
        room.write(b"a.py", shown(room)[b"a.py"] + b"more\n")
        assert [(one.agent, one.added) for one in room.contributors()] == [("ann", 1)]


# --- memory


def test_compaction_changes_nothing_that_is_read(room: Room, here: Place) -> None:
    text = BASE[b"a.py"]
    for number in range(150):
        text += b"line %d\n" % number
        room.write(b"a.py", text)
    room.compact(0)
    assert not room._core.docs._live
    assert shown(room)[b"a.py"] == text
    assert room.text_at(room.entry(b"a.py").id, 3).endswith(b"line 2\n")
    with here.room("late") as late:
        assert shown(late)[b"a.py"] == text
        assert late._core.docs.head(late.entry(b"a.py").id, late.seq).updates < 64  # the rest is in a snapshot


def test_emptying_a_large_directory_asks_the_tree_a_bounded_number_of_times(here: Place) -> None:
    count = 0

    class Counting(FakeTree):
        def leaves(self, commit, prefix):
            nonlocal count
            for leaf in super().leaves(commit, prefix):
                count += 1
                yield leaf

    here.tree = Counting()
    with here.room(base=here.tree.commit({b"d/%d" % number: b"x" for number in range(400)})) as room:
        for number in range(400):
            room.remove(b"d/%d" % number, keep_parent=False)
            assert (b"d" in room.overlay(b"").hidden) == (number == 399)
    assert count < 400 * 8
