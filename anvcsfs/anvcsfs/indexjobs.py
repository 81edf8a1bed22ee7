"""What is to be done to a view's Git index, one thing after the other."""

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)


class IndexJobs:
    """Work on the view's Git index, in order, in threads; readers of ``.git`` wait for it."""

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self.added: Callable[[], None] = lambda: None
        """Called when there is something to do."""

    def add(self, job: Callable[[], None]) -> None:
        """Queue *job*."""
        self._jobs.append(job)
        self.added()

    @property
    def waiting(self) -> bool:
        """Whether something is to be done or under way."""
        return bool(self._jobs) or self._lock.locked()

    def run(self) -> None:
        """Do everything that is queued; from any thread."""
        with self._lock:
            while self._jobs:
                job = self._jobs[0]
                try:
                    job()
                except Exception:
                    # A stale index costs Git some hashing and nothing else.
                    log.exception("the view's index could not be brought up to date")
                self._jobs.popleft()
