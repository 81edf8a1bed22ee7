"""What a piece of work cost: time, processor time of both sides, memory."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the wall, of the client (this process and its children), and of the server."""

    wall: float
    client: float
    server: float

    @property
    def cpu(self) -> float:
        """Processor seconds that somebody has to pay."""
        return self.client + self.server


def measure(work: Callable[[], None], server: int | None) -> Cost:
    """Run *work* and say what it cost; *server* is the pid that serves the mount, if any."""
    client, serving, start = client_cpu(), server_cpu(server), time.perf_counter()
    work()
    wall = time.perf_counter() - start
    return Cost(wall, client_cpu() - client, server_cpu(server) - serving)


def client_cpu() -> float:
    """Processor seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def server_cpu(pid: int | None) -> float:
    """Processor seconds of a process, all threads, and of its children that have ended."""
    if pid is None:
        return 0.0
    # The CPU clock of another process, as clock_getcpuclockid(3) builds it: in
    # nanoseconds, where /proc/<pid>/stat counts in ticks of 10 ms.
    own = time.clock_gettime((~pid << 3) | 2)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return own + (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND


def memory(pid: int | None, what: str = "VmRSS") -> int:
    """Bytes of resident memory; *what* is a field of ``/proc/<pid>/status`` (``VmHWM``: the peak)."""
    if pid is None:
        return 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/status has no field {what}")


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Medians, each column by itself."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.client for cost in costs),
        statistics.median(cost.server for cost in costs),
    )
