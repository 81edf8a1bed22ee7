"""What must not grow with the repository: mounting, committing, memory."""

# ruff: noqa: PTH123, PTH208 - plain calls: what is timed should be the file system, not pathlib

import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anvcs_tools.bench.costs import Cost, measure, memory, server_cpu
from anvcs_tools.bench.reading import shell
from anvcs_tools.bench.rows import Place, Result, Served
from anvcs_tools.bench.samples import bulk_name, git
from anvcs_tools.bench.views import commit

Mounter = Callable[[Path, Path], Served]
"""Mounts a repository at a directory and returns the view (or what plays it)."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with a limit of its own, where a ratio to native says nothing."""

    key: str
    title: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the limit is kept."""
        return None if self.limit is None else self.value <= self.limit


def mount_times(work: Path, sizes: tuple[int, ...], mount: Mounter, rounds: int) -> list[Result]:
    """Mount ready, against ``git worktree add``, for the bulk repository of each size in *work*."""
    return [_mount_time(work / f"bulk{size}", size, mount, rounds) for size in sizes]


def _mount_time(repository: Path, size: int, mount: Mounter, rounds: int) -> Result:
    native, views, indexed = [], [], []
    for number in range(rounds):
        native.append(_worktree_add(repository, number))
        view, index = _mount_once(repository, number, mount)
        views.append(view)
        indexed.append(index)
    return Result(
        key=f"mount-{size}",
        title=f"mount ready, {size:,} files (index after {statistics.median(indexed):.2f} s)",
        goal=0.3 if size >= 100_000 else None,
        native=_by_wall(native),
        view=_by_wall(views),
        rounds=rounds,
    )


def _worktree_add(repository: Path, number: int) -> Cost:
    target = repository.with_name(f"{repository.name}.native{number}")
    cost = measure(lambda: _discard(git("worktree", "add", "-q", "--detach", target, cwd=repository)), None)
    git("worktree", "remove", "--force", target, cwd=repository)
    return cost


def _mount_once(repository: Path, number: int, mount: Mounter) -> tuple[Cost, float]:
    target = repository.with_name(f"{repository.name}.view{number}")
    started = time.perf_counter()
    mounted: list[Served] = []
    cost = measure(lambda: mounted.append(mount(repository, target)), None)
    (view,) = mounted
    try:
        (target / ".git").read_bytes()
        indexed = time.perf_counter() - started
        return Cost(cost.wall, cost.client, server_cpu(view.pid or None)), indexed
    finally:
        release(view)


def release(view: Served) -> None:
    """Unmount, and remove the empty directory."""
    closer = getattr(view, "release", None)
    if closer:
        closer()
    if view.path.is_dir() and not os.listdir(view.path):
        view.path.rmdir()


def _by_wall(costs: list[Cost]) -> Cost:
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]


def _discard(_: object) -> None:
    """Turn an expression into a statement."""


def commits(native: Place, view: Place, size: int, rounds: int) -> Result:
    """Commit 10 changed files: ``git commit -a`` natively, the control file in the view."""
    costs: dict[bool, list[Cost]] = {False: [], True: []}
    for number in range(-1, rounds):
        for place in (native, view):
            _change_ten(place.path, size, number)
            cost = measure(_committer(place, number), place.server)
            if number >= 0:
                costs[place is view].append(cost)
    return Result(
        key="commit",
        title=f"commit 10 changed of {size:,}",
        goal=0.25,
        native=_by_wall(costs[False]),
        view=_by_wall(costs[True]),
        peak_memory=memory(view.server, "VmHWM"),
        rounds=rounds,
    )


def commit_figure(result: Result) -> Figure:
    """The commit's own time, which has a limit besides the ratio."""
    wall = result.view.wall if result.view else 0.0
    return Figure(key="commit-time", title=result.title + ", median", value=wall * 1000, unit="ms", limit=30)


def _change_ten(top: Path, size: int, number: int) -> None:
    for index in range(10):
        chosen = (index * 9973 + number * 131 + 7) % (size - 1)
        with open(top / bulk_name(chosen), "ab") as file:
            file.write(b"changed in round %d\n" % number)


def _committer(place: Place, number: int) -> Callable[[], None]:
    message = f"bench: round {number}"
    if place.view and (place.path / ".anvcs" / "commit").exists():
        return lambda: _discard(commit(place.path, message))
    return lambda: _discard(git("commit", "-q", "-a", "-m", message, cwd=place.path))


def memory_figures(view: Place) -> list[Figure]:
    """Idle, after walking and reading everything, and after the kernel forgot; a fresh view."""
    view.fresh()
    idle = memory(view.server)
    shell("find .")(view)
    shell("grep -r qzxjkv-never .")(view)
    full, peak = memory(view.server), memory(view.server, "VmHWM")
    figures = [
        Figure(key="memory-idle", title="memory, idle view", value=idle / _MIB, unit="MiB", limit=90),
        Figure(key="memory-full", title="memory, after find + grep -r", value=full / _MIB, unit="MiB", limit=350),
        Figure(key="memory-peak", title="memory, peak meanwhile", value=peak / _MIB, unit="MiB"),
    ]
    if _drop_caches():
        after = memory(view.server) / _MIB
        figures.append(
            Figure(
                key="memory-forget", title="memory, after the kernel forgot", value=after, unit="MiB", limit=full / _MIB
            )
        )
    return figures


def _drop_caches() -> bool:
    """Make the kernel forget inodes (root only); says whether it did."""
    control = Path("/proc/sys/vm/drop_caches")
    if os.geteuid() != 0 or not os.access(control, os.W_OK):
        return False
    control.write_text("2\n")
    return True


def discard_tree(path: Path) -> None:
    """Remove a scratch directory."""
    shutil.rmtree(path, ignore_errors=True)
