"""New files: when the room hears of them, and what they keep."""

import errno
import os
import time
from types import SimpleNamespace

import pytest

from anvcs.errors import AnvcsError
from anvcsfs import pending
from anvcsfs.nodes import Place
from support.fake_kernel import FakeKernel, Process


def publish(kernel: FakeKernel) -> None:
    """What the server does from time to time."""
    kernel.call(kernel.table.publisher.publish_due)


def test_a_new_file_is_pending_and_then_the_room_has_it(hasty: FakeKernel):
    node = hasty.write(b"new.py", b"text\n")
    view = hasty.table.view
    assert node.place is Place.PENDING
    assert view.is_on_disk(b"new.py")
    assert view.room.entry(b"new.py") is None
    ino, mtime_ns = hasty.stat(b"new.py").ino, hasty.stat(b"new.py").mtime_ns
    publish(hasty)
    assert node.place is Place.SHARED
    assert not view.is_on_disk(b"new.py")
    assert view.room.read(view.room.entry(b"new.py")) == b"text\n"
    for _ in range(2):
        assert (hasty.stat(b"new.py").ino, hasty.stat(b"new.py").mtime_ns) == (ino, mtime_ns)
        assert hasty.read(b"new.py") == b"text\n"
        hasty.forget_all()


def test_nothing_is_published_before_its_time(kernel: FakeKernel):
    kernel.write(b"new.py", b"text\n")
    publish(kernel)
    assert kernel.at(b"new.py").place is Place.PENDING
    assert kernel.table.view.pending.next_due() > time.monotonic() + 3000


def test_a_file_that_is_being_written_waits(hasty: FakeKernel):
    handle = hasty.open(b"new.py", os.O_WRONLY | os.O_CREAT)
    hasty.put(handle, b"half")
    publish(hasty)
    assert handle.node.place is Place.PENDING
    hasty.put(handle, b" whole", 4)
    hasty.close(handle)
    publish(hasty)
    assert handle.node.place is Place.SHARED
    assert hasty.read(b"new.py") == b"half whole"


def test_a_file_that_is_never_left_alone_is_published_all_the_same(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch):
    """A log that is appended to all the time."""
    now = time.monotonic()
    monkeypatch.setattr(pending, "time", SimpleNamespace(monotonic=lambda: now))
    dues = []
    for _ in range(6):
        kernel.write(b"new.log.txt", b"more\n")
        dues.append(kernel.table.view.pending.next_due() - now)
        now += 3000
    assert dues[:4] == pytest.approx([3600.0] * 4)
    assert dues[4] == pytest.approx(4 * 3600 - 4 * 3000)
    assert dues[5] < 0


def test_a_reader_goes_on_reading(hasty: FakeKernel):
    hasty.write(b"new.py", b"text\n")
    handle = hasty.open(b"new.py")
    publish(hasty)
    assert handle.node.place is Place.SHARED
    assert hasty.get(handle) == b"text\n"
    hasty.close(handle)


def test_the_room_never_hears_of_what_is_gone_by_then(hasty: FakeKernel):
    room = hasty.table.view.room
    before = room.seq
    hasty.write(b".main.py.swp", b"x")
    hasty.unlink(b".main.py.swp")
    hasty.write(b"noise.log", b"x")
    publish(hasty)
    assert room.seq == before
    assert not list(hasty.table.view.pending)


def test_what_a_published_file_keeps(hasty: FakeKernel):
    hasty.write(b"tool", b"#!/bin/sh\n")
    hasty.set(b"tool", mode=0o700)
    hasty.set(b"tool", mtime_ns=1_600_000_000_123_456_789)
    publish(hasty)
    assert hasty.table.view.room.entry(b"tool").mode == 0o100755
    hasty.forget_all()
    assert hasty.stat(b"tool").mode == 0o100700
    assert hasty.stat(b"tool").mtime_ns == 1_600_000_000_123_456_789


def test_a_new_symlink_and_an_empty_directory_are_shared_at_once(kernel: FakeKernel):
    kernel.symlink(b"main.py", b"pointer")
    kernel.mkdir(b"empty")
    room = kernel.table.view.room
    assert room.entry(b"pointer") is not None
    assert room.entry(b"empty") is not None
    kernel.forget_all()
    assert kernel.table.readlink(kernel.at(b"pointer").ino) == b"main.py"
    assert kernel.names(b"empty") == [b".", b".."]


def test_a_large_file_waits_for_the_commit_that_wants_it(make_kernel):
    kernel = make_kernel(publish_s=0.0, share_bytes=10)
    kernel.write(b"large", b"x" * 11)
    publish(kernel)
    assert kernel.at(b"large").place is Place.PENDING
    assert kernel.table.publisher.held == {b"large": 11}
    assert b"large" in kernel.read(b".anvcs/status")
    kernel.call(kernel.table.publisher.publish_all)
    assert kernel.at(b"large").place is Place.SHARED
    assert kernel.table.publisher.held == {}
    assert kernel.read(b"large") == b"x" * 11


def test_a_file_beyond_the_text_limit_is_hashed_in_a_thread(make_kernel):
    kernel = make_kernel(publish_s=0.0, text_bytes=100)
    kernel.write(b"data", bytes(range(256)) * 4)
    waits = kernel.waits
    publish(kernel)
    assert kernel.waits == waits + 1
    assert kernel.at(b"data").place is Place.SHARED
    assert kernel.read(b"data") == bytes(range(256)) * 4


def test_several_names_are_published_as_one_file(hasty: FakeKernel):
    hasty.write(b"one", b"text\n")
    hasty.link(b"one", b"two")
    publish(hasty)
    for _ in range(2):
        assert hasty.stat(b"one").ino == hasty.stat(b"two").ino
        assert hasty.stat(b"one").nlink == 2
        hasty.forget_all()
    hasty.write(b"two", b"changed\n")
    hasty.forget_all()
    assert hasty.read(b"one") == b"changed\n"


def test_a_failure_leaves_the_file_where_it_is(hasty: FakeKernel, monkeypatch: pytest.MonkeyPatch):
    class Refused(AnvcsError):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise Refused

    node = hasty.write(b"new.py", b"text\n")
    with monkeypatch.context() as patch:
        patch.setattr(hasty.table.view.room, "write", refuse)
        publish(hasty)
        assert node.place is Place.PENDING
        assert hasty.read(b"new.py") == b"text\n"
    hasty.call(hasty.table.publisher.publish_all)
    assert node.place is Place.SHARED


def test_pending_files_outlive_the_server(make_kernel):
    kernel = make_kernel(publish_s=3600.0)
    kernel.write(b"new.py", b"text\n")
    kernel.mkdir(b"fresh")
    kernel.write(b"fresh/inner.py", b"inner\n")
    kernel = make_kernel(publish_s=3600.0)
    kernel.table.publisher.recover()
    assert kernel.at(b"fresh/inner.py").place is Place.PENDING
    publish(kernel)  # what was pending before is due now
    assert kernel.at(b"fresh/inner.py").place is Place.SHARED
    assert [kernel.read(name) for name in (b"new.py", b"fresh/inner.py")] == [b"text\n", b"inner\n"]


def test_a_tracked_file_removed_and_made_again_is_an_edit(kernel: FakeKernel):
    kernel.unlink(b"main.py")
    kernel.write(b"main.py", b"one\ntwo\nthree\nfour\n")
    room = kernel.table.view.room
    assert kernel.at(b"main.py").place is Place.SHARED
    assert {change.path: change.status for change in room.changes()} == {b"main.py": "M"}


# Saves of shared files


def test_a_save_is_one_op(kernel: FakeKernel):
    room = kernel.table.view.room
    before = room.seq
    handle = kernel.open(b"main.py", os.O_RDWR)
    for offset in (0, 4, 8):
        kernel.put(handle, b"X", offset)
    kernel.table.flush(handle.number)
    kernel.table.flush(handle.number)
    kernel.close(handle)
    assert [(op.kind, op.path) for op in room.ops(before)] == [("edit", b"main.py")]


def test_a_save_of_the_same_bytes_is_nothing(kernel: FakeKernel):
    view = kernel.table.view
    kernel.write(b"main.py", b"one\ntwo\nthree\n")
    assert not list(view.room.changes())


def test_two_programs_that_read_the_same_version_both_keep_their_lines(kernel: FakeKernel):
    first, second = Process(2_000_000_001), Process(2_000_000_002)  # no such processes
    for process in (first, second):
        kernel.process = process
        assert kernel.read(b"main.py") == b"one\ntwo\nthree\n"
    for process, text in ((first, b"ONE\ntwo\nthree\n"), (second, b"one\ntwo\nTHREE\n")):
        kernel.process = process
        kernel.write(b"main.py", text)
    assert kernel.read(b"main.py") == b"ONE\ntwo\nTHREE\n"


def test_truncation_without_an_open_file_is_saved(kernel: FakeKernel):
    kernel.set(b"main.py", size=4)
    kernel.forget_all()
    assert kernel.read(b"main.py") == b"one\n"
    kernel.set(b"main.py", size=6)
    kernel.forget_all()
    assert kernel.read(b"main.py") == b"one\n\0\0"


def test_modes_and_times_are_kept_without_the_room_when_git_has_no_word_for_them(kernel: FakeKernel):
    room = kernel.table.view.room
    before = room.seq
    kernel.set(b"main.py", mode=0o600)
    kernel.set(b"main.py", mtime_ns=123_456_789)
    assert room.seq == before
    kernel.forget_all()
    assert kernel.stat(b"main.py").mode == 0o100600
    assert kernel.stat(b"main.py").mtime_ns == 123_456_789
    kernel.set(b"main.py", mode=0o700)
    assert room.entry(b"main.py").mode == 0o100755
    kernel.set(b"main.py", mode=0o644)
    assert not list(room.changes())


def test_a_directory_is_not_cut(kernel: FakeKernel):
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EISDIR):
        kernel.set(b"src", size=0)
