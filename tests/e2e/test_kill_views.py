"""Several views of one stream are written to, one of them is killed: the others go on, and nothing acknowledged is lost."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from anvcs.rooms.fsck import fsck
from anvcs_tools.bench.crowd import start_agent
from anvcs_tools.bench.marks import lost_edits
from anvcs_tools.bench.storm import FILES, make_repository
from anvcs_tools.bench.views import MountedView
from support import writer as writer_module
from support.journal import Promises, content
from support.sharing import edit, make_small_repository, read, shows
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]
VIEWS = 3
FOLDER = "written"


class Writing:
    """A writer in one view, and what it was promised."""

    def __init__(self, view: MountedView, name: str) -> None:
        self.view, self.name = view, name
        self.promises = Promises()
        self.last: list[object] = []

    @property
    def top(self) -> Path:
        return self.view.path / FOLDER

    def start(self, stack: ExitStack, seed: int) -> None:
        command = [sys.executable, writer_module.__file__, str(self.top), f"{self.name}-{seed}", str(seed)]
        self.process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/"))
        stack.callback(self.process.kill)

    def steps(self, count: int) -> None:
        """Follow it for so many lines."""
        for _ in range(count):
            self.take(self.process.stdout.readline())

    def take(self, line: bytes) -> None:
        assert line, f"{self.name} ended: {self.last}"
        self.last = json.loads(line)
        assert self.last[0] in ("try", "done"), f"{self.name} met {self.last}"
        self.promises.take(self.last)

    def rest(self) -> None:
        """Follow it to its end, however that comes."""
        for line in self.process.stdout:
            with suppress(json.JSONDecodeError):  # it was stopped in the middle of a line
                self.last = json.loads(line)
                self.promises.take(self.last)
        self.process.wait(20)

    def shared_elsewhere(self, top: Path) -> list[str]:
        """A line for each promise about shared contents that another view does not show."""
        uncertain = {word for word in self.promises.pending[1:] if isinstance(word, str)}
        return [
            f"{name}: promised {wanted[:12]}, {top} shows {content(top / name)[:12]}"
            for name, wanted in self.promises.contents.items()
            if not name.endswith(".local") and name not in uncertain and content(top / name) != wanted
        ]


def one_round(writings: list[Writing], chance: random.Random, seed: int) -> None:
    with ExitStack() as stack:
        for number, writing in enumerate(writings):
            writing.start(stack, seed * 10 + number)
        victim = chance.choice(writings)
        victim.steps(chance.randrange(5, 120))
        victim.view.kill()
        victim.rest()
        assert victim.last[0] == "gone", f"the writer met an error while its view died: {victim.last}"
        for writing in writings:
            if writing is not victim:
                writing.steps(100)  # whatever the dead one held, it does not hold them up
                writing.process.terminate()
                writing.rest()
    victim.view.remount()


def check(writings: list[Writing]) -> None:
    for writing in writings:
        assert not (broken := writing.promises.broken(writing.top)), "\n".join(broken[:10])
        for other in writings:
            _eventually_none(lambda one=writing, top=other.top: one.shared_elsewhere(top))
        writing.promises.adopt(writing.top)


def _eventually_none(lines: Callable[[], list[str]]) -> None:
    """What is new is published after half a second, so other views are given some time."""
    found: list[str] = []

    def none_left() -> bool:
        found[:] = lines()
        return not found

    with suppress(AssertionError):
        eventually(none_left)
    assert not found, "\n".join(found[:10])


def rounds(views: list[MountedView], count: int, seed: int) -> None:
    chance = random.Random(seed)
    (views[0].path / FOLDER).mkdir()
    writings = [Writing(view, f"w{number}") for number, view in enumerate(views)]
    for writing in writings:
        eventually(writing.top.is_dir)
    for number in range(count):
        one_round(writings, chance, seed + number)
        check(writings)
    (room,) = (views[0].store / "rooms").glob("*.sqlite")
    for view in views:
        view.unmount()
    assert fsck(room).ok


@pytest.fixture
def views(repository: Path, tmp_path: Path, mounted) -> list[MountedView]:
    return [mounted(repository, tmp_path / f"view{number}", "--agent", f"w{number}") for number in range(VIEWS)]


def test_a_killed_view_takes_nothing_along(views):
    rounds(views, 2, seed=7)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [100, 200, 300, 400])
def test_many_kills_of_views(views, seed):
    rounds(views, 12, seed=seed)


def test_who_read_what_outlives_a_kill(tmp_path: Path, mounted):
    """A save is a patch against what its writer had read, also when the view that showed it has been killed meanwhile."""
    repository = make_small_repository(tmp_path / "repository")
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann")
    bob = mounted(repository, tmp_path / "bob", "--agent", "bob")
    seen = read(ann)
    readers = ann.store / "views" / "ann" / "readers"
    eventually(lambda: readers.exists() and b'"text"' in readers.read_bytes(), what="who has read it, on disk")
    ann.kill()
    edit(bob, "line 9\n", "bob's 9\n")
    ann.mount()
    (ann.path / "text").write_text(seen.replace("line 2\n", "ann's 2\n"))
    merged = read(bob).replace("line 2\n", "ann's 2\n")
    for view in (ann, bob):
        shows(view, "text", merged)


def test_agents_in_the_same_files_are_not_disturbed_by_a_kill(tmp_path: Path, mounted):
    """One view of a small storm is killed: the agents of the others end as if nothing had been."""
    repository = make_repository(tmp_path / "repository.git")
    views = [mounted(repository, tmp_path / f"view{number}", "--agent", f"agent{number}") for number in range(VIEWS)]
    with ExitStack() as stack:
        agents = [
            stack.enter_context(start_agent(view.path, f"agent{number}", FILES, 15, seed=number))
            for number, view in enumerate(views)
        ]
        for agent in agents:
            agent.ready()
        for agent in agents:
            agent.begin()
        agents[0].wait_for_saves(3)
        views[0].kill()
        told = [agent.ended() for agent in agents]
    views[0].remount()
    assert [one["saves"] for one in told[1:]] == [15, 15]
    assert told[0]["saves"] < 15
    for view in views:
        _eventually_none(lambda top=view.path: lost_in(top, told))


def lost_in(top: Path, told: list[dict]) -> list[str]:
    """Marks that *top* lacks, but for what was under way when the view died."""
    lines = []
    for name in FILES:
        uncertain = {mark.encode() for one in told for mark in one["uncertain"].get(name, ())}
        wanted = [{k.encode(): v.encode() for k, v in one["marks"].get(name, {}).items()} for one in told]
        lines += [f"{name}: {line}" for line in lost_edits((top / name).read_bytes(), wanted, uncertain)]
    return lines
