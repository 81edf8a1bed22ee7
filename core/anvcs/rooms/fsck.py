"""Check a room's file, and rebuild it from every record that is still good.

Repairing writes a new file beside the old one: the good records as they are, an empty
``lost`` record in the place of each bad one (numbers must not have holes), and one
``repair`` record that starts documents again whose updates are not all there.  The
damaged file stays as ``<name>.damaged-<n>``.
"""

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anvcs.model.ids import FileId, Seq
from anvcs.model.room import Content, Entry
from anvcs.rooms import conflicts
from anvcs.rooms.core import to_crlf
from anvcs.rooms.documents import Document, DocumentFailed, seed
from anvcs.rooms.draft import Draft
from anvcs.rooms.errors import RoomDamaged, RoomError
from anvcs.rooms.oplog import Op, OpLog
from anvcs.rooms.records import (
    DocumentPart,
    MalformedRecord,
    Payload,
    decode,
    entry_from_values,
    row_check,
    values_check,
)
from anvcs.rooms.tree import TreeState

_EMPTY = Payload(b"", None, 0, 0, None, False, (), (), (), ())


@dataclass(slots=True)
class Report:
    """What was found, in sentences, and what was done."""

    file: Path
    records: int = 0
    """Good records."""
    first: int = 1
    """Number of the first record that there must be: older ones were pruned."""
    floor: int = 0
    """The op up to which they were."""
    lost: list[int] = field(default_factory=list)
    """Numbers of records that are missing or damaged."""
    problems: list[str] = field(default_factory=list)
    documents: list[bytes] = field(default_factory=list)
    """Paths whose document starts again from its last good text."""
    repaired: bool = False
    backup: Path | None = None
    """Where the damaged file is now."""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to repair."""
        return not self.problems


def fsck(file: Path, *, repair: bool = False) -> Report:
    """Check *file*; with *repair* rebuild it if it is damaged.  Damage never raises.

    A room that a process has open is not repaired.
    """
    report = Report(file)
    ops = _good_ops(file, report)
    if not report.lost:
        _check_state(file, ops, report)
    if repair and not report.ok:
        with _alone(file) as alone:
            if alone:
                _rebuild(file, ops, report)
            else:
                report.problems.append("it can't be repaired while a process has it open")
    return report


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    """Whether no process has the room open, and none can open it meanwhile."""
    with Path(f"{file}-owner").open("ab") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


# --- reading whatever can be read


def _good_ops(file: Path, report: Report) -> dict[int, Op]:
    rows = _rows(file, report)
    good: dict[int, Op] = {}
    report.first, report.floor = _pruned(file, rows)
    for number in range(report.first, max(rows, default=0) + 1):
        row = rows.get(number)
        op = None if row is None else _understood(row)
        if op is None:
            report.lost.append(number)
            report.problems.append(f"record {number} is {'missing' if row is None else 'damaged'}")
        else:
            good[number] = op
    report.records = len(good)
    return good


def _pruned(file: Path, rows: dict[int, tuple[Any, ...]]) -> tuple[int, int]:
    """The number of the first record that there must be, and of the last into which older ones were folded."""
    try:
        with closing(_connect(file)) as db:
            meta = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('first', 'floor')").fetchall())
        if meta:
            return int(meta["first"]), int(meta["floor"])
    except (sqlite3.Error, KeyError, TypeError, ValueError):
        pass  # the records tell nearly as much
    folded = [number for number, row in rows.items() if row[5] == "prune"]
    return min(folded, default=1), max(folded, default=0)


def _understood(row: tuple[Any, ...]) -> Op | None:
    try:
        seq, time_ns, agent, model, view, kind, file, payload, check = row
        if row_check(seq, time_ns, agent, model, view, kind, file, payload) != check:
            return None
        return Op(seq, time_ns, agent, model, view, kind, file, decode(payload, seq))
    except (MalformedRecord, TypeError, ValueError):
        return None


def _rows(file: Path, report: Report) -> dict[int, tuple[Any, ...]]:
    """All rows of ``ops`` that SQLite can still give, from both ends of each damaged page."""
    try:
        with closing(_connect(file)) as db:
            found: dict[int, tuple[Any, ...]] = {}
            for order, beyond in (("ASC", ">"), ("DESC", "<")):
                found |= _walk(db, order, beyond, report)
                if report.ok:
                    break
            return found
    except sqlite3.Error as error:
        report.problems.append(f"SQLite can't open it: {error}")
        return {}


def _walk(db: sqlite3.Connection, order: str, beyond: str, report: Report) -> dict[int, tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    at = -1 if order == "ASC" else 1 << 62
    sql = f"SELECT * FROM ops WHERE seq {beyond} ? ORDER BY seq {order} LIMIT 1"  # noqa: S608 - two words of ours
    while True:
        try:
            row = db.execute(sql, (at,)).fetchone()
        except sqlite3.Error as error:
            report.problems.append(f"SQLite can't read past record {at}: {error}")
            return found
        if row is None:
            return found
        at = row[0]
        found[at] = row


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    db.text_factory = lambda data: data.decode(errors="surrogateescape")
    return db


def _check_state(file: Path, ops: dict[int, Op], report: Report) -> None:
    """Compare the state tables with what follows from the records."""
    state = _folded(ops.values())
    try:
        with closing(_connect(file)) as db:
            for message in (*_state_problems(db, state), *_conflict_problems(db, ops)):
                report.problems.append(message)
            for row in db.execute("PRAGMA quick_check(3)"):
                if row[0] != "ok":
                    report.problems.append(f"SQLite says {row[0]}")
    except (sqlite3.Error, TypeError, IndexError) as error:
        report.problems.append(f"the state tables can't be read: {error}")


def _state_problems(db: sqlite3.Connection, state: TreeState) -> Iterator[str]:
    seen: set[bytes] = set()
    for row in db.execute("SELECT * FROM entries"):
        seen.add(row[0])
        if values_check(row[:-1]) != row[-1] or entry_from_values(row) != state.by_id.get(row[0]):
            yield f"the entry of file {bytes(row[0]).hex()} is not what the records say"
    for file in state.by_id.keys() - seen:
        yield f"the entry of file {file.hex()} is missing"
    for row in db.execute("SELECT * FROM docs"):
        if values_check(row[:-1]) != row[-1]:
            yield f"the kept document of file {bytes(row[0]).hex()} is damaged"


def _conflict_problems(db: sqlite3.Connection, ops: dict[int, Op]) -> Iterator[str]:
    said = conflicts.folded(ops)
    # A file of the version before lacks the table and gets it when it is next opened.
    if not said and not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'conflicts'").fetchone():
        return
    for row in db.execute("SELECT * FROM conflicts"):
        if conflicts.conflict_of(row) is None or said.pop((row[0], row[1]), None) != row[5]:
            yield f"the conflict {row[0]}-{row[1]} is not what the records say"
    for seq, ordinal in said:
        yield f"the conflict {seq}-{ordinal} is missing"


def _folded(ops: Any) -> TreeState:
    state = TreeState(())
    for op in ops:
        for entry in op.payload.puts:
            state.put(entry)
        for drop in op.payload.drops:
            state.drop(drop.id)
    return state


# --- repairing


def _rebuild(file: Path, ops: dict[int, Op], report: Report) -> None:
    fresh = file.with_name(f"{file.name}.repair")
    _remove(fresh)
    first_base = _first_base(file, report)
    log = OpLog(fresh, first_base, read_only=False)
    try:
        log.begin()
        for number in range(report.first, max([*ops, *report.lost], default=0) + 1):
            op = ops.get(number)
            log.put_back(op or Op(Seq(number), 0, "", "", "", "lost", b"", _EMPTY))
        if report.floor:
            log.set_floor(Seq(report.first), Seq(report.floor))
        _restart_documents(log, ops, report)
        log.commit()
        log.sync()
    except (RoomError, DocumentFailed) as error:
        report.problems.append(f"it couldn't be rebuilt: {error}")
        return
    finally:
        log.close()
    _swap(file, fresh, report)


def _first_base(file: Path, report: Report) -> Any:
    try:
        with closing(_connect(file)) as db:
            return db.execute("SELECT oid FROM bases WHERE seq = 0").fetchone()[0]
    except (sqlite3.Error, TypeError) as error:
        report.problems.append(f"the base at the room's creation is lost: {error}")
        return None


def _restart_documents(log: OpLog, ops: dict[int, Op], report: Report) -> None:
    """Start every live document again that a lost record may have been a part of."""
    if not report.lost:
        return
    state = _folded(ops.values())
    seq = Seq(log.last_seq() + 1)
    draft = Draft(state, seq, b"")
    draft.kind = "repair"
    for entry in list(state.by_id.values()):
        if entry.content is Content.TEXT:
            _restart(log, draft, entry, report)
    if not draft.is_empty():
        log.append(Op(seq, time.time_ns(), "anvcs", "", "", "repair", b"", draft.payload()))


def _restart(log: OpLog, draft: Draft, entry: Entry, report: Report) -> None:
    text, epoch = _last_good_text(log, entry.id, draft.seq)
    shown = len(to_crlf(text)) if entry.ref else len(text)
    if shown == entry.size and not any(lost > 0 and lost <= entry.content_seq for lost in report.lost):
        return
    start = (seed(text),) if text else ()
    draft.docs.append(DocumentPart(entry.id, epoch + 1, True, start, 0, ()))
    draft.change(entry, size=shown, content_seq=draft.seq)
    if shown != entry.size:
        path = entry.path or entry.base_path or b""
        report.documents.append(path)
        report.problems.append(f"the text of {path!r} lost edits and is as it was without them")


def _last_good_text(log: OpLog, file: FileId, until: Seq) -> tuple[bytes, int]:
    """What the good updates make; those that need a lost one wait in vain and are not seen."""
    document, epoch = Document(), 0
    for op in log.edits(file, Seq(0), until):
        for part in op.payload.docs:
            if part.id == file:
                if part.fresh:
                    document = Document()
                epoch = part.epoch
                document.apply(part.prelude)
                document.apply(part.updates)
    return document.text(), epoch


def _swap(file: Path, fresh: Path, report: Report) -> None:
    number = 1
    while (backup := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    try:
        file.replace(backup)
        for suffix in ("-wal", "-shm"):
            side = Path(f"{file}{suffix}")
            if side.exists():
                side.replace(f"{backup}{suffix}")
        fresh.replace(file)
    except OSError as error:
        raise RoomDamaged(file, f"the repaired file couldn't take its place: {error}") from error
    _remove(fresh)
    report.backup, report.repaired = backup, True


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-owner"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
