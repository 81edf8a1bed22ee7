"""What another process appends, in the nodes of this view and in what its kernel is told."""

import os
import stat as st
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.rooms.errors import RoomBusy, RoomDamaged
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, File, Place
from support.company import Peer, peers, publish


@pytest.fixture
def two(handled_repository: Path, tmp_path: Path) -> Iterator[list[Peer]]:
    with peers(handled_repository, tmp_path, "ann", "ben") as both:
        yield both


def test_an_edit_shows(two: list[Peer]):
    ann, ben = two
    before = ben.stat(b"main.py")
    assert ben.read(b"main.py") == b"one\ntwo\nthree\n"
    ann.write(b"main.py", b"one\nTWO\nthree\nfour\n")
    assert ben.hear()
    after = ben.stat(b"main.py")
    assert ben.read(b"main.py") == b"one\nTWO\nthree\nfour\n"
    assert (after.ino, after.size) == (before.ino, 19)
    assert after.mtime_ns == ann.stat(b"main.py").mtime_ns > before.mtime_ns
    assert ("attributes", before.ino) in ben.told.calls


def test_what_nobody_has_loaded_costs_nothing(two: list[Peer]):
    ann, ben = two
    nodes = len(ben.table.inodes)
    for name in (b"src/a.py", b"src/deep/c.py"):
        ann.write(name, b"new\n")
    ben.hear()
    assert ben.told.calls == []
    assert len(ben.table.inodes) == nodes
    assert ben.read(b"src/deep/c.py") == b"new\n"


def test_a_new_name_is_told_to_who_looked_for_it_in_vain(two: list[Peer]):
    ann, ben = two
    assert ben.find(b"src/new.py") is None
    ann.write(b"src/new.py", b"new\n")
    publish(ann)
    ben.hear()
    assert ("entry", ben.at(b"src").ino, b"new.py") in ben.told.calls
    assert b"new.py" in ben.names(b"src")
    assert ben.read(b"src/new.py") == b"new\n"


def test_a_directory_gets_a_new_time_when_a_name_appears(two: list[Peer]):
    ann, ben = two
    before = ben.stat(b"src").mtime_ns
    assert b"new.py" not in ben.names(b"src")
    ann.write(b"src/new.py", b"new\n")
    publish(ann)
    ben.hear()
    assert ben.stat(b"src").mtime_ns > before


def test_a_deleted_file_stays_readable_for_who_has_it_open(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py")
    ann.unlink(b"main.py")
    ben.hear()
    assert ("deleted", 1, b"main.py", handle.node.ino) in ben.told.calls
    assert ben.find(b"main.py") is None
    assert ben.get(handle) == b"one\ntwo\nthree\n"
    assert ben.table.status(handle.node).nlink == 0
    ben.close(handle)


def test_what_is_being_written_survives_its_deletion_by_a_peer(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py", os.O_RDWR)
    ben.get(handle)
    ben.put(handle, b"ONE", 0)
    ann.unlink(b"main.py")
    ben.hear()
    ben.close(handle)
    ann.hear()
    shown = {name: ann.read(name) for name in ann.names() if name.startswith(b"main.py")}
    assert b"ONE\ntwo\nthree\n" in shown.values()


def test_a_working_copy_that_was_written_keeps_its_base(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py", os.O_RDWR)
    ben.get(handle)
    ben.put(handle, b"ONE", 0)
    ann.write(b"main.py", b"one\ntwo\nTHREE\n")
    ben.hear()
    assert ben.get(handle) == b"ONE\ntwo\nthree\n"
    ben.close(handle)
    ben.hear()
    ann.hear()
    assert ben.read(b"main.py") == ann.read(b"main.py") == b"ONE\ntwo\nTHREE\n"


def test_the_executable_bit(two: list[Peer]):
    ann, ben = two
    ino = ben.stat(b"main.py").ino
    ann.set(b"main.py", mode=0o755)
    ben.hear()
    assert ben.stat(b"main.py").mode == st.S_IFREG | 0o755
    assert ("content", ino) not in ben.told.calls
    ann.set(b"main.py", mode=0o644)
    ben.hear()
    assert ben.stat(b"main.py").mode == st.S_IFREG | 0o644


def test_a_time_stamp_alone_drops_no_content(two: list[Peer]):
    ann, ben = two
    ann.write(b"main.py", b"changed\n")
    ben.hear()
    handle = ben.open(b"main.py")
    ann.room.touch(b"main.py", 1_700_000_000_000_000_000)
    ben.hear()
    assert handle.node.pinned is None
    assert ben.stat(b"main.py").mtime_ns == 1_700_000_000_000_000_000
    assert ("content", handle.node.ino) not in ben.told.calls
    ben.close(handle)


def test_a_file_that_became_a_link_is_another_file(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py")
    ann.unlink(b"main.py")
    ann.symlink(b"other.py", b"main.py")
    ben.hear()
    assert ben.get(handle) == b"one\ntwo\nthree\n"
    assert st.S_ISLNK(ben.stat(b"main.py").mode)
    assert ben.table.readlink(ben.at(b"main.py").ino) == b"other.py"
    ben.close(handle)


def test_a_renamed_file_is_the_same_file(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py")
    ino = handle.node.ino
    ann.rename(b"main.py", b"src/moved.py")
    ben.hear()
    assert ben.find(b"main.py") is None
    assert ben.stat(b"src/moved.py").ino == ino
    ann.write(b"src/moved.py", b"later\n")
    ben.hear()
    ben.stat(b"src/moved.py")
    assert ben.get(handle) == b"later\n"
    ben.close(handle)


def test_the_kernel_hears_that_a_save_by_rename_was_merged(two: list[Peer]):
    """It has the pages of what was written under the name before."""
    ann, ben = two
    before = ben.read(b"main.py")
    ann.write(b"main.py", b"by ann\n" + before)
    ben.write(b"main.py.tmp", before + b"by ben\n")
    ben.told.calls.clear()
    ben.rename(b"main.py.tmp", b"main.py")
    assert ben.read(b"main.py") == b"by ann\n" + before + b"by ben\n"
    assert ("content", ben.at(b"main.py").ino) in ben.told.calls
    ben.write(b"main.py.tmp", b"all new\n")
    ben.told.calls.clear()
    ben.rename(b"main.py.tmp", b"main.py")
    assert ("content", ben.at(b"main.py").ino) not in ben.told.calls


def test_a_renamed_directory_takes_what_is_open_in_it_along(two: list[Peer]):
    ann, ben = two
    ann.mkdir(b"made")
    ann.write(b"made/file", b"text\n")
    publish(ann)
    ben.hear()
    handle = ben.open(b"made/file")
    directory = ben.at(b"made")
    ann.rename(b"made", b"named")
    ben.hear()
    assert ben.find(b"made") is None
    assert ben.at(b"named") is directory
    assert isinstance(directory, Dir)
    assert not directory.removed
    assert ben.at(b"named/file") is handle.node
    assert ben.get(handle) == b"text\n"
    ben.close(handle)


def test_a_save_by_renaming_leaves_the_file_what_it_was(two: list[Peer]):
    ann, ben = two
    ino = ben.stat(b"main.py").ino
    ann.write(b"main.py.tmp", b"saved\n")
    ann.rename(b"main.py.tmp", b"main.py")
    ben.hear()
    assert ben.stat(b"main.py").ino == ino
    assert ben.read(b"main.py") == b"saved\n"


def test_readers_get_the_old_content_until_the_kernel_has_asked(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py")
    assert ben.get(handle) == b"one\ntwo\nthree\n"
    ann.write(b"main.py", b"one\ntwo\n")
    ben.hear()
    assert ben.get(handle, 4) == b"two\nthree\n"
    assert ben.table.status(handle.node, None, handle.pid).size == 8
    assert ben.get(handle) == b"one\ntwo\n"
    ben.close(handle)


def test_an_answer_waits_for_others_who_read(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py")
    ann.write(b"main.py", b"new\n")
    ben.hear()
    stranger = handle.pid + 1
    with pytest.raises(Later) as wait:
        ben.table.status(handle.node, None, stranger)
    assert ben.get(handle, 0, 3) == b"one"
    while handle.node.pinned.source is not None:
        wait.value.job()
        try:
            answer = ben.table.status(handle.node, None, stranger)
        except Later as later:
            wait.value.job = later.job
    assert (answer.size, answer.lifetime_s) == (4, 0.0)
    with pytest.raises(Later):  # the stranger drops the pages now
        ben.table.status(handle.node, None, handle.pid)
    assert ben.call(lambda: ben.table.status(handle.node, None, handle.pid)).size == 4
    assert ben.get(handle) == b"new\n"
    ben.close(handle)


def test_a_read_that_waits_in_the_line_is_under_way(two: list[Peer]):
    """Its reader sleeps, and may have copied the first pages of the old version."""
    ann, ben = two
    handle = ben.open(b"main.py")
    ann.write(b"main.py", b"new\n")
    ben.hear()
    line = [True]

    def look() -> bool:
        if line:
            assert ben.get(handle, 0, 3) == b"one"  # the server comes to it
            line.pop()
            return True
        return False

    ben.told.has_requests = look
    with pytest.raises(Later) as wait:
        ben.table.status(handle.node, None, handle.pid + 1)
    wait.value.job()
    with pytest.raises(Later):
        ben.table.status(handle.node, None, handle.pid + 1)
    assert handle.node.pinned.source is not None
    ben.close(handle)


def test_maps_are_told_after_a_while(two: list[Peer]):
    ann, ben = two
    handle = ben.open(b"main.py")
    woken = []
    ben.refresher.renewer.wake = lambda: woken.append(True)
    ann.write(b"main.py", b"new\n")
    ben.hear()
    renewer = ben.refresher.renewer
    assert woken
    assert renewer.due_late() == []
    assert renewer.next_late() > time.monotonic()
    renewer._late = dict.fromkeys(renewer._late, 0.0)
    handle.node.pinned.since -= 1
    assert renewer.due_late() == [(handle.node.ino, [handle.pid])]
    renewer.drop_mapped(handle.node.ino)
    assert ("content", handle.node.ino) in ben.told.calls
    assert ben.get(handle) == b"new\n"
    ben.close(handle)


def test_equal_size_and_time_are_told_as_content(two: list[Peer]):
    ann, ben = two
    ann.write(b"main.py", b"aaa\n")
    stamp = ann.stat(b"main.py").mtime_ns
    ben.hear()
    handle = ben.open(b"main.py")
    ben.stat(b"main.py")
    ann.room.write(b"main.py", b"bbb\n", mtime_ns=stamp)
    ben.hear()
    assert ("content", handle.node.ino) in ben.told.calls
    assert ben.get(handle) == b"bbb\n"
    ben.close(handle)


def test_a_peers_new_file_doesnt_hide_a_pending_one(handled_repository: Path, tmp_path: Path):
    with peers(handled_repository, tmp_path, "ann", "ben", publish_s=3600.0) as (ann, ben):
        node = ben.write(b"same.py", b"ben's\n")
        assert node.place is Place.PENDING
        ann.write(b"same.py", b"ann's\n")
        ann.call(ann.table.publisher.publish_all)
        ben.hear()
        assert ben.read(b"same.py") == b"ben's\n"
        assert b"same.py" in ben.table.view.pending
        ben.call(ben.table.publisher.publish_all)
        ann.hear()
        ben.hear()
        for each in (ann, ben):
            texts = b"".join(each.read(name) for name in each.names() if name.startswith(b"same.py"))
            assert b"ann's\n" in texts
            assert b"ben's\n" in texts


def test_many_paths_are_taken_in_by_slices(two: list[Peer]):
    ann, ben = two
    ben.walk()
    for number in range(300):
        ann.room.write(b"many/%d/file" % number, b"x\n")
    ben.refresher.take(ben.room.catch_up())
    slices = 1
    while not ben.refresher.go_on(time.monotonic()):
        slices += 1
    assert slices > 100
    assert len(ben.names(b"many")) == 302


def test_a_new_base_is_taken_in_by_slices(two: list[Peer]):
    ann, ben = two
    ben.walk()
    top = ben.table.inodes.root
    old = {each: ben.at(each).tree for each in (b"src", b"src/deep")}
    for each in (b"", *old):  # as if the base had been another one
        ben.at(each).tree = ann.at(b"src/deep").tree
    ben.refresher.take([])
    while not ben.refresher.go_on(time.monotonic()):
        ben.refresher.take([])  # others append all the time
    assert top.tree == ben.table.view.base_tree()
    assert {each: ben.at(each).tree for each in old} == old


def test_a_directory_that_could_not_be_read_is_read_at_the_next_news(two: list[Peer], monkeypatch):
    ann, ben = two
    ben.walk()
    fresh = ben.table.inodes.fresh_children

    def busy(_: Dir) -> None:
        raise RoomBusy(ben.room.file, None)

    monkeypatch.setattr(ben.table.inodes, "fresh_children", busy)
    ann.room.write(b"src/new", b"x\n")
    with pytest.raises(RoomBusy):
        ben.hear()
    monkeypatch.setattr(ben.table.inodes, "fresh_children", fresh)
    assert b"new" not in ben.names(b"src")
    ann.room.write(b"elsewhere", b"x\n")
    ben.hear()
    assert b"new" in ben.names(b"src")


def test_what_cant_be_read_any_more_goes_all_the_same(two: list[Peer], monkeypatch):
    """The bytes of a deleted file that somebody has open are gone with it; the rest of the directory is not."""
    ann, ben = two
    ann.room.write(b"src/open", b"x\n")
    ben.hear()
    handle = ben.open(b"src/open", os.O_RDONLY)
    ben.names(b"src")
    ann.room.remove(b"src/open")
    ann.room.write(b"src/new", b"x\n")

    def lost(*_: object) -> bytes:
        raise RoomDamaged(ben.room.file, "a record is damaged")

    monkeypatch.setattr(ben.room, "read", lost)
    ben.table.view.cache.clear()
    ben.hear()
    assert {b"new", b"open"} & set(ben.names(b"src")) == {b"new"}
    with pytest.raises(RoomDamaged):
        ben.get(handle)


def test_each_directory_is_read_once_however_many_of_its_names_changed(two: list[Peer], monkeypatch):
    ann, ben = two
    ben.walk()
    reads = []
    fresh = ben.table.inodes.fresh_children
    monkeypatch.setattr(ben.table.inodes, "fresh_children", lambda node: reads.append(node.path) or fresh(node))
    for number in range(50):
        ann.room.write(b"src/%d" % number, b"x\n")
        ann.room.write(b"new/%d/file" % number, b"x\n")
    ben.hear()
    assert sorted(reads) == [b"", b"src"]


def test_what_was_committed_elsewhere_keeps_its_times(two: list[Peer]):
    ann, ben = two
    ann.write(b"main.py", b"changed\n")
    ann.set(b"main.py", mtime_ns=1_600_000_000_000_000_000)
    ben.hear()
    handle = ben.open(b"main.py")
    ann.room.restore([b"main.py"])
    ben.hear()
    assert ben.stat(b"main.py").mtime_ns > 1_600_000_000_000_000_000  # its content changed
    assert ben.read(b"main.py") == b"one\ntwo\nthree\n"
    ben.close(handle)
    node = ben.at(b"other.py")
    assert isinstance(node, File)


def test_a_save_and_what_took_it_away_in_one_go(two: list[Peer]):
    ann, ben = two
    ann.write(b"main.py", b"first\n")
    ben.hear()
    assert ben.read(b"main.py") == b"first\n"
    ann.write(b"main.py", b"second\n")
    ann.room.restore([b"main.py"])
    ben.hear()
    assert ben.read(b"main.py") == b"one\ntwo\nthree\n"


# Standing still


def test_a_view_that_stands_still_shows_only_its_own_work(two: list[Peer]):
    ann, ben = two
    ben.walk()
    ben.room.hold()
    ann.write(b"main.py", b"one\ntwo\nTHREE\n")
    ann.unlink(b"other.py")
    ann.rename(b"src/a.py", b"src/z.py")
    ann.write(b"src/new.py", b"new\n")
    publish(ann)
    ben.hear()
    ben.write(b"src/b.py", b"ben's\n")
    ben.hear()
    ben.forget_all()
    assert ben.read(b"main.py") == b"one\ntwo\nthree\n"
    assert ben.read(b"other.py") == b"other\n"
    assert set(ben.names(b"src")) == {b".", b"..", b"a.py", b"b.py", b"deep"}
    ann.hear()
    assert ann.read(b"src/b.py") == b"ben's\n"
    assert ben.room.held_back == 4
    ben.room.release()
    ben.hear()
    assert ben.read(b"main.py") == b"one\ntwo\nTHREE\n"
    assert ben.find(b"other.py") is None
    assert set(ben.names(b"src")) == {b".", b"..", b"z.py", b"new.py", b"b.py", b"deep"}


def test_a_save_in_a_view_that_stands_still_keeps_what_it_has_not_shown(two: list[Peer]):
    ann, ben = two
    ben.room.hold()
    ben.read(b"main.py")
    ann.write(b"main.py", b"one\ntwo\nTHREE\n")
    ben.hear()
    assert ben.read(b"main.py") == b"one\ntwo\nthree\n"
    ben.write(b"main.py", b"ONE\ntwo\nthree\n")
    assert ben.read(b"main.py") == b"ONE\ntwo\nTHREE\n"  # merged: shown from here on
    ann.hear()
    assert ann.read(b"main.py") == b"ONE\ntwo\nTHREE\n"
    ben.write(b"main.py", b"ONE\ntwo\nTHREE\nfour\n")
    ann.hear()
    assert ann.read(b"main.py") == b"ONE\ntwo\nTHREE\nfour\n"
