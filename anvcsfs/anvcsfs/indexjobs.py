"""What is to be done to a view's Git index, one thing after the other."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from anvcs.errors import AnvcsError
from anvcs.git.indexing import IndexLocked

log = logging.getLogger(__name__)

_PAUSE_S = 1.0
"""How soon after a failure it is tried again, if Git asks."""


class IndexJobs:
    """Work on the view's Git index, in order, in threads; readers of ``.git`` wait for it."""

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self.added: Callable[[], None] = lambda: None
        """Called when there is something to do."""
        self._rests_until: float | None = None

    def add(self, job: Callable[[], None]) -> None:
        """Queue *job*."""
        self._jobs.append(job)
        self.added()

    @property
    def waiting(self) -> bool:
        """Whether something is to be done or under way."""
        return bool(self._jobs) or self._lock.locked()

    @property
    def behind(self) -> bool:
        """Whether a job has failed and nothing has made up for it."""
        return self._rests_until is not None

    @property
    def resting(self) -> bool:
        """Whether the last failure was a moment ago: whoever failed on a full disk would only fail again."""
        return self._rests_until is not None and time.monotonic() < self._rests_until

    def caught_up(self) -> None:
        """What failed has been made up for, or is about to be."""
        self._rests_until = None

    def run(self) -> None:
        """Do everything that is queued; from any thread."""
        with self._lock:
            while self._jobs:
                try:
                    self._jobs[0]()
                except (AnvcsError, OSError) as problem:
                    locked = isinstance(problem, IndexLocked)  # that it is no more can be seen
                    self._rests_until = time.monotonic() + (0.0 if locked else _PAUSE_S)
                    log.warning("the view's index could not be brought up to date, which is tried again: %s", problem)
                except Exception:
                    self._rests_until = time.monotonic() + _PAUSE_S
                    log.exception("the view's index could not be brought up to date")
                self._jobs.popleft()
