"""A merge that ends while its guards run leaves nothing behind: no mount, no view, no folder, no process."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from anvcs.mounts import mounts
from anvcs_tools.bench.views import COMMAND, ai_vcs, environment
from support.merge_commands import branched
from support.merges import trust_commands
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository whose guard says who it is, and never ends."""
    script = f"cd {tmp_path}\necho $$ >> pids\nsetsid sleep 1000 & echo $! >> pids\ntouch runs\nwait\n"
    (tmp_path / "guard").write_text(script)
    config = {"ai-vcs.config.yaml": f"merge:\n  guards: ['sh {tmp_path}/guard']\n"}
    base = {"a": "a\n", **config}
    place = branched(tmp_path / "repository", base, base | {"b": "b\n"}, base | {"c": "c\n"})
    trust_commands(place)
    return place


def started(place: Path) -> "subprocess.Popen[bytes]":
    """A merge whose guard runs."""
    temporary = place.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [*COMMAND, "merge", "side"], cwd=place, env=environment({"TMPDIR": str(temporary)}),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually((place.parent / "runs").exists, timeout=60, what="the guard runs")
    return process


def leftovers(place: Path) -> list[str]:
    found = [str(path) for path in (place.parent / "tmp").iterdir()]
    found += [str(mount.path) for mount in mounts() if mount.path.is_relative_to(place.parent / "tmp")]
    found += [path.name for path in (place / ".git/anvcs/views").glob("guard-*")]
    pids = (place.parent / "pids").read_text().split()
    return found + [pid for pid in pids if Path(f"/proc/{pid}/environ").exists() and is_running(int(pid))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left(number: signal.Signals, place: Path) -> None:
    process = started(place)
    process.send_signal(number)
    process.wait()
    eventually(lambda: leftovers(place) == [], timeout=60, what="everything is gone")
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number


def test_the_next_command_clears_up_what_nobody_could(place: Path) -> None:
    process = started(place)
    os.kill(process.pid, signal.SIGSTOP)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in [*map(int, children), process.pid]:  # the one that shows the view, too
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert any(name.startswith("guard-") for name in os.listdir(place / ".git/anvcs/views"))
    told = json.loads(ai_vcs("views", "--json", cwd=place, env={"TMPDIR": str(place.parent / "tmp")}))
    assert told["views"] == []
    eventually(lambda: leftovers(place) == [], timeout=60, what="everything is gone")


def test_a_merge_that_goes_on_is_left_alone(place: Path) -> None:
    process = started(place)
    try:
        before = leftovers(place)
        told = json.loads(ai_vcs("views", "--json", cwd=place, env={"TMPDIR": str(place.parent / "tmp")}))
        assert [view["view"].partition("-")[0] for view in told["views"]] == ["guard"]
        assert leftovers(place) == before
    finally:
        process.terminate()
        process.wait()
