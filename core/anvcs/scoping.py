"""What a commit of one agent's own work takes: the room without everybody else's.

The room's file is copied, what others did and did not commit is undone in the copy, and the
commit is planned there.  A file that several agents changed is therefore committed with the
lines of one of them; the others' stay uncommitted in the room.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from anvcs.committing import Committer, Plan
from anvcs.model.request import CommitRequest
from anvcs.model.room import Author
from anvcs.rooms.forking import copy_room
from anvcs.rooms.room import Room

MINE = "mine"
"""The scope of a request that takes only what its agent did."""


def plan_own(
    committer: Committer,
    file: Path,
    request: CommitRequest,
    author: Author,
    *,
    open_copy: Callable[[Path], Room],
    stream: str,
    detached: bool = False,
) -> Plan:
    """Plan a commit of what *author* did in the room in *file*; for a thread."""
    with tempfile.TemporaryDirectory(prefix="anvcs-mine-") as folder:
        copy = Path(folder, "room.sqlite")
        copy_room(file, copy)
        with open_copy(copy) as room:
            room.keep_only(author)
            plan = committer.prepare(room, request, stream=stream, detached=detached)
    own = tuple(one for one in plan.contributors if one.agent == author.agent)
    return plan.with_contributors(own)
