"""The process that serves one view, from its description to its last unmount."""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pyfuse3
import trio

from anvcs.rooms.core import Unchecked
from anvcs.rooms.documents import warm_up
from anvcs.rooms.room import Room
from anvcs.views import ViewSpec, source_name
from anvcsfs.adapter import Adapter
from anvcsfs.assembly import Assembly, assemble
from anvcsfs.background import TASKS, allow_many
from anvcsfs.callers import is_mapped
from anvcsfs.kernel import KernelNotifier, fuse_options
from anvcsfs.serving import Exits, Gate, install

log = logging.getLogger(__name__)
_SWITCH_S = 1e-4
_GARBAGE_AFTER = 20_000
"""New objects after which Python looks for cycles; nodes and answers, which a walk makes by the thousand, are none."""
_CHECKPOINT_S = 20.0
_CARD_S = 0.05
_AGAIN_S = 0.2
_READERS_S = 0.25
"""What was read in so short a time before the process is killed is not known afterwards."""


def worth_telling(record: logging.LogRecord) -> bool:
    """False for what pyfuse3 says of a reply that the kernel no longer wants.

    ENOENT is how it tells that a request was interrupted, or that the view was unmounted
    while a file was being released.  Nothing is wrong, and libfuse itself keeps silent.
    """
    message = record.getMessage()
    return not message.endswith("fuse_reply_* failed with No such file or directory")


def serve(spec: ViewSpec, ready: Callable[[], None]) -> int:
    """Mount the view that *spec* describes and serve it until it is unmounted.

    *ready* is called once the mount answers.  Returns 0 after a clean unmount.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("pyfuse3").addFilter(worth_telling)
    sys.setswitchinterval(_SWITCH_S)  # a busy thread must not hold requests up
    gc.set_threshold(_GARBAGE_AFTER)
    with ExitStack() as stack:
        parts = assemble(spec, stack)
        gate = Gate()
        install(gate)
        adapter = Adapter(parts.table, gate, xattrs=spec.options.get("xattr", True))
        options = fuse_options(
            name=source_name(spec.common_dir),
            allow_other=spec.options.get("allow_other", False),
            default_permissions=spec.options.get("default_permissions", True),
            read_only=spec.read_only,
        )
        pyfuse3.init(adapter, os.fspath(spec.mountpoint), options)
        stack.callback(pyfuse3.close, unmount=True)
        gate.listen(parts.view.presence.fileno())
        parts.view.notifier.has_requests = gate.has_requests
        gate.gone = parts.view.artifacts.stop
        adapter.take_in = parts.table.follower.hear
        parts.view.notifier.start(KernelNotifier())
        stack.callback(parts.view.notifier.stop)
        try:
            trio.run(_serve, parts, adapter, ready, instruments=[Exits(gate)])
        finally:
            parts.close_down()
    return 0


async def _serve(parts: Assembly, adapter: Adapter, ready: Callable[[], None]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_unmounted, nursery.cancel_scope)
        nursery.start_soon(_on_signal, parts)
        nursery.start_soon(_hear, parts, adapter)
        nursery.start_soon(_watch_log, parts, adapter)
        nursery.start_soon(_show_card, parts)
        nursery.start_soon(_drop_late, parts, adapter)
        nursery.start_soon(_note_readers, parts, adapter)
        nursery.start_soon(_check_merges, parts, adapter)
        nursery.start_soon(_publish, parts, adapter)
        nursery.start_soon(_watch_refs, parts, adapter)
        nursery.start_soon(_watch_git, parts, adapter)
        nursery.start_soon(_keep_index, parts, adapter)
        nursery.start_soon(adapter.let_go)
        nursery.start_soon(_housekeeping, parts, adapter)
        nursery.start_soon(adapter.attempt_in_thread, warm_up)
        nursery.start_soon(adapter.attempt_in_thread, partial(allow_many, Path(parts.view.mountpoint)))
        await trio.lowlevel.checkpoint()
        ready()


async def _until_unmounted(scope: trio.CancelScope) -> None:
    await pyfuse3.main(max_tasks=TASKS)
    scope.cancel()


async def _on_signal(parts: Assembly) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            log.info("ending on %s", signal.Signals(number).name)
            parts.view.artifacts.stop()
            pyfuse3.terminate()
            return


async def _hear(parts: Assembly, adapter: Adapter) -> None:
    """Take in other processes' ops as soon as they are announced."""
    while True:
        await trio.lowlevel.wait_readable(parts.view.presence.fileno())
        await _take_in(parts, adapter)


async def _take_in(parts: Assembly, adapter: Adapter) -> None:
    """Take in what the log has, letting requests through in between."""
    complete = False

    def take_in() -> None:
        nonlocal complete
        complete = parts.table.follower.take_in()

    while not complete:
        complete = True  # also after a failure: the next announcement tries again
        await adapter.attempt(take_in)
        await trio.lowlevel.checkpoint()


async def _watch_log(parts: Assembly, adapter: Adapter) -> None:
    """Take in ops that nobody announced: the log's file tells of them."""
    watch = parts.view.log_watch
    while True:
        await watch.wait()
        for pause in watch.pauses:
            await trio.sleep(pause)
            await _take_in(parts, adapter)


async def _show_card(parts: Assembly) -> None:
    """Tell the other processes of the room what is being edited here, once it has been for a moment."""
    company = parts.table.control.company
    while True:
        changed = trio.Event()
        parts.table.writers_changed = changed.set
        company.show_card()
        await changed.wait()
        await trio.sleep(_CARD_S)


async def _note_readers(parts: Assembly, adapter: Adapter) -> None:
    """Write down who has read what, a moment later: their saves may come when this process is gone."""
    bases = parts.view.bases
    while True:
        wake = trio.Event()
        bases.noted = wake.set
        if not bases.has_news:
            await wake.wait()
        await trio.sleep(_READERS_S)
        jobs: list[Callable[[], None] | None] = []
        await adapter.attempt(partial(_append, jobs, parts.note_readers))
        for job in jobs:
            if job is not None:
                await adapter.attempt_in_thread(job)


def _append(jobs: list[Callable[[], None] | None], make: Callable[[], Callable[[], None] | None]) -> None:
    jobs.append(make())


async def _check_merges(parts: Assembly, adapter: Adapter) -> None:
    """Parse what saves have merged, a moment later and in a thread; record what no longer does."""
    view = parts.view
    while True:
        wake = trio.Event()
        parts.table.files.merged = wake.set
        await wake.wait()
        room = view.room
        for merge in room.unchecked():
            if not room.is_current(merge):
                continue
            line = await adapter.in_thread(partial(room.judge, merge))
            if line is not None and room is view.room:
                await adapter.attempt(partial(_note_broken, room, merge, line))


def _note_broken(room: Room, merge: Unchecked, line: int) -> None:
    room.note_broken(merge, line)


async def _drop_late(parts: Assembly, adapter: Adapter) -> None:
    """Drop the pages of changed files that are mapped; readers had time to ask by then."""
    renewer = parts.table.follower.refresher.renewer
    while True:
        wake = trio.Event()
        renewer.wake = wake.set
        due = renewer.next_late()
        with trio.move_on_after(float("inf") if due is None else max(0.0, due - time.monotonic())):
            await wake.wait()
        for ino, threads in renewer.due_late():
            if await adapter.in_thread(partial(is_mapped, ino, threads)):
                renewer.drop_mapped(ino)


async def _publish(parts: Assembly, adapter: Adapter) -> None:
    """Tell the room of new files once they have lived long enough."""
    pending = parts.view.pending
    while True:
        wake = trio.Event()
        pending.wake = wake.set
        due = pending.next_due()
        with trio.move_on_after(float("inf") if due is None else max(0.0, due - time.monotonic())):
            await wake.wait()
        await adapter.attempt(parts.table.publisher.publish_due)


async def _watch_refs(parts: Assembly, adapter: Adapter) -> None:
    """Follow what plain Git does to refs and HEAD."""
    while True:
        patience = float("inf") if parts.table.follower.waiting_since is None else _AGAIN_S
        with trio.move_on_after(patience):
            await parts.watch.wait()
        await _take_in(parts, adapter)
        await adapter.attempt(parts.table.follower.follow)
        parts.watch.watch_branch(parts.view.stream)


async def _watch_git(parts: Assembly, adapter: Adapter) -> None:
    """Bring what a command of Git wrote into the room as soon as the command has ended."""
    units = parts.table.follower.units
    while True:
        wake = trio.Event()
        units.begun = wake.set
        unit = units.unit
        if unit is None:
            await wake.wait()
            continue
        await _ended(unit.record.pid)
        await adapter.attempt(parts.table.follower.follow)
        if units.unit is unit:  # the room was busy, perhaps
            await trio.sleep(_AGAIN_S)


async def _ended(pid: int) -> None:
    """Return when the process *pid* has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def _keep_index(parts: Assembly, adapter: Adapter) -> None:
    """Work on the index as soon as there is some."""
    index = parts.table.follower.index
    while True:
        wake = trio.Event()
        index.added = wake.set
        if index.waiting:
            await adapter.in_thread(index.run)
        else:
            await wake.wait()


async def _housekeeping(parts: Assembly, adapter: Adapter) -> None:
    """Save work in progress as a commit, move the log's tail into its file, drop what nobody touches."""
    seq = parts.view.room.seq
    elapsed = 0.0
    while True:
        await trio.sleep(_CHECKPOINT_S)
        elapsed += _CHECKPOINT_S
        parts.view.room.drop_unused()
        if parts.view.room.seq != seq:
            seq = parts.view.room.seq
            await adapter.attempt_in_thread(parts.view.room.checkpoint)
        if 0 < parts.view.limits.wip_s <= elapsed:
            elapsed = 0.0
            await _save_wip(parts, adapter)


async def _save_wip(parts: Assembly, adapter: Adapter) -> None:
    """Save uncommitted work as a commit that plain Git can read, and keep what is staged from its gc."""
    jobs: list[Callable[[], None]] = []

    def prepare() -> None:
        found = (parts.table.follower.wip_job(), parts.table.follower.keep_job())
        jobs.extend(job for job in found if job is not None)

    await adapter.attempt(prepare)
    for job in jobs:
        await adapter.attempt_in_thread(job)
