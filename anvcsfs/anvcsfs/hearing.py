"""Hears of other processes' ops: their datagrams, and as a second witness the log's file.

A datagram may be lost (its sender died between its append and the announcement, or is
a program that announces nothing), so inotify tells of writes to the log's ``-wal`` file, too.
SQLite writes there *before* a reader sees the op, hence the log is looked at again some
milliseconds later, and then no more: who waits uses no processor time.
"""

import logging
import os
from pathlib import Path

import trio
from inotify_simple import INotify, flags

log = logging.getLogger(__name__)
_LOOKS_S = (0.015, 0.07)
"""After the log's file was written, how long until each look at the log, in turn."""


class LogWatch:
    """Wakes when the file of a room's log is written, by whomever."""

    def __init__(self, room_file: Path) -> None:
        self._notify: INotify | None = None
        self._watch = -1
        self._file: Path | None = None
        try:
            self._notify = INotify(nonblocking=True)
        except OSError as error:  # too many watchers for this user: announcements remain
            log.warning("the log's file can't be watched: %s", error)
        self.move(room_file)

    def move(self, room_file: Path) -> None:
        """Watch another room's log."""
        if self._notify is None or room_file == self._file:
            return
        if self._watch >= 0:
            self._notify.rm_watch(self._watch)
            self._watch = -1
        self._file = room_file
        try:
            # As long as the room is open here, nobody removes this file.
            self._watch = self._notify.add_watch(os.fspath(room_file) + "-wal", flags.MODIFY)
        except OSError as error:
            log.warning("the log's file can't be watched: %s", error)

    async def wait(self) -> None:
        """Return once the file was written."""
        if self._notify is None:
            await trio.sleep_forever()
        else:
            await trio.lowlevel.wait_readable(self._notify.fileno())
            self._notify.read(timeout=0)

    @property
    def pauses(self) -> tuple[float, ...]:
        """Seconds to let pass before each look at the log after `wait`."""
        return _LOOKS_S

    def close(self) -> None:
        """Stop watching."""
        if self._notify is not None:
            self._notify.close()
