"""Who a process is: its threads' leader, its ancestors, its session."""

import time
from typing import NamedTuple

_DEPTH = 16
_VALID_S = 2.0
_MOST = 4096


class Process(NamedTuple):
    """One process, as it was when somebody asked."""

    pid: int
    started: int
    """Clock ticks since boot; tells a number's next owner apart."""
    session: int
    lineage: tuple[int, ...]
    """Itself and its ancestors, nearest first."""


class _Found(NamedTuple):
    leader: int
    parent: int
    session: int
    started: int


class Processes:
    """Looks processes up in ``/proc`` and remembers them for a moment."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, _Found | None]] = {}
        self._processes: dict[int, tuple[float, Process]] = {}

    def of(self, thread: int) -> Process:
        """The process of *thread*; one that can't be looked up has only itself."""
        now = time.monotonic()
        known = self._processes.get(thread)
        if known is not None and known[0] > now:
            return known[1]
        if len(self._processes) >= _MOST:
            self._processes.clear()
        process = self._look(thread)
        self._processes[thread] = now + _VALID_S, process
        return process

    def _look(self, thread: int) -> Process:
        found = self._find(thread)
        if found is None:
            return Process(thread, 0, 0, (thread,))
        if found.leader != thread:  # a thread has a start of its own
            found = self._find(found.leader) or found
        lineage = [found.leader]
        above = found
        while above.parent > 1 and len(lineage) < _DEPTH:
            lineage.append(above.parent)
            next_above = self._find(above.parent)
            if next_above is None:
                break
            above = next_above
        return Process(found.leader, found.started, found.session, tuple(lineage))

    def _find(self, thread: int) -> _Found | None:
        now = time.monotonic()
        known = self._known.get(thread)
        if known is not None and known[0] > now:
            return known[1]
        if len(self._known) >= _MOST:
            self._known.clear()
        found = look(thread)
        self._known[thread] = now + _VALID_S, found
        return found


def look(thread: int) -> _Found | None:
    """What ``/proc`` says of *thread* now; ``None``: it is gone, or in another world."""
    if thread <= 0:
        return None
    try:
        with open(f"/proc/{thread}/stat", "rb") as file:
            stat = file.read()
        with open(f"/proc/{thread}/status", "rb") as file:
            status = file.read()
    except OSError:
        return None
    # The name, which may contain anything, is in the last brackets.
    fields = stat[stat.rfind(b")") + 2 :].split()
    leader = status.find(b"\nTgid:")
    number = int(status[leader + 6 : status.find(b"\n", leader + 1)])
    return _Found(leader=number, parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


def is_alive(pid: int, started: int) -> bool:
    """Whether *pid* is still the process that started then."""
    found = look(pid)
    return found is not None and found.started == started
