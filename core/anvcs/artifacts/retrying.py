"""When to try again: exponential backoff with full jitter, and only for what may pass."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from anvcs.artifacts.errors import DigestMismatch, HydrationCancelled, Passing, StoreUnreachable

T = TypeVar("T")

WRONG_BYTES: Final = 3
"""So often are bytes fetched again that didn't hash to their digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How often and how patiently a request is repeated."""

    attempts: int = 6
    """Tries without any progress between them."""
    unreachable: int = 3
    """As `attempts`, when there is no connection: somebody waits for an answer."""
    first_s: float = 0.1
    longest_s: float = 5.0
    pause: Callable[[float], object] | None = None
    """Waits for so many seconds; None waits on the canceller."""

    def allowed(self, error: Exception) -> int:
        """How many tries there are in all when they end like this."""
        if isinstance(error, StoreUnreachable):
            return self.unreachable
        if isinstance(error, Passing):
            return self.attempts
        return WRONG_BYTES if isinstance(error, DigestMismatch) else 1

    def delay(self, failed: int) -> float:
        """Seconds to wait after the *failed*-th failure in a row."""
        longest = min(self.longest_s, self.first_s * 2.0 ** min(failed - 1, 20))
        return random.uniform(longest / 2, longest)  # noqa: S311  # spreads load, hides nothing


class Canceller:
    """A switch that is thrown once; waits end when it is."""

    def __init__(self) -> None:
        self._thrown = threading.Event()
        self._hooks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def thrown(self) -> bool:
        """Whether it is."""
        return self._thrown.is_set()

    def cancel(self) -> None:
        """Throw it; from any thread."""
        with self._lock:
            self._thrown.set()
            hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook()

    def then(self, hook: Callable[[], None]) -> None:
        """Call *hook* when it is thrown, at once if it is already."""
        with self._lock:
            if not self._thrown.is_set():
                self._hooks.append(hook)
                return
        hook()

    def forget(self, hook: Callable[[], None]) -> None:
        """Don't call *hook* any more."""
        with self._lock:
            if hook in self._hooks:
                self._hooks.remove(hook)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until it is thrown: whether it is."""
        return self._thrown.wait(seconds)

    def check(self, what: str) -> None:
        """Raise `HydrationCancelled` if it is thrown."""
        if self.thrown:
            raise HydrationCancelled(what)


def again(action: Callable[[], T], backoff: Backoff, what: str, cancel: Canceller | None = None) -> T:
    """What *action* gives, tried as often as *backoff* allows; the last error otherwise."""
    failed = 0
    while True:
        try:
            return action()
        except (Passing, DigestMismatch) as error:
            failed += 1
            if failed >= backoff.allowed(error):
                raise
            rest(backoff, failed, what, cancel)


def rest(backoff: Backoff, failed: int, what: str, cancel: Canceller | None) -> None:
    """Wait between two tries; ends early, with `HydrationCancelled`, when *cancel* is thrown."""
    seconds = backoff.delay(failed)
    if backoff.pause is not None:
        backoff.pause(seconds)
    else:
        (cancel or Canceller()).wait(seconds)
    if cancel is not None:
        cancel.check(what)
