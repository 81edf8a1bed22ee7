"""A command that is forked from the preloaded process is like one that was started."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from anvcs_tools.bench import views
from anvcs_tools.bench.views import MountedView, environment, run_command, start_command
from support.preloaded import Preloaded
from support.sharing import make_small_repository


@pytest.fixture
def repository(tmp_path) -> Path:
    path = make_small_repository(tmp_path / "repository")
    assert run_command("init", path).returncode == 0
    return path


def both(*words: str, cwd: Path | None = None) -> list[tuple[int, str, str]]:
    """What a command did, started and forked."""
    assert isinstance(views.runner, Preloaded)
    done = [run(words, cwd, environment()) for run in (start_command, views.runner)]
    return [(each.returncode, each.stdout, each.stderr) for each in done]


@pytest.mark.parametrize(
    "words",
    [["--version"], ["mount", "--help"], ["nonsense"], [], ["views", "--json"], ["status"], ["log"]],
    ids=" ".join,
)
def test_it_says_the_same(repository, words):
    started, forked = both(*words, cwd=repository)
    assert forked == started
    assert forked[1] or forked[2]


def test_it_has_its_own_directory_and_umask(repository, tmp_path):
    os.umask(0o077)
    try:
        assert run_command("init", cwd=make_small_repository(tmp_path / "private")).returncode == 0
    finally:
        os.umask(0o022)
    assert (tmp_path / "private" / ".git" / "anvcs").stat().st_mode & 0o077 == 0
    assert os.umask(0o022) == 0o022


def test_a_failure_is_told(repository):
    (repository / ".git" / "HEAD").unlink()
    for code, _, errors in both("status", cwd=repository):
        assert code
        assert errors


def test_other_variables_take_another_process(repository):
    assert run_command("views", cwd=repository, env={"LC_ALL": "C"}).returncode == 0
    done = run_command("--version", env={"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"})
    assert done.returncode != 0  # Python itself could not start


def test_many_at_once(repository):
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda _: run_command("views", "--json", cwd=repository).stdout, range(16)))
    assert len(set(told)) == 1


def traits(pid: int) -> dict[str, object]:
    """What a process inherits: signals, umask, rights, limits, session."""
    status = Path(f"/proc/{pid}/status").read_text()
    lines = [line for line in status.splitlines() if re.match(r"(Sig(Blk|Ign|Cgt)|Umask|NoNewPrivs|Cap\w+):", line)]
    return {"status": lines, "limits": Path(f"/proc/{pid}/limits").read_text(), "own session": os.getsid(pid) == pid}


def channels(pid: int) -> set[str]:
    """The open pipes and sockets of a process."""
    names = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            names.add(os.readlink(entry))
    return {name for name in names if name.startswith(("pipe:", "socket:"))}


@pytest.mark.fuse
def test_its_view_inherits_the_same(repository, tmp_path, monkeypatch):
    preloaded = views.runner
    found = []
    for runner in (start_command, preloaded):
        monkeypatch.setattr(views, "runner", runner)
        with MountedView(repository, tmp_path / "view", ("--stream", "main")) as view:
            found.append(traits(view.pid))
            assert channels(view.pid)
            assert not channels(view.pid) & (channels(os.getpid()) | channels(preloaded.pid))
    assert found[1] == found[0]


def test_the_process_ends_with_its_user():
    process = Preloaded()
    done = process(["--version"], None, environment())
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.stdout.startswith("ai-vcs ")
    process.close()
    assert not Path(f"/proc/{process.pid}").exists()
