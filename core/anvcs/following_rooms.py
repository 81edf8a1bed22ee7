"""A stream was moved from outside of its views: its room, and whoever shows it, come along."""

import time

from anvcs.model.ids import Oid
from anvcs.repository import Repository

_PATIENCE_S = 3.0
_PAUSE_S = 0.01


def let_room_follow(repository: Repository, stream: str, commit: Oid) -> None:
    """Return when the room of *stream* stands on *commit*, with its uncommitted work carried over.

    Views that show the stream hear of the moved branch by themselves, and know more: a new file that lies
    in one of them only must become the room's before the room moves.  Only if none does it in
    time, or none is there, the room is moved from here.
    """
    if not repository.store.room_file(stream).exists():
        return
    shown = any(
        info.process is not None and repository.stream_of(info.spec) == stream for info in repository.views.list()
    )
    until = time.monotonic() + (_PATIENCE_S if shown else 0.0)
    while time.monotonic() < until and not _stands_on(repository, stream, commit):
        time.sleep(_PAUSE_S)
    with repository.room(stream) as opened:  # opening it moves it
        opened.room.sync()


def _stands_on(repository: Repository, stream: str, commit: Oid) -> bool:
    from anvcs.rooms.oplog import OpLog

    log = OpLog(repository.store.room_file(stream), None, read_only=True)
    try:
        return log.base_at(log.last_seq()) == commit
    finally:
        log.close()
