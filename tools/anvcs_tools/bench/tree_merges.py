"""A merge of whole trees against ``git merge``: ``python -m anvcs_tools.bench tree-merges``.

Installed Python files are changed on both sides, each in other places, so that Git's merge is clean.
Both commands then merge the same branches into a checked out branch, turn by turn.  Ours also
looks at the structure of every file, and runs its built-in guards.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from anvcs_tools.bench.machine import describe_machine
from anvcs_tools.bench.samples import git, installed_files
from anvcs_tools.bench.views import COMMAND, ai_vcs, environment

_SMALLEST, _LARGEST = 1_000, 40_000
_PLACE = re.compile(rb"^(?:async )?(?:def|class) ", re.MULTILINE)
_RETURN = re.compile(rb"^(\s+)return ([\w.]+)$", re.MULTILINE)


def main(arguments: Sequence[str], work: Path) -> int:
    """Print both times of each round, and the ratio of their medians."""
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench tree-merges", description=__doc__)
    parser.add_argument("--files", type=int, default=2_000, help="changed on both sides (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each command (%(default)s)")
    options = parser.parse_args(arguments)
    print(describe_machine(work))
    _report(work, _repository(work, options.files), options.rounds)
    return 0


def _report(work: Path, count: int, rounds: int) -> None:
    ours, theirs = work / "ours", work / "git"
    took: dict[str, list[float]] = {"git": [], "ours": []}
    for _ in range(rounds):
        took["git"].append(_timed(theirs, lambda: git("merge", "-q", "--no-edit", "side", cwd=theirs)))
        took["ours"].append(_timed(ours, lambda: _merge(ours)))
        if git("rev-parse", "main^{tree}", cwd=ours) != git("rev-parse", "main^{tree}", cwd=theirs):
            print("the two trees differ")
    load = os.getloadavg()[0]
    for name, times in took.items():
        print(f"{name}: {count} files in {', '.join(f'{one:.2f}' for one in times)} s")
    ratio = statistics.median(took["ours"]) / statistics.median(took["git"])
    print(f"ratio of the medians {ratio:.2f}, load {load:.1f} at the end")


def _merge(place: Path) -> None:
    """By the command, however long it takes on a busy machine."""
    command = [*COMMAND, "merge", "side", "into", "main"]
    subprocess.run(command, cwd=place, env=environment(), stdout=subprocess.DEVNULL, check=True)


def _timed(place: Path, merge: Callable[[], object]) -> float:
    git("reset", "-q", "--hard", "start-of-main", cwd=place)
    git("status", cwd=place)
    started = time.perf_counter()
    merge()
    return time.perf_counter() - started


def _repository(work: Path, count: int) -> int:
    """The same repository twice; returns how many files both of its branches change."""
    top = work / "git"
    git("init", "-q", "-b", "main", top, cwd=work)
    versions = list(islice(_versions(), count))
    for branch, number in (("base", 0), ("side", 2), ("main", 1)):
        git("checkout", "-q", "-B", branch, *(["base"] if number else []), cwd=top)
        for name, *texts in versions:
            target = top / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(texts[number])
        git("add", "-A", cwd=top)
        git("commit", "-q", "-m", branch, cwd=top)
    git("tag", "start-of-main", cwd=top)
    git("repack", "-adq", cwd=top)
    shutil.copytree(top, work / "ours", symlinks=True)
    ai_vcs("init", cwd=work / "ours")
    return len(versions)


def _versions() -> Iterator[tuple[str, bytes, bytes, bytes]]:
    """Name, base and two changes of it."""
    chance = random.Random(1)  # noqa: S311  # nothing secret
    for name, source in installed_files(_LARGEST):
        if not name.endswith(".py") or source.stat().st_size < _SMALLEST:
            continue
        text = source.read_bytes()
        places = [found.start() for found in _PLACE.finditer(text)]
        if len(places) >= 3 and b"\r" not in text:  # room for two
            middle = places[len(places) // 2]
            yield (
                name,
                text,
                _changed(text, (0, middle - 1), chance, b"left"),
                _changed(text, (middle, len(text)), chance, b"right"),
            )


def _changed(text: bytes, span: tuple[int, int], chance: random.Random, side: bytes) -> bytes:
    """A new function before one that is there, and another value returned, both within *span*."""
    first, last = span
    places = [found.start() for found in _PLACE.finditer(text, first, last)]
    at = chance.choice(places[1:] or places)
    returns = list(_RETURN.finditer(text, at, last))
    if returns:
        found = chance.choice(returns)
        text = text[: found.start()] + found[1] + b"return (" + found[2] + b")" + text[found.end() :]
    made = b"def %b_%d(value):\n    return value\n\n\n" % (side, chance.randrange(1 << 20))
    return text[:at] + made + text[at:]
