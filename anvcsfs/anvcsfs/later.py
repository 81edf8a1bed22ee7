"""How a plain handler says "this takes a while" without knowing about trio."""

from collections.abc import Callable
from contextvars import ContextVar

from anvcs.artifacts.retrying import Canceller

ASKED: ContextVar[object] = ContextVar("asked", default=None)
"""Which request is being answered, where that matters: a handler is called again for the same one after a `Later`."""


class Later(Exception):
    """Raised by a handler before it has changed anything.

    The adapter runs *job* in a thread and calls the handler again, which then
    finds what it needs.  A job touches nothing that belongs to the serving loop.
    """

    def __init__(self, job: Callable[[], None]) -> None:
        super().__init__("needs a thread")
        self.job = job


class Fetching(Later):
    """A `Later` that may wait for a network: it takes a thread that no other request waits for, and can be given up."""

    def __init__(self, fetch: Callable[[Canceller], None]) -> None:
        self.cancel = Canceller()
        super().__init__(lambda: fetch(self.cancel))
