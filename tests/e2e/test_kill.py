"""The serving process is killed at random moments; everything it acknowledged is there after a remount."""

import errno
import json
import os
import random
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, commit, run_command
from support import writer as writer_module
from support.journal import Promises
from support.kernel import fails
from support.programs import git
from support.trees import snapshot

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]
WRITERS = 3


@pytest.fixture
def view(repository: Path, tmp_path: Path, mounted) -> MountedView:
    return mounted(repository, tmp_path / "view")


def start(top: Path, name: str, seed: int) -> subprocess.Popen:
    command = [sys.executable, writer_module.__file__, str(top), name, str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/")


def one_round(view: MountedView, top: Path, promises: list[Promises], seed: int, steps: int) -> None:
    """Let all writers work, kill the server after *steps* lines of the first, collect what each was promised."""
    with ExitStack() as stack:
        writers = [
            stack.enter_context(start(top, f"w{seed}-{number}", seed * 100 + number)) for number in range(WRITERS)
        ]
        for _ in range(steps):
            line = writers[0].stdout.readline()
            assert line, "the writer ended before the kill"
            promises[0].take(json.loads(line))
        view.kill()
        for promise, process in zip(promises, writers, strict=True):
            last = []
            for line in process.stdout:
                last = json.loads(line)
                promise.take(last)
            assert last[0] == "gone", f"a writer met an error while the view died: {last}"
            process.wait(20)


def rounds(view: MountedView, count: int, seed: int) -> None:
    chance = random.Random(seed)
    top = view.path / "written"
    top.mkdir()
    promises = [Promises() for _ in range(WRITERS)]
    for number in range(count):
        one_round(view, top, promises, seed + number, chance.randrange(5, 250))
        view.remount()
        broken = [line for promise in promises for line in promise.broken(top)]
        assert not broken, f"round {number}: {len(broken)} promises broken:\n" + "\n".join(broken[:10])
        for promise in promises:
            promise.adopt(top)
    assert sum(len(promise.contents) for promise in promises) > count


def test_every_acknowledged_write_survives(view):
    rounds(view, 5, seed=1)
    git("fsck", "--strict", cwd=view.repository)
    before = snapshot(view.path)
    commit(view.path, "everything that survived")
    assert git("status", "--porcelain", cwd=view.path) == ""
    view.remount()
    assert snapshot(view.path) == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 108))
def test_many_kills(view, seed):
    rounds(view, 30, seed=seed)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_kill_while_git_commits(view, after):
    """A kill between any two steps of a commit leaves the old or the new state."""
    path = view.path / "project" / "notes.txt"
    path.write_text(path.read_text() + "uncommitted\n")
    before = git("rev-parse", "main", cwd=view.repository)
    tee = subprocess.Popen(
        ["tee", view.control / "commit"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    tee.stdin.write(b"killed in between\n")
    tee.stdin.close()
    for _ in range(after):
        git("rev-parse", "main", cwd=view.repository)  # takes about as long as a step of the commit
    view.kill()
    tee.wait(20)
    view.remount()
    head = git("rev-parse", "main", cwd=view.repository)
    status = git("status", "--porcelain", cwd=view.path)
    assert path.read_text().endswith("uncommitted\n")
    if head == before:
        assert status == " M project/notes.txt"
    else:
        assert git("rev-parse", "main^", cwd=view.repository) == before
        assert status == ""
        assert git("notes", "--ref=anvcs", "show", head, cwd=view.repository)
    git("fsck", "--strict", cwd=view.repository)


def test_names_modes_times_and_links_survive(view):
    top = view.path / "project"
    os.chmod(top / "run.sh", 0o700)
    os.utime(top / "app.py", ns=(1, 1_500_000_000_987_654_321))
    os.rename(top / "notes.txt", top / "deep" / "moved.txt")
    os.symlink("nowhere", top / "dangling")
    os.link(top / "main.c", top / "linked.c")
    os.mkdir(top / "hollow", 0o700)
    os.unlink(top / "crlf.txt")
    (top / "odd\nname-\N{SNAKE}").write_text("odd\n")
    before = snapshot(view.path, times=True)
    view.kill()
    view.remount()
    assert snapshot(view.path, times=True) == before
    assert os.path.samefile(top / "main.c", top / "linked.c")


def test_a_dead_view_says_so_and_can_be_unmounted(view):
    view.kill()
    with fails(errno.ENOTCONN):
        os.statvfs(view.path)  # stat may be answered from what the kernel knows
    states = json.loads(run_command("views", "--json", cwd=view.repository).stdout)["views"]
    assert [state["state"] for state in states] == ["stale"]
    assert run_command("umount", view.path).returncode == 0
    assert list(view.path.iterdir()) == []
    view.mount()
    assert (view.path / "project" / "app.py").exists()
