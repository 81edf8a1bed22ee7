"""Undo and prune without a mount: on a stream's room, beside the views that show it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from anvcs.model.ids import Seq
from anvcs.model.moment import Moment
from anvcs.model.room import Author
from anvcs.model.undone import Undone
from anvcs.repository import Repository
from anvcs.rooms.errors import RoomBusy
from anvcs.rooms.room import Room
from anvcs.rooms.undoing import Wanted

_T = TypeVar("_T")
_PATIENCE_S = 5


def patiently(room: Room, call: Callable[[], _T]) -> _T:
    """Run *call*, which appends to *room*, waiting for those who are faster; raises `RoomBusy` after 5 s."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except RoomBusy:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            room.wait_writable(left)


def undo_room(
    repository: Repository,
    stream: str,
    author: Author,
    *,
    agent: str,
    since: Moment,
    paths: Sequence[bytes] = (),
    op: Seq | None = None,
    dry_run: bool = False,
) -> Undone:
    """Reverse the uncommitted ops of *agent* in the room of *stream*."""
    wanted = Wanted(
        agent=agent,
        since=since.seq or Seq(0),
        since_ns=since.time_ns or 0,
        ops=None if op is None else (op,),
        takes=chosen(paths),
    )
    with repository.room(stream, author) as opened:
        told = patiently(opened.room, lambda: opened.room.undo(wanted, dry_run=dry_run))
        if told.seq is not None:
            opened.room.sync()
        return told


def chosen(paths: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Whether a path is one of *paths* or below one; without any, all are."""
    if not paths or b"" in paths:
        return lambda _: True
    return lambda path: any(path == one or path.startswith(one + b"/") for one in paths)


def undo_document(told: Undone, *, dry_run: bool) -> dict[str, Any]:
    """What ``--json`` prints (``docs/reference/json.md``)."""
    return {
        "agent": told.agent,
        "seq": told.seq,
        "dry_run": dry_run,
        "ops": list(told.ops),
        "paths": [
            {
                "path": one.path.decode("utf-8", "surrogateescape"),
                "what": list(one.what),
                "old_path": None if one.old_path is None else one.old_path.decode("utf-8", "surrogateescape"),
                "kept": [list(lines) for lines in one.kept],
            }
            for one in told.paths
        ],
    }
