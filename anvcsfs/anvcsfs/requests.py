"""How a request is carried through: what comes before it, what it may have to wait for, what its failure means.

Most requests are answered at once by a plain call.  A coroutine and a closure for each
step of it would cost more than the table does, so the verbs that the kernel asks for by
the thousand call the table themselves and come here only when that raised something.
"""

import errno
import logging
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FUSEError, InodeT, ModeT

from anvcs.artifacts.errors import ArtifactError
from anvcs.artifacts.retrying import Canceller
from anvcs.errors import AnvcsError
from anvcs.rooms.errors import NotCompared, RoomBusy
from anvcsfs.callers import Asker
from anvcsfs.errnos import errno_of
from anvcsfs.handles import FileHandle
from anvcsfs.later import ASKED, Fetching, Later
from anvcsfs.nodes import Node, Place
from anvcsfs.serving import Gate
from anvcsfs.status import FOREVER_S
from anvcsfs.table import Table

log = logging.getLogger(__name__)
T = TypeVar("T")
_ATTEMPTS = 1000
_PATIENCE_S = 5.0
"""How long a request waits for another process's append before it is EAGAIN."""
_LOOK_S = 0.25
_FETCHES = 512
"""Requests that may wait for artifacts at the same time."""


class Requests(pyfuse3.Operations):
    """What all verbs need; `anvcsfs.adapter` has the verbs."""

    def __init__(self, table: Table, gate: Gate) -> None:
        super().__init__()
        self._table = table
        self._gate = gate
        self._units = table.follower.units
        self._notifier = table.view.notifier
        self._far = trio.CapacityLimiter(_FETCHES)
        self._fetching: dict[Canceller, Asker] = {}
        self._fetches = trio.Event()
        self.take_in: Callable[[], None] = lambda: None
        """Called before a request when another process has announced ops."""

    # Before a request

    def _prepare(self) -> None:
        """Take in what was announced, and what a command of Git that has ended left; before each call of the table."""
        if self._gate.heard:
            self._gate.heard = False
            self.take_in()
        if self._units.unit is not None and self._units.ended:
            self._table.follower.hear_git()

    # Carrying on

    async def _call(self, verb: Callable[[], T], pid: int = 0) -> T:
        """Call *verb* for the process *pid*; when it asks for a thread, give it one and call again."""
        try:
            self._prepare()
            return verb()
        except Exception as hitch:  # noqa: BLE001 - whatever escapes a handler would end the mount
            return await self._go_on(hitch, verb, pid)

    async def _go_on(self, hitch: Exception, verb: Callable[[], T], pid: int = 0) -> T:
        """A call of *verb* for *pid* met a *hitch*: wait for what it needs and call again, or say what its failure means."""
        patience: float | None = None
        try:
            for _ in range(_ATTEMPTS):
                if isinstance(hitch, Fetching):
                    await self._fetch(hitch, pid)
                elif isinstance(hitch, Later | NotCompared):
                    await self.in_thread(hitch.job)
                elif isinstance(hitch, RoomBusy):
                    now = trio.current_time()
                    patience = now + _PATIENCE_S if patience is None else patience
                    if now > patience:
                        raise hitch
                    await self._wait_for_room(patience - now)
                else:
                    raise hitch
                try:
                    return verb()
                except (Later, NotCompared, RoomBusy) as another:
                    hitch = another
        except FUSEError:
            raise
        except Exception as error:  # whatever escapes a handler would end the mount
            raise self._refusal(error) from error
        raise FUSEError(errno.EAGAIN)

    async def _fetch(self, fetching: Fetching, pid: int) -> None:
        """Wait for what comes over a network, as long as the process *pid* waits for it."""
        self._fetching[fetching.cancel] = Asker(pid)
        self._fetches.set()
        try:
            await self.in_thread(fetching.job, self._far)
        finally:
            del self._fetching[fetching.cancel]

    async def let_go(self) -> None:
        """Give up fetches whose processes were interrupted or killed: they wait for our answer even so."""
        while True:
            if not self._fetching:
                self._fetches = trio.Event()
                await self._fetches.wait()
            await trio.sleep(_LOOK_S)
            for cancel, asker in self._fetching.items():
                if not asker.waits():
                    cancel.cancel()

    async def _change(self, pid: int, verb: Callable[[], T], *, removes: bool = False) -> T:
        """`_call` of what changes the tree for the process *pid*, which may be Git."""
        units = self._units

        def changed() -> T:
            units.enter(pid, removes=removes)
            try:
                return verb()
            finally:
                units.leave()

        return await self._call(changed, pid)

    async def _change_in(self, directory: int, pid: int, verb: Callable[[], T], *, removes: bool = False) -> T:
        """`_change` of a name in the directory with inode *directory*; what is ignored there is no matter of Git's."""
        node = self._table.inodes.find(directory)
        if node is not None and node.place is Place.LOCAL:
            return await self._call(verb)
        return await self._change(pid, verb, removes=removes)

    async def _finished(self, fh: int, verb: Callable[[], T]) -> T:
        """`_call` for verbs that may carry a request out, which may have taken effect although it failed."""
        ASKED.set(object())
        try:
            return await self._call(verb)
        except FUSEError as error:
            if not self._table.done_nevertheless(fh, error.__cause__):
                raise
        return await self._call(verb)

    async def _wait_for_room(self, seconds: float) -> None:
        """Wait in a thread while another process is inside its append."""
        room = self._table.view.room
        await self.in_thread(lambda: room.wait_writable(seconds))

    async def attempt(self, verb: Callable[[], None]) -> None:
        """`_call` for our own tasks: a failure is logged and tried again by the next occasion."""
        try:
            await self._call(verb)
        except FUSEError as error:
            log.warning("%s: %s", getattr(verb, "__name__", "task"), error.__cause__ or error)

    async def attempt_in_thread(self, job: Callable[[], None]) -> None:
        """`in_thread` for our own tasks."""
        try:
            await self.in_thread(job)
        except (AnvcsError, OSError, sqlite3.Error) as problem:
            log.warning("housekeeping failed, and is tried again: %s", problem)
        except Exception:  # the next occasion may do better; the mount must not end
            log.exception("housekeeping failed")

    async def in_thread(self, job: Callable[[], T], limiter: trio.CapacityLimiter | None = None) -> T:
        """Run *job* in a thread, one of *limiter*'s if given, while other requests are served."""
        self._gate.enter_slow()
        try:
            return await trio.to_thread.run_sync(job, limiter=limiter)
        finally:
            self._gate.leave_slow()

    async def _until_sent(self, inode: InodeT) -> None:
        """Return when the kernel knows everything about *inode*."""
        await self.in_thread(lambda: self._notifier.wait_for(inode))

    # Answers

    def _refusal(self, error: Exception) -> FUSEError:
        number = errno_of(error)
        if number in (errno.EIO, errno.ENOENT) and not self._table.view.find_store():
            return FUSEError(errno.ESTALE)
        if isinstance(error, ArtifactError):
            log.info("a request failed: %s", error)  # who fetches has told once what to do about it
        elif not isinstance(error, (OSError, AnvcsError)) or number == errno.EIO:
            log.error("a request failed", exc_info=error)
        elif isinstance(error, RoomBusy):
            log.warning("gave up after %.0f s: %s", _PATIENCE_S, error)
        return FUSEError(number)

    async def _answer(self, node: Node, pid: int = 0) -> EntryAttributes:
        """`_reply`, which may have to wait for a thread."""
        ready = node.reply
        return ready if ready is not None else await self._call(lambda: self._reply(node, pid=pid))

    def _reply(self, node: Node, handle: FileHandle | None = None, *, pid: int = 0) -> EntryAttributes:
        """The node's attributes as pyfuse3 wants them, kept until the node changes."""
        ready: EntryAttributes | None = node.reply
        if ready is not None:
            return ready
        status = self._table.status(node, handle, pid)
        reply = EntryAttributes()
        reply.st_ino = InodeT(status.ino)
        reply.st_mode = ModeT(status.mode)
        reply.st_nlink = status.nlink
        reply.st_uid, reply.st_gid, reply.st_rdev = status.uid, status.gid, status.rdev
        reply.st_size = status.size
        reply.st_blocks = (status.size + 511) // 512
        reply.st_atime_ns, reply.st_mtime_ns, reply.st_ctime_ns = status.atime_ns, status.mtime_ns, status.ctime_ns
        reply.attr_timeout = status.lifetime_s
        control = node.parent is not None and node.parent.place is Place.CONTROL
        reply.entry_timeout = 0 if control else FOREVER_S
        if not node.on_disk and status.lifetime_s:
            node.reply = reply
        return reply
