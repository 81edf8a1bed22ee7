"""Many artifacts one after the other, several at a time: as many as the line needs and no more.

Over a network most of the time is waiting, and only many requests in flight fill the line.
Near a server nobody waits, and each thread more costs the others Python's lock.  So another
one is started only while the processor has time for it.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from anvcs.artifacts.retrying import Canceller

T = TypeVar("T")
MOST: Final = 32
"""And never more."""
FIRST: Final = 4
"""So many are always in flight."""
_LOOK_S: Final = 0.02
_BUSY: Final = 0.7
"""Of one processor: Python's lock lets no more than one be used."""


class Crowd(Generic[T]):
    """Does *one* for each item, in threads of its own."""

    def __init__(
        self,
        items: Iterable[T],
        one: Callable[[T, Canceller], object],
        cancel: Canceller,
        has_time: Callable[[], bool] | None = None,
    ) -> None:
        """*one* raises nothing, and returns soon when *cancel* is thrown unless a store hangs.

        *has_time* says whether the processor could do more.
        """
        self._items, self._one, self._cancel = iter(items), one, cancel
        self._has_time = has_time or Idleness().look
        self._cond = threading.Condition()
        self._running = 0
        self._over = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Return when all are done; what is asked for after Ctrl-C is not waited for."""
        try:
            with self._cond:
                for _ in range(FIRST):
                    self._start()
                self._cond.wait_for(lambda: self._running == 0)
        except BaseException:
            self._over = True
            self._cancel.cancel()
            raise
        if self._failure is not None:
            raise self._failure

    def _start(self) -> None:
        self._running += 1
        threading.Thread(target=self._work, name="anvcs-ensure", daemon=True).start()

    def _work(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._one(item, self._cancel)
        except BaseException as failure:  # noqa: BLE001  # of the iterator, for whoever waits
            self._failure, self._over = failure, True
        with self._cond:
            self._running -= 1
            self._cond.notify_all()

    def _next(self) -> T | None:
        with self._cond:
            if self._over or self._cancel.thrown:
                return None
            item = next(self._items, None)
            if item is None:
                self._over = True
            elif self._running < MOST and self._has_time():
                self._start()
            return item


class Idleness:
    """Whether this process leaves the processor idle."""

    def __init__(self) -> None:
        self._looked = time.monotonic(), time.process_time()

    def look(self) -> bool:
        """Whether it was idle most of the time since the last look; False when that was a moment ago."""
        now, spent = time.monotonic(), time.process_time()
        then, before = self._looked
        if now - then < _LOOK_S:
            return False
        self._looked = now, spent
        return spent - before < _BUSY * (now - then)
