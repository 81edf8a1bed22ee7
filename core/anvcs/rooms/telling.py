"""What a room tells others: its changes by path, its ops, its contributors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from anvcs.model.changes import Contribution, PathChange
from anvcs.model.ids import Seq
from anvcs.model.room import Entry, OpRecord
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.histories import taken_back
from anvcs.rooms.oplog import Op
from anvcs.rooms.records import DROPPED

_OPS_KEPT = 64
_BLOBS = (REGULAR, EXECUTABLE)
_NOBODYS = ("base", "restore", "repair", "lost", "prune", "undo")


def changes(core: Core) -> list[PathChange]:
    """What differs from the base by path, sorted; explicit directories are not told."""
    found: list[PathChange] = []
    for path, entry in core.state.by_path.items():
        old = core.base.leaf(path)
        same = old is not None and old.mode == entry.mode and core.same_content(entry, old)
        if not is_dir(entry) and not same:
            found.append(_at_path(path, entry, old))
    for path in core.state.by_base:
        at_path = core.state.by_path.get(path)
        old = core.base.leaf(path)
        if old is not None and (at_path is None or is_dir(at_path)):
            found.append(PathChange(path, "D", None, old))
    return sorted(found, key=lambda change: change.path)


def _at_path(path: bytes, entry: Entry, old: Leaf | None) -> PathChange:
    origin = entry.base_path if entry.base_path != path else None
    if old is None:
        return PathChange(path, "A", entry, None, origin)
    same_type = old.mode == entry.mode or (old.mode in _BLOBS and entry.mode in _BLOBS)
    return PathChange(path, "M" if same_type else "T", entry, old, origin)


def op_records(core: Core, after: Seq, limit: int | None) -> Iterator[OpRecord]:
    """What the log tells after op *after*."""
    for op in core.log.ops(after, limit):
        yield OpRecord(
            seq=op.seq,
            time_ns=op.time_ns,
            agent=op.agent,
            view=op.view,
            kind=op.kind,
            path=op.payload.path,
            old_path=op.payload.old_path,
            added=op.payload.added,
            removed=op.payload.removed,
        )


@dataclass(slots=True)
class _Sum:
    added: int = 0
    removed: int = 0
    paths: dict[bytes, None] = field(default_factory=dict)


def contributors(core: Core, since: Seq, takes: Callable[[bytes], bool] = lambda _: True) -> list[Contribution]:
    """Who did what is not committed yet in the paths that *takes* accepts, the most lines first."""
    sums: dict[tuple[str, str], _Sum] = {}
    counted: set[Seq] = set()
    read = lru_cache(_OPS_KEPT)(core.log.op)  # one op may be about ten thousand files
    for entry in core.state.by_id.values():
        if is_dir(entry) or not any(takes(path) for path in (entry.path, entry.base_path) if path is not None):
            continue
        path = entry.path if entry.path is not None else entry.base_path
        for op in _standing([read(seq) for seq in _uncommitted(core, entry, since)], entry):
            total = sums.setdefault((op.agent, op.model), _Sum())
            total.paths[path or b""] = None
            if op.seq not in counted:
                counted.add(op.seq)
                total.added += op.payload.added
                total.removed += op.payload.removed
    found = [
        Contribution(agent, model, total.added, total.removed, tuple(sorted(total.paths)))
        for (agent, model), total in sums.items()
    ]
    return sorted(found, key=lambda one: (-(one.added + one.removed), one.agent))


def _standing(ops: Sequence[Op], entry: Entry) -> list[Op]:
    """Those of *ops* on *entry* that somebody did and nobody took back."""
    gone = taken_back(ops, entry.id)
    return [op for op in ops if op.seq not in gone and op.kind not in _NOBODYS]


def _uncommitted(core: Core, entry: Entry, since: Seq) -> list[Seq]:
    """Ops on *entry* since it was last equal to the base."""
    touches = core.log.touches(entry.id, since)
    start = 0
    for index, (_, flags) in enumerate(touches):
        if flags & DROPPED:
            start = index + 1
    return [seq for seq, _ in touches[start:]]
