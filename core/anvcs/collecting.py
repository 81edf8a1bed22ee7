"""``gc``: old ops leave the rooms' logs, and opaque values that nothing names leave the store.

Refs are left alone: what commits, notes and saved work need is Git's to keep.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anvcs.hindsight import patiently
from anvcs.model.room import Content
from anvcs.repository import Repository
from anvcs.rooms.errors import RoomBusy
from anvcs.rooms.oplog import OpLog
from anvcs.rooms.pruning import Limits
from anvcs.rooms.room import Room

_DAY_NS = 86_400 * 1_000_000_000
DEFAULT_AGE_NS = 30 * _DAY_NS
"""Ops older than this go when nothing else is asked for."""
SPARE_NS = 3600 * 1_000_000_000
"""Nothing younger goes for the sake of size: somebody may still save what he read then."""
_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCollected:
    """What happened to one room's log."""

    stream: str
    ops: int
    """Ops that went."""
    floor: int
    """The oldest moment that it tells now."""
    held: str
    """Why not more."""
    before: int
    """Bytes of it."""
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection did, or would do."""

    rooms: tuple[RoomCollected, ...]
    objects: int
    """Opaque values that nothing names any more."""
    bytes: int
    """What they took."""


def collect(
    repository: Repository,
    *,
    age_ns: int | None = None,
    max_bytes: int | None = None,
    streams: Sequence[str] = (),
    uncommitted: bool = False,
    dry_run: bool = False,
) -> Collected:
    """Prune the rooms of *streams* (none: of all) and collect values; with *dry_run* only count."""
    now = time.time_ns()
    if age_ns is None and max_bytes is None:
        age_ns = DEFAULT_AGE_NS
    limits = Limits(
        before_ns=0 if age_ns is None else max(1, now - age_ns),
        max_bytes=max_bytes,
        spare_ns=now - SPARE_NS,
        uncommitted=uncommitted,
    )
    known = repository.store.streams_with_rooms()
    rooms = [
        _prune(repository, stream, limits, dry_run=dry_run) for stream in known if not streams or stream in streams
    ]
    count = size = 0
    for path, length in list(_unnamed(repository, now)):
        if not dry_run and not _remove(path, now):
            continue
        count, size = count + 1, size + length
    return Collected(rooms=tuple(rooms), objects=count, bytes=size)


def _prune(repository: Repository, stream: str, limits: Limits, *, dry_run: bool) -> RoomCollected:
    with repository.room(stream) as opened:
        room = opened.room
        before = room.log_bytes
        found = room.horizon(limits) if dry_run else patiently(room, lambda: room.prune(limits))
        if found.ops and not dry_run:
            _give_back(room)
        return RoomCollected(
            stream=stream,
            ops=found.ops,
            floor=found.until,
            held=found.held,
            before=before,
            after=room.log_bytes,
        )


def _give_back(room: Room) -> None:
    try:
        room.give_back()
    except RoomBusy:
        return  # somebody is at work: the empty pages are used again, and returned another time


def _unnamed(repository: Repository, now: int) -> Iterator[tuple[Path, int]]:
    """Values that no record names, with their size; never one that has just been stored."""
    named = set(_named(repository))
    for path in repository.store.objects.glob("??/*"):
        digits = path.parent.name + path.name
        if len(digits) == _DIGITS and bytes.fromhex(digits) in named:
            continue
        found = path.stat()
        if found.st_mtime_ns < now - SPARE_NS and not path.name.endswith(".damaged"):
            yield path, found.st_size


def _remove(path: Path, now: int) -> bool:
    """Remove a value unless it was stored once more meanwhile, which gives it a new time."""
    try:
        if path.stat().st_mtime_ns >= now - SPARE_NS:
            return False
        path.unlink()
    except FileNotFoundError:  # another collection
        return False
    return True


def _named(repository: Repository) -> Iterator[bytes]:
    for stream in repository.store.streams_with_rooms():
        log = OpLog(repository.store.room_file(stream), None, read_only=True)
        try:
            for op in log.ops():
                yield from (entry.ref for entry in op.payload.puts if entry.content is Content.OPAQUE)
            yield from (entry.ref for entry in log.entries() if entry.content is Content.OPAQUE)
        finally:
            log.close()


def gc_document(told: Collected, *, dry_run: bool) -> dict[str, Any]:
    """What ``--json`` prints (``docs/reference/json.md``)."""
    return {
        "dry_run": dry_run,
        "rooms": [
            {
                "stream": one.stream,
                "ops": one.ops,
                "floor": one.floor,
                "held": one.held or None,
                "bytes_before": one.before,
                "bytes_after": one.after,
            }
            for one in told.rooms
        ],
        "objects": told.objects,
        "object_bytes": told.bytes,
    }
