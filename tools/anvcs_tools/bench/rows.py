"""What a row of the table is, and how one is run: interleaved, native and view in turn."""

import gc
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from anvcs_tools.bench.costs import Cost, measure, median_cost, memory


class Served(Protocol):
    """What a row needs of a view; a plain directory can pretend to be one."""

    path: Path
    pid: int

    def remount(self) -> None:
        """Unmount and mount again, so that nothing is loaded or cached."""


class NotPossible(Exception):
    """A row cannot run here, and why."""


@dataclass(slots=True)
class Place:
    """A directory in which work is timed: the native worktree or the view."""

    path: Path
    view: Served | None = None
    notes: dict[str, object] = field(default_factory=dict)
    """Scratch space of a row, kept from its preparation to its work."""

    @property
    def server(self) -> int | None:
        """The process that serves this place; ``None`` when that is the kernel or ourselves."""
        return (self.view.pid or None) if self.view else None

    def fresh(self) -> None:
        """Make a view forget all it has loaded; the native side stays warm."""
        if self.view:
            self.view.remount()
            # Opening .git waits for the index that is built in the background.
            (self.path / ".git").read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of work.  ``prepare`` and ``clean`` are not timed; ``goal`` is x native."""

    key: str
    title: str
    work: Callable[[Place], None]
    goal: float | None = None
    prepare: Callable[[Place], None] | None = None
    clean: Callable[[Place], None] | None = None
    rounds: int = 5
    warm_up: bool = True
    """Run once untimed first: what is timed is the second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Medians of one row on both sides.  Memory is in bytes."""

    key: str
    title: str
    goal: float | None
    native: Cost | None = None
    view: Cost | None = None
    peak_memory: int = 0
    rounds: int = 0
    missing: str = ""
    """Why there are no figures."""
    failed: bool = False
    """There are none because the work went wrong, not because this machine lacks a tool."""

    @property
    def by_wall(self) -> float | None:
        """Wall time x native."""
        return self.view.wall / self.native.wall if self.view and self.native and self.native.wall else None

    @property
    def by_cpu(self) -> float | None:
        """Processor time of client and server x native."""
        return self.view.cpu / self.native.cpu if self.view and self.native and self.native.cpu else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met, by wall time and by processor time."""
        ratios = [ratio for ratio in (self.by_wall, self.by_cpu) if ratio is not None]
        return max(ratios) <= self.goal if ratios and self.goal is not None else None


def run_row(row: Row, native: Place, view: Place) -> Result:
    """Run one row: each round does the work at both places, the order alternating."""
    rounds = row.rounds
    costs: dict[int, list[Cost]] = {id(native): [], id(view): []}
    try:
        for number in range(-int(row.warm_up), rounds):
            for place in (native, view) if number % 2 else (view, native):
                cost = _once(row, place)
                if number >= 0:
                    costs[id(place)].append(cost)
    except NotPossible as reason:
        return Result(key=row.key, title=row.title, goal=row.goal, missing=str(reason))
    except (OSError, RuntimeError, subprocess.SubprocessError) as failure:
        # One row that fails must not cost the figures of the others; the exit code tells.
        return Result(key=row.key, title=row.title, goal=row.goal, missing=str(failure), failed=True)
    return Result(
        key=row.key,
        title=row.title,
        goal=row.goal,
        native=median_cost(costs[id(native)]),
        view=median_cost(costs[id(view)]),
        peak_memory=memory(view.server, "VmHWM"),
        rounds=rounds,
    )


def _once(row: Row, place: Place) -> Cost:
    if row.prepare:
        row.prepare(place)
    gc.collect()
    try:
        return measure(lambda: row.work(place), place.server)
    finally:
        if row.clean:
            row.clean(place)
