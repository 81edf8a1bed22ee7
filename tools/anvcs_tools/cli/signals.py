"""Ending in order when somebody wants a command to end."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_OFFSET = 128


@contextlib.contextmanager
def terminated_by_signals() -> Iterator[None]:
    """While this lasts, a signal to end unwinds the stack as Ctrl-C does, and ends with the code that shells expect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        for each in _ENDING:  # a second one doesn't stop the clearing up
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(_OFFSET + number)

    before = {each: signal.signal(each, end) for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
