"""Conflict records inside the log: their bytes, their table, and which are open."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import msgpack

from anvcs.model.conflict import Conflict, Side, conflict_id
from anvcs.model.ids import FileId, Seq

if TYPE_CHECKING:
    from anvcs.rooms.draft import Draft
    from anvcs.rooms.oplog import Op, OpLog

Key = tuple[int, int]
"""An op's number and the record's ordinal in it."""

ABOUT_TEXT = ("lines", "parse", "base-unsure", "merge")
"""Kinds about what is inside a file, which are over when its text is gone."""

TABLE = """
CREATE TABLE IF NOT EXISTS conflicts (
    seq INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    file BLOB NOT NULL,
    time_ns INTEGER NOT NULL,
    data BLOB NOT NULL,       -- conflicts.py
    resolved INTEGER NOT NULL,  -- the op that resolved it; 0: open
    "check" INTEGER NOT NULL, -- over all but resolved
    PRIMARY KEY (seq, ordinal)
) WITHOUT ROWID
"""

PUT = "INSERT OR REPLACE INTO conflicts VALUES (?, ?, ?, ?, ?, 0, ?)"
RESOLVE = "UPDATE conflicts SET resolved = ? WHERE seq = ? AND ordinal = ?"


class ConflictPart(NamedTuple):
    """A conflict as an op's payload tells it; the op's row says when."""

    kind: str
    file: FileId
    path: bytes
    first_line: int
    last_line: int
    sides: tuple[tuple[str, str, bytes], ...]
    """Agent, model and text of each."""
    note: str


def part_of(row: Sequence[Any]) -> ConflictPart:
    """The part that was unpacked as *row*."""
    kind, file, path, first, last, sides, note = row
    return ConflictPart(kind, file, path, first, last, tuple([(*side,) for side in sides]), note)


def rows_of(seq: int, time_ns: int, parts: Sequence[ConflictPart]) -> Iterator[tuple[Any, ...]]:
    """Rows of the table for what op *seq* found."""
    for ordinal, part in enumerate(parts):
        data: bytes = msgpack.packb(part)
        yield seq, ordinal, part.file, time_ns, data, row_check(seq, ordinal, part.file, time_ns, data)


def row_check(seq: int, ordinal: int, file: bytes, time_ns: int, data: bytes) -> int:
    """CRC-32 over the columns of a row but ``resolved``."""
    head: bytes = msgpack.packb((seq, ordinal, file, time_ns))
    return crc32(data, crc32(head))


def conflict_of(row: tuple[Any, ...]) -> Conflict | None:
    """The record in a *row* of the table; ``None`` when its checksum is wrong."""
    seq, ordinal, file, time_ns, data, resolved, check = row
    if row_check(seq, ordinal, file, time_ns, data) != check:
        return None
    part = part_of(msgpack.unpackb(data, use_list=False))
    return Conflict(
        id=conflict_id(seq, ordinal),
        seq=Seq(seq),
        time_ns=time_ns,
        file=part.file,
        path=part.path,
        kind=part.kind,
        first_line=part.first_line,
        last_line=part.last_line,
        sides=tuple(Side(agent=agent, model=model, text=text) for agent, model, text in part.sides),
        note=part.note,
        resolved=bool(resolved),
    )


class OpenConflicts:
    """Which records are open, by file: asked at every save, so kept in memory."""

    def __init__(self, rows: Sequence[tuple[int, int, bytes, bytes]]) -> None:
        self._files: dict[Key, tuple[FileId, str]] = {
            (seq, ordinal): (FileId(file), msgpack.unpackb(data, use_list=False)[0])
            for seq, ordinal, file, data in rows
        }

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, key: Key) -> bool:
        return key in self._files

    def of(self, file: FileId, *kinds: str) -> list[Key]:
        """Open records of some *kinds* about *file*, oldest first."""
        if not self._files:
            return []
        return [key for key, (about, kind) in self._files.items() if about == file and kind in kinds]

    def take(self, op: "Op") -> bool:
        """Take in what *op* says; whether that was anything."""
        payload = op.payload
        if not (payload.conflicts or payload.resolved):
            return False
        for ordinal, part in enumerate(payload.conflicts):
            self._files[op.seq, ordinal] = part.file, part.kind
        for key in payload.resolved:
            self._files.pop((key[0], key[1]), None)
        return True


def read_open(log: "OpLog") -> OpenConflicts:
    """The open records of *log*."""
    return OpenConflicts(log.open_conflicts())


def folded(ops: Mapping[int, "Op"]) -> dict[Key, int]:
    """What the records of *ops* say: each conflict, and the op that resolved it or 0."""
    found: dict[Key, int] = {}
    for op in ops.values():
        for ordinal in range(len(op.payload.conflicts)):
            found[op.seq, ordinal] = 0
        for seq, ordinal in op.payload.resolved:
            if (seq, ordinal) in found:
                found[seq, ordinal] = op.seq
    return found


def end_with_file(draft: "Draft", open_ones: OpenConflicts) -> None:
    """A deleted or restored file has no lines to disagree about."""
    if draft.kind not in ("delete", "restore") or not len(open_ones):
        return
    for file in draft.gone():
        for key in open_ones.of(file, *ABOUT_TEXT):
            draft.resolved[key] = None
