"""A stream was moved from outside of its views: its room, and whoever shows it, come along."""

import time
from collections.abc import Iterator

from anvcs.git.treemerge import renames
from anvcs.model.ids import Oid
from anvcs.repository import Repository

_PATIENCE_S = 3.0
_PAUSE_S = 0.01


def let_room_follow(repository: Repository, stream: str, before: Oid | None, commit: Oid) -> list[str]:
    """Return when the room of *stream*, which stood on *before*, stands on *commit*, with its uncommitted work carried over.

    Views that show the stream hear of the moved branch by themselves, and know more: a new file that lies
    in one of them only must become the room's before the room moves.  Only if none does it in
    time, or none is there, the room is moved from here.  What it returns is worth telling.
    """
    if not repository.store.room_file(stream).exists():
        return []
    shown = any(
        info.process is not None and repository.stream_of(info.spec) == stream for info in repository.views.list()
    )
    until = time.monotonic() + (_PATIENCE_S if shown else 0.0)
    while time.monotonic() < until and not _stands_on(repository, stream, commit):
        time.sleep(_PAUSE_S)
    with repository.room(stream) as opened:  # opening it moves it
        opened.room.sync()
        added = [change.path for change in opened.room.changes() if change.status == "A"]
    return [] if before is None else list(_left_behind(repository, added, before, commit))


def _left_behind(repository: Repository, added: list[bytes], before: Oid, commit: Oid) -> Iterator[str]:
    """Uncommitted edits of files that have another name now: they stay where they were made."""
    objects = repository.objects
    edited = [path for path in added if objects.find(objects.tree_of(before), path) is not None]
    if not edited:
        return
    moved = {old: new for new, old in renames(objects, before, commit).items()}
    for path in edited:
        if path in moved:
            old, new = (name.decode("utf-8", "backslashreplace") for name in (path, moved[path]))
            yield f"{old} has uncommitted changes and is {new} now: the changes stay under the old name"


def _stands_on(repository: Repository, stream: str, commit: Oid) -> bool:
    from anvcs.rooms.oplog import OpLog

    log = OpLog(repository.store.room_file(stream), None, read_only=True)
    try:
        return log.base_at(log.last_seq()) == commit
    finally:
        log.close()
