"""Tells the kernel what it must forget, from a thread of its own.

Invalidation blocks while a request on the same inode is unanswered, so calling it
from the serving loop would deadlock.

"No such inode" may mean: not yet.  The answer to its first lookup is on the way, with
attributes from before the change, and who asked has not been scheduled since.  It would
then keep them for ever, so what the kernel has been shown is tried again until it knows it.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)
_PATIENCE_S = 1.0
_FIRST_PAUSE_S = 0.0005
_LONGEST_PAUSE_S = 0.05
_TRIES = 200
"""About ten seconds: whoever was not scheduled for so long has other troubles."""


class Kernel(Protocol):
    """What can be told to a kernel (`anvcsfs.kernel` for the real one)."""

    def forget_content(self, ino: int) -> None:
        """Drop cached pages and attributes of *ino*."""

    def forget_attributes(self, ino: int) -> None:
        """Drop cached attributes of *ino*."""

    def forget_entry(self, parent: int, name: bytes) -> None:
        """Drop what is cached about *name* in *parent*."""

    def forget_deleted(self, parent: int, name: bytes, ino: int) -> None:
        """Drop *name* in *parent*, whose file *ino* nobody can open any more."""


class _Item(NamedTuple):
    ino: int
    action: Callable[[Kernel], None]
    about_node: bool
    """Whether it is about the inode itself and not about a name in it."""


class Notifier:
    """An ordered queue of invalidations and the thread that sends them."""

    def __init__(self) -> None:
        self.was_shown: Callable[[int], bool] = lambda _: False
        """Whether the kernel was given an inode and has not given it back; called from the thread."""
        self.has_requests: Callable[[], bool] = lambda: False
        """Whether there are requests that nobody has read yet; for any thread."""
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._again: list[tuple[float, int, int, _Item]] = []
        """What is to be tried again: when, the order, how often it was tried."""
        self._tried = 0
        self._kernel: Kernel | None = None
        self._thread: threading.Thread | None = None
        self._sent = threading.Condition()
        self._left: dict[int, int] = {}
        """How many invalidations of each inode are not sent yet."""

    def start(self, kernel: Kernel) -> None:
        """Begin sending to *kernel*; what was queued before is sent first."""
        self._kernel = kernel
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what is queued, then end the thread."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout=5)

    def content(self, ino: int) -> None:
        """Pages and attributes of *ino* are no longer right."""
        self._put(ino, lambda kernel: kernel.forget_content(ino), about_node=True)

    def attributes(self, ino: int) -> None:
        """Attributes of *ino* are no longer right."""
        self._put(ino, lambda kernel: kernel.forget_attributes(ino), about_node=True)

    def entry(self, parent: int, name: bytes) -> None:
        """*name* in *parent* is no longer right."""
        self._put(parent, lambda kernel: kernel.forget_entry(parent, name))

    def deleted(self, parent: int, name: bytes, ino: int) -> None:
        """*name* in *parent* was the last name of *ino*, and is gone."""
        self._put(parent, lambda kernel: kernel.forget_deleted(parent, name, ino))

    def is_behind(self, ino: int) -> bool:
        """Whether the kernel has still to be told something about *ino*."""
        return ino in self._left and self._thread is not None

    def wait_for(self, ino: int) -> None:
        """Return when the kernel knows everything about *ino*; for a thread."""
        with self._sent:
            self._sent.wait_for(lambda: ino not in self._left, _PATIENCE_S)

    def _put(self, ino: int, action: Callable[[Kernel], None], *, about_node: bool = False) -> None:
        with self._sent:
            self._left[ino] = self._left.get(ino, 0) + 1
        self._queue.put(_Item(ino, action, about_node))

    def _run(self) -> None:
        kernel = self._kernel
        if kernel is None:
            return
        while True:
            now = time.monotonic()
            if self._again and self._again[0][0] <= now:
                _, _, tries, item = heapq.heappop(self._again)
                self._send(kernel, item, tries)
                continue
            try:
                new = self._queue.get(timeout=self._again[0][0] - now if self._again else None)
            except Empty:
                continue
            if new is None:
                return
            self._send(kernel, new, 0)

    def _send(self, kernel: Kernel, item: _Item, tries: int) -> None:
        try:
            item.action(kernel)
        except FileNotFoundError:
            if item.about_node and tries < _TRIES and self.was_shown(item.ino):
                pause = min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S)
                self._tried += 1
                heapq.heappush(self._again, (time.monotonic() + pause, self._tried, tries + 1, item))
                return
        except OSError:
            log.exception("the kernel refused an invalidation")
        self._done(item.ino)

    def _done(self, ino: int) -> None:
        with self._sent:
            left = self._left[ino] - 1
            if left:
                self._left[ino] = left
            else:
                del self._left[ino]
                self._sent.notify_all()
