"""The figures as a table for people and as JSON for programs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from anvcs_tools.bench.costs import Cost
from anvcs_tools.bench.machine import Machine
from anvcs_tools.bench.rows import Result
from anvcs_tools.bench.scale import Figure

_MIB = 1 << 20


def as_text(machine: Machine, results: Sequence[Result], figures: Sequence[Figure]) -> str:
    """The report as a Markdown table."""
    facts = (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / (1 << 30):.0f} GiB; Linux {machine.kernel}; "
        f"Python {machine.python}; Git {machine.git}; {machine.disk}"
    )
    lines = [facts, "", heading(), *map(line, results)]
    if figures:
        lines += ["", *map(figure_line, figures)]
    return "\n".join(lines)


def heading() -> str:
    """The head of the table."""
    names = f"| {'work':<44} | {'native':>9} | {'view':>9} | {'x wall':>7} | {'x CPU':>7} | {'goal':>6} | {'peak':>8} |"
    return f"{names}\n|{'-' * 46}|{'----------:|' * 2}{'--------:|' * 2}-------:|---------:|"


def line(result: Result) -> str:
    """One row of the table."""
    if result.missing:
        return f"| {result.title:<44} | {'FAILED' if result.failed else 'not run'}: {result.missing} |"
    goal = f"{result.goal:.3g}" if result.goal is not None else ""
    mark = {None: " ", True: "✓", False: "✗"}[result.reached]
    peak = f"{result.peak_memory / _MIB:.0f} MiB" if result.peak_memory else ""
    return (
        f"| {result.title:<44} | {_seconds(result.native):>9} | {_seconds(result.view):>9} | "
        f"{_ratio(result.by_wall):>7} | {_ratio(result.by_cpu):>7} | {goal:>4} {mark} | {peak:>8} |"
    )


def figure_line(figure: Figure) -> str:
    """One figure that has a limit of its own."""
    mark = {None: "", True: " ✓", False: " ✗"}[figure.reached]
    limit = f" (limit {figure.limit:.0f}{mark})" if figure.limit is not None else ""
    return f"{figure.title}: {figure.value:.1f} {figure.unit}{limit}"


def as_json(machine: Machine, results: Sequence[Result], figures: Sequence[Figure]) -> dict[str, Any]:
    """The report as plain values; times in seconds, memory in bytes."""
    return {
        "machine": dataclasses.asdict(machine),
        "rows": [
            dataclasses.asdict(result) | {"by_wall": result.by_wall, "by_cpu": result.by_cpu, "reached": result.reached}
            for result in results
        ],
        "figures": [dataclasses.asdict(figure) | {"reached": figure.reached} for figure in figures],
    }


def _seconds(cost: Cost | None) -> str:
    if cost is None:
        return ""
    return f"{cost.wall * 1000:.1f} ms" if cost.wall < 1 else f"{cost.wall:.2f} s"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
