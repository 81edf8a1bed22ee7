"""Whether a thread may still be inside the system call that it was in a moment ago.

Copying or dropping 128 KiB of cached pages takes some ten microseconds of a processor, but
a thread that others keep from the processor may take any time for it.  The kernel tells
how much each thread has had (``/proc/<thread>/schedstat``, proc(5)).
"""

from collections.abc import Iterable

_ENOUGH_NS = 12_000_000
"""More than a tick of the slowest kernel (100 Hz): what a running thread has had since the last one isn't told yet."""


class Running:
    """Some threads, and what processor time each had used when this was made."""

    def __init__(self, threads: Iterable[int]) -> None:
        self._used = {thread: used for thread in set(threads) if (used := _used_ns(thread)) is not None}

    def go_on(self) -> bool:
        """Whether one of them wants the processor and has had too little of it since."""
        return any(_wants_processor(thread) and self._has_had(thread) < _ENOUGH_NS for thread in self._used)

    def _has_had(self, thread: int) -> int:
        used = _used_ns(thread)
        return _ENOUGH_NS if used is None else used - self._used[thread]


def _used_ns(thread: int) -> int | None:
    """Processor time of *thread*; ``None``: it is gone, or in another world."""
    data = _read(thread, "schedstat")
    return int(data.split()[0]) if data else None


def _wants_processor(thread: int) -> bool:
    stat = _read(thread, "stat")
    # The name, which may contain anything, is in the last brackets.
    return stat[stat.rfind(b")") + 2 :].startswith(b"R")


def _read(thread: int, name: str) -> bytes:
    if thread <= 0:
        return b""
    try:
        with open(f"/proc/{thread}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
