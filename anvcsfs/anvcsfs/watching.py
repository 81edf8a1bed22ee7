"""Watches the places where plain Git changes refs, so that a view can follow."""

import os
from pathlib import Path

import trio
from inotify_simple import INotify, flags

_EVENTS = flags.MOVED_TO | flags.CLOSE_WRITE | flags.DELETE | flags.CREATE | flags.MOVE_SELF | flags.DELETE_SELF


class RefWatch:
    """Wakes when HEAD, a branch or ``packed-refs`` changes; tells nothing more."""

    def __init__(self, common_dir: Path, admin_dir: Path) -> None:
        self._notify = INotify(nonblocking=True)
        self._common = common_dir
        self._watched: set[Path] = set()
        for folder in (common_dir, admin_dir, common_dir / "refs" / "heads"):
            self._add(folder)

    def watch_branch(self, stream: str) -> None:
        """Also watch the folder in which *stream*'s loose ref lies."""
        self._add((self._common / "refs" / "heads" / os.fsencode(stream).decode("utf-8", "surrogateescape")).parent)

    def _add(self, folder: Path) -> None:
        if folder not in self._watched and folder.is_dir():
            self._notify.add_watch(folder, _EVENTS)
            self._watched.add(folder)

    async def wait(self) -> None:
        """Return once something has happened."""
        await trio.lowlevel.wait_readable(self._notify.fileno())
        self._notify.read(timeout=0)

    def close(self) -> None:
        """Stop watching."""
        self._notify.close()
