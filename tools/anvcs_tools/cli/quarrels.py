"""``conflicts``: what met, and that it is settled."""

import argparse
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anvcs_tools.cli.output import print_json, printable, say
from anvcs_tools.cli.places import Place, find_place
from anvcs_tools.exit_codes import FAILED, USAGE

if TYPE_CHECKING:
    from anvcs.rooms.room import Room


def conflicts(arguments: argparse.Namespace) -> int:
    """List the conflict records, or mark some as resolved."""
    place = find_place(arguments)
    if arguments.action == "resolve":
        return _resolve(place, arguments)
    return _show(place, arguments) if arguments.action == "show" else _list(place, arguments)


def _show(place: Place, arguments: argparse.Namespace) -> int:
    from anvcs.conflict_reports import conflict_document, conflict_page

    with place.repository.room(place.stream) as opened:
        room = opened.room
        wanted = [room.conflict(name) for name in arguments.ids] or room.conflicts(resolved=arguments.all)
        if arguments.json:
            print_json({"stream": place.stream, "conflicts": [conflict_document(room, one) for one in wanted]})
            return 0
        for record in wanted:
            print(printable(conflict_page(room, record).decode("utf-8", "replace")))
    return 0


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
        if arguments.side is None:
            _settle(place, room, names)
        else:
            _decide(place, room, names, arguments.side)
        room.sync()
        left = room.open_conflicts()
    if arguments.json:
        print_json({"stream": place.stream, "resolved": names, "open": left})
    else:
        say(f"resolved: {', '.join(names) or 'nothing'}; {left} still open")
    return 0


def _settle(place: Place, room: "Room", names: list[str]) -> None:
    """Mark what people have put in order."""
    from anvcs.deciding import require_settled
    from anvcs.hindsight import patiently
    from anvcs.proposals import NoSuchProposal, proposal

    records = [room.conflict(name) for name in names]
    try:
        waiting = proposal(place.repository, place.stream).proposal
    except NoSuchProposal:  # an ordinary stream
        records = []
    for record in records:
        require_settled(room, record, waiting)
    patiently(room, lambda: room.resolve(*names))


def _decide(place: Place, room: "Room", names: list[str], side: str) -> None:
    """Take one side of what a merge left open, or what an editor makes of it."""
    from anvcs.deciding import decide
    from anvcs.hindsight import patiently
    from anvcs.proposals import proposal

    waiting = proposal(place.repository, place.stream).proposal
    for name in names:
        if side == "edit":
            _edit(place, room, name)
        else:
            patiently(room, partial(decide, room, room.conflict(name), side, waiting))


def _edit(place: Place, room: "Room", name: str) -> None:
    """Let the user's editor have the marked lines."""
    from anvcs.deciding import CannotDecide, block_of, has_markers, put_block
    from anvcs.git.program import Git
    from anvcs.hindsight import patiently

    record = room.conflict(name)
    editor = Git(place.repository.info.git_dir).line("var", "GIT_EDITOR")
    with tempfile.TemporaryDirectory(prefix="anvcs-edit-") as folder:
        file = Path(folder, "conflict").with_suffix(Path(os.fsdecode(record.path)).suffix)
        file.write_bytes(block_of(room, record))
        # As Git does: the editor may be given with options, so a shell takes it apart.
        if subprocess.run(["/bin/sh", "-c", f'{editor} "$@"', editor, str(file)], check=False).returncode:
            raise CannotDecide(name, "the editor ended with an error")
        text = file.read_bytes()
    if has_markers(text):
        raise CannotDecide(name, "the edited text still has conflict markers")
    patiently(room, lambda: put_block(room, room.conflict(name), text))
