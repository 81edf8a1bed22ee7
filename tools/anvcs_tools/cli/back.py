"""``blame``, ``undo`` and ``gc``: what happened, and what of it stays."""

import argparse
import sys
from pathlib import Path

from anvcs_tools.cli.output import path_text, print_json, printable, say
from anvcs_tools.cli.places import Place, find_place


def blame(arguments: argparse.Namespace) -> int:
    """Show who last wrote each line."""
    from anvcs.attribution import Attribution, blame_document, blame_text
    from anvcs.repository import NothingCommitted

    place = find_place(arguments)
    path = place.relative([arguments.path], Path())[0]
    attribution = Attribution(place.repository.objects, place.repository.refs)
    if arguments.live:
        with place.repository.room(place.stream) as opened:
            lines = attribution.live(opened.room, path)
    else:
        head = place.repository.refs.get(f"refs/heads/{place.stream}")
        if head is None:
            raise NothingCommitted
        lines = attribution.committed(head, path)
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
