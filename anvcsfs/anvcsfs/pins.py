"""No read is served half from old pages and half from new bytes.

The kernel drops a file's pages when it gets attributes with another time, in the context
of whoever asked for them; ``read(2)`` asks before it begins, if what the kernel knows was
invalidated.  A reader alone is safe by that.  Two are not: one asks, and the pages go
from under the other that is copying them, or are half gone while it begins.  So

1. until somebody has asked, reads get the old content,
2. the first answer waits until reads that began before the invalidation have ended, and
3. until whoever got it has dropped the pages, everybody else waits for an answer.

Steps 2 and 3 take some milliseconds each, and only while several threads use a file that
has just changed.
"""

import time

from anvcsfs.later import Later
from anvcsfs.notifier import Notifier

_GRACE_S = 0.006
"""How long copying or dropping 128 KiB of pages may take, being interrupted included."""


class Pin:
    """The change of an open file's content, until the kernel has taken it over."""

    __slots__ = ("_quiet_from", "_told_at", "_told_to", "since", "source")

    def __init__(self, source: object) -> None:
        self.source = source
        """What reads still get; ``None`` once the kernel has been told."""
        self.since = time.monotonic()
        """When the newer content came."""
        self._quiet_from: float | None = None
        self._told_at = 0.0
        self._told_to = 0

    def was_read(self) -> None:
        """A read that began before the change is still under way."""
        self._quiet_from = None

    def tell(self, ino: int, notifier: Notifier, pid: int, *, alone: bool) -> bool:
        """The thread *pid* asks for the new attributes; whether the change is history with that.

        *alone* says that nobody else has the file open.

        Raises:
            Later: it has to wait.
        """
        now = time.monotonic()
        if self.source is not None:
            if not alone and (self._quiet_from is None or now < self._quiet_from + _GRACE_S):
                raise Later(lambda: self._let_finish(ino, notifier))
            self.source, self._told_at, self._told_to = None, now, pid
            return False
        self.wait_settled(pid)
        return now >= self._told_at + _GRACE_S

    def wait_settled(self, pid: int) -> None:
        """Raise `Later` while another thread than *pid* may be dropping pages."""
        left = self._told_at + _GRACE_S - time.monotonic()
        if self.source is None and left > 0 and pid != self._told_to:
            raise Later(lambda: time.sleep(left))

    def _let_finish(self, ino: int, notifier: Notifier) -> None:
        notifier.wait_for(ino)
        if self._quiet_from is None:
            self._quiet_from = time.monotonic()
        time.sleep(max(0.0, self._quiet_from + _GRACE_S - time.monotonic()))
