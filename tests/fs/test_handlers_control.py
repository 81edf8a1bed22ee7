"""``.anvcs``: when a request is carried out, what its file then says, what Git's fsmonitor is told."""

import errno
import json
import os

import pytest

from anvcs.errors import AnvcsError
from anvcsfs.control_nodes import ControlFile, ControlHandle
from anvcsfs.later import Later
from support.fake_kernel import FakeKernel


def refused(number: int):
    """The request fails with errno *number*."""
    return pytest.raises(OSError, check=lambda error: error.errno == number)


class Office:
    """Takes requests in the place of ``commit``."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.heard: list[bytes] = []
        node = kernel.at(b".anvcs/commit")
        assert isinstance(node, ControlFile)
        node.request = self.answer
        self.fails: Exception | None = None

    def answer(self, _: ControlHandle, request: bytes) -> bytes:
        self.heard.append(request)
        if self.fails is not None:
            raise self.fails
        return b"did " + request

    def open(self, flags: int = os.O_RDWR) -> ControlHandle:
        handle = self.kernel.open(b".anvcs/commit", flags)
        assert isinstance(handle, ControlHandle)
        return handle


@pytest.fixture
def office(kernel: FakeKernel) -> Office:
    return Office(kernel)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the opener still has a descriptor: the first element, True at first."""
    answer = [True]
    monkeypatch.setattr("anvcsfs.control.control.holds", lambda *_: answer[0])
    return answer


# Requests


def test_a_request_is_carried_out_when_its_writer_closes(office: Office, kernel: FakeKernel):
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"this")
    assert office.heard == []
    kernel.close(handle)
    assert office.heard == [b"this"]
    assert kernel.read(b".anvcs/commit") == b"did this"


def test_a_close_without_a_word_is_no_request(office: Office, kernel: FakeKernel):
    handle = office.open(os.O_WRONLY)
    for _ in range(3):
        kernel.table.flush(handle.number)
    kernel.close(handle)
    assert office.heard == []


def test_the_closing_of_a_child_is_no_request_while_the_opener_holds_the_file(
    office: Office, kernel: FakeKernel, held: list[bool]
):
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"this ")
    kernel.table.flush(handle.number)
    kernel.put(handle, b"and that", 5)
    kernel.table.flush(handle.number)
    assert office.heard == []
    held[0] = False
    kernel.table.flush(handle.number)
    kernel.table.release(handle.number)
    assert office.heard == [b"this and that"]


def test_what_no_flush_carried_out_the_release_does(office: Office, kernel: FakeKernel, held: list[bool]):
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"this")
    kernel.close(handle)
    assert held == [True]
    assert office.heard == [b"this"]


def test_reading_the_answer_from_the_same_handle_asks_for_it(office: Office, kernel: FakeKernel, held: list[bool]):
    handle = office.open()
    kernel.put(handle, b"first")
    assert kernel.get(handle) == b"did first"
    kernel.put(handle, b"second")
    assert kernel.get(handle) == b"did second"
    assert kernel.get(handle, 4) == b"second"
    kernel.close(handle)
    assert office.heard == [b"first", b"second"]


def test_a_sync_carries_a_request_out(office: Office, kernel: FakeKernel, held: list[bool]):
    handle = office.open()
    kernel.put(handle, b"this")
    assert kernel.table.fsync(handle.number, data_only=False) is None
    assert office.heard == [b"this"]
    kernel.close(handle)
    assert office.heard == [b"this"]


def test_text_that_is_appended_is_what_was_written(office: Office, kernel: FakeKernel):
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"this", 700)  # ``echo >>`` writes behind what the file shows
    kernel.close(handle)
    assert office.heard == [b"this"]


def test_a_request_that_takes_a_while_is_called_again_with_what_it_kept(office: Office, kernel: FakeKernel):
    seen = []

    def slow(handle: ControlHandle, request: bytes) -> bytes:
        seen.append((handle.state, request))
        if handle.state is None:
            handle.state = "begun"
            raise Later(lambda: seen.append("in a thread"))
        return b"done"

    kernel.at(b".anvcs/commit").request = slow
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"this")
    kernel.close(handle)
    assert seen == [(None, b"this"), "in a thread", ("begun", b"this")]
    assert handle.state is None
    assert kernel.read(b".anvcs/commit") == b"done"


@pytest.mark.parametrize("error", [OSError(errno.EBUSY, "in the way"), AnvcsError("in the way")])
def test_a_failed_request_says_why(office: Office, kernel: FakeKernel, error: Exception):
    office.fails = error
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"this")
    with pytest.raises(type(error)):
        kernel.table.flush(handle.number)
    kernel.table.release(handle.number)
    assert office.heard == [b"this"]  # a request that failed isn't tried again behind the writer's back
    answer = json.loads(kernel.read(b".anvcs/commit"))
    assert (answer["ok"], answer["message"]) == (False, "in the way")
    assert json.loads(kernel.read(b".anvcs/status"))["last_error"] == answer
    office.fails = None
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"that")
    kernel.close(handle)
    assert kernel.read(b".anvcs/commit") == b"did that"
    assert json.loads(kernel.read(b".anvcs/status"))["last_error"] is None


def test_a_request_has_its_limit(office: Office, kernel: FakeKernel):
    handle = office.open()
    kernel.put(handle, b"x", (1 << 20) - 1)
    with refused(errno.EFBIG):
        kernel.put(handle, b"xx", (1 << 20) - 1)


def test_a_request_makes_the_file_newer(office: Office, kernel: FakeKernel):
    before = kernel.stat(b".anvcs/commit")
    handle = office.open(os.O_WRONLY)
    kernel.put(handle, b"this")
    kernel.close(handle)
    after = kernel.stat(b".anvcs/commit")
    assert after.mtime_ns > before.mtime_ns
    assert after.size == len(b"did this")


# Files


def test_reports_are_read_and_not_written(kernel: FakeKernel):
    with refused(errno.EACCES):
        kernel.open(b".anvcs/status", os.O_WRONLY)
    with refused(errno.EACCES):
        kernel.open(b".anvcs/log", os.O_RDWR)
    assert kernel.stat(b".anvcs/status").mode == 0o100444
    assert kernel.stat(b".anvcs/commit").mode == 0o100644


def test_tools_may_truncate_what_they_write_to(kernel: FakeKernel):
    kernel.set(b".anvcs/commit", size=0)
    assert kernel.read(b".anvcs/commit").startswith(b"# Write a message")
    with refused(errno.EPERM):
        kernel.set(b".anvcs/commit", mode=0o600)


def test_the_status_tells_of_every_change(kernel: FakeKernel):
    def changed() -> dict[str, str]:
        return {item["path"]: item["status"] for item in json.loads(kernel.read(b".anvcs/status"))["changed"]}

    assert changed() == {}
    kernel.write(b"main.py", b"x\n")
    kernel.write(b"new.py", b"x\n")
    kernel.write(b"odd-\xff.py", b"x\n")
    kernel.unlink(b"other.py")
    kernel.rename(b"src/a.py", b"src/z.py")
    assert changed() == {
        "main.py": "M",
        "new.py": "A",
        "odd-\\xff.py": "A",
        "other.py": "D",
        "src/a.py": "D",
        "src/z.py": "A",
    }


def test_an_open_report_does_not_change_under_its_reader(kernel: FakeKernel):
    handle = kernel.open(b".anvcs/status")
    before = kernel.get(handle)
    kernel.write(b"main.py", b"x\n")
    assert kernel.get(handle) == before
    kernel.close(handle)
    assert kernel.read(b".anvcs/status") != before


def test_the_log_is_made_in_a_thread_and_kept(kernel: FakeKernel):
    assert b"start" in kernel.read(b".anvcs/log")
    assert kernel.waits == 1
    kernel.read(b".anvcs/log")
    assert kernel.waits == 1


# The journal, as Git's fsmonitor reads it


def ask(kernel: FakeKernel, token: bytes) -> tuple[bytes, list[bytes]]:
    """New token and changed paths since *token*."""
    fresh, *paths = kernel.read(b".anvcs/fsmonitor/" + token).rstrip(b"\0").split(b"\0")
    return fresh, paths


def test_git_hears_each_change_once(kernel: FakeKernel):
    token, everything = ask(kernel, b"first")
    assert everything == [b"/"]
    assert ask(kernel, token) == (token, [])
    kernel.write(b"main.py", b"x\n")
    kernel.write(b"main.py", b"y\n")
    kernel.write(b"src/new.py", b"x\n")
    kernel.write(b"noise.log", b"x\n")
    later, paths = ask(kernel, token)
    assert sorted(paths) == [b"main.py", b"noise.log", b"src/new.py"]
    assert ask(kernel, later) == (later, [])
    assert sorted(ask(kernel, token)[1]) == sorted(paths)  # an older token still does


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda kernel: kernel.rename(b"main.py", b"moved.py"), {b"main.py", b"moved.py"}),
        (lambda kernel: kernel.rename(b"src", b"lib"), {b"src/", b"lib/"}),
        (lambda kernel: kernel.unlink(b"main.py"), {b"main.py"}),
        (lambda kernel: kernel.set(b"main.py", mode=0o755), {b"main.py"}),
        (lambda kernel: kernel.set(b"main.py", size=0), {b"main.py"}),
        (lambda kernel: kernel.link(b"main.py", b"second.py"), {b"second.py"}),
        (lambda kernel: kernel.symlink(b"main.py", b"pointer"), {b"pointer"}),
        (lambda kernel: kernel.read(b"main.py"), set()),
        (lambda kernel: kernel.walk(), set()),
    ],
)
def test_git_hears_of_changes_of_every_kind(kernel: FakeKernel, change, expected: set[bytes]):
    token, _ = ask(kernel, b"first")
    change(kernel)
    assert expected == {path for path in ask(kernel, token)[1] if not path.startswith(b".anvcs")}


def test_a_token_that_means_nothing_here_asks_for_everything(kernel: FakeKernel, make_kernel):
    kernel.write(b"main.py", b"x\n")
    token, _ = ask(kernel, b"first")
    for odd in (b"0", b"1:2", token.partition(b":")[0], token + b"x", token.partition(b":")[0] + b":-1"):
        assert ask(kernel, odd)[1] == [b"/"]
    assert ask(make_kernel(), token)[1] == [b"/"]


def test_a_token_leaves_no_node_behind(kernel: FakeKernel):
    kernel.walk(b".anvcs")
    kernel.forget_all()
    start = len(kernel.table.inodes)
    token, _ = ask(kernel, b"first")
    for number in range(5):
        ask(kernel, token)
        kernel.stat(b".anvcs/fsmonitor/%d" % number)
        kernel.forget_all()
    assert len(kernel.table.inodes) == start
