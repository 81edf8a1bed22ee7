"""The op log: one SQLite file in WAL mode, the meeting point of all processes of a room.

Prior art and why not: a file per op (fsync and directory costs), one append-only file
with a lock (its own recovery, index and checksums to write).  SQLite gives atomic
multi-table appends and readers that don't block.

Appends run with ``synchronous=NORMAL``: after COMMIT they survive the death of any
process.  `OpLog.sync` flushes the WAL, after which they survive a power loss.
"""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Entry
from anvcs.rooms import schema
from anvcs.rooms.errors import RoomBusy, RoomDamaged, RoomFull, RoomReadOnly
from anvcs.rooms.records import (
    BYTES_CHANGED,
    DROPPED,
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

INLINE_WAIT_MS = 20
"""How long an append may wait for the lock inside the serving loop."""

_STEP_MS = 1
_OPENING_WAIT_MS = 5000
_BATCH = 512
_COLUMNS = 'seq, time_ns, agent, model, view, kind, file, payload, "check"'
_PUT_OP = "INSERT INTO ops VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_ENTRY = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_HISTORY = "INSERT INTO history VALUES (?, ?, ?)"
# A file may have left several paths: it is expected back only where it was last.
_TRACED = "SELECT path, file FROM traces AS t WHERE seq = (SELECT max(seq) FROM traces WHERE file = t.file)"
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


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


class Snapshot(NamedTuple):
    """A document's state after op ``seq``."""

    seq: Seq
    epoch: int
    state: bytes


class OpLog:
    """One process's connection to one room's file; for one thread at a time."""

    def __init__(self, file: Path, base: Oid | None, *, read_only: bool) -> None:
        self.file = file
        self.read_only = read_only
        self._directory_synced = False
        self._owner: int | None = None
        try:
            self._db = self._open_read_only() if read_only else self._open(base)
        except sqlite3.Error as error:
            self._release()
            raise self._meaning(error) from error
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Close the file; the last process to do so also empties the WAL."""
        self._db.close()
        self._release()

    def _release(self) -> None:
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    # --- transactions

    def begin(self) -> None:
        """Take the writer's lock, waiting `INLINE_WAIT_MS` at most; raises `RoomBusy`."""
        if self.read_only:
            raise RoomReadOnly(self.file)
        self._patiently("BEGIN IMMEDIATE")
        self._note_owner()

    def commit(self) -> None:
        """Publish what this transaction wrote."""
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._meaning(error) from error

    def rollback(self) -> None:
        """Forget what this transaction wrote; fine when there is none."""
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise self._meaning(error) from error

    def wait_writable(self, timeout: float) -> None:
        """Return when the lock is free; for a thread.  Raises `RoomBusy` after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        with contextlib.closing(self._connect(_STEP_MS)) as db:
            while True:
                try:
                    db.execute("BEGIN IMMEDIATE")
                    db.execute("ROLLBACK")
                except sqlite3.Error as error:
                    meaning = self._meaning(error)
                    if not isinstance(meaning, RoomBusy) or time.monotonic() > deadline:
                        raise meaning from error
                else:
                    return

    def checkpoint(self) -> None:
        """Move the WAL's content into the file; on a connection of its own, for any thread."""
        if self.read_only:
            return
        with contextlib.closing(self._connect(INLINE_WAIT_MS)) as db:
            try:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                raise self._meaning(error) from error

    def sync(self) -> None:
        """Make every append so far survive a power loss; for any thread."""
        # Not the database file: opening and closing it here would drop SQLite's locks on it.
        # A checkpoint syncs it before it reuses the WAL.
        wal = Path(f"{self.file}-wal")
        if wal.exists():  # else nothing was written since it was last emptied
            _fsync(wal)
        if not self._directory_synced:
            _fsync(self.file.parent)
            self._directory_synced = True

    # --- writing, inside a transaction

    def append(self, op: Op) -> None:
        """Write *op* and what follows from it into the state tables."""
        data = encode(op.payload, op.seq)
        check = row_check(*op[:7], data)
        self._run(_PUT_OP, (*op[:7], data, check))
        self.fold(op)

    def fold(self, op: Op) -> None:
        """Bring the state tables from before *op* to after it."""
        payload, seq = op.payload, op.seq
        flags: dict[bytes, int] = {}
        for entry in payload.puts:
            flags[entry.id] = BYTES_CHANGED if entry.content_seq == seq else 0
        for part in payload.docs:
            flags[part.id] = BYTES_CHANGED
        for drop in payload.drops:
            flags[drop.id] = flags.get(drop.id, 0) | DROPPED
        self._many(_PUT_ENTRY, [_entry_row(entry) for entry in payload.puts])
        self._many("DELETE FROM entries WHERE id = ?", [(drop.id,) for drop in payload.drops])
        self._many(_PUT_HISTORY, [(file, seq, flag) for file, flag in flags.items()])
        traces = [(drop.path, drop.id, seq) for drop in payload.drops if drop.path is not None]
        traces += [(path, file, seq) for path, file in payload.traces]
        self._many("INSERT OR REPLACE INTO traces VALUES (?, ?, ?)", traces)
        if payload.rebased:
            self._run("INSERT INTO bases VALUES (?, ?)", (seq, payload.base))

    def put_snapshot(self, file: FileId, snapshot: Snapshot) -> None:
        """Keep a document's state, so that it needn't be replayed from its seed."""
        values = (file, *snapshot)
        self._run("INSERT OR REPLACE INTO docs VALUES (?, ?, ?, ?, ?)", (*values, values_check(values)))

    # --- reading

    def last_seq(self) -> Seq:
        """The newest op's number, 0 in an empty log."""
        return Seq(self._rows("SELECT max(seq) FROM ops")[0][0] or 0)

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

    def base_moved(self, after: Seq, until: Seq) -> bool:
        """Whether an op in (*after*, *until*] moved the base."""
        sql = "SELECT 1 FROM bases WHERE seq > ? AND seq <= ?"
        return bool(self._rows(sql, (after, until)))

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

    def edits(self, file: FileId, after: Seq, until: Seq) -> Iterator[Op]:
        """Ops in (*after*, *until*] that changed the bytes of *file*, oldest first."""
        sql = (
            "SELECT o.* FROM history AS h JOIN ops AS o ON o.seq = h.seq"
            " WHERE h.file = ? AND h.seq > ? AND h.seq <= ? AND h.flags & 1 ORDER BY h.seq"
        )
        for row in self._rows(sql, (file, after, until)):
            yield self._op(row)

    def snapshot(self, file: FileId, until: Seq) -> Snapshot | None:
        """The newest kept state of *file*'s document that isn't after *until*."""
        sql = "SELECT * FROM docs WHERE file = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"
        rows = self._rows(sql, (file, until))
        if not rows:
            return None
        if values_check(rows[0][:-1]) != rows[0][-1]:
            raise RoomDamaged(self.file, f"the document of file {file.hex()}")
        return Snapshot(*rows[0][1:4])

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

    def _open(self, base: Oid | None) -> sqlite3.Connection:
        self._hold()
        fresh = not self.file.exists()
        db = self._connect(_OPENING_WAIT_MS)
        if fresh or not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            schema.create(db, base)
        schema.verify(db, self.file)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        # Checkpoints cost milliseconds: a background thread does them.
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute(f"PRAGMA busy_timeout={_STEP_MS}")
        return db

    def _hold(self) -> None:
        """Let a repair, which replaces the file, see that it is in use."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._owner = os.open(f"{self.file}-owner", flags, 0o600)
        try:
            fcntl.flock(self._owner, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RoomBusy(self.file, None) from error

    def _open_read_only(self) -> sqlite3.Connection:
        if not self.file.exists():
            raise RoomDamaged(self.file, "it doesn't exist")
        try:
            db = self._connect_uri("mode=ro")
            schema.verify(db, self.file)
        except sqlite3.OperationalError:
            # On a disk that can't be written there may be no WAL index, and no writer either.
            db = self._connect_uri("mode=ro&immutable=1")
            schema.verify(db, self.file)
        return db

    def _connect(self, wait_ms: int) -> sqlite3.Connection:
        # Threads use it one at a time, which sqlite3 can't know.
        return sqlite3.connect(
            self.file,
            timeout=wait_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
        )

    def _connect_uri(self, options: str) -> sqlite3.Connection:
        uri = f"{self.file.absolute().as_uri()}?{options}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    def _note_owner(self) -> None:
        if self._owner is None:
            return
        # Only so that others can name us: a full disk must not stop the append.
        with contextlib.suppress(OSError):
            os.pwrite(self._owner, b"%-15d\n" % os.getpid(), 0)

    def _holder(self) -> int | None:
        try:
            return int(Path(f"{self.file}-owner").read_bytes())
        except (OSError, ValueError):
            return None

    def _op(self, row: tuple[Any, ...]) -> Op:
        try:
            if row_check(*row[:8]) != row[8]:
                raise RoomDamaged(self.file, f"the checksum of record {row[0]} is wrong")
            seq, time_ns, agent, model, view, kind, file, payload, _ = row
            return Op(seq, time_ns, agent, model, view, kind, file, decode(payload, seq))
        except (MalformedRecord, TypeError) as error:
            raise RoomDamaged(self.file, f"record {row[0]}: {error}") from error

    def _run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise self._meaning(error) from error

    def _many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            self._db.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._meaning(error) from error

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return self._patiently(sql, values)

    def _patiently(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Run *sql*, waiting up to `INLINE_WAIT_MS` for a lock.

        In steps of a millisecond: SQLite's own waiting soon sleeps so long that a busy
        neighbour always has the lock again when it wakes.
        """
        deadline = 0.0
        while True:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                meaning = self._meaning(error)
                now = time.monotonic()
                deadline = deadline or now + INLINE_WAIT_MS / 1000
                if not isinstance(meaning, RoomBusy) or now > deadline:
                    raise meaning from error

    def _meaning(self, error: sqlite3.Error) -> Exception:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return RoomBusy(self.file, self._holder())
        if name.startswith("SQLITE_READONLY"):
            return RoomReadOnly(self.file)
        if name in _FULL or (name.startswith("SQLITE_IOERR") and _no_space(self.file)):
            return RoomFull(self.file)
        if name.startswith("SQLITE_CANTOPEN"):
            return RoomReadOnly(self.file) if self.file.exists() else error
        if name.startswith((*_DAMAGED, "SQLITE_IOERR", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")):
            return RoomDamaged(self.file, f"SQLite says {error}")
        return error


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    values = entry_values(entry)
    return (*values, values_check(values))


def _no_space(file: Path) -> bool:
    try:
        return os.statvfs(file.parent).f_bavail == 0
    except OSError:
        return False


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
