"""``conflicts``: what met, and that it is settled."""

import argparse
from typing import Any

from anvcs_tools.cli.output import print_json, printable, say
from anvcs_tools.cli.places import Place, find_place
from anvcs_tools.exit_codes import FAILED, USAGE


def conflicts(arguments: argparse.Namespace) -> int:
    """List the conflict records, or mark some as resolved."""
    place = find_place(arguments)
    if arguments.action == "resolve":
        return _resolve(place, arguments)
    return _list(place, arguments)


def _list(place: Place, arguments: argparse.Namespace) -> int:
    from anvcs.conflict_reports import conflict_document, conflict_line
    from anvcs.rooms.errors import NoSuchConflict

    found: list[dict[str, Any]] = []
    if place.repository.store.room_file(place.stream).exists():
        with place.repository.room(place.stream) as opened:
            room = opened.room
            wanted = [room.conflict(name) for name in arguments.ids] or room.conflicts(resolved=arguments.all)
            found = [conflict_document(room, record) for record in wanted]
    elif arguments.ids:
        raise NoSuchConflict(arguments.ids[0])
    still_open = sum(not document["resolved"] for document in found)
    if arguments.json:
        print_json({"stream": place.stream, "open": still_open, "conflicts": found})
    else:
        for document in found:
            print(printable(conflict_line(document)))
            print(printable(f"    {document['note']}"))
        if not found:
            say("no open conflicts")
    return FAILED if arguments.exit_code and still_open else 0


def _resolve(place: Place, arguments: argparse.Namespace) -> int:
    from anvcs.hindsight import patiently
    from anvcs.model.room import Author
    from anvcs.rooms.errors import NoSuchConflict

    names = arguments.ids
    if not names and not arguments.all:
        say("name the conflicts to resolve, as `ai-vcs conflicts` lists them, or give --all")
        return USAGE
    view = place.view
    agent = view.agent if view is not None and view.agent else str(place.repository.config(place.stream).agent.name)
    author = Author(agent=agent, model=view.model if view else "", view=view.name if view else "")
    if not place.repository.store.room_file(place.stream).exists():
        raise NoSuchConflict(names[0] if names else "")
    with place.repository.room(place.stream, author) as opened:
        room = opened.room
        names = names or [record.id for record in room.conflicts()]
        patiently(room, lambda: room.resolve(*names))
        room.sync()
        left = room.open_conflicts()
    if arguments.json:
        print_json({"stream": place.stream, "resolved": names, "open": left})
    else:
        say(f"resolved: {', '.join(names) or 'nothing'}; {left} still open")
    return 0
