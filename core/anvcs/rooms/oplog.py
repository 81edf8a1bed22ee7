"""The op log: one SQLite file in WAL mode, the meeting point of all processes of a room.

Prior art and why not: a file per op (fsync and directory costs), one append-only file
with a lock (its own recovery, index and checksums to write).  SQLite gives atomic
multi-table appends and readers that don't block.

Appends run with ``synchronous=NORMAL``: after COMMIT they survive the death of any
process.  `OpLog.sync` flushes the WAL, after which they survive a power loss.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from anvcs.model.conflict import Conflict
from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Entry
from anvcs.rooms.conflicts import PUT, RESOLVE, Key, conflict_of, rows_of
from anvcs.rooms.errors import RoomBusy, RoomDamaged
from anvcs.rooms.prunable import PrunableLog
from anvcs.rooms.records import (
    BYTES_CHANGED,
    DROPPED,
    EPOCH_SHIFT,
    FRESH,
    MalformedRecord,
    Payload,
    decode,
    encode,
    entry_from_values,
    entry_values,
    row_check,
    values_check,
)

START = Seq(0)
"""Before any op."""

_BATCH = 512
_LARGE = 64 << 10
"""Bytes of a payload above which a decoded op is kept in memory."""
_LARGE_KEPT = 4
_SMALL = f"CASE WHEN length(o.payload) > {_LARGE} THEN NULL ELSE o.payload END"
_COLUMNS = 'seq, time_ns, agent, model, view, kind, file, payload, "check"'
_PUT_OP = "INSERT INTO ops VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_ENTRY = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_HISTORY = "INSERT INTO history VALUES (?, ?, ?)"
# A file may have left several paths: it is expected back only where it was last.
_TRACED = "SELECT path, file FROM traces AS t WHERE seq = (SELECT max(seq) FROM traces WHERE file = t.file)"


class Op(NamedTuple):
    """A row of ``ops`` whose check was right, decoded."""

    seq: Seq
    time_ns: int
    agent: str
    model: str
    view: str
    kind: str
    file: bytes
    payload: Payload

    @property
    def takes_back(self) -> bool:
        """Whether it is an undo, or holds one."""
        return self.kind == "undo" or bool(self.payload.undone)


class Snapshot(NamedTuple):
    """A document's state after op ``seq``."""

    seq: Seq
    epoch: int
    state: bytes


class OpLog(PrunableLog):
    """The records of one room's file."""

    def __init__(self, file: Path, base: Oid | None, *, read_only: bool) -> None:
        # One op may be about thousands of files, each of which asks for it.
        self._large: dict[Seq, Op] = {}
        super().__init__(file, base, read_only=read_only)

    # --- writing, inside a transaction

    def append(self, op: Op) -> None:
        """Write *op* and what follows from it into the state tables."""
        for part in op.payload.docs:
            if not part.fresh and (known := self.epoch_of(part.id)) is not None and known != part.epoch:
                why = f"document {part.id.hex()} is in epoch {known}, not {part.epoch}"
                raise RoomBusy(self.file, None, why)  # whoever waits for it comes again, on the present state
        self.put_back(op)

    def put_back(self, op: Op) -> None:
        """As `append`, where a repair may have lost what came before."""
        self._put(op)
        self.fold(op)

    def _put(self, op: Op) -> None:
        data = encode(op.payload, op.seq)
        check = row_check(*op[:7], data)
        self._run(_PUT_OP, (*op[:7], data, check))

    def put_folded(self, op: Op) -> None:
        """Write a ``prune`` record: it tells what was, and changes nothing that is."""
        self._put(op)
        self._many(_PUT_HISTORY, [(file, op.seq, flag) for file, flag in _flags(op).items()])
        self._many("INSERT OR IGNORE INTO traces VALUES (?, ?, ?)", _left_paths(op))
        for entry in op.payload.puts:
            if not self._rows("SELECT 1 FROM history WHERE file = ? AND seq > ?", (entry.id, op.seq)):
                self._run(_PUT_ENTRY, _entry_row(replace(entry, seq=op.seq)))

    def fold(self, op: Op) -> None:
        """Bring the state tables from before *op* to after it."""
        payload, seq = op.payload, op.seq
        self._many(_PUT_ENTRY, [_entry_row(entry) for entry in payload.puts])
        self._many(_PUT_HISTORY, [(file, seq, flag) for file, flag in _flags(op).items()])
        if payload.drops:
            self._many("DELETE FROM entries WHERE id = ?", [(drop.id,) for drop in payload.drops])
        if payload.drops or payload.traces:
            self._many("INSERT OR REPLACE INTO traces VALUES (?, ?, ?)", _left_paths(op))
        if payload.conflicts:
            self._many(PUT, rows_of(seq, op.time_ns, payload.conflicts))
        if payload.resolved:
            self._many(RESOLVE, [(seq, *key) for key in payload.resolved])
        if payload.rebased:
            self._run("INSERT INTO bases VALUES (?, ?)", (seq, payload.base))

    def put_snapshot(self, file: FileId, snapshot: Snapshot) -> None:
        """Keep a document's state, so that it needn't be replayed from its seed."""
        values = (file, *snapshot)
        self._run("INSERT OR REPLACE INTO docs VALUES (?, ?, ?, ?, ?)", (*values, values_check(values)))

    def thin_snapshots(self, file: FileId, kept: int) -> None:
        """Keep only the newest states of *file*'s document."""
        sql = "DELETE FROM docs WHERE file = ?1 AND seq NOT IN (SELECT seq FROM docs WHERE file = ?1 ORDER BY seq DESC LIMIT ?2)"
        self._run(sql, (file, kept))

    # --- reading

    def last_seq(self) -> Seq:
        """The newest op's number, 0 in an empty log."""
        return Seq(self._rows("SELECT max(seq) FROM ops")[0][0] or 0)

    def seq_at(self, time_ns: int) -> Seq:
        """The last op that was written up to a time; clocks may jump, so this is by the order of the ops."""
        low, high = self.floor(), self.last_seq()
        while low < high:  # the last op that isn't later, as if times only grew
            middle = (low + high + 1) // 2
            rows = self._rows("SELECT time_ns FROM ops WHERE seq = ?", (middle,))
            if rows and rows[0][0] > time_ns:
                high = Seq(middle - 1)
            else:
                low = Seq(middle)
        return Seq(low)

    def time_of(self, seq: Seq) -> int:
        """When op *seq* was written; 0 if the log doesn't tell."""
        rows = self._rows("SELECT time_ns FROM ops WHERE seq = ?", (seq,))
        return rows[0][0] if rows else 0

    def ops(self, after: Seq = START, limit: int | None = None) -> Iterator[Op]:
        """Ops after *after* in order; raises `RoomDamaged` at one whose check is wrong."""
        left = limit
        while left is None or left > 0:
            rows = self._rows(
                f"SELECT {_COLUMNS} FROM ops WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 - our own names
                (after, _BATCH if left is None else min(left, _BATCH)),
            )
            if not rows:
                return
            for row in rows:
                yield self._op(row)
            after = rows[-1][0]
            left = None if left is None else left - len(rows)

    def op(self, seq: Seq) -> Op:
        """Op number *seq*."""
        large = self._large.get(seq)
        # Whoever prunes puts another record in the place of one that he folds.
        if large is not None and (large.kind == "prune" or seq > self.floor()):
            return large
        rows = self._rows(f"SELECT {_COLUMNS} FROM ops WHERE seq = ?", (seq,))  # noqa: S608 - our own names
        if not rows:
            raise RoomDamaged(self.file, f"record {seq} is missing")
        return self._op(rows[0])

    def entries(self) -> Iterator[Entry]:
        """The room's entries after the last op."""
        for row in self._rows("SELECT * FROM entries"):
            if values_check(row[:-1]) != row[-1]:
                raise RoomDamaged(self.file, "an entry's checksum is wrong")
            yield entry_from_values(row)

    def base_at(self, seq: Seq) -> Oid | None:
        """The room's base commit right after op *seq*."""
        sql = "SELECT oid FROM bases WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
        oid: Oid | None = self._rows(sql, (seq,))[0][0]
        return oid

    def base_since(self) -> Seq:
        """The op that moved the base last."""
        return Seq(self._rows("SELECT max(seq) FROM bases")[0][0] or START)

    def base_moved(self, after: Seq, until: Seq) -> bool:
        """Whether an op in (*after*, *until*] moved the base."""
        sql = "SELECT 1 FROM bases WHERE seq > ? AND seq <= ?"
        return after < self.floor() or bool(self._rows(sql, (after, until)))

    def touches(self, file: FileId, after: Seq = START) -> list[tuple[Seq, int]]:
        """Ops after *after* that touched *file*, oldest first, with their flags."""
        sql = "SELECT seq, flags FROM history WHERE file = ? AND seq > ? ORDER BY seq"
        return self._rows(sql, (file, after))

    def touch_before(self, file: FileId, seq: Seq) -> tuple[Seq, int] | None:
        """The last op up to *seq* that changed the bytes of *file* or dropped it."""
        sql = "SELECT seq, flags FROM history WHERE file = ? AND seq <= ? AND flags > 0 ORDER BY seq DESC LIMIT 1"
        rows = self._rows(sql, (file, seq))
        return rows[0] if rows else None

    def touch_after(self, file: FileId, seq: Seq) -> Seq | None:
        """The first op after *seq* that changed the bytes of *file*."""
        sql = "SELECT seq FROM history WHERE file = ? AND seq > ? AND flags & 1 ORDER BY seq LIMIT 1"
        rows = self._rows(sql, (file, seq))
        return rows[0][0] if rows else None

    def epoch_start(self, file: FileId, until: Seq) -> Seq:
        """Just before the op that started the document that *file* had after op *until*."""
        sql = "SELECT max(seq) FROM history WHERE file = ? AND seq <= ? AND flags & ?"
        return Seq((self._rows(sql, (file, until, FRESH))[0][0] or 1) - 1)

    def epoch_of(self, file: FileId) -> int | None:
        """The epoch of *file*'s document; ``None``: it has none, or the log is of a time that didn't tell."""
        sql = "SELECT flags FROM history WHERE file = ? AND flags >= ? ORDER BY seq DESC LIMIT 1"
        rows = self._rows(sql, (file, FRESH))
        return rows[0][0] >> EPOCH_SHIFT if rows else None

    def edits(self, file: FileId, after: Seq, until: Seq) -> Iterator[Op]:
        """Ops in (*after*, *until*] that changed the bytes of *file*, oldest first."""
        sql = (
            f'SELECT h.seq, o.time_ns, o.agent, o.model, o.view, o.kind, o.file, {_SMALL}, o."check"'  # noqa: S608 - ours
            " FROM history AS h JOIN ops AS o ON o.seq = h.seq"
            " WHERE h.file = ? AND h.seq > ? AND h.seq <= ? AND h.flags & 1 ORDER BY h.seq"
        )
        for row in self._rows(sql, (file, after, until)):
            yield self.op(row[0]) if row[7] is None else self._op(row)

    def touching(self, file: FileId, after: Seq, until: Seq) -> Iterator[Op]:
        """Ops in (*after*, *until*] that touched *file* in any way, oldest first."""
        sql = (
            "SELECT o.* FROM history AS h JOIN ops AS o ON o.seq = h.seq"
            " WHERE h.file = ? AND h.seq > ? AND h.seq <= ? ORDER BY h.seq"
        )
        for row in self._rows(sql, (file, after, until)):
            yield self._op(row)

    def files_after(self, seq: Seq) -> set[FileId]:
        """Files that ops after *seq* touched."""
        return {row[0] for row in self._rows("SELECT DISTINCT file FROM history WHERE seq > ?", (seq,))}

    def last_touch(self, file: FileId, until: Seq) -> Seq | None:
        """The last op up to *until* that touched *file* in any way."""
        rows = self._rows("SELECT max(seq) FROM history WHERE file = ? AND seq <= ?", (file, until))
        seq: Seq | None = rows[0][0]
        return seq

    def files_of(self, agent: str, after: Seq) -> list[FileId]:
        """Files that *agent* touched after op *after*."""
        sql = "SELECT DISTINCT h.file FROM ops AS o JOIN history AS h ON h.seq = o.seq WHERE o.agent = ? AND o.seq > ?"
        return [row[0] for row in self._rows(sql, (agent, after))]

    def snapshot(self, file: FileId, until: Seq) -> Snapshot | None:
        """The newest kept state of *file*'s document that isn't after *until*."""
        sql = "SELECT * FROM docs WHERE file = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"
        rows = self._rows(sql, (file, until))
        if not rows:
            return None
        if values_check(rows[0][:-1]) != rows[0][-1]:
            raise RoomDamaged(self.file, f"the document of file {file.hex()}")
        return Snapshot(*rows[0][1:4])

    def open_conflicts(self) -> list[tuple[int, int, bytes, bytes]]:
        """``(seq, ordinal, file, data)`` of the conflicts that nobody has resolved, oldest first."""
        if not self._has_conflicts():
            return []
        return self._rows("SELECT seq, ordinal, file, data FROM conflicts WHERE resolved = 0 ORDER BY seq, ordinal")

    def conflicts(self, *, resolved: bool) -> Iterator[Conflict]:
        """The open conflicts, with *resolved* all of them, oldest first."""
        if not self._has_conflicts():
            return
        which = "" if resolved else " WHERE resolved = 0"
        for row in self._rows(f"SELECT * FROM conflicts{which} ORDER BY seq, ordinal"):  # noqa: S608 - a word of ours
            yield self._conflict(row)

    def conflict(self, key: Key) -> Conflict | None:
        """The conflict named *key*."""
        if not self._has_conflicts():
            return None
        rows = self._rows("SELECT * FROM conflicts WHERE seq = ? AND ordinal = ?", key)
        return self._conflict(rows[0]) if rows else None

    def trace(self, path: bytes) -> FileId | None:
        """The file that was the last to leave *path*."""
        rows = self._rows(_TRACED + " AND path = ?", (path,))
        return rows[0][1] if rows else None

    def traces_below(self, directory: bytes) -> dict[bytes, FileId]:
        """What `trace` says about each path below *directory*."""
        first, end = directory + b"/", directory + b"0"  # "0" follows "/"
        if not directory:
            return dict(self._rows(_TRACED))
        return dict(self._rows(f"{_TRACED} AND path > ? AND path < ?", (first, end)))

    def left_paths(self, file: FileId) -> list[bytes]:
        """Paths that *file* was the last to leave, the latest first."""
        sql = "SELECT path FROM traces WHERE file = ? ORDER BY seq DESC"
        return [row[0] for row in self._rows(sql, (file,))]

    # --- inside

    def _has_conflicts(self) -> bool:
        # Only a file of the version before, opened for reading, may lack the table.
        return not self.read_only or bool(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'conflicts'"))

    def _conflict(self, row: tuple[Any, ...]) -> Conflict:
        found = conflict_of(row)
        if found is None:
            raise RoomDamaged(self.file, f"the checksum of conflict {row[0]}-{row[1]} is wrong")
        return found

    def _op(self, row: tuple[Any, ...]) -> Op:
        try:
            if row_check(*row[:8]) != row[8]:
                raise RoomDamaged(self.file, f"the checksum of record {row[0]} is wrong")
            seq, time_ns, agent, model, view, kind, file, payload, _ = row
            op = Op(seq, time_ns, agent, model, view, kind, file, decode(payload, seq))
            if len(payload) > _LARGE:
                while len(self._large) >= _LARGE_KEPT:
                    del self._large[next(iter(self._large))]
                self._large[seq] = op
        except (MalformedRecord, TypeError) as error:
            raise RoomDamaged(self.file, f"record {row[0]}: {error}") from error
        return op


def _flags(op: Op) -> dict[bytes, int]:
    """What *op* did to each file, for its history."""
    payload, seq = op.payload, op.seq
    folded = BYTES_CHANGED if op.kind == "prune" else 0
    flags: dict[bytes, int] = {}
    for entry in payload.puts:
        flags[entry.id] = BYTES_CHANGED if entry.content_seq == seq else folded
    for part in payload.docs:
        fresh = FRESH if part.fresh else 0
        flags[part.id] = BYTES_CHANGED | fresh | part.epoch << EPOCH_SHIFT
    for drop in payload.drops:
        flags[drop.id] = flags.get(drop.id, 0) | DROPPED
    return flags


def _left_paths(op: Op) -> list[tuple[bytes, FileId, Seq]]:
    """Which file was the last to leave each path, as *op* tells it."""
    payload, seq = op.payload, op.seq
    traces = [(drop.path, drop.id, seq) for drop in payload.drops if drop.path is not None]
    return traces + [(path, file, seq) for path, file in payload.traces]


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    values = entry_values(entry)
    return (*values, values_check(values))
