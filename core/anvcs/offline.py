"""Commits and saved work without a mount: the same steps as a view's, on the stream's room."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from anvcs.commit_policy import check_policy
from anvcs.committing import CommitResult, Committer, StreamBusy, StreamMoved
from anvcs.model.ids import Oid
from anvcs.model.request import parse_commit_request
from anvcs.model.room import Author
from anvcs.note_queue import NoteQueue
from anvcs.pinning import Pinning
from anvcs.repository import OpenRoom, Repository
from anvcs.scoping import MINE, plan_own
from anvcs.work_in_progress import WorkInProgress

_ATTEMPTS = 25


def commit_room(
    repository: Repository,
    stream: str,
    request: Mapping[str, Any],
    *,
    opened: Callable[[Pinning], None] = lambda _: None,
) -> dict[str, Any]:
    """Commit the uncommitted work of *stream*; the answer is that of ``.anvcs/commit``.

    *opened* is given what tells how far the upload of artifacts is.
    """
    wanted = parse_commit_request(json.dumps(request).encode())
    config = repository.config(stream)
    check_policy(config.agent.commit_policy, wanted)
    author = Author(agent=wanted.agent or config.agent.name, model=wanted.model or config.agent.model)
    with repository.room(stream, author) as found:
        opened(found.pinning)
        committer = committer_for(repository, found, author)
        committer.complete_notes()
        for _ in range(_ATTEMPTS):
            if wanted.scope == MINE:
                plan = plan_own(
                    committer, found.room.file, wanted, author, open_copy=repository.opener(found), stream=stream
                )
            else:
                plan = committer.prepare(found.room, wanted, stream=stream)
            try:
                result = committer.execute(plan)
            except StreamMoved:
                head = repository.refs.get(f"refs/heads/{stream}")
                found.room.move_base(head, keep=False)
                continue
            found.room.move_base(result.commit, keep=True)
            found.room.sync()
            return commit_answer(result)
    raise StreamBusy(stream)


class SavedWork(NamedTuple):
    """Uncommitted work as an ordinary commit."""

    ref: str
    commit: Oid


def save_wip(repository: Repository, stream: str) -> SavedWork | None:
    """Save the uncommitted work of *stream* under ``refs/anvcs/wip``; None when there is none."""
    # The room of a view with a detached HEAD is called ~VIEW, which can't be part of a ref's name.
    name = f"detached/{stream[1:]}" if stream.startswith("~") else stream
    with repository.room(stream) as opened:
        committer = committer_for(repository, opened, opened.room.author)
        WorkInProgress(repository.objects, repository.refs, committer).save_room(opened.room, name)
    ref = f"refs/anvcs/wip/{name}"
    commit = repository.refs.get(ref)
    return SavedWork(ref, commit) if commit else None


def committer_for(repository: Repository, opened: OpenRoom, author: Author) -> Committer:
    """What makes commits in a room that was opened without a mount."""
    info = repository.info
    mirror: Path | None = info.work_tree / ".ai" / "meta" if info.work_tree else None
    return Committer(
        git=repository.objects,
        refs=repository.refs,
        skeleton=opened.skeleton,
        queue=NoteQueue(repository.store.root / "queue" / "notes"),
        mirror=mirror,
        admin_dir=info.git_dir,
        work_dir=info.work_tree,
        agent=author.agent,
        model=author.model,
        pinning=opened.pinning,
    )


def commit_answer(result: CommitResult) -> dict[str, Any]:
    """What a request to commit is answered (``docs/reference/control-files.md``)."""
    return {
        "ok": True,
        "commit": result.commit.hex(),
        "stream": result.stream,
        "subject": result.subject,
        "paths": [path.decode("utf-8", "backslashreplace") for path in result.paths],
        "contributors": [
            {"agent": one.agent, "model": one.model, "added": one.added, "removed": one.removed}
            for one in result.contributors
        ],
        "duration_ms": round(result.duration_s * 1000, 1),
        "notes": list(result.remarks),
    }
