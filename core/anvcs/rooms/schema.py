"""Tables of a room's file, and how a file gets and proves them."""

import sqlite3
from pathlib import Path

from anvcs.model.ids import Oid
from anvcs.rooms.conflicts import TABLE as CONFLICTS
from anvcs.rooms.errors import RoomDamaged, StoreVersion

FORMAT = 2
"""Version of the whole file; the payload of a record has one of its own."""
WITHOUT_CONFLICTS = 1
"""The version before: it lacks the table of conflicts, and is brought up to date where it lies."""

APPLICATION_ID = 0x414E5652
"""`ANVR` in the header of the SQLite file."""

# ops is the truth.  All other tables follow from it and can be rebuilt.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE ops (
    seq INTEGER PRIMARY KEY,  -- from 1, without holes
    time_ns INTEGER NOT NULL,
    agent TEXT NOT NULL,
    model TEXT NOT NULL,
    view TEXT NOT NULL,
    kind TEXT NOT NULL,
    file BLOB NOT NULL,       -- id of the file the op is about; empty for many
    payload BLOB NOT NULL,    -- records.py
    "check" INTEGER NOT NULL  -- CRC-32 over all the other columns
);
CREATE TABLE history (        -- which ops touched a file
    file BLOB NOT NULL,
    seq INTEGER NOT NULL,
    flags INTEGER NOT NULL,   -- 1 its bytes changed, 2 it left the room
    PRIMARY KEY (file, seq)
) WITHOUT ROWID;
CREATE TABLE entries (        -- the room's changed paths after the last op
    id BLOB PRIMARY KEY,
    path BLOB,                -- NULL: deleted
    base_path BLOB,           -- NULL: not in the base
    mode INTEGER NOT NULL,
    content INTEGER NOT NULL,
    ref BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    content_seq INTEGER NOT NULL,
    "check" INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE docs (           -- a document's state after op seq, so that it loads fast
    file BLOB NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    state BLOB NOT NULL,
    "check" INTEGER NOT NULL,
    PRIMARY KEY (file, seq)
);
CREATE TABLE traces (         -- which file was last at a path that it has left
    path BLOB PRIMARY KEY,
    file BLOB NOT NULL,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX traces_file ON traces (file, seq);
CREATE TABLE bases (          -- the base commit from op seq on; NULL before the first commit
    seq INTEGER PRIMARY KEY,
    oid BLOB
);
"""


def create(db: sqlite3.Connection, base: Oid | None) -> None:
    """Give an empty file its tables, unless another process was faster."""
    # Durable from the start: the file's name is the room's existence.
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("BEGIN IMMEDIATE")
    try:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            _create_tables(db, base)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def verify(db: sqlite3.Connection, file: Path) -> None:
    """Raise `StoreVersion` or `RoomDamaged` unless *db* is a room of this format."""
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise RoomDamaged(file, "it is not a room's file") from error
        raise
    if row is None:
        raise RoomDamaged(file, "it names no format")
    if row[0] not in (FORMAT, WITHOUT_CONFLICTS):
        raise StoreVersion(file, int(row[0]), FORMAT)


def upgrade(db: sqlite3.Connection) -> None:
    """Bring a file of the version before to this one; nothing for one that is."""
    if db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0] == FORMAT:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(CONFLICTS)
        db.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT,))
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _create_tables(db: sqlite3.Connection, base: Oid | None) -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)
    db.execute(CONFLICTS)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))
    db.execute("INSERT INTO bases VALUES (0, ?)", (base,))
