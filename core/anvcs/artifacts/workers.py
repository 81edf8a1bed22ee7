"""A few threads that fetch or send.  They are daemons: a store that hangs must not keep a process from ending."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

T = TypeVar("T")
_CHECK_S = 0.1
_FINISH_S = 60.0


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


def in_parallel(jobs: Sequence[Callable[[], T]], most: int, check: Callable[[], object] = lambda: None) -> list[T]:
    """What *jobs* give, in their order, up to *most* at a time.

    After the first failure no further one begins; it is raised when those under way have ended.  What *check* raises,
    which is called a few times a second, and Ctrl-C end it at once: what is under way then goes on by itself.
    """
    given: dict[int, T] = {}
    failed: list[BaseException] = []
    moved = threading.Condition()

    def run(index: int, job: Callable[[], T]) -> None:
        try:
            value = job()
        except BaseException as error:  # noqa: BLE001  # raised to whoever waits
            failed.append(error)
        else:
            given[index] = value
        with moved:
            moved.notify()

    workers = Workers(most)
    try:
        for index, job in enumerate(jobs):
            workers.submit(partial(run, index, job))
        with moved:
            while len(given) < len(jobs) and not failed:
                moved.wait(_CHECK_S)
                check()
    finally:
        workers.close(_FINISH_S if failed else 0)
    if failed:
        raise failed[0]
    return [given[index] for index in range(len(jobs))]
