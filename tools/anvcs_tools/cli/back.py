"""``blame``, ``undo`` and ``gc``: what happened, and what of it stays."""

import argparse
import os
import sys
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs_tools.cli.output import path_text, print_json, printable, say
from anvcs_tools.cli.places import Place, find_place


def blame(arguments: argparse.Namespace) -> int:
    """Show who last wrote each line."""
    from anvcs.attribution import Attribution, blame_document, blame_text
    from anvcs.repository import NothingCommitted

    place = find_place(arguments)
    path = place.relative([arguments.path], Path())[0]
    attribution = Attribution(place.repository.objects, place.repository.refs)
    with place.repository.room(place.stream) as opened:
        if arguments.live:
            lines = attribution.live(opened.room, path)
        elif opened.room.base is None:
            raise NothingCommitted
        else:
            lines = attribution.committed(opened.room.base, path, opened.room)
    if arguments.json:
        print_json(blame_document(path, lines))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(blame_text(lines))
        sys.stdout.buffer.flush()
    return 0


def undo(arguments: argparse.Namespace) -> int:
    """Reverse one agent's uncommitted ops."""
    from anvcs.hindsight import undo_document, undo_room
    from anvcs.model.moment import Moment, parse_moment
    from anvcs.model.room import Author

    place = find_place(arguments)
    me = _agent(place)
    told = undo_room(
        place.repository,
        place.stream,
        Author(agent=me, model=place.view.model if place.view else "", view=place.view.name if place.view else ""),
        agent=arguments.agent or me,
        since=parse_moment(arguments.since) if arguments.since else Moment(None, None),
        paths=place.relative(arguments.paths, Path()),
        op=arguments.op,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        print_json(undo_document(told, dry_run=arguments.dry_run))
        return 0
    for one in told.paths:
        was = f"  (was {path_text(one.old_path)})" if one.old_path is not None else ""
        print(printable(f"{', '.join(one.what) or 'kept'}: {path_text(one.path)}{was}"))
        for first, last in one.kept:
            print(printable(f"    lines {first} to {last} stay: others have written there since"))
    if not told.paths:
        say(f"{told.agent} has nothing uncommitted to undo")
    elif told.seq is not None:
        say(f"op {told.seq} undid {len(told.ops)} ops of {told.agent}; `ai-vcs undo --op {told.seq}` takes it back")
    return 0


def _agent(place: Place) -> str:
    if place.view is not None and place.view.agent:
        return place.view.agent
    return str(place.repository.config(place.stream).agent.name)


class BadSize(AnvcsError):
    """A size that can't be read."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no size: give bytes, or a number with K, M or G, such as 500M")
        self.text = text


def gc(arguments: argparse.Namespace) -> int:
    """Let go of what is old."""
    from anvcs.collecting import collect, gc_document
    from anvcs.model.moment import parse_age
    from anvcs.repository import Repository

    repository = find_place(arguments).repository if arguments.stream else Repository.open(_common(arguments.repo))
    told = collect(
        repository,
        age_ns=parse_age(arguments.older_than) if arguments.older_than else None,
        max_bytes=_size(arguments.max_size) if arguments.max_size else None,
        streams=[arguments.stream] if arguments.stream else (),
        uncommitted=arguments.uncommitted,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        print_json(gc_document(told, dry_run=arguments.dry_run))
        return 0
    would = "would go" if arguments.dry_run else "went"
    for room in told.rooms:
        held = f" ({room.held})" if room.held else ""
        print(printable(f"{room.stream}: {room.ops} ops {would}, {_human(room.before)} to {_human(room.after)}{held}"))
    print(f"{told.objects} values {would}, {_human(told.bytes)}")
    return 0


def _common(repo: str) -> Path:
    from anvcs.mounts import mount_of
    from anvcs.views import view_of

    here = Path(os.path.realpath(repo))
    mount = mount_of(here)
    view = view_of(mount) if mount is not None else None
    return view.common_dir if view else here


def _size(text: str) -> int:
    units = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not (number.isascii() and number.isdigit()) or unit not in units:
        raise BadSize(text)
    return int(number) * units[unit]


def _human(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
