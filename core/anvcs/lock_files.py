"""Lock files that both sides changed: written again by their program, in the throw-away place of the guards.

What may be combined in such a file is for the program to say that writes it.  It gets ours, and
everything else as merged.  Where it can't be run or fails, ours stays, and the metadata and a note say so.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from anvcs.config import MergeConfig
from anvcs.git.objects import ObjectStore
from anvcs.guard_places import environment_of, place_for
from anvcs.guarding import run_command, test_commit
from anvcs.merge_ways import path_matcher
from anvcs.model.merge import How
from anvcs.model.request import BadRequest
from anvcs.model.stream_merge import FileResult, Merged
from anvcs.model.tree import DIRECTORY, Leaf

REGENERATED, OURS, DECIDED = "regenerated", "ours", "manual"
"""How such a file came about, in metadata."""
_STAYS = {OURS: "ours was taken", DECIDED: "what was decided was taken"}
_LARGEST = 64 << 20
_SHOWN = 200


class _Lock(NamedTuple):
    path: bytes
    command: str
    ours: Leaf
    otherwise: str
    """How it has come about if the program fails."""


def regenerated(objects: ObjectStore, config: MergeConfig, merged: Merged) -> tuple[Merged, tuple[str, ...]]:
    """*merged* with the configured lock files written again, and what to tell.

    Nothing is run while something else is open: the program would read markers.
    """
    locks = _locks(objects, config, merged)
    if not locks:
        return merged, ()
    paths = {lock.path for lock in locks}
    start = _with(
        objects, merged, {lock.path: lock.ours for lock in locks}, {lock.path: lock.otherwise for lock in locks}
    )
    if start.disputes:
        waiting = ", ".join(_text(path) for path in sorted(paths))
        return merged, (f"{waiting}: to be written again when the other conflicts are decided",)
    leaves: dict[bytes, Leaf | None] = {}
    how: dict[bytes, str] = {}
    notes: list[str] = []
    with place_for(objects, test_commit(objects, start)) as (place, _):
        for lock in locks:
            text, why_not = _written(lock, place, config)
            if text is None:
                notes.append(f"{_text(lock.path)}: {_STAYS[lock.otherwise]}, because {lock.command!r} {why_not}")
                continue
            leaves[lock.path] = Leaf(lock.ours.mode, objects.write_blob(text))
            how[lock.path] = REGENERATED
    return _with(objects, start, leaves, how), tuple(notes)


def _locks(objects: ObjectStore, config: MergeConfig, merged: Merged) -> list[_Lock]:
    rules = []
    for line in config.locks:
        pattern, _, command = line.strip().partition(" ")
        if not command.strip():
            raise BadRequest(f"merge.locks: {line!r} needs a pattern and a command")
        rules.append((path_matcher(pattern), command.strip()))
    found = []
    for file in merged.files:
        command = next((command for matches, command in reversed(rules) if matches(file.path)), "")
        ours = _start(objects, merged, file)
        if command and file.how != How.IDENTICAL and ours is not None:
            found.append(_Lock(file.path, command, ours, DECIDED if file.how == DECIDED else OURS))
    return found


def _start(objects: ObjectStore, merged: Merged, file: FileResult) -> Leaf | None:
    """What the program finds there: ours, or what somebody has decided."""
    if file.how == DECIDED:
        found = objects.find(merged.tree, file.path)
        return None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)
    stages = file.stages or next((one.stages for one in file.disputes if one.stages is not None), None)
    return stages.ours if stages is not None else None


def _written(lock: _Lock, place: Path, config: MergeConfig) -> tuple[bytes | None, str]:
    """What the program makes of the file, or why it doesn't."""
    file = place / os.fsdecode(lock.path)
    ran = run_command(lock.command, file.parent, float(config.guard_timeout_s), environment_of(place))
    if not ran.ok:
        end = ran.output.strip().rpartition("\n")[2][-_SHOWN:]
        return None, "took too long" if ran.timed_out else f"failed: {end or 'it said nothing'}"
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST:
        return None, "left no file there"
    return file.read_bytes(), ""


def _with(
    objects: ObjectStore, merged: Merged, leaves: dict[bytes, Leaf] | dict[bytes, Leaf | None], how: dict[bytes, str]
) -> Merged:
    files: Sequence[FileResult] = [
        replace(file, how=how[file.path], disputes=(), checked=None) if file.path in how else file
        for file in merged.files
    ]
    tree = objects.write_tree(merged.tree, leaves) if leaves else merged.tree
    return replace(merged, tree=tree, files=tuple(files), leaves={**merged.leaves, **leaves})


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
