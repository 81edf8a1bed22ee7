"""When a command of Git has ended, and what that means."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from anvcs.git import admin
from anvcs.model.ids import Oid
from anvcsfs import following
from anvcsfs.gitcommands import builds_on_head, command_of, discards, first_of
from anvcsfs.gitunits import GitUnits
from anvcsfs.movers import Movers


@pytest.fixture
def named_git(tmp_path: Path) -> Path:
    """A program called ``git`` that waits."""
    program = tmp_path / "git"
    program.symlink_to(os.path.realpath(sys.executable))
    return program


def waiting(program: Path, *words: str) -> "subprocess.Popen[bytes]":
    script = "import sys; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [program, "-c", script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("switch", "other"), "switch"),
        (("--no-pager", "-C", "checkout", "reset", "--hard"), "reset"),
        (("--git-dir=x", "--git-dir", "y", "stash"), "stash"),
        ((), ""),
    ],
)
def test_which_command(
    named_git: Path, processes: list["subprocess.Popen[bytes]"], words: tuple[str, ...], command: str
):
    processes.append(waiting(named_git, *words))
    assert command_of(processes[0].pid) == command
    assert builds_on_head(processes[0].pid) is (command != "")
    assert first_of(processes[0].pid) == processes[0].pid


def test_others_are_not_git(processes: list["subprocess.Popen[bytes]"]):
    assert command_of(os.getpid()) is None
    assert command_of(0) is None
    assert command_of(2**22 + 1) is None


def test_the_process_that_a_command_began_with(named_git: Path, processes: list["subprocess.Popen[bytes]"]):
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.argv[1], '-c', 'import sys; sys.stdin.read()', 'reset', '--hard'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    process = subprocess.Popen(
        [named_git, "-c", script, str(named_git)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    processes.append(process)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert first_of(child) == process.pid
    assert not builds_on_head(child)  # a part of another command
    process.kill()
    os.kill(child, 9)


@pytest.mark.parametrize(
    ("command", "first", "expected"),
    [
        ("reset", "reset", True),
        ("checkout", "checkout", True),
        ("clean", "stash", True),
        ("apply", "stash", True),
        ("apply", "apply", False),
        ("stash", "stash", False),
        ("merge", "pull", False),
        ("rebase", "rebase", False),
    ],
)
def test_which_commands_discard(command: str, first: str, expected: bool):
    assert discards(command, first) is expected


class _Commands:
    """A command under way; what is looked at is noted."""

    def __init__(self, looked: list[str]) -> None:
        self._looked = looked
        self.unit = object()

    @property
    def is_over(self) -> bool:
        self._looked.append("over")
        return False


def test_one_look_at_head_tells_where_a_command_went(monkeypatch: pytest.MonkeyPatch):
    """A rebase leaves its branch and is back at once: two looks would see a command that left, and a view that stayed.

    Whether the command has ended is asked before: one that moves HEAD between the two has not.
    """
    looked: list[str] = []
    commit = Oid(b"1" * 20)
    heads = iter([admin.Detached(commit), admin.Branch("refs/heads/main")])

    def read_head(_: Path) -> admin.Head:
        looked.append("head")
        return next(heads)

    monkeypatch.setattr(admin, "read_head", read_head)
    follower = MagicMock(committing=False, behind=None, units=_Commands(looked))
    follower._view.stream, follower._view.detached = "main", False
    following.Follower.follow(follower)
    assert looked == ["over", "head"]
    settled = follower._settle.call_args
    assert (settled.args[1], settled.kwargs["over"]) == (admin.Detached(commit), False)
    follower._switch.assert_called_once_with("main", commit, detached=True)


def test_nothing_is_written_before_a_moved_head_is_followed(tmp_path: Path):
    """``git switch -c`` writes no file: what comes right after it belongs to the new branch."""
    view = SimpleNamespace(folder=tmp_path, stream="main", detached=False, read_only=False, lost=False)
    units = GitUnits(view, tmp_path, MagicMock())
    followed: list[str] = []

    def follow() -> None:
        head = admin.read_head(tmp_path)
        view.detached = isinstance(head, admin.Detached)
        followed.append("a commit" if isinstance(head, admin.Detached) else head.name)

    units.moved_on = follow
    units.enter(os.getpid())  # no HEAD at all: the repository is gone
    (tmp_path / "HEAD").write_text("ref: refs/heads/main\n")
    units.enter(os.getpid())
    assert followed == []
    (tmp_path / "HEAD.lock").write_text("1" * 40 + "\n")
    (tmp_path / "HEAD.lock").rename(tmp_path / "HEAD")
    units.enter(os.getpid())
    units.enter(os.getpid())
    assert followed == ["a commit"]
    (tmp_path / "HEAD.lock").write_text("ref: refs/heads/topic\n")
    (tmp_path / "HEAD.lock").rename(tmp_path / "HEAD")
    units.enter(os.getpid())
    assert followed == ["a commit", "refs/heads/topic"]


def head_log(admin: Path, *moves: tuple[str, str]) -> None:
    (admin / "logs").mkdir(exist_ok=True, parents=True)
    with (admin / "logs" / "HEAD").open("a") as log:
        for old, new in moves:
            log.write(f"{old * 40} {new * 40} N <e> 0 +0000\tcommit: x\n")


def test_what_heads_log_tells_counts_once(tmp_path: Path):
    folder, admin = tmp_path / "views" / "v", tmp_path / "views" / "v" / "git"
    folder.mkdir(parents=True)
    one, two = bytes.fromhex("1" * 40), bytes.fromhex("2" * 40)
    head_log(admin, ("0", "1"))
    movers = Movers(folder, admin)
    assert movers.here(one)
    assert not movers.here(two)
    movers.note(two)  # Git is about to move the branch: nothing is settled
    assert movers.here(one)
    movers.note(one)
    assert not movers.here(one)
    assert not Movers(folder, admin).here(one)
    head_log(admin, ("1", "2"))
    assert movers.here(two)
    assert movers.origin() == one
