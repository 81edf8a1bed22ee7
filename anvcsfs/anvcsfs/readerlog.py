"""Who opened which version of a file, in a file of the view: a save may come after its view has died.

One JSON document a line: first the room's name, then a row for each version that a process has
opened; later rows count.  What is new is appended now and then; where more has changed, or much
was appended, all of it is written anew.  A process that dies while it writes leaves half a line.
"""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anvcs.model.ids import Seq
from anvcsfs.bases import Bases
from anvcsfs.processes import Process

log = logging.getLogger(__name__)
_MOST_APPENDED = 256 << 10
"""Bytes after which everything is written anew."""


class ReaderLog:
    """Writes down what a view's `Bases` know."""

    def __init__(self, file: Path, bases: Bases) -> None:
        self._file = file
        self._bases = bases
        self._room: str | None = None
        """Whose rows the file has; ``None``: they are to be written anew."""
        self._appended = 0

    def write(self, room: str) -> Callable[[], None] | None:
        """Append what is new about *room*; where all has to be written, what is returned does it, in any thread."""
        complete, rows = self._bases.news(everything=room != self._room or self._appended > _MOST_APPENDED)
        if complete:
            self._room, self._appended = room, 0
            return lambda: self._write_all(room, rows)
        data = _lines(rows)
        self._appended += len(data)
        with self._file.open("ab") as file:
            file.write(data)
        return None

    def _write_all(self, room: str, rows: list[tuple[bytes, int, Process]]) -> None:
        part = self._file.with_suffix(".part")
        part.write_bytes(json.dumps(room).encode() + b"\n" + _lines(rows))
        part.replace(self._file)

    def restore(self, room: str, newest: Seq) -> None:
        """Take back what an earlier process of this view knew of *room*, whose last op is *newest*; once."""
        try:
            first, *lines = self._file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        self._file.unlink()
        try:
            if json.loads(first) == room:
                self._take_back(lines, newest)
        except (ValueError, TypeError, KeyError) as error:  # a save from before takes the current version
            log.warning("what was read before this view ended is not known: %s", error)

    def _take_back(self, lines: list[bytes], newest: Seq) -> None:
        alive: dict[int, bool] = {}
        for line in lines[:-1]:  # behind the last newline there is nothing, or half a row
            path, version, pid, started, session, lineage = json.loads(line)
            if version <= newest and any(_exists(each, alive) for each in lineage):
                process = Process(int(pid), int(started), int(session), tuple(map(int, lineage)))
                self._bases.know(os.fsencode(path), process, int(version))


def _lines(rows: list[tuple[bytes, int, Process]]) -> bytes:
    found: list[list[Any]] = [[os.fsdecode(path), version, *process] for path, version, process in rows]
    return b"".join(json.dumps(row).encode() + b"\n" for row in found)


def _exists(pid: int, alive: dict[int, bool]) -> bool:
    if pid not in alive:
        alive[pid] = Path(f"/proc/{pid}").exists()
    return alive[pid]
