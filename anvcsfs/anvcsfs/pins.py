"""No read is served half from old pages and half from new bytes.

The kernel drops a file's pages when it gets attributes with another time, in the context
of whoever asked for them; ``read(2)`` asks before it begins, if what the kernel knows was
invalidated.  A reader alone is safe by that.  Two are not: one asks, and the pages go
from under the other that is copying them, or are half gone while it begins.  So

1. until somebody has asked, reads get the old content,
2. the first answer waits until reads that began before the invalidation have ended, and
3. until whoever got it has dropped the pages, everybody else waits for an answer.

Steps 2 and 3 take some milliseconds each, and only while several threads use a file that
has just changed; longer when a thread that they wait for is kept from the processor.
"""

import time
from collections.abc import Sequence

from anvcsfs.later import Later
from anvcsfs.notifier import Notifier
from anvcsfs.running import Running

_GRACE_S = 0.006
"""How long copying or dropping 128 KiB of pages may take, being interrupted included."""
_LIMIT_S = 0.25
"""How long a thread is waited for that gets no processor."""
_STEP_S = 0.002


class Pin:
    """The change of an open file's content, until the kernel has taken it over."""

    __slots__ = ("_copying", "_dropping", "_quiet_from", "_quiet_since", "_told_at", "_told_to", "since", "source")

    def __init__(self, source: object) -> None:
        self.source = source
        """What reads still get; ``None`` once the kernel has been told."""
        self.since = time.monotonic()
        """When the newer content came."""
        self._quiet_from: float | None = None
        """Since when no read of the old content has been seen; `None`: nobody has begun to wait."""
        self._quiet_since: float | None = None
        """The same, once those that were under way then have ended."""
        self._copying = Running(())
        self._told_at = 0.0
        self._told_to = 0
        self._dropping = Running(())

    def was_read(self) -> None:
        """A read that began before the change is still under way."""
        self._quiet_from = None

    def tell(self, ino: int, notifier: Notifier, pid: int, others: Sequence[int]) -> bool:
        """The thread *pid* asks for the new attributes; whether the change is history with that.

        *others* are the threads that have the file open, too.

        Raises:
            Later: it has to wait.
        """
        if self.source is not None:
            if others and (self._quiet_from is None or self._quiet_since != self._quiet_from):
                raise Later(lambda: self._let_finish(ino, notifier, others))
            self.source, self._told_at, self._told_to = None, time.monotonic(), pid
            self._dropping = Running([pid])
            return False
        self.wait_settled(pid)
        return _is_over(self._told_at, self._dropping)

    def wait_settled(self, pid: int) -> None:
        """Raise `Later` while another thread than *pid* may be dropping pages."""
        if self.source is None and pid != self._told_to and not _is_over(self._told_at, self._dropping):
            raise Later(lambda: _wait_until_over(self._told_at, self._dropping))

    def _let_finish(self, ino: int, notifier: Notifier, others: Sequence[int]) -> None:
        notifier.wait_for(ino)
        since = self._quiet_from
        if since is None:
            self._copying = Running(others)
            since = self._quiet_from = time.monotonic()
        _wait_until_over(since, self._copying)
        # A reader may be asleep because its request for the rest has not been read yet: that is a read seen.
        while notifier.has_requests() and time.monotonic() < since + _LIMIT_S:
            time.sleep(_STEP_S / 4)
        self._quiet_since = since


def _is_over(since: float, threads: Running) -> bool:
    """Whether what *threads* were doing at the moment *since* has ended."""
    now = time.monotonic()
    if now < since + _GRACE_S:
        return False
    return now >= since + _LIMIT_S or not threads.go_on()


def _wait_until_over(since: float, threads: Running) -> None:
    time.sleep(max(0.0, since + _GRACE_S - time.monotonic()))
    while not _is_over(since, threads):
        time.sleep(_STEP_S)
