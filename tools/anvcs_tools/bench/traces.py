"""Recorded typing sessions, replayed as saves of several agents who type into one file at the same time.

Each agent types the whole session in a section of its own, reads and saves the whole file as
an editor does, and saves what it read before the others' last saves.  So the file must hold
every session in the end, letter by letter.
"""

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from anvcs.rooms.oplog import OpLog
from anvcs_tools.bench.machine import describe_machine
from anvcs_tools.bench.samples import git
from anvcs_tools.bench.views import MountedView, ai_vcs

NAME = "typed.txt"
_SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Trace:
    """One session: lists of ``(position, deleted, inserted)`` in characters, in order."""

    name: str
    start: str
    steps: tuple[tuple[tuple[int, int, str], ...], ...]
    end: str


def load(file: Path) -> Trace:
    """Read a gzipped JSON trace."""
    found = json.loads(gzip.decompress(file.read_bytes()))
    steps = tuple(tuple((at, gone, text) for at, gone, text in step["patches"]) for step in found["txns"])
    return Trace(file.name.partition(".")[0], found["startContent"], steps, found["endContent"])


class Desk(Protocol):
    """Where one agent sits: it reads the file, and later saves it."""

    def read(self) -> bytes:
        """The file as it is here."""

    def save(self, data: bytes) -> None:
        """Save what came of the last `read`."""


class Typist:
    """Types one session into its own section of the file."""

    def __init__(self, number: int, trace: Trace, desk: Desk, every: int, steps: int | None) -> None:
        self._head = _head(number)
        self._desk = desk
        self._steps = trace.steps if steps is None else trace.steps[:steps]
        self._every = every
        self._text = trace.start
        self._at = 0
        self._seen: bytes | None = None

    @property
    def done(self) -> bool:
        """Whether all is typed and saved."""
        return self._at == len(self._steps) and self._seen is None

    @property
    def section(self) -> bytes:
        """The head and what is typed so far."""
        return self._head + self._text.encode() + b"\n"

    def turn(self) -> bool:
        """Read, or type on in what was read and save it; whether it was a save."""
        if self._seen is None:
            self._seen = self._desk.read()
            return False
        before = self.section
        for step in self._steps[self._at : self._at + self._every]:
            for at, gone, text in step:
                self._text = self._text[:at] + text + self._text[at + gone :]
        self._at = min(len(self._steps), self._at + self._every)
        start = self._seen.index(before)
        self._desk.save(self._seen[:start] + self.section + self._seen[start + len(before) :])
        self._seen = None
        return True


def _head(number: int) -> bytes:
    return b"======== section %d ========\n" % number


def start_text(trace: Trace, desks: int) -> bytes:
    """The file before anybody types: a section for each."""
    return b"".join(_head(number) + trace.start.encode() + b"\n" for number in range(desks))


def play(trace: Trace, desks: Sequence[Desk], *, every: int, steps: int | None, seed: int) -> tuple[int, bytes]:
    """Let all type to the end in random turns; how many saves, and what the file must hold."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    typists = [Typist(number, trace, desk, every, steps) for number, desk in enumerate(desks)]
    saves = 0
    while busy := [typist for typist in typists if not typist.done]:
        saves += chance.choice(busy).turn()
    return saves, b"".join(typist.section for typist in typists)


# --- the command


@dataclass(frozen=True, slots=True)
class ViewDesk:
    """A file in a mounted view."""

    file: Path

    def read(self) -> bytes:
        """The file: it may be larger than what one read gives of one version, so it is read until nobody has saved meanwhile."""
        while True:
            before = self.file.stat()
            data = self.file.read_bytes()
            after = self.file.stat()
            if (
                (before.st_mtime_ns, before.st_size)
                == (after.st_mtime_ns, after.st_size)
                == (after.st_mtime_ns, len(data))
            ):
                return data

    def save(self, data: bytes) -> None:
        """As editors that rewrite."""
        self.file.write_bytes(data)


@dataclass(slots=True, kw_only=True)
class Replay:
    """What became of one replay in views."""

    trace: str
    views: int
    saves: int
    seconds: float
    ops_per_s: float
    ops: int
    text_bytes: int
    log_bytes: int
    """The room's file, its write-ahead log moved in."""
    exact: bool
    """Whether every view shows each session letter by letter."""


def replay(trace: Trace, views: int, work: Path, *, every: int, steps: int | None, seed: int = 1) -> Replay:
    """One session typed in each of *views* views at a time, in the empty directory *work*."""
    repository = _repository(work, start_text(trace, views))
    with ExitStack() as stack:
        mounted = [
            stack.enter_context(MountedView(repository, work / f"view{number}", ("--agent", f"typist{number}")))
            for number in range(views)
        ]
        desks = [ViewDesk(view.path / NAME) for view in mounted]
        started = time.perf_counter()
        saves, wanted = play(trace, desks, every=every, steps=steps, seed=seed)
        seconds = time.perf_counter() - started
        exact = all(desk.read() == wanted for desk in desks)
    room = next((repository / "anvcs" / "rooms").glob("*.sqlite"))
    log = OpLog(room, None, read_only=False)
    try:
        ops = log.last_seq()
        log.checkpoint()
    finally:
        log.close()
    return Replay(
        trace=trace.name,
        views=views,
        saves=saves,
        seconds=seconds,
        ops_per_s=ops / seconds,
        ops=ops,
        text_bytes=len(wanted),
        log_bytes=room.stat().st_size,
        exact=exact,
    )


def _all_show(desks: Sequence[Desk], wanted: bytes) -> bool:
    """Whether everybody reads *wanted* before long."""
    deadline = time.perf_counter() + _SETTLE_S
    while any(desk.read() != wanted for desk in desks):
        if time.perf_counter() > deadline:
            return False
        time.sleep(0.01)
    return True


def _repository(work: Path, text: bytes) -> Path:
    tree = work / "tree"
    tree.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=tree)
    (tree / NAME).write_bytes(text)
    git("add", NAME, cwd=tree)
    git("commit", "-q", "-m", "traces: where it starts", cwd=tree)
    git("clone", "-q", "--bare", tree, work / "repository.git", cwd=work)
    ai_vcs("init", work / "repository.git")
    return work / "repository.git"


def main(arguments: Sequence[str], work: Path) -> int:
    """Replay the traces that *arguments* name; exit code 1: a view showed something else than was typed."""
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench traces", description=__doc__)
    parser.add_argument("traces", nargs="+", type=Path, metavar="FILE", help="gzipped JSON traces, or folders of them")
    parser.add_argument("--views", default="2,4", help="how many at a time (default 2,4)")
    parser.add_argument("--every", type=int, default=20, help="steps between two saves (default 20)")
    parser.add_argument("--steps", type=int, help="only so many steps of each session")
    options = parser.parse_args(arguments)
    replays = []
    for file in _files(options.traces):
        trace = load(file)
        for views in map(int, options.views.split(",")):
            with tempfile.TemporaryDirectory(dir=work) as folder:
                replays.append(replay(trace, views, Path(folder), every=options.every, steps=options.steps))
            print(_line(replays[-1]), file=sys.stderr, flush=True)
    print(
        json.dumps({"machine": asdict(describe_machine(work)), "replays": [asdict(one) for one in replays]}, indent=2)
    )
    return int(not all(one.exact for one in replays))


def _files(given: Sequence[Path]) -> Iterator[Path]:
    for path in given:
        yield from sorted(path.glob("*.json.gz")) if path.is_dir() else [path]


def _line(one: Replay) -> str:
    return (
        f"{one.trace} in {one.views} views: {one.saves} saves, {one.ops_per_s:.0f} ops/s, log {one.log_bytes >> 10} KiB "
        f"for {one.text_bytes >> 10} KiB of text, {'exact' if one.exact else 'NOT WHAT WAS TYPED'}"
    )
