"""pyfuse3's session loop with fewer trips through trio's scheduler.

pyfuse3 waits for each request with a trio lock and ``wait_readable``: five system
calls a request.  Most handlers here finish without suspending, so while nothing
slow is under way the next request is awaited by one short ``poll`` in the same
task, and trio's scheduler runs only when the line is quiet, when something slow is
in flight, or once in a while for fairness.

pyfuse3 finds ``trio`` in its module globals, which is how its own asyncio mode
replaces it (``pyfuse3.asyncio``); `install` does the same with the two names
below, everything else stays trio's.
"""

import errno
import logging
import os
import select
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from types import SimpleNamespace, TracebackType
from typing import Any

import pyfuse3
import trio

_LOOKS = 40
"""How often the line is looked at without sleeping, about a microsecond each.

A client comes back within some ten microseconds.  Waking a sleeping server on another
processor costs more than that, much more on a virtual machine: 95 µs a GETATTR and
54 µs of our processor time without these looks, 24 µs and 25 µs with them.
"""
_Look = Callable[[int], list[tuple[int, int]]]
_OVER = select.POLLERR | select.POLLHUP
_WATCH_MS = 1
"""How long a quiet line is watched, asleep, before trio takes over."""
_TURN_S = 0.004
"""How long requests may follow each other before other trio tasks get a turn."""


class _Done:
    """Awaited, it is done: a coroutine would be made and thrown away for each step of each request."""

    __slots__ = ()

    def __await__(self) -> Any:
        return _NOTHING


_NOTHING: Any = iter(())
_DONE = _Done()
_WORKER = pyfuse3._session_loop  # type: ignore[attr-defined]  # noqa: SLF001
log = logging.getLogger(__name__)


class Gate:
    """Decides who waits for requests, and whether trio has to be asked."""

    def __init__(self) -> None:
        self._slow = 0
        self._held = False
        self._parked: deque[trio.lowlevel.Task] = deque()
        self._turn_ends = 0.0
        self._poll: select.poll | None = None
        self._bell = -1
        self._line = -1
        self.heard = False
        """Whether another process has announced ops that nobody has taken in yet."""
        self.gone: Callable[[], None] = lambda: None
        """Called when the mount is gone; requests may still wait for something slow."""

    def listen(self, bell: int) -> None:
        """Watch the descriptor *bell*, too, on which other processes announce their ops."""
        self._bell = bell

    def has_requests(self) -> bool:
        """Whether there are requests that nobody has read yet; for any thread."""
        if self._line < 0:
            return False
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return bool(poll.poll(0))

    def enter_slow(self) -> None:
        """A handler is about to suspend: let a parked worker take the line."""
        self._slow += 1
        self._wake_one()

    def leave_slow(self) -> None:
        """The handler goes on."""
        self._slow -= 1

    def worker_ended(self) -> None:
        """A worker is gone for good."""
        if self._poll is not None and any(ready != self._bell and event & _OVER for ready, event in self._poll.poll(0)):
            self.gone()
        self._wake_one()

    def _wake_one(self) -> None:
        if not self._held and self._parked:
            trio.lowlevel.reschedule(self._parked.popleft())

    def acquire(self) -> Awaitable[None]:
        """Take the line; parks the worker while another one has it."""
        if self._held:
            return self._park()
        self._held = True
        return _DONE

    async def _park(self) -> None:
        while self._held:
            task = trio.lowlevel.current_task()
            self._parked.append(task)

            def abort(_: Any, task: trio.lowlevel.Task = task) -> trio.lowlevel.Abort:
                self._parked.remove(task)
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        self._held = True

    def release(self) -> None:
        """Give the line back.  A parked worker is woken only when this one suspends."""
        self._held = False
        if self._slow:
            self._wake_one()

    def wait_readable(self, fd: int) -> Awaitable[None]:
        """Wait for the next request on *fd*."""
        if not self._slow and monotonic() < self._turn_ends and self._quick(fd):
            return _DONE
        return self._wait(fd)

    async def _wait(self, fd: int) -> None:
        """Let trio's other tasks have a turn, and wait with them."""
        await trio.lowlevel.wait_readable(fd)
        self._turn_ends = monotonic() + _TURN_S
        self._is_request(self._look(fd)(0))  # who announced something before this request must be heard before it

    def _quick(self, fd: int) -> bool:
        look = self._look(fd)
        for _ in range(_LOOKS):
            found = look(0)
            if found:
                return self._is_request(found)
        return self._is_request(look(_WATCH_MS))

    def _look(self, fd: int) -> _Look:
        """What tells, within some milliseconds, which of the request line and the bell have something."""
        poll = self._poll
        if poll is None:
            os.set_blocking(fd, False)  # see `_lasting`
            poll = self._poll = select.poll()
            poll.register(fd, select.POLLIN)
            self._line = fd
            if self._bell >= 0:
                poll.register(self._bell, select.POLLIN)
        return poll.poll

    def _is_request(self, found: list[tuple[int, int]]) -> bool:
        """Whether there is a request among what was *found*, and not only an announcement."""
        request = False
        for ready, _ in found:
            if ready == self._bell:
                self.heard = True
            else:
                request = True
        return request


class Exits(trio.abc.Instrument):
    """Wakes a parked worker when one ends: the ended one may have been the last to watch the line."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def task_exited(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - whichever it was
        """A task of trio's has ended."""
        self._gate.worker_ended()


class _Lock:
    """Stands in for ``trio.Lock`` in pyfuse3's loop."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __aenter__(self) -> Awaitable[None]:
        return self._gate.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[None]:
        self._gate.release()
        return _DONE


async def _lasting(*arguments: Any) -> None:
    """pyfuse3's worker, which goes on when there is nothing to read after all.

    A client that is killed takes its request back, perhaps between our look and our read.
    On a descriptor that blocks, that read would keep Python's lock until somebody else's request.
    """
    while True:
        try:
            await _WORKER(*arguments)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            log.info("a request was taken back")
        else:
            return


def install(gate: Gate) -> None:
    """Make pyfuse3 wait for requests through *gate*."""
    pyfuse3._session_loop = _lasting  # type: ignore[attr-defined]  # noqa: SLF001 - found by its name, as `trio` is
    lowlevel = SimpleNamespace(**{name: getattr(trio.lowlevel, name) for name in dir(trio.lowlevel)})
    lowlevel.wait_readable = gate.wait_readable
    shim = SimpleNamespace(
        **{name: getattr(trio, name) for name in trio.__all__} if hasattr(trio, "__all__") else vars(trio)
    )
    shim.lowlevel = lowlevel
    shim.Lock = lambda: _Lock(gate)
    pyfuse3.trio = shim  # type: ignore[attr-defined]  # a name it imports and does not export
