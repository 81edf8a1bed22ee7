"""A room as it was right after an earlier op.

What has not been touched since is as it is now; of each other file the log says what it
was.  So a snapshot costs what happened after it, and contents are read when somebody asks.
"""

from collections.abc import Iterable
from typing import NamedTuple

from anvcs.model.changes import Overlay
from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.moment import Moment
from anvcs.model.room import Entry
from anvcs.rooms.basetree import Base, BaseTree
from anvcs.rooms.core import Core
from anvcs.rooms.oplog import OpLog
from anvcs.rooms.tree import TreeState


class Past(NamedTuple):
    """A room's entries right after op ``seq``; plain data, for any thread."""

    seq: Seq
    time_ns: int
    """When that op was written; 0 for the room's start."""
    base: Oid | None
    entries: tuple[Entry, ...]


class Snapshot:
    """What a room showed right after an op."""

    def __init__(self, tree: BaseTree, past: Past) -> None:
        self.seq = past.seq
        self.time_ns = past.time_ns
        self.base = past.base
        self._state = TreeState(past.entries)
        self._base = Base(tree, past.base)

    def overlay(self, directory: bytes) -> Overlay | None:
        """What the room laid over *directory* of its base, or ``None``: nothing."""
        return self._state.overlay(directory, self._emptied)

    def entry(self, path: bytes) -> Entry | None:
        """The room's entry at *path*."""
        return self._state.by_path.get(path)

    def hides(self, path: bytes) -> bool:
        """Whether the base's file at *path* was deleted, moved away, or covered."""
        return path in self._state.by_base

    def _emptied(self, directory: bytes) -> bool:
        node = self._state.node(directory)
        return not self._base.has_more_than(directory, node.gone if node else 0)


def seq_of(core: Core, moment: Moment) -> Seq | None:
    """The op that *moment* is right after; ``None``: the log doesn't tell of it (any more, or yet)."""
    log = core.log
    if moment.seq is not None:
        return moment.seq if log.floor() <= moment.seq <= log.last_seq() else None
    seq = log.seq_at(moment.time_ns or 0)
    pruned = log.floor() and seq == log.floor() and log.time_of(seq) > (moment.time_ns or 0)
    return None if pruned else seq


def past_of(core: Core, seq: Seq) -> Past:
    """The room right after op *seq*, which the log still holds."""
    log = core.log
    changed = log.files_after(seq)
    entries = [entry for file, entry in core.state.by_id.items() if file not in changed]
    entries += entries_then(log, changed, seq)
    return Past(seq, log.time_of(seq), log.base_at(seq), tuple(entries))


def entries_then(log: OpLog, files: Iterable[FileId], seq: Seq) -> list[Entry]:
    """Which of *files* were entries right after op *seq*, as they were."""
    wanted: dict[Seq, list[FileId]] = {}
    for file in files:
        last = log.last_touch(file, seq)
        if last is not None:
            wanted.setdefault(last, []).append(file)
    found: list[Entry] = []
    for at, touched in sorted(wanted.items()):
        puts = {entry.id: entry for entry in log.op(at).payload.puts}
        found += [puts[file] for file in touched if file in puts]
    return found


def still_told(log: OpLog, entry: Entry) -> bool:
    """Whether the log can still tell what *entry*, which may be an old one, contained."""
    floor = log.floor()
    if entry.content_seq >= floor:
        return True
    return any(then.content_seq == entry.content_seq for then in entries_then(log, [entry.id], floor))
