"""Tells the kernel what it must forget, from a thread of its own.

Invalidation blocks while a request on the same inode is unanswered, so calling it
from the serving loop would deadlock.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

log = logging.getLogger(__name__)
_PATIENCE_S = 1.0


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


class Notifier:
    """An ordered queue of invalidations and the thread that sends them."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[int, Callable[[Kernel], None]] | None] = SimpleQueue()
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
        self._put(ino, lambda kernel: kernel.forget_content(ino))

    def attributes(self, ino: int) -> None:
        """Attributes of *ino* are no longer right."""
        self._put(ino, lambda kernel: kernel.forget_attributes(ino))

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

    def _put(self, ino: int, item: Callable[[Kernel], None]) -> None:
        with self._sent:
            self._left[ino] = self._left.get(ino, 0) + 1
        self._queue.put((ino, item))

    def _run(self) -> None:
        kernel = self._kernel
        if kernel is None:
            return
        while (item := self._queue.get()) is not None:
            try:
                item[1](kernel)
            except FileNotFoundError:
                continue  # the kernel never knew it, or has forgotten it already
            except OSError:
                log.exception("the kernel refused an invalidation")
            finally:
                self._done(item[0])

    def _done(self, ino: int) -> None:
        with self._sent:
            left = self._left[ino] - 1
            if left:
                self._left[ino] = left
            else:
                del self._left[ino]
                self._sent.notify_all()
