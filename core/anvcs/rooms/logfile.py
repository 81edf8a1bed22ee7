"""The SQLite file of a room: opening, locks, transactions, durability, and what its errors mean."""

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from anvcs.model.ids import Oid
from anvcs.rooms import schema
from anvcs.rooms.errors import RoomBusy, RoomDamaged, RoomFull, RoomReadOnly
from anvcs.rooms.turnstile import Turnstile

INLINE_WAIT_MS = 20
"""How long SQLite's lock may be waited for inside the serving loop."""

_STEP_MS = 1
_TURN_STEPS_S = (0.0002, 0.0005, 0.001, 0.002)
"""How long an append waits for its turn there: most others take a fraction of a millisecond."""
_OPENING_WAIT_MS = 5000
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class LogFile:
    """One process's connection to one room's file; for one thread at a time."""

    def __init__(self, file: Path, base: Oid | None, *, read_only: bool) -> None:
        self.file = file
        self.read_only = read_only
        self._directory_synced = False
        self._owner: int | None = None
        self._turn: Turnstile | None = None
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
        if self._turn is not None:
            self._turn.close()
            self._turn = None
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    # --- transactions

    def begin(self) -> None:
        """Take the writer's lock, waiting some milliseconds at most; raises `RoomBusy`."""
        if self._turn is None:
            raise RoomReadOnly(self.file)
        if not _take(self._turn):
            raise RoomBusy(self.file, self._holder())
        try:
            self._patiently("BEGIN IMMEDIATE")
        except BaseException:
            self._turn.give()
            raise
        self._note_owner()

    def commit(self) -> None:
        """Publish what this transaction wrote."""
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:  # the transaction goes on, and so does the turn, until `rollback`
            raise self._meaning(error) from error
        self._give_turn()

    def rollback(self) -> None:
        """Forget what this transaction wrote; fine when there is none."""
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._meaning(error) from error
        finally:
            self._give_turn()

    def _give_turn(self) -> None:
        if self._turn is not None:
            self._turn.give()

    def wait_writable(self, timeout: float) -> None:
        """Return when it is this process's turn; for a thread.  Raises `RoomBusy` after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        if self._turn is None:
            raise RoomReadOnly(self.file)
        if not self._turn.wait(timeout):
            raise RoomBusy(self.file, self._holder())
        self._wait_for_sqlite(deadline)

    def _wait_for_sqlite(self, deadline: float) -> None:
        """Somebody who knows nothing of turns may be writing."""
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

    # --- inside

    def _open(self, base: Oid | None) -> sqlite3.Connection:
        self._hold()
        fresh = not self.file.exists()
        db = self._connect(_OPENING_WAIT_MS)
        try:
            self._prepare(db, base, fresh=fresh)
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: sqlite3.Connection, base: Oid | None, *, fresh: bool) -> None:
        if fresh or not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            schema.create(db, base)
        schema.verify(db, self.file)
        schema.upgrade(db)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        # Checkpoints cost milliseconds: a background thread does them.
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute(f"PRAGMA busy_timeout={_STEP_MS}")

    def _hold(self) -> None:
        """Let a repair, which replaces the file, see that it is in use."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._owner = os.open(f"{self.file}-owner", flags, 0o600)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES):
                raise RoomReadOnly(self.file) from error
            raise
        try:
            fcntl.flock(self._owner, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RoomBusy(self.file, None) from error
        self._turn = Turnstile(Path(f"{self.file}-owner"))

    def _open_read_only(self) -> sqlite3.Connection:
        if not self.file.exists():
            raise RoomDamaged(self.file, "it doesn't exist")
        db = self._connect_uri("mode=ro")
        try:
            schema.verify(db, self.file)
        except sqlite3.OperationalError:
            db.close()
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


def _take(turn: Turnstile) -> bool:
    for pause in _TURN_STEPS_S:
        if turn.take():
            return True
        time.sleep(pause)
    return turn.take()


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
