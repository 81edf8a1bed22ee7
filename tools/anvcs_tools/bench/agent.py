"""One agent of the storm: a process that reads, thinks, edits and saves as ordinary tools do.

``python -m anvcs_tools.bench.agent DIRECTORY NAME SEED ROUNDS FILE...`` says ``ready``, starts
when a line comes on standard input, says ``saved`` after each save, and ends with one JSON
document on standard output; also when the file system has gone away under it.
"""

# ruff: noqa: PTH105, PTH123 - the plain system calls that tools make

import errno
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from anvcs_tools.bench.marks import Marks

PAUSES_MS: Final = (3, 100)
_ATTEMPTS = 20
_GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)


@dataclass(slots=True)
class Agent:
    """Works in the directory *top*, in which others may work at the same time."""

    top: str
    name: str
    files: tuple[str, ...]
    chance: random.Random
    marks: dict[str, Marks] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    """How long each save took, from its first call to the return of its last."""
    refused: int = 0
    """Saves that failed with EAGAIN or ESTALE, as a busy system may say; another edit is made instead."""
    missing: int = 0
    """Reads that found no file, which only a shared directory shows."""

    def round(self) -> None:
        """Read a file, think, edit it and save it, in one of the ways of tools."""
        file = self.chance.choice(self.files)
        way = self.chance.choice((self._rewrite, self._replace, self._in_place, self._append))
        marks = self.marks.setdefault(file, Marks(self.name))
        for _ in range(_ATTEMPTS):
            try:
                way(os.path.join(self.top, file), marks)  # noqa: PTH118
            except FileNotFoundError:
                self.missing += 1
            except OSError as failure:
                if failure.errno not in (errno.EAGAIN, errno.ESTALE):
                    raise
                self.refused += 1
                marks.refuse()
            else:
                marks.acknowledge()
                return
        raise RuntimeError(f"{file} could not be saved in {_ATTEMPTS} attempts")

    def _think(self) -> None:
        time.sleep(self.chance.uniform(*PAUSES_MS) / 1000)

    def _timed(self, save: Callable[[], None]) -> None:
        started = time.perf_counter()
        save()
        self.seconds.append(time.perf_counter() - started)

    def _rewrite(self, path: str, marks: Marks) -> None:
        """As ``cat >`` and most scripts."""
        seen = _read(path)
        self._think()
        new = marks.edit(seen, self.chance)
        self._timed(lambda: _write(path, new))

    def _replace(self, path: str, marks: Marks) -> None:
        """As editors: a temporary, renamed over the file."""
        seen = _read(path)
        self._think()
        new = marks.edit(seen, self.chance)
        aside = f"{path}.{self.name}.tmp"

        def save() -> None:
            _write(aside, new)
            os.replace(aside, path)

        self._timed(save)

    def _in_place(self, path: str, marks: Marks) -> None:
        """As programs that keep the file open: only what is behind the change is written."""
        with open(path, "r+b", buffering=0) as file:
            seen = _read_all(file.fileno())
            self._think()
            new = marks.edit(seen, self.chance)
            same = next(
                (at for at, (a, b) in enumerate(zip(seen, new, strict=False)) if a != b), min(map(len, (seen, new)))
            )

            def save() -> None:
                os.pwrite(file.fileno(), new[same:], same)
                os.ftruncate(file.fileno(), len(new))
                file.close()

            self._timed(save)

    def _append(self, path: str, marks: Marks) -> None:
        """As ``>>``."""
        self._think()
        line = marks.append(self.chance)

        def save() -> None:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)

        self._timed(save)

    def told(self) -> dict[str, Any]:
        """What the checker needs: the marks that must be there in the end, and the figures."""
        lines = {file: {k.decode(): v.decode() for k, v in marks.lines.items()} for file, marks in self.marks.items()}
        uncertain = {file: sorted(map(bytes.decode, marks.uncertain)) for file, marks in self.marks.items()}
        figures = {"refused": self.refused, "missing": self.missing, "seconds": self.seconds, "uncertain": uncertain}
        return {"name": self.name, "marks": lines, "saves": len(self.seconds), **figures}


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _read_all(descriptor)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    """All of a file in one call: what a read of up to 128 KiB gives is one version, what two give may be two."""
    return os.pread(descriptor, 1 << 20, 0)


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        while data:
            data = data[file.write(data) :]


def main() -> int:
    """Work when told to, then tell."""
    top, name, seed, rounds, *files = sys.argv[1:]
    agent = Agent(top, name, tuple(files), random.Random(seed))  # noqa: S311 - no secret
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    gone = ""
    try:
        for _ in range(int(rounds)):
            agent.round()
            print("saved", flush=True)
    except OSError as failure:
        if failure.errno not in _GONE:
            raise
        gone = str(failure)
    print(json.dumps(agent.told() | {"wall": time.perf_counter() - started, "gone": gone}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
