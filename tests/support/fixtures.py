"""Fixtures: repositories, mounted views, and a native twin to compare with."""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import pytest

from anvcs_tools.bench import views
from anvcs_tools.bench.views import MountedView, ai_vcs
from support.preloaded import Preloaded
from support.programs import git
from support.repositories import copy_repository, make_repository
from support.trees import assert_same_tree
from support.watchdog import Watchdog

T = TypeVar("T")
FILES = 3050
_LIMIT = 120.0
_SLOW_LIMIT = 900.0


@pytest.fixture(scope="session", autouse=True)
def _plain_umask() -> None:
    """The modes that tests compare with are those of umask 022."""
    os.umask(0o022)


@pytest.fixture(scope="session", autouse=True)
def _preloaded(_private_git: None, _plain_umask: None) -> Iterator[None]:
    """Commands don't start Python anew."""
    process = Preloaded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "runner", process)
        yield
    process.close()


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except in tests of the command itself."""
    if request.node.get_closest_marker("fresh"):
        monkeypatch.setattr(views, "runner", views.start_command)


@pytest.fixture(scope="session")
def watchdog() -> Iterator[Watchdog]:
    """A process that kills the servers of mounts which hang."""
    dog = Watchdog()
    yield dog
    dog.close()


@pytest.fixture(autouse=True)
def _deadline(request: pytest.FixtureRequest) -> Iterator[None]:
    """Free a test whose mount hangs, instead of hanging with it."""
    if request.node.get_closest_marker("fuse") is None:
        yield
        return
    dog: Watchdog = request.getfixturevalue("watchdog")
    dog.say("arm", _SLOW_LIMIT if request.node.get_closest_marker("slow") else _LIMIT)
    yield
    dog.say("disarm")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bare repository that others are copied from; never mounted or changed itself."""
    top = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent  # all workers of this run have one
    path = top / "sample" / "sample.git"
    with (top / "sample.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            shutil.rmtree(path.parent, ignore_errors=True)  # of a worker that died over it
            make_repository(path.with_name("new.git"), FILES).rename(path)
    return path


@pytest.fixture
def repository(sample: Path, tmp_path: Path) -> Path:
    """A bare repository of more than 3,000 files that a test may change."""
    return copy_repository(sample, tmp_path / "repository.git")


PRETEND = bool(os.environ.get("ANVCS_TEST_PRETEND"))
"""Native worktrees play the views: what fails then is wrong in the test itself."""


class PretendedView(MountedView):
    """A native worktree with the interface of a view."""

    def mount(self) -> Self:
        """Check the branch out, the first time."""
        if not self.path.exists():
            git("worktree", "add", "-q", str(self.path), "main", cwd=self.repository)
        return self

    @property
    def alive(self) -> bool:
        """As good as served."""
        return True

    def unmount(self) -> None:
        """Nothing is served."""

    kill = release = unmount


@dataclass(slots=True)
class Mounts:
    """Mounts views and unmounts them all, whatever happened; the log must tell of no fault."""

    dog: Watchdog
    views: list[MountedView] = field(default_factory=list)
    expect_faults: bool = False

    def __call__(self, repository: Path, path: Path, *options: str, init: bool = True, **env: str) -> MountedView:
        """Mount *repository* at *path*; on branch ``main`` unless the options name a stream."""
        if init and not PRETEND:
            ai_vcs("init", repository)
        if not {"--stream", "--new-stream"} & set(options):
            options = ("--stream", "main", *options)
        view = (PretendedView if PRETEND else MountedView)(repository, path, options, env, on_mount=self._watch)
        self.views.append(view)
        return view.mount()

    def _watch(self, view: MountedView) -> None:
        if view.pid:
            self.dog.say("watch", view.pid, view.path)

    def release(self) -> list[str]:
        """Unmount everything; the lines of the logs that tell of faults."""
        faults = [line for view in self.views for line in faults_in_log(view)]
        for view in self.views:
            pid = view.pid
            view.release()
            self.dog.say("forget", pid)
        return [] if self.expect_faults else faults


def faults_in_log(view: MountedView) -> list[str]:
    """Lines of the logs of this store that no healthy view writes, with what follows them."""
    faults = []
    for log in view.store.glob("views/*/log"):
        lines = log.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if "Traceback" in line or "ERROR" in line or "CRITICAL" in line:
                faults.append("\n".join(lines[number : number + 25]))
    return faults


def _managed(watchdog: Watchdog) -> Iterator[Mounts]:
    mounts = Mounts(watchdog)
    try:
        yield mounts
    finally:
        faults = mounts.release()
    assert not faults, "the view's log tells of faults:\n" + "\n".join(faults[:3])


@pytest.fixture
def mounted(watchdog: Watchdog) -> Iterator[Mounts]:
    """A function that mounts a repository; everything is unmounted after the test."""
    yield from _managed(watchdog)


@pytest.fixture(scope="module")
def module_mounted(watchdog: Watchdog) -> Iterator[Mounts]:
    """As ``mounted``, for views that the tests of one module share."""
    yield from _managed(watchdog)


@dataclass(slots=True)
class Twins:
    """A view and a native worktree of the same commit, in separate repositories."""

    view: MountedView
    native: Path

    def same(self, action: Callable[[Path], T]) -> T:
        """Do the same at both places; the results must be equal."""
        expected = action(self.native)
        found = action(self.view.path)
        assert found == expected
        return found

    def compare(self, below: str = "", *, times: bool = False) -> None:
        """Fail unless both trees (or the directories *below*) are the same."""
        assert_same_tree(self.native / below, self.view.path / below, times=times)

    def compare_status(self) -> str:
        """Git must tell the same about both, and by either of the view's roads."""
        told = self.same(lambda top: git("status", "--porcelain=v2", "--branch", cwd=top))
        assert told == git("-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", cwd=self.view.path)
        return told


def make_twins(sample: Path, where: Path, mounts: Mounts, *options: str) -> Twins:
    """Mount one copy of the sample, check the other out natively."""
    plain = copy_repository(sample, where / "native.git")
    git("worktree", "add", "-q", str(where / "native"), "main", cwd=plain)
    view = mounts(copy_repository(sample, where / "view.git"), where / "view", *options)
    return Twins(view, where / "native")


@pytest.fixture
def twins(sample: Path, tmp_path: Path, mounted: Mounts) -> Twins:
    """A view and its native twin, for tests that change history."""
    return make_twins(sample, tmp_path, mounted)


@pytest.fixture(scope="module")
def shared_twins(sample: Path, tmp_path_factory: pytest.TempPathFactory, module_mounted: Mounts) -> Twins:
    """A view and its native twin that the tests of one module share; each works in a folder of its own."""
    return make_twins(sample, tmp_path_factory.mktemp("twins"), module_mounted)


@pytest.fixture
def python() -> str:
    """The running interpreter."""
    return sys.executable
