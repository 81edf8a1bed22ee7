"""A copy of a room's file, to try something out in."""

import contextlib
import sqlite3
from pathlib import Path

_SUFFIXES = ("", "-wal", "-shm", "-owner")
_WAIT_S = 5.0


def copy_room(source: Path, target: Path) -> None:
    """Make *target* a room file that is as *source* is now; for any thread, while others write *source*."""
    remove_room(target)
    with (
        contextlib.closing(sqlite3.connect(source, timeout=_WAIT_S)) as db,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        copy.execute("PRAGMA synchronous=OFF")  # it need not survive a power loss
        db.backup(copy)


def remove_room(file: Path) -> None:
    """Delete a room's file and what SQLite keeps beside it; nobody may have it open."""
    for suffix in _SUFFIXES:
        file.with_name(file.name + suffix).unlink(missing_ok=True)
