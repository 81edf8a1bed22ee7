"""Uncommitted work as an ordinary commit, for plain Git to read: ``refs/anvcs/wip/<stream>``.

It is made now and then while the work goes on, so it must cost little: Git compresses each
large file for seconds, and each version of it that was saved would stay in the repository.
"""

import contextlib
import os
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from anvcs.committing import Committer, Plan, files_of
from anvcs.git import commits
from anvcs.git.objects import ObjectStore
from anvcs.git.refs import RefMoved, Refs
from anvcs.model.request import CommitRequest
from anvcs.rooms.room import Room

_REQUEST = CommitRequest(message="work in progress")


class WorkInProgress:
    """Saves the rooms of one repository."""

    def __init__(self, git: ObjectStore, refs: Refs, committer: Committer) -> None:
        self._git = git
        self._refs = refs
        self._committer = committer

    def save_room(self, room: Room, stream: str, *, most: int | None = None) -> None:
        """Save the room as it is now, without files of more than *most* bytes; for a thread, while it is in use."""
        with room.reader() as reader:
            self._save(self._committer.plan(reader, _REQUEST, stream=stream), most)

    def _save(self, plan: Plan, most: int | None) -> None:
        """A clean room has no such commit."""
        name = f"refs/anvcs/wip/{plan.stream}"
        known = self._refs.get(name)
        artifacts = self._committer.artifacts
        pins = {} if artifacts is None else artifacts.provisional(files_of(plan))
        left_out = {} if most is None else _large(plan, pins, most)
        plan = replace(plan, inputs=tuple(item for item in plan.inputs if item.path not in left_out))
        before, tree, _ = self._committer.tree(plan, pins)
        if not left_out and (tree == before or (plan.base is None and not plan.inputs)):
            if known is not None:
                self._refs.delete(name, known)
            return
        message = self._message(plan.stream, left_out)
        if known is not None and self._git.tree_of(known) == tree:
            found = self._git.commit_info(known)
            if found.parents == (plan.base,) and found.message == message:
                return
        author = commits.agent_signature(plan.agent or "anvcs")
        commit = commits.create_commit(
            self._git,
            tree=tree,
            parents=() if plan.base is None else (plan.base,),
            message=message,
            author=author,
            committer=author,
        )
        with contextlib.suppress(RefMoved):  # another view of the room has just saved the same
            self._refs.move(name, commit, known, "anvcs: work in progress")

    def _message(self, stream: str, left_out: dict[bytes, Path]) -> bytes:
        lines = [os.fsencode(f"Uncommitted work in {stream}\n")]
        if left_out:
            lines.append(b"\nToo large to be saved here each time; their bytes are in these files of the repository:\n")
        for path, file in sorted(left_out.items()):
            lines.append(b"  %s: %s\n" % (path, os.fsencode(file.relative_to(self._git.common_dir))))
        return b"".join(lines)


def _large(plan: Plan, pins: Container[bytes], most: int) -> dict[bytes, Path]:
    """The large files that Git would store whole, and where their bytes are."""
    return {
        item.path: item.file
        for item in plan.inputs
        if item.file is not None and item.path not in pins and item.file.stat().st_size > most
    }
