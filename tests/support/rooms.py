"""Rooms over a fake tree, and what one shows, computed the slow and obvious way."""

import weakref
from pathlib import Path
from typing import Any

from anvcs.model.ids import Oid
from anvcs.model.room import Author
from anvcs.model.tree import DIRECTORY
from anvcs.rooms.room import Room
from support.fake_tree import FakeTree


class Place:
    """A folder with one room's file, its objects, and the tree below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "main.sqlite"
        self.objects = folder / "objects"
        self.tree = FakeTree()

    def room(self, agent: str = "ann", base: Oid | None = None, **options: Any) -> Room:
        author = Author(agent=agent, model="model-1", view=agent)
        return closed_at_last(
            Room.open(self.file, tree=self.tree, objects=self.objects, author=author, base=base, **options)
        )


def closed_at_last(room: Room) -> Room:
    """*room*, whose file is closed with it if the test leaves it open: from Python 3.13 on, SQLite complains."""
    weakref.finalize(room, room._core.log.close)
    return room


def shown(room: Room) -> dict[bytes, bytes]:
    """Every file that *room* shows, found by walking its overlays as a mount does."""
    found: dict[bytes, bytes] = {}
    _walk(room, b"", found, set())
    return found


def shown_directories(room: Room) -> set[bytes]:
    """Every directory below the top that *room* shows."""
    found: set[bytes] = set()
    _walk(room, b"", {}, found)
    return found


def _walk(room: Room, directory: bytes, files: dict[bytes, bytes], directories: set[bytes]) -> None:
    tree: FakeTree = room._core.base.tree
    leaves = tree.commits[room.base] if room.base else {}
    start = directory + b"/" if directory else b""
    names: dict[bytes, bool] = {}
    for path in leaves:
        if path.startswith(start):
            name, slash, _ = path[len(start) :].partition(b"/")
            names[name] = bool(slash)
    overlay = room.overlay(directory)
    if overlay is not None:
        for name in overlay.hidden:
            names.pop(name, None)
        names |= dict.fromkeys(overlay.dirs, True)
        names |= {name: entry.mode == DIRECTORY for name, entry in overlay.entries.items()}
    for name, is_directory in names.items():
        path = start + name
        if is_directory:
            directories.add(path)
            _walk(room, path, files, directories)
        elif overlay is not None and name in overlay.entries:
            files[path] = room.read(overlay.entries[name])
        else:
            files[path] = tree.show(leaves[path].oid, path)
