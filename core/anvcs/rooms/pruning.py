"""Old ops leave the log; what they amount to stays.

The ops up to a horizon are replaced by a few ``prune`` records in the last of their
places: the entries, documents and traces as they were right after the horizon.  Numbers
go on, so every op after it keeps its own.  Specified in ``docs/reference/formats/op-log.md``.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from anvcs.model.ids import FileId, Seq
from anvcs.model.room import Content, Entry
from anvcs.rooms.core import Core
from anvcs.rooms.oplog import Op, OpLog
from anvcs.rooms.records import DocumentPart, Drop, Payload
from anvcs.rooms.snapshots import entries_then

AGENT = "anvcs"
"""Who prunes."""

_EMPTY = Payload(b"", None, 0, 0, None, rebased=False, puts=(), drops=(), docs=(), traces=())
_RECORD_BYTES = 256 << 10
_ENTRY_BYTES = 200
"""What an op or an entry takes beside its payload, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may go; of several the one that takes more."""

    before_ns: int = 0
    """Ops up to this time."""
    max_bytes: int | None = None
    """The oldest, until the log has about this size."""
    spare_ns: int | None = None
    """For the sake of size, none after this time."""
    uncommitted: bool = False
    """Also ops of work that is not committed; blame and undo then no longer know them."""


class Horizon(NamedTuple):
    """How far the log can be pruned."""

    until: Seq
    """The last op that goes; where that is the log's floor, none does."""
    ops: int
    """How many go."""
    held: str
    """Why not more, in words; empty when nothing is in the way."""


def horizon(core: Core, limits: Limits) -> Horizon:
    """How far *limits* allow to prune."""
    log = core.log
    floor = log.floor()
    wanted = log.seq_at(limits.before_ns) if limits.before_ns else floor
    if limits.max_bytes is not None:
        by_size = log.seq_by_size(limits.max_bytes, _ENTRY_BYTES)
        if limits.spare_ns is not None:
            by_size = min(by_size, log.seq_at(limits.spare_ns))
        wanted = max(wanted, by_size)
    until, held = wanted, ""
    first = log.first_open_conflict()
    if first is not None and first <= until:
        until, held = Seq(first - 1), f"conflict {first} is open: resolve it"
    if not limits.uncommitted:
        for entry in core.state.by_id.values():
            start = log.uncommitted_since(entry.id)
            if start is not None and start <= until:
                path = (entry.path or entry.base_path or b"").decode("utf-8", "backslashreplace")
                until, held = Seq(start - 1), f"{path} has uncommitted work since op {start}: commit it"
    if until <= floor:
        return Horizon(floor, 0, held)
    return Horizon(until, log.count_until(until), held)


def prune(core: Core, limits: Limits) -> Horizon:
    """Replace the ops up to the horizon by what they amount to."""
    core.catch_up()
    found = horizon(core, limits)
    if not found.ops:
        return found
    # What was can't change any more: it is put together before the lock is taken.
    floor, later = core.log.floor(), core.log.files_after(found.until)
    items = list(_items(core, found.until, later))
    core.log.begin()
    try:
        core.catch_up()
        if core.log.floor() != floor:  # somebody else has pruned meanwhile
            core.log.rollback()
            return prune(core, limits)
        entries = {item.put.id: item.put for item in items if item.put is not None}
        items += _documents(core, found.until, core.log.files_after(found.until) - later, entries)
        _fold(core, found.until, items)
        core.log.commit()
    except BaseException:
        core.log.rollback()
        core.reload()
        raise
    core.reload()
    return found


class _Item(NamedTuple):
    """One thing that a prune record tells."""

    put: Entry | None = None
    document: DocumentPart | None = None
    drop: Drop | None = None
    trace: tuple[bytes, FileId] | None = None

    def size(self) -> int:
        """Bytes in a record, about."""
        return _ENTRY_BYTES + (len(self.document.prelude[0]) if self.document else 0)


def _fold(core: Core, until: Seq, items: list[_Item]) -> None:
    log = core.log
    time_ns = log.time_of(until)
    records = list(_records(items, until - log.floor()))
    log.remove_until(until)
    first = until - len(records) + 1
    for number, payload in enumerate(records, first):
        log.put_folded(Op(Seq(number), time_ns, AGENT, "", "", "prune", b"", payload))
    log.set_floor(Seq(first), until)


def _items(core: Core, until: Seq, later: Collection[FileId]) -> Iterator[_Item]:
    """Everything that was right after op *until* and is still needed; *later* files have been touched since."""
    log = core.log
    entries = {entry.id: entry for entry in entries_then(log, log.files_until(until), until)}
    texts = {file for file, entry in entries.items() if entry.content is Content.TEXT}
    left: set[FileId] = set()
    for item in _documents(core, until, texts.union(later), entries):
        if item.put is not None:
            del entries[item.put.id]
        if item.drop is not None:
            left.add(item.drop.id)
        yield item
    for entry in entries.values():
        yield _Item(put=entry)
    for path, file in log.traces_until(until):
        if file not in left:
            yield _Item(trace=(path, file))


def _documents(core: Core, until: Seq, files: Collection[FileId], entries: Mapping[FileId, Entry]) -> Iterator[_Item]:
    """The documents that *files* had, with their *entries*, or where they had left the room."""
    for file in sorted(core.log.edited_until(until).intersection(files)):
        version = core.docs.after(file, until)
        if version is not None:
            part = DocumentPart(file, version.epoch, True, (version.document.state(),), 0, ())
            entry = entries.get(file)
            drop = Drop(file, _left(core.log, file, until)) if entry is None else None
            yield _Item(document=part, put=entry, drop=drop)


def _left(log: OpLog, file: FileId, until: Seq) -> bytes | None:
    """Where *file* was when it left the room."""
    last = log.last_touch(file, until)
    if last is None:
        return None
    return next((drop.path for drop in log.op(last).payload.drops if drop.id == file), None)


def _records(items: list[_Item], places: int) -> Iterator[Payload]:
    """*items* in records of a handy size, and in no more than there are *places*."""
    total = sum(item.size() for item in items)
    most = max(_RECORD_BYTES, total // places + 1) if places > 1 else total + 1
    part: list[_Item] = []
    size = made = 0
    for item in items:
        if part and size + item.size() > most and made < places - 1:
            yield _payload(part)
            part, size, made = [], 0, made + 1
        part.append(item)
        size += item.size()
    yield _payload(part)


def _payload(items: list[_Item]) -> Payload:
    return _EMPTY._replace(
        puts=tuple(item.put for item in items if item.put is not None),
        drops=tuple(item.drop for item in items if item.drop is not None),
        docs=tuple(item.document for item in items if item.document is not None),
        traces=tuple(item.trace for item in items if item.trace is not None),
    )
