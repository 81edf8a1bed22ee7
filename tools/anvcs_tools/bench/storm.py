"""The storm: many agents edit the same files at the same time, and what is left of their work.

The same agents (`anvcs_tools.bench.agent`) work in views of one stream, in one plain directory,
and in Git worktrees whose branches are merged in the end.
"""

import argparse
import ast
import json
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from anvcs_tools.bench.crowd import run_agents
from anvcs_tools.bench.machine import describe_machine
from anvcs_tools.bench.marks import lost_edits
from anvcs_tools.bench.picture import draw
from anvcs_tools.bench.samples import git
from anvcs_tools.bench.views import MountedView, ai_vcs

FILES: Final = (
    "argparse.py", "ast.py", "calendar.py", "cmd.py", "configparser.py", "csv.py", "dataclasses.py", "difflib.py",
    "enum.py", "fnmatch.py", "fractions.py", "functools.py", "glob.py", "gzip.py", "heapq.py", "inspect.py",
    "shutil.py", "statistics.py", "tempfile.py", "textwrap.py",
)  # fmt: skip
"""Modules of the standard library that every agent edits."""

PLACES: Final = ("views", "directory", "worktrees")
_SETTLE_S = 20.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one storm."""

    place: str
    """One of `PLACES`."""
    agents: int
    rounds: int
    saves: int
    lost: int
    """Marks missing, changed, twice there or back after their deletion."""
    conflicts: int
    """Conflict records of a room; conflicting hunks that a person has to resolve in Git's merges."""
    conflicting_files: int = 0
    agree: bool = True
    """Whether every view shows the same bytes as a view mounted afterwards."""
    settled_s: float = 0.0
    """Until all views agreed, from the end of the last agent."""
    saves_per_s: float = 0.0
    """All agents together, their pauses included."""
    save_ms: float = 0.0
    """Median of a save."""
    save_p95_ms: float = 0.0
    refused: int = 0
    unparsable: int = 0
    """Files that are no Python any more."""
    examples: list[str] = field(default_factory=list)
    """Some of what was lost."""


def make_repository(path: Path) -> Path:
    """A bare repository whose branch ``main`` holds `FILES`."""
    work = path.with_name(path.name + ".work")
    work.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=work)
    for name in FILES:
        shutil.copyfile(Path(sysconfig.get_paths()["stdlib"], name), work / name)
    git("add", "-A", "-f", cwd=work)
    git("commit", "-q", "-m", "storm: modules of the standard library", cwd=work)
    git("clone", "-q", "--bare", work, path, cwd=path.parent)
    shutil.rmtree(work)
    return path


def storm(place: str, work: Path, agents: int, rounds: int, seed: int = 1) -> Outcome:
    """One storm at *place*, in the empty directory *work*."""
    repository = make_repository(work / "repository.git")
    return {"views": _in_views, "directory": _in_directory, "worktrees": _in_worktrees}[place](
        repository, work, agents, rounds, seed
    )


# --- the three places


def _in_views(repository: Path, work: Path, agents: int, rounds: int, seed: int) -> Outcome:
    ai_vcs("init", repository)
    with ExitStack() as stack:
        views = [
            stack.enter_context(
                MountedView(repository, work / f"view{number}", ("--stream", "main", "--agent", f"agent{number}"))
            )
            for number in range(agents)
        ]
        told = run_agents([view.path for view in views], FILES, rounds, seed)
        ended = time.perf_counter()
        late = stack.enter_context(MountedView(repository, work / "late", ("--stream", "main", "--agent", "late")))
        files = _contents(late.path)
        agree = _until_all_show([view.path for view in views], files)
        settled = time.perf_counter() - ended
        conflicts = _conflicts(late)
    outcome = _outcome("views", agents, rounds, told, files)
    outcome.agree, outcome.settled_s = agree, settled
    outcome.conflicts = len(conflicts)
    outcome.conflicting_files = len({record["path"] for record in conflicts})
    return outcome


def _conflicts(view: MountedView) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(ai_vcs("conflicts", "--json", cwd=view.path))["conflicts"]
    return told


def _until_all_show(tops: Sequence[Path], files: Mapping[str, bytes]) -> bool:
    """Whether every one of *tops* shows *files* before long."""
    deadline = time.perf_counter() + _SETTLE_S
    while any(_contents(top) != files for top in tops):
        if time.perf_counter() > deadline:
            return False
        time.sleep(0.01)
    return True


def _in_directory(repository: Path, work: Path, agents: int, rounds: int, seed: int) -> Outcome:
    shared = work / "shared"
    git("worktree", "add", "-q", "--detach", shared, "main", cwd=repository)
    told = run_agents([shared] * agents, FILES, rounds, seed)
    return _outcome("directory", agents, rounds, told, _contents(shared))


def _in_worktrees(repository: Path, work: Path, agents: int, rounds: int, seed: int) -> Outcome:
    trees = [work / f"tree{number}" for number in range(agents)]
    for number, tree in enumerate(trees):
        git("worktree", "add", "-q", "-b", f"agent{number}", tree, "main", cwd=repository)
    told = run_agents(trees, FILES, rounds, seed)
    for number, tree in enumerate(trees):
        git("commit", "-q", "-a", "-m", f"agent {number}", cwd=tree)
    merged = work / "merged"
    git("worktree", "add", "-q", merged, "main", cwd=repository)
    hunks, files = 0, 0
    for number in range(agents):
        more = _merge(merged, f"agent{number}")
        hunks, files = hunks + sum(more), files + len(more)
    outcome = _outcome("worktrees", agents, rounds, told, _contents(merged))
    outcome.conflicts, outcome.conflicting_files = hunks, files
    return outcome


def _merge(top: Path, branch: str) -> list[int]:
    """Merge *branch*, keeping both sides of each conflict as a patient person would; the hunks in each such file."""
    done = subprocess.run(["git", "merge", "-q", "--no-edit", branch], cwd=top, capture_output=True, check=False)
    if done.returncode == 0:
        return []
    names = git("diff", "--name-only", "--diff-filter=U", cwd=top).splitlines()
    if not names:
        raise RuntimeError(f"git merge {branch}: {done.stderr.decode(errors='replace')}")
    hunks = []
    for name in names:
        lines = (top / name).read_bytes().splitlines(keepends=True)
        hunks.append(sum(line.startswith(b"<<<<<<< ") for line in lines))
        marks = (b"<<<<<<< ", b"=======\n", b">>>>>>> ")
        (top / name).write_bytes(b"".join(line for line in lines if not line.startswith(marks)))
    git("commit", "-q", "-a", "-m", f"merge {branch}", cwd=top)
    return hunks


# --- what is left


def _contents(top: Path) -> dict[str, bytes]:
    return {name: (top / name).read_bytes() for name in FILES}


def _outcome(
    place: str, agents: int, rounds: int, told: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]
) -> Outcome:
    lost = []
    for name, text in files.items():
        marks = [_encoded(one["marks"].get(name, {})) for one in told]
        uncertain = {mark.encode() for one in told for mark in one["uncertain"].get(name, ())}
        lost += [f"{name}: {line}" for line in lost_edits(text, marks, uncertain)]
    saves = sum(one["saves"] for one in told)
    seconds = sorted(second for one in told for second in one["seconds"])
    return Outcome(
        place=place,
        agents=agents,
        rounds=rounds,
        saves=saves,
        lost=len(lost),
        conflicts=0,
        saves_per_s=saves / max(one["wall"] for one in told),
        save_ms=1000 * statistics.median(seconds),
        save_p95_ms=1000 * seconds[int(len(seconds) * 0.95)],
        refused=sum(one["refused"] for one in told),
        unparsable=sum(not _parses(text) for text in files.values()),
        examples=lost[:10],
    )


def _encoded(lines: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): line.encode() for name, line in lines.items()}


def _parses(text: bytes) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


# --- the command


def main(arguments: Sequence[str], work: Path) -> int:
    """Run the storms that *arguments* ask for; exit code 1: something was lost in views."""
    options = _parser().parse_args(arguments)
    outcomes = []
    for agents in options.agents:
        for place in options.places:
            folder = work / f"{place}{agents}"
            folder.mkdir()
            outcomes.append(storm(place, folder, agents, options.rounds, options.seed))
            print(_told_line(outcomes[-1]), file=sys.stderr, flush=True)
    storms = [asdict(outcome) for outcome in outcomes]
    report = {"machine": asdict(describe_machine(work)), "storms": storms}
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.picture:
        options.picture.write_text(draw(storms))
    return int(any(outcome.place == "views" and (outcome.lost or not outcome.agree) for outcome in outcomes))


def _told_line(outcome: Outcome) -> str:
    return (
        f"{outcome.agents:3} agents, {outcome.place:<9}: {outcome.saves} saves, {outcome.lost} edits lost, "
        f"{outcome.conflicts} conflicts, {outcome.saves_per_s:.0f} saves/s, save {outcome.save_ms:.1f} ms "
        f"(p95 {outcome.save_p95_ms:.1f}){'' if outcome.agree else ', VIEWS DISAGREE'}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench storm", description=__doc__)
    parser.add_argument("--agents", type=_numbers, default=(2, 5, 10, 20), help="how many (default 2,5,10,20)")
    parser.add_argument("--rounds", type=int, default=50, help="saves of each agent (default 50)")
    parser.add_argument("--places", type=_places, default=PLACES, help=f"any of {','.join(PLACES)} (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="another number: another storm")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the figures as SVG")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _places(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if not set(chosen) <= set(PLACES):
        raise argparse.ArgumentTypeError(f"places are {', '.join(PLACES)}")
    return chosen
