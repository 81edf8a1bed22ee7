"""What work in several views of one stream costs: saves, their way to the other views, idling, memory."""

import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anvcs_tools.bench.costs import memory, server_cpu
from anvcs_tools.bench.samples import bulk_name, bulk_repository, git
from anvcs_tools.bench.scale import Figure
from anvcs_tools.bench.storm import FILES, make_repository
from anvcs_tools.bench.views import MountedView, ai_vcs, environment

KEYS: Final = ("live-save", "live-visible", "live-lost", "live-many", "live-idle", "live-memory")
_MANY_VIEWS = 10
_SAVES_PER_S = 50
_IDLE_S = 10.0
_FIRST_EDITS = 50
_KIB = 1 << 10


def figures(work: Path, chosen: Callable[[str], bool], *, quick: bool) -> list[Figure]:
    """The figures whose keys are *chosen*."""
    found: list[Figure] = []
    if any(map(chosen, KEYS[:-1])):
        repository = make_repository(work / "live.git")
        ai_vcs("init", repository)
        rounds = 40 if quick else 300
        if chosen("live-save"):
            found += save_figures(repository, work, rounds)
        if chosen("live-visible"):
            seconds = _until_visible(repository, work, rounds)
            found += _pair("live-visible", "save until it can be read in another view", seconds, [0.0], (5, 20))
        if chosen("live-lost"):
            seconds = _until_visible(repository, work, min(rounds, 100), unheard=True)
            found += _pair("live-lost", "the same when the notification is lost", seconds, [0.0], (100, 150))
        if chosen("live-many"):
            found += many_figures(repository, work, seconds=2.0 if quick else 15.0)
        if chosen("live-idle"):
            found.append(idle_figure(repository, work, 2.0 if quick else _IDLE_S))
    if chosen("live-memory"):
        found.append(memory_figure(work, 200 if quick else 2000))
    return found


@contextmanager
def _views(repository: Path, work: Path, count: int) -> Iterator[list[MountedView]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                MountedView(repository, work / f"live{number}", ("--stream", "main", "--agent", f"live{number}"))
            )
            for number in range(count)
        ]


# --- close() to the log


def save_figures(repository: Path, work: Path, rounds: int) -> list[Figure]:
    """How much longer than on a plain directory close() takes, after which the op is in the log."""
    plain = work / "plain"
    git("worktree", "add", "-q", "--detach", plain, "main", cwd=repository)
    with _views(repository, work, 1) as (view,):
        native, ours = _closes(plain, rounds), _closes(view.path, rounds)
    return _pair("live-save", "close() of a saved source file, over a plain one", ours, native, (1, 5))


def _closes(top: Path, rounds: int) -> list[float]:
    chance = random.Random(1)  # noqa: S311 - no secret
    seconds = []
    for number in range(-len(FILES), rounds):
        file = top / FILES[number % len(FILES)]
        lines = file.read_bytes().splitlines(keepends=True)
        lines.insert(chance.randrange(len(lines)), b"# inserted %d\n" % number)
        descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, b"".join(lines))
        started = time.perf_counter()
        os.close(descriptor)
        if number >= 0:  # what goes before is the first save of each file
            seconds.append(time.perf_counter() - started)
    return seconds


# --- one view to the others


@dataclass(slots=True)
class Watcher:
    """The process that reads in the other views."""

    process: "subprocess.Popen[str]"

    def expect(self, file: Path, size: int, text: str) -> None:
        """Look for *text* at the end of *file* from now on."""
        assert self.process.stdin is not None  # a pipe, see `_watcher`
        self.process.stdin.write(json.dumps([str(file), size, text]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> tuple[str, int | None]:
        """What arrived next, and when; ``None``: it did not."""
        assert self.process.stdout is not None  # a pipe, see `_watcher`
        text, moment = json.loads(self.process.stdout.readline())
        return text, moment


@contextmanager
def _watcher() -> Iterator[Watcher]:
    command = [sys.executable, "-m", "anvcs_tools.bench.watcher"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", env=environment()
    ) as process:
        try:
            yield Watcher(process)
        finally:
            process.kill()


class NeverShown(RuntimeError):
    """A save did not reach another view."""


def _until_visible(repository: Path, work: Path, rounds: int, *, unheard: bool = False) -> list[float]:
    """Seconds from a save in one view, its first call, to its bytes being readable in another.

    *unheard* takes away the sockets by which the writer announces the save.
    """
    seconds = []
    with _views(repository, work, 2) as (here, there), _watcher() as watcher:
        for number in range(-len(FILES), rounds):
            name = FILES[number % len(FILES)]
            text = f"# visible {number}\n"
            _ = (there.path / name).read_bytes()  # a reader's caches are warm, or nothing would have to be undone
            data = (here.path / name).read_bytes() + text.encode()
            for socket in here.store.glob("rooms/main.views/*.sock") if unheard else ():
                socket.unlink()
            watcher.expect(there.path / name, len(data), text)
            started = time.monotonic_ns()
            (here.path / name).write_bytes(data)
            found, moment = watcher.answer()
            if moment is None:
                raise NeverShown(f"{found!r} never showed in the other view")
            if number >= 0:
                seconds.append((moment - started) / 1e9)
    return seconds


def many_figures(repository: Path, work: Path, seconds: float) -> list[Figure]:
    """The same with many views that all save."""
    chance = random.Random(2)  # noqa: S311 - no secret
    started: dict[str, int] = {}
    with _views(repository, work, _MANY_VIEWS) as views, _watcher() as watcher:
        for view, name in itertools.product(views, FILES):
            (view.path / name).read_bytes()
        begin = time.monotonic()
        count = int(seconds * _SAVES_PER_S)
        for number in range(count):
            time.sleep(max(0.0, begin + number / _SAVES_PER_S - time.monotonic()))
            writer, reader = chance.sample(views, 2)
            name, text = FILES[number % len(FILES)], f"# many {number}\n"
            data = (writer.path / name).read_bytes() + text.encode()
            watcher.expect(reader.path / name, len(data), text)
            started[text] = time.monotonic_ns()
            (writer.path / name).write_bytes(data)
        rate = count / (time.monotonic() - begin)
        arrived = dict(watcher.answer() for _ in range(count))
    late = [text for text, moment in arrived.items() if moment is None]
    if late:
        raise NeverShown(f"{len(late)} of {count} saves never showed in another view, as {late[0]!r}")
    taken = [(moment - started[text]) / 1e9 for text, moment in arrived.items() if moment is not None]
    title = f"the same, {_MANY_VIEWS} views, {rate:.0f} saves/s in all"
    return [Figure(key="live-many-p95", title=f"{title}, p95", value=1000 * p95(taken), unit="ms", limit=50)]


# --- standing still


def idle_figure(repository: Path, work: Path, seconds: float) -> Figure:
    """Processor time of a view in which nothing happens, another beside it."""
    with _views(repository, work, 2) as views:
        (views[0].path / ".git").read_bytes()  # waits for the index
        (views[0].path / FILES[0]).write_bytes((views[1].path / FILES[0]).read_bytes() + b"# last\n")
        time.sleep(1.0)  # what a save leaves to do
        before = sum(server_cpu(view.pid) for view in views)
        time.sleep(seconds)
        used = sum(server_cpu(view.pid) for view in views) - before
    return Figure(
        key="live-idle",
        title=f"two idle views, processor time in {seconds:.0f} s",
        value=1000 * used,
        unit="ms",
        limit=10,
    )


def memory_figure(work: Path, files: int) -> Figure:
    """Resident memory for each text file that was edited, over what the untouched view has."""
    repository = bulk_repository(work / "live-memory.git", files + _FIRST_EDITS + 1)
    ai_vcs("init", repository)
    names = [bulk_name(number) for number in range(files + _FIRST_EDITS)]
    with MountedView(repository, work / "live-memory", ("--stream", "main")) as view:
        for name in names:  # what reading costs, and the first edits, is not what editing costs
            (view.path / name).read_bytes()
        for name in names[-_FIRST_EDITS:]:
            (view.path / name).write_bytes((view.path / name).read_bytes() + b"first\n")
        before, size = memory(view.pid), 0
        for name in names[:files]:
            data = (view.path / name).read_bytes() + b"edited\n"
            size += len(data)
            (view.path / name).write_bytes(data)
        each = (memory(view.pid) - before) / files
    limit = 3 * size / files + 16 * _KIB
    title = f"memory for each of {files:,} edited text files of {size / files:.0f} bytes"
    return Figure(key="live-memory", title=title, value=each / _KIB, unit="KiB", limit=limit / _KIB)


def p95(values: Sequence[float]) -> float:
    """The value that 95 % do not exceed."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def _pair(
    key: str, title: str, ours: Sequence[float], native: Sequence[float], limits: tuple[float, float]
) -> list[Figure]:
    middle = statistics.median(ours) - statistics.median(native)
    high = p95(ours) - statistics.median(native)
    return [
        Figure(key=f"{key}-median", title=f"{title}, median", value=1000 * middle, unit="ms", limit=limits[0]),
        Figure(key=f"{key}-p95", title=f"{title}, p95", value=1000 * high, unit="ms", limit=limits[1]),
    ]
