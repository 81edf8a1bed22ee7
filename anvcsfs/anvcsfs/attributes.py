"""What a view remembers of shared files beyond what Git records.

Times after a commit, ownership, mode bits other than the executable one, extended
attributes, inode numbers that aren't the path's own, and hard links: local state of
the view, in ``views/<name>/view.sqlite``, kept over remounts and never committed.
Rows exist only for paths that differ from the defaults.
"""

import errno
import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attributes (
    directory BLOB NOT NULL,   -- path of the directory, b'' is the top
    name      BLOB NOT NULL,   -- b'' is the directory itself
    mode      INTEGER,         -- permission bits
    uid       INTEGER,
    gid       INTEGER,
    mtime_ns  INTEGER,
    atime_ns  INTEGER,
    ino       INTEGER,
    xattrs    TEXT,            -- JSON: name -> hex of the value
    link      BLOB,            -- id of the hard link group
    PRIMARY KEY (directory, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_link ON attributes (link) WHERE link IS NOT NULL;
CREATE TABLE IF NOT EXISTS moves (old BLOB NOT NULL, new BLOB NOT NULL);  -- intent: shadows.complete_move
CREATE TABLE IF NOT EXISTS exchanges (  -- intent: shadows.complete_exchange
    first      BLOB NOT NULL,
    second     BLOB NOT NULL,
    seq        INTEGER NOT NULL,  -- the room's last op before
    first_ino  INTEGER NOT NULL,  -- of what is on the real disk; 0: nothing
    second_ino INTEGER NOT NULL
);
"""
_GET = """SELECT mode, uid, gid, mtime_ns, atime_ns, ino, xattrs, link
FROM attributes WHERE directory = ? AND name = ?"""
_EXCHANGES = "SELECT first, second, seq, first_ino, second_ino FROM exchanges"
_PUT = """INSERT OR REPLACE INTO attributes
(directory, name, mode, uid, gid, mtime_ns, atime_ns, ino, xattrs, link) VALUES (?,?,?,?,?,?,?,?,?,?)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Overrides of one path; ``None`` is "the default"."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime_ns: int | None = None
    atime_ns: int | None = None
    ino: int | None = None
    xattrs: dict[bytes, bytes] | None = None
    link: bytes | None = None


class PlannedExchange(NamedTuple):
    """Two names are to change places, in the room and on the real disk."""

    first: bytes
    second: bytes
    seq: int
    """The room's last op before."""
    first_ino: int
    """Of what the real disk has at the first name; 0 when it has nothing."""
    second_ino: int


class Fields(TypedDict, total=False):
    """Some of the overrides, to be changed; the others stay."""

    mode: int | None
    uid: int | None
    gid: int | None
    mtime_ns: int | None
    atime_ns: int | None
    ino: int | None
    xattrs: dict[bytes, bytes] | None
    link: bytes | None


class AttributeStore:
    """The table; each change is durable against the death of the process."""

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        self._owed: list[Callable[[], object]] = []
        """Changes for which the disk had no space yet."""
        self._any = self._db.execute("SELECT 1 FROM attributes LIMIT 1").fetchone() is not None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, path: bytes) -> Attributes | None:
        """Overrides of *path*."""
        if not self._any:
            return None
        row = self._db.execute(_GET, split(path)).fetchone()
        return _attributes(row) if row else None

    def has_directory(self, path: bytes) -> bool:
        """Whether any name in the directory *path*, or it itself, has overrides."""
        return (
            self._any
            and self._db.execute("SELECT 1 FROM attributes WHERE directory = ? LIMIT 1", (path,)).fetchone() is not None
        )

    def update(self, path: bytes, *, now: bool = False, **fields: Unpack[Fields]) -> None:
        """Change some fields of *path*'s overrides; *now* as in `update_many`."""
        self._change(lambda: self._put({path: replace(self.get(path) or Attributes(), **fields)}), now=now)

    def update_many(self, changes: dict[bytes, Attributes], *, now: bool = False) -> None:
        """Replace the overrides of many paths in one step.

        On a full disk the change is made when there is space again, because what it
        belongs to has mostly happened already.  With *now* it fails instead.
        """
        self._change(lambda: self._put(changes), now=now)

    def remove(self, path: bytes) -> None:
        """Forget *path*."""
        if self._any:
            self._change(lambda: self._delete(path))

    def rename(self, old: bytes, new: bytes) -> None:
        """Move the overrides of *old* to *new*, replacing those there."""
        if self._any:
            self._change(lambda: self._move(old, new))

    def rename_tree(self, old: bytes, new: bytes) -> None:
        """Move the overrides of everything below the directory *old*, itself included."""
        if self._any:
            self._change(lambda: self._move_tree(old, new))

    def exchange(self, first: bytes, second: bytes) -> None:
        """Swap the overrides of two paths and of all below them."""
        if self._any:
            self._change(lambda: self._swap(first, second))

    def paths(self) -> list[bytes]:
        """Every path that has overrides."""
        return [join(directory, name) for directory, name in self._db.execute("SELECT directory, name FROM attributes")]

    def paths_of_link(self, link: bytes) -> list[bytes]:
        """Every path of the hard link group *link*."""
        rows = self._db.execute("SELECT directory, name FROM attributes WHERE link = ?", (link,)).fetchall()
        return [join(directory, name) for directory, name in rows]

    def plan_move(self, old: bytes, new: bytes) -> None:
        """Record that the local half of a directory is to move from *old* to *new*."""
        self._change(lambda: self._db.execute("INSERT INTO moves VALUES (?, ?)", (old, new)), now=True)

    def planned_moves(self) -> list[tuple[bytes, bytes]]:
        """Moves that may not have happened yet."""
        return [(bytes(old), bytes(new)) for old, new in self._db.execute("SELECT old, new FROM moves")]

    def forget_moves(self) -> None:
        """All planned moves have happened."""
        self._change(lambda: self._db.execute("DELETE FROM moves"))

    def plan_exchange(self, plan: PlannedExchange) -> None:
        """Record that two names are to change places."""
        self._change(lambda: self._db.execute("INSERT INTO exchanges VALUES (?, ?, ?, ?, ?)", plan), now=True)

    def planned_exchanges(self) -> list[PlannedExchange]:
        """Exchanges that may not be complete."""
        return [PlannedExchange(bytes(row[0]), bytes(row[1]), *row[2:]) for row in self._db.execute(_EXCHANGES)]

    def end_exchange(self, plan: PlannedExchange, *, done: bool) -> None:
        """Forget *plan*; where it was *done*, the overrides change places with the names."""

        def end() -> None:
            if done:
                self._swap(plan.first, plan.second)
            self._db.execute("DELETE FROM exchanges WHERE first = ? AND second = ?", plan[:2])

        self._change(end)

    def _change(self, job: Callable[[], object], *, now: bool = False) -> None:
        """Run *job* in a transaction of its own, after those that a full disk has left over."""
        self._owed.append(job)
        try:
            while self._owed:
                with _Transaction(self._db):
                    self._owed[0]()
                del self._owed[0]
        except OSError as error:
            if now or error.errno != errno.ENOSPC:
                self._owed.remove(job)
                raise

    def _put(self, rows: dict[bytes, Attributes]) -> None:
        self._any = self._any or bool(rows)
        self._db.executemany(_PUT, [(*split(path), *_row(item)) for path, item in rows.items()])

    def _delete(self, path: bytes) -> None:
        self._db.execute("DELETE FROM attributes WHERE directory = ? AND name = ?", split(path))

    def _move(self, old: bytes, new: bytes) -> None:
        self._delete(new)
        self._db.execute(
            "UPDATE attributes SET directory = ?, name = ? WHERE directory = ? AND name = ?",
            (*split(new), *split(old)),
        )

    def _move_tree(self, old: bytes, new: bytes) -> None:
        self._move(old, new)
        self._db.execute(
            "UPDATE attributes SET directory = CAST(? || substr(directory, ?) AS BLOB)"
            " WHERE directory = ? OR (directory > ? AND directory < ?)",
            (new, len(old) + 1, old, old + b"/", old + b"0"),
        )

    def _swap(self, first: bytes, second: bytes) -> None:
        aside = first + b"\0"  # no name can hold a NUL
        self._move_tree(first, aside)
        self._move_tree(second, first)
        self._move_tree(aside, second)


class _Transaction:
    """BEGIN … COMMIT, rolled back when anything fails in between."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        except sqlite3.Error as failure:
            self._undo()
            raise _meaning(failure) from failure
        if error is not None:
            self._undo()
            if isinstance(error, sqlite3.Error):
                raise _meaning(error) from error

    def _undo(self) -> None:
        if self._db.in_transaction:  # a full disk may have ended it already
            self._db.execute("ROLLBACK")


def _meaning(error: sqlite3.Error) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return OSError(errno.EIO, f"the view's attributes: {error}")


def split(path: bytes) -> tuple[bytes, bytes]:
    """Directory and name of *path*."""
    directory, _, name = path.rpartition(b"/")
    return directory, name


def join(directory: bytes, name: bytes) -> bytes:
    """The path of *name* in *directory*."""
    return directory + b"/" + name if directory else name


def _row(item: Attributes) -> tuple[object, ...]:
    xattrs = (
        None if item.xattrs is None else json.dumps({name.hex(): value.hex() for name, value in item.xattrs.items()})
    )
    return (item.mode, item.uid, item.gid, item.mtime_ns, item.atime_ns, item.ino, xattrs, item.link)


def _attributes(row: tuple[Any, ...]) -> Attributes:
    mode, uid, gid, mtime_ns, atime_ns, ino, xattrs, link = row
    decoded = None
    if xattrs is not None:
        decoded = {bytes.fromhex(name): bytes.fromhex(value) for name, value in json.loads(xattrs).items()}
    return Attributes(
        mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns, atime_ns=atime_ns, ino=ino, xattrs=decoded, link=link
    )
