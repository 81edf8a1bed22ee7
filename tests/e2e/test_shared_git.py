"""Git commands in one of several views: they act on that view, and peers see whole steps or nothing."""

import os
import signal
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs
from support.fixtures import Mounts
from support.programs import git, run
from support.sharing import (
    LINES,
    changed,
    edit,
    make_small_repository,
    ops,
    published,
    read,
    seq,
    shows,
    slow_git,
    status,
)
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

Pair = tuple[MountedView, MountedView]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_small_repository(tmp_path / "repository")


@pytest.fixture
def pair(repository: Path, tmp_path: Path, mounted: Mounts) -> Pair:
    """Views of ann and bob on ``main``."""
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann")
    bob = mounted(repository, tmp_path / "bob", "--agent", "bob")
    return ann, bob


@pytest.fixture
def standing(repository: Path, tmp_path: Path, mounted: Mounts) -> Pair:
    """As `pair`, but ann's view shows peers' work only when it is asked to."""
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann", "--follow", "manual")
    bob = mounted(repository, tmp_path / "bob", "--agent", "bob")
    return ann, bob


def both_edit(ann: MountedView, bob: MountedView) -> str:
    """Each changes a line of the same file, bob makes a file of his own; the text without ann's line."""
    before = read(ann)
    edit(ann, "line 2\n", "ann's 2\n")
    shows(bob, "text", before.replace("line 2\n", "ann's 2\n"))
    edit(bob, "line 9\n", "bob's 9\n")
    (bob.path / "bobs").write_text("bob's\n")
    published(bob, "bobs")
    shows(ann, "bobs", "bob's\n")
    return before.replace("line 9\n", "bob's 9\n")


@pytest.mark.parametrize(
    "command",
    [
        ("reset", "-q", "--hard"),
        ("checkout", "-q", "--", "."),
        ("checkout", "-q", "HEAD", "--", "text"),
        ("restore", "text"),
        ("stash", "push", "-q"),
        ("stash", "push", "-q", "--", "text"),
    ],
    ids=" ".join,
)
def test_discarding_drops_the_agents_own_work_only(pair: Pair, command: tuple[str, ...]):
    ann, bob = pair
    rest = both_edit(ann, bob)
    git(*command, cwd=ann.path)
    for view in pair:
        shows(view, "text", rest)
        assert status(view) == [" M text", "?? bobs"]
        assert read(view, "bobs") == "bob's\n"


def test_clean_leaves_what_others_made(pair: Pair):
    ann, bob = pair
    both_edit(ann, bob)
    (ann.path / "anns").write_text("ann's\n")
    published(ann, "anns")
    git("clean", "-qfd", cwd=ann.path)
    for view in pair:
        eventually(lambda view=view: status(view) == [" M text", "?? bobs"], what="ann's file gone")
    assert read(ann, "bobs") == "bob's\n"


def test_stash_and_pop_are_one_step_each(pair: Pair):
    ann, bob = pair
    edit(ann, "line 2\n", "ann's 2\n")
    edit(ann, "doc\n", "ann's doc\n", "doc")
    git("stash", "-q", cwd=ann.path)
    shows(bob, "text", LINES)
    before = seq(bob)
    git("stash", "pop", "-q", cwd=ann.path)
    shows(bob, "doc", "ann's doc\n")
    assert read(bob) == LINES.replace("line 2\n", "ann's 2\n")
    assert [(op["kind"], op["agent"]) for op in ops(bob, before)] == [("git", "ann")]
    assert status(ann) == status(bob) == [" M doc", " M text"]


def test_a_merge_is_seen_when_it_is_done(pair: Pair, repository: Path, tmp_path: Path):
    """While it runs (here: its hook waits) peers see what was; they work on, and both is there at the end."""
    ann, bob = pair
    waiting, go = tmp_path / "waiting", tmp_path / "go"
    hook = repository / ".git" / "hooks" / "pre-merge-commit"
    hook.write_text(f"#!/bin/sh\ntouch {waiting}\nuntil [ -e {go} ]; do sleep 0.02; done\n")
    hook.chmod(0o755)
    git("switch", "-q", "-c", "ahead", cwd=repository)
    pid = os.fork()
    if pid == 0:
        try:
            os.execvp("git", ["git", "-C", str(ann.path), "merge", "-q", "--no-ff", "--no-edit", "side"])
        finally:
            os._exit(127)
    eventually(waiting.exists, what="the hook")
    assert read(ann, "doc") == "doc\nside\n"
    assert read(bob, "doc") == "doc\n"
    assert status(bob) == []
    edit(bob, "line 9\n", "bob's 9\n")
    go.touch()
    assert os.waitpid(pid, 0)[1] == 0
    assert status(bob) == [" M text"]
    for view in pair:
        shows(view, "doc", "doc\nside\n")
        shows(view, "text", LINES.replace("line 9\n", "bob's 9\n"))
        assert status(view) == [" M text"]


def test_a_conflicting_merge_reaches_the_room_as_one(pair: Pair, repository: Path):
    ann, bob = pair
    edit(ann, "line 12\n", "main\n")
    git("commit", "-qam", "main changes it too", cwd=ann.path)
    shows(bob, "text", LINES.replace("line 12\n", "main\n"))
    before = seq(bob)
    assert run("git", "merge", "-q", "other", cwd=ann.path).code == 1
    eventually(lambda: "<<<<<<<" in read(bob), what="the conflict")
    assert [op["kind"] for op in ops(bob, before)] == ["git"]
    assert not (bob.path / "gone").exists()
    git("merge", "--abort", cwd=ann.path)
    shows(bob, "text", LINES.replace("line 12\n", "main\n"))
    assert status(ann) == status(bob) == []


@pytest.mark.parametrize(
    "command", [("revert", "--no-edit", "HEAD"), ("cherry-pick", "side"), ("revert", "-n", "HEAD")]
)
def test_commands_that_commit_leave_others_uncommitted_work(pair: Pair, command: tuple[str, ...]):
    ann, bob = pair
    edit(ann, "doc\n", "doc\nmore\n" if command[0] == "revert" else "doc\n", "doc")
    if command[0] == "revert":
        git("commit", "-qam", "more", cwd=ann.path)
    edit(bob, "line 9\n", "bob's 9\n")
    shows(ann, "text", LINES.replace("line 9\n", "bob's 9\n"))
    git(*command, cwd=ann.path)
    expected = "doc\nside\n" if command[0] == "cherry-pick" else "doc\n"
    for view in pair:
        shows(view, "doc", expected)
        assert read(view) == LINES.replace("line 9\n", "bob's 9\n")
    staged = ["M  doc", " M text"] if "-n" in command else [" M text"]
    assert status(ann) == sorted(staged)
    assert status(bob) == ([" M doc", " M text"] if "-n" in command else [" M text"])


def test_switching_moves_nothing(pair: Pair, repository: Path):
    ann, bob = pair
    edit(bob, "doc\n", "bob's doc\n", "doc")
    shows(ann, "doc", "bob's doc\n")
    before = seq(bob)
    git("switch", "-q", "other", cwd=ann.path)
    shows(ann, "doc", "doc\n")
    assert sorted(path.name for path in ann.path.iterdir() if not path.name.startswith(".")) == [
        "dir",
        "doc",
        "fresh",
        "text",
    ]
    assert status(ann) == []
    assert status(bob) == [" M doc"]
    assert ops(bob, before) == []
    edit(ann, "line 1\n", "ann on other\n")
    git("switch", "-q", "-f", "main", cwd=ann.path)
    shows(ann, "doc", "bob's doc\n")
    assert read(ann) == LINES
    assert status(ann) == [" M doc"]
    git("switch", "-q", "other", cwd=ann.path)
    assert "ann on other\n" in read(ann)
    assert status(ann) == [" M text"]
    assert ops(bob, before) == []


def test_half_a_switch_is_nobodys_and_saves_meanwhile_are_kept(pair: Pair, tmp_path: Path):
    ann, bob = pair
    edit(ann, "file\n", "uncommitted\n", "dir/file")
    shows(bob, "dir/file", "uncommitted\n")
    before = seq(bob)
    with slow_git(ann, "switch", tmp_path) as slow:
        slow.do("write", "text", LINES.replace("line 12\n", "other\n").replace("\n", "|"))
        slow.do("unlink", "gone")
        assert "other\n" in read(ann)
        assert read(bob) == LINES
        assert (bob.path / "gone").exists()
        edit(ann, "doc\n", "saved meanwhile\n", "doc")
        edit(bob, "line 3\n", "bob's 3\n")
        slow.do("write", "fresh", "fresh|")
        slow.do("index")
        slow.do("head", "other")
        slow.end()
    shows(ann, "doc", "doc\n")
    assert read(ann) == LINES.replace("line 12\n", "other\n")
    assert read(ann, "dir/file") == "file\n"
    shows(bob, "doc", "saved meanwhile\n")
    assert changed(bob) == ["dir/file", "doc", "text"]
    assert read(bob) == LINES.replace("line 3\n", "bob's 3\n")
    assert [op["kind"] for op in ops(bob, before) if op["agent"] == "ann"] == ["git"]


@pytest.mark.parametrize("end", ["died before its index", "died before HEAD", "gave up"])
def test_a_command_that_fails_leaves_the_room_alone(pair: Pair, tmp_path: Path, end: str):
    ann, bob = pair
    with slow_git(ann, "switch", tmp_path) as slow:
        slow.do("write", "text", "half|")
        slow.do("unlink", "gone")
        assert read(ann) == "half\n"
        if end == "gave up":
            slow.do("give-up")
            slow.end()
        else:
            slow.process.send_signal(signal.SIGKILL)
            slow.process.wait(20)
    shows(ann, "text", LINES)
    assert (ann.path / "gone").exists()
    assert changed(bob) == changed(ann) == []


@pytest.mark.parametrize("moved", [False, True])
def test_the_view_dies_in_the_middle_of_a_switch(pair: Pair, tmp_path: Path, moved: bool):
    """Nothing acknowledged is lost, and nothing half-way reaches the room."""
    ann, bob = pair
    edit(ann, "file\n", "uncommitted\n", "dir/file")
    with slow_git(ann, "switch", tmp_path) as slow:
        slow.do("write", "text", LINES.replace("line 12\n", "other\n").replace("\n", "|"))
        slow.do("unlink", "gone")
        edit(ann, "doc\n", "saved meanwhile\n", "doc")
        ann.kill()
        if moved:
            slow.do("index")
            slow.do("head", "other")
        else:
            slow.do("give-up")
        slow.end()
    assert read(bob, "doc") == "doc\n"
    ann.options = ("--agent", "ann")  # whatever stream it shows by now
    ann.mount()
    shows(bob, "doc", "saved meanwhile\n")
    assert read(bob, "dir/file") == "uncommitted\n"
    assert changed(bob) == ["dir/file", "doc"]
    assert read(bob) == LINES
    if moved:
        assert (ann.control / "stream").read_text() == "other\n"
        assert changed(ann) == []
        git("reset", "-q", "--hard", cwd=ann.path)
        assert read(ann, "fresh") == "fresh\n"
    else:
        assert changed(ann) == ["dir/file", "doc"]
    assert not list((ann.store / "views" / "ann").glob("aside*"))


def test_a_detached_head_is_out_of_the_room_until_it_returns(pair: Pair):
    ann, bob = pair
    edit(ann, "line 5\n", "ann's 5\n")
    git("commit", "-qam", "five", cwd=ann.path)
    both_edit(ann, bob)
    before = seq(bob)
    git("stash", "-q", cwd=ann.path)
    git("switch", "-q", "-f", "--detach", "HEAD~1", cwd=ann.path)
    assert read(ann) == LINES
    assert status(ann) == []
    edit(bob, "line 11\n", "bob's 11\n")
    edit(ann, "file\n", "while detached\n", "dir/file")
    assert read(ann) == LINES
    assert read(bob, "dir/file") == "file\n"
    git("switch", "-q", "main", cwd=ann.path)
    rest = LINES.replace("line 5", "ann's 5").replace("line 9", "bob's 9").replace("line 11", "bob's 11")
    for view in pair:
        shows(view, "dir/file", "while detached\n")
        shows(view, "text", rest)
        assert status(view) == [" M dir/file", " M text", "?? bobs"]
    assert "git" in [op["kind"] for op in ops(bob, before)]
    assert not list((ann.store / "rooms").glob("*7Eann*")) + list((ann.store / "rooms").glob("~ann*"))


def test_a_rebase_and_a_bisection_while_others_work(pair: Pair):
    ann, bob = pair
    git("switch", "-q", "-c", "topic", cwd=ann.path)
    (ann.path / "topic").write_text("topic\n")
    git("add", "topic", cwd=ann.path)
    git("commit", "-qm", "topic", cwd=ann.path)
    edit(bob, "line 9\n", "bob's 9\n")
    git("commit", "-qam", "nine", cwd=bob.path)
    edit(bob, "line 11\n", "bob's 11\n")
    git("rebase", "-q", "main", cwd=ann.path)
    assert read(ann) == LINES.replace("line 9\n", "bob's 9\n")
    assert status(ann) == []
    git("bisect", "start", "HEAD", "HEAD~2", cwd=ann.path)
    git("bisect", "run", "grep", "-q", "line 9", "text", cwd=ann.path)
    git("bisect", "reset", cwd=ann.path)
    assert status(ann) == []
    assert (ann.control / "stream").read_text() == "topic\n"
    assert status(bob) == [" M text"]
    assert not (bob.path / "topic").exists()


def test_a_rebase_under_uncommitted_work(pair: Pair, repository: Path):
    """A room keeps its work while HEAD is elsewhere: Git neither refuses nor puts anything aside."""
    ann, bob = pair
    git("switch", "-q", "-c", "up", "side", cwd=repository)
    (repository / "dir" / "file").write_text("up\n")
    git("commit", "-qam", "up", cwd=repository)
    git("switch", "-q", "--detach", cwd=repository)
    both_edit(ann, bob)
    rest = read(ann)
    (ann.path / "anns").write_text("ann's\n")
    git("add", "anns", cwd=ann.path)
    git("commit", "-qm", "anns", cwd=ann.path)
    git("rebase", "-q", "up", cwd=ann.path)
    assert git("log", "--format=%s", "main", cwd=repository).splitlines() == ["anns", "up", "side", "main"]
    assert git("stash", "list", cwd=ann.path) == ""
    for view in pair:
        shows(view, "dir/file", "up\n")
        shows(view, "text", rest)
        assert status(view) == [" M text", "?? bobs"]


def test_a_merge_that_puts_uncommitted_work_aside_and_stops(pair: Pair, repository: Path):
    """What others have not committed stays in the room, whatever becomes of the merge."""
    ann, bob = pair
    edit(bob, "line 9\n", "bob's 9\n")
    edit(bob, "doc\n", "bob's doc\n", "doc")
    shows(ann, "doc", "bob's doc\n")
    (ann.path / "fresh").write_text("ann's\n")
    git("add", "fresh", cwd=ann.path)
    git("commit", "-qm", "fresh", cwd=ann.path)
    assert run("git", "merge", "-q", "--autostash", "other", cwd=ann.path).code == 1  # both made the file fresh
    merged = LINES.replace("line 9\n", "bob's 9\n").replace("line 12\n", "other\n")
    for view in pair:
        shows(view, "text", merged)
        shows(view, "doc", "bob's doc\n")
    git("reset", "-q", "--hard", cwd=ann.path)
    for view in pair:
        shows(view, "text", LINES.replace("line 9\n", "bob's 9\n"))
        shows(view, "doc", "bob's doc\n")


def test_ways_round_what_git_refuses(pair: Pair):
    """Git counts others' uncommitted work as changes of this work tree; nothing is lost by insisting."""
    ann, bob = pair
    both_edit(ann, bob)
    text = read(ann)
    assert "would be overwritten" in run("git", "switch", "other", cwd=ann.path).errors
    git("switch", "-q", "-f", "other", cwd=ann.path)
    assert read(ann) == LINES.replace("line 12\n", "other\n")
    git("switch", "-q", "-f", "main", cwd=ann.path)
    assert read(ann) == read(bob) == text
    git("stash", "-q", cwd=ann.path)
    shows(bob, "text", text.replace("ann's 2\n", "line 2\n"))
    assert "would be overwritten" in run("git", "stash", "pop", cwd=ann.path).errors
    git("restore", "--source=stash@{0}", "--", "text", cwd=ann.path)
    git("stash", "drop", "-q", cwd=ann.path)
    for view in pair:
        shows(view, "text", text)
    assert run("git", "merge", "-q", "other", cwd=ann.path).code != 0
    git("merge", "-q", "--no-edit", "--autostash", "other", cwd=ann.path)
    for view in pair:
        shows(view, "text", text.replace("line 12\n", "other\n"))
        assert status(view) == [" M text", "?? bobs"]


def stands(ann: MountedView, bob: MountedView, number: int) -> str:
    """Let bob change another line, which ann's view doesn't show; bob's text."""
    before = read(ann)
    edit(bob, f"line {number}\n", f"bob's {number}\n")
    assert read(ann) == before
    return read(bob)


@pytest.mark.parametrize("everything", [False, True])
def test_a_standing_view_commits_on_top_of_what_peers_committed(standing: Pair, repository: Path, *, everything: bool):
    """It takes in what they did first: its index and its files would undo that."""
    ann, bob = standing
    stands(ann, bob, 9)
    edit(bob, "doc\n", "bob's doc\n", "doc")
    git("commit", "-qam", "bob's", cwd=bob.path)
    text = stands(ann, bob, 3)
    (ann.path / "anns").write_text("ann's\n")
    git("add", "-A", cwd=ann.path)
    assert read(ann) == LINES
    git("commit", "-qm", "ann's", *(["-a"] if everything else []), cwd=ann.path)
    assert git("log", "--format=%s", "-2", "main", cwd=repository).splitlines() == ["ann's", "bob's"]
    taken = git("show", "--format=", "--name-only", "main", cwd=repository).split()
    assert taken == (["anns", "text"] if everything else ["anns"])
    assert git("show", "main:doc", cwd=repository) == "bob's doc"
    assert read(ann) == text
    rest = [] if everything else [" M text"]
    for view in standing:
        eventually(lambda view=view: status(view) == rest, what=f"status in {view.path}")
    stands(ann, bob, 5)


def test_a_standing_view_and_commands_that_discard(standing: Pair):
    ann, bob = standing
    for number, command in ((9, ("checkout", "--", "text")), (8, ("reset", "-q", "--hard"))):
        edit(ann, "line 2\n", "ann's 2\n")
        text = stands(ann, bob, number).replace("ann's 2\n", "line 2\n")
        git(*command, cwd=ann.path)
        for view in standing:
            shows(view, "text", text)
            assert status(view) == [" M text"]
    git("commit", "-qam", "bob's", cwd=bob.path)
    (ann.control / "sync").write_text("now")
    edit(ann, "line 2\n", "ann's 2\n")
    git("stash", "-q", cwd=ann.path)
    shows(bob, "text", text)
    text = stands(ann, bob, 12)
    git("commit", "-qam", "more of bob's", cwd=bob.path)
    git("stash", "pop", "-q", cwd=ann.path)
    for view in standing:
        shows(view, "text", text.replace("line 2\n", "ann's 2\n"))
        assert status(view) == [" M text"]
    stands(ann, bob, 3)


def test_a_standing_view_goes_elsewhere_and_comes_back(standing: Pair, repository: Path):
    ann, bob = standing
    (ann.path / "anns").write_text("ann's\n")
    git("add", "anns", cwd=ann.path)
    git("commit", "-qm", "anns", cwd=ann.path)
    text = stands(ann, bob, 9)
    git("switch", "-q", "side", cwd=ann.path)
    assert read(ann) == LINES
    git("switch", "-q", "main", cwd=ann.path)
    assert read(ann) == text
    text = stands(ann, bob, 8)
    git("rebase", "-q", "side", cwd=ann.path)
    assert git("log", "--format=%s", "main", cwd=repository).splitlines() == ["anns", "side", "main"]
    for view in standing:
        shows(view, "doc", "doc\nside\n")
        shows(view, "text", text)
        assert status(view) == [" M text"]
    stands(ann, bob, 3)
    assert (ann.control / "follow").read_text() == "manual\n"


def test_a_soft_reset_uncommits_for_everybody(pair: Pair):
    ann, bob = pair
    for number in range(4):
        edit(ann, f"line {number + 1}\n", f"commit {number}\n")
        git("commit", "-qam", f"commit {number}", cwd=ann.path)
    text = read(ann)
    for _ in range(3):
        git("reset", "-q", "--soft", "HEAD~1", cwd=ann.path)
        assert status(bob) == [" M text"]
        assert read(bob) == read(ann) == text
    assert status(ann) == ["M  text"]


def test_a_branch_that_comes_back_is_no_move_of_this_view(pair: Pair, repository: Path):
    """The last move that HEAD's log of a view tells may be old news."""
    ann, bob = pair
    edit(ann, "line 1\n", "one\n")
    git("commit", "-qam", "one", cwd=ann.path)
    first = git("rev-parse", "HEAD", cwd=ann.path)
    shows(bob, "text", LINES.replace("line 1\n", "one\n"))
    side = git("rev-parse", "side", cwd=repository)
    git("update-ref", "refs/heads/main", side, cwd=repository)
    for view in pair:
        shows(view, "doc", "doc\nside\n")
    git("update-ref", "refs/heads/main", first, cwd=repository)
    for view in pair:
        shows(view, "doc", "doc\n")
        assert status(view) == []


def test_git_mv_keeps_the_file(pair: Pair):
    ann, bob = pair
    git("mv", "text", "moved", cwd=ann.path)
    shows(bob, "moved", LINES)
    edit(bob, "line 3\n", "bob's 3\n", "moved")
    git("mv", "moved", "again", cwd=ann.path)
    eventually((bob.path / "again").exists, what="the rename")
    assert "bob's 3\n" in read(ann, "again")


def test_commands_of_a_view_that_was_mounted_again(pair: Pair):
    ann, bob = pair
    rest = both_edit(ann, bob)
    ann.remount()
    git("reset", "-q", "--hard", cwd=ann.path)
    shows(bob, "text", rest)
    assert status(ann) == [" M text", "?? bobs"]
    assert ai_vcs("status", "--json", cwd=ann.path)


def test_orphan_branches(pair: Pair):
    """They start from the files as they are, or from none; the room that is left keeps its work."""
    ann, _ = pair
    edit(ann, "line 1\n", "uncommitted\n")
    git("checkout", "-q", "--orphan", "lonely", cwd=ann.path)
    assert read(ann).startswith("uncommitted\n")
    assert status(ann) == ["A  .gitignore", "A  dir/file", "A  doc", "A  gone", "AM text"]
    git("commit", "-qam", "lonely", cwd=ann.path)
    assert status(ann) == []
    git("switch", "-q", "-f", "main", cwd=ann.path)
    assert read(ann).startswith("uncommitted\n")
    assert status(ann) == [" M text"]
    git("stash", "-q", cwd=ann.path)
    git("switch", "-q", "--orphan", "empty", cwd=ann.path)
    assert status(ann) == []
    assert [path.name for path in ann.path.iterdir() if path.name not in (".git", ".anvcs")] == []
    git("switch", "-q", "main", cwd=ann.path)
    assert read(ann) == LINES
    assert status(ann) == []
