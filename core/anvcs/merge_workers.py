"""Merging many files on all processors: the caller takes its share, and one program for each other processor takes the rest.

Programs and not forks, because the caller may be a server with threads; ``python -m anvcs.merge_workers``
is one.  It reads tasks from standard input and writes what they came to, until the input ends.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from anvcs.errors import AnvcsError
from anvcs.file_merging import FileMerge, FileMerger, Names, Task
from anvcs.git.objects import ObjectStore
from anvcs.git.program import own_environment
from anvcs.merge_ways import Ways

_WORTH_IT = 150
"""Files from which on starting a program pays: that takes as long as merging so many."""
_PORTION = 20
_COMMAND = (sys.executable, "-P", "-m", "anvcs.merge_workers")


@dataclass(frozen=True, slots=True)
class Plan:
    """What every process has to know."""

    common_dir: Path
    ways: Ways
    names: Names
    checks: frozenset[str]

    def merger(self, objects: ObjectStore | None = None) -> FileMerger:
        """What merges in this process."""
        return FileMerger(objects or ObjectStore(self.common_dir), self.ways.chooser(), self.names, self.checks)


def processors() -> int:
    """How many we may use."""
    return len(os.sched_getaffinity(0))


def merge_files(
    objects: ObjectStore, plan: Plan, tasks: Collection[Task], seconds: float = float("inf")
) -> dict[bytes, FileMerge]:
    """What each file comes to, by path; those that there was no time for are not among them."""
    shared = _Shared(tasks, time.monotonic() + seconds)
    more = min(processors() - 1, len(tasks) // _WORTH_IT)
    helpers = [_Helper(plan, shared) for _ in range(more)]
    try:
        merger = plan.merger(objects)
        while portion := shared.portion():
            shared.done([merger.merge(task) for task in portion])
    finally:
        for helper in helpers:
            helper.join()
    for task in shared.given_back:  # of a helper that failed: here it works, or says what is wrong
        shared.done([merger.merge(task)])
    for path, merged in shared.merged.items():
        if merged.leaf is not None and path not in shared.own:
            objects.remember(merged.leaf.oid)
    return shared.merged


class _Shared:
    """What is to be done and what was."""

    def __init__(self, tasks: Iterable[Task], until: float) -> None:
        self._waiting = deque(tasks)
        self._lock = threading.Lock()
        self._until = until
        self.merged: dict[bytes, FileMerge] = {}
        self.own: set[bytes] = set()
        self.given_back: list[Task] = []

    def portion(self) -> list[Task]:
        with self._lock:
            if time.monotonic() > self._until:
                return []
            return [self._waiting.popleft() for _ in range(min(_PORTION, len(self._waiting)))]

    def done(self, merged: list[FileMerge], *, here: bool = True) -> None:
        with self._lock:
            self.merged |= {one.file.path: one for one in merged}
            if here:
                self.own |= {one.file.path for one in merged}


class _Helper(threading.Thread):
    """One other process, and the thread that feeds it."""

    def __init__(self, plan: Plan, shared: _Shared) -> None:
        super().__init__(daemon=True)
        self._shared = shared
        self._process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", env=_environment()
        )
        self._plan = plan
        self.start()

    def run(self) -> None:
        portion: list[Task] = []
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError), self._process:
            try:
                _send(self._process.stdin, self._plan)
                while portion := self._shared.portion():
                    _send(self._process.stdin, portion)
                    self._shared.done(pickle.load(self._process.stdout), here=False)  # noqa: S301  # our own program
            except (OSError, EOFError, pickle.UnpicklingError, ValueError):
                self._process.kill()
                self._shared.given_back += portion


def _environment() -> dict[str, str]:
    """Ours, and where this package was found."""
    return own_environment() | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _send(pipe: IO[bytes], value: Any) -> None:
    pipe.write(pickle.dumps(value))
    pipe.flush()


def main() -> int:
    """Merge what comes through standard input; an error ends it, and who asked does it again to see it."""
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    try:
        merger = pickle.load(source).merger()  # noqa: S301  # from who started us
        while True:
            _send(answers, [merger.merge(task) for task in pickle.load(source)])  # noqa: S301  # as above
    except EOFError:
        return 0
    except AnvcsError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
