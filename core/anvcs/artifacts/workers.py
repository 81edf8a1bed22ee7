"""A few threads that fetch.  They are daemons: a store that hangs must not keep a process from ending."""

import threading
import time
from collections import deque
from collections.abc import Callable


class Workers:
    """Runs jobs in up to *most* threads, started as they are needed, stopped when idle."""

    def __init__(self, most: int, idle_s: float = 10.0) -> None:
        self._most, self._idle_s = most, idle_s
        self._cond = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run *job*, which raises nothing, in its turn."""
        with self._cond:
            if self._closed:
                return
            self._jobs.append(job)
            if self._idle >= len(self._jobs) or len(self._threads) >= self._most:
                self._cond.notify()
                return
            thread = threading.Thread(target=self._work, name="anvcs-fetch", daemon=True)
            self._threads.add(thread)
        thread.start()

    def close(self, timeout: float = 1.0) -> None:
        """Drop what hasn't begun, and wait so long in all for what has: a store that hangs isn't waited for."""
        until = time.monotonic() + timeout
        with self._cond:
            self._closed = True
            self._jobs.clear()
            self._cond.notify_all()
            threads = list(self._threads)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(until - time.monotonic(), 0))

    def _work(self) -> None:
        while True:
            with self._cond:
                self._idle += 1
                ready = self._cond.wait_for(lambda: self._jobs or self._closed, self._idle_s)
                self._idle -= 1
                if self._closed or not ready:
                    self._threads.discard(threading.current_thread())
                    return
                job = self._jobs.popleft()
            job()
