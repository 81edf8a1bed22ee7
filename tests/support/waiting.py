"""Waiting for what the kernel gives no event for; the only place in the tests that polls."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
    """The first true value of *probe*; fails after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    never = threading.Event()
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, (
            f"waited {timeout} s for {what or getattr(probe, '__name__', 'it')}: {value!r}"
        )
        never.wait(0.01)
