"""What a snapshot shows, computed by walking it as a mount does."""

from anvcs.model.tree import DIRECTORY
from anvcs.rooms.room import Room
from anvcs.rooms.snapshots import Snapshot


def shown_at(room: Room, snapshot: Snapshot) -> dict[bytes, bytes]:
    """Every file of *snapshot*, which is one of *room*."""
    found: dict[bytes, bytes] = {}
    _walk(room, snapshot, b"", found)
    return found


def _walk(room: Room, snapshot: Snapshot, directory: bytes, found: dict[bytes, bytes]) -> None:
    tree = room._core.base.tree
    start = directory + b"/" if directory else b""
    leaves = tree.commits[snapshot.base] if snapshot.base else {}
    names = {path[len(start) :].split(b"/")[0]: None for path in leaves if path.startswith(start)}
    overlay = snapshot.overlay(directory)
    entries = {}
    if overlay is not None:
        names = {name: None for name in names if name not in overlay.hidden}
        names |= dict.fromkeys([*overlay.dirs, *overlay.entries])
        entries = overlay.entries
    for name in names:
        path = start + name
        entry = entries.get(name)
        if entry is not None and entry.mode != DIRECTORY:
            found[path] = room.read(entry)
        elif entry is None and path in leaves:
            found[path] = tree.show(leaves[path].oid, path)
        else:
            _walk(room, snapshot, path, found)
