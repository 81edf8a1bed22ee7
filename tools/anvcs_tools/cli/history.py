"""``log``, ``graph`` and ``show``."""

import argparse

from anvcs_tools.cli.output import print_json, printable, say
from anvcs_tools.cli.places import find_place


def log(arguments: argparse.Namespace) -> int:
    """List commits."""
    from anvcs.logbook import Logbook, describe

    place = find_place(arguments)
    book = Logbook(place.repository)
    commits = book.commits(book.resolve(arguments.revision, place.stream), arguments.limit)
    if arguments.json:
        print_json({"stream": place.stream, "commits": commits})
        return 0
    if not commits:
        say("no commits yet")
    for document in commits:
        for line in describe(document):
            print(printable(line))
    return 0


def graph(arguments: argparse.Namespace) -> int:
    """Draw the streams."""
    from anvcs.logbook import Logbook

    book = Logbook(find_place(arguments).repository)
    if arguments.json:
        print_json({"commits": book.graph(arguments.limit)})
    else:
        print(printable(book.drawing(arguments.limit)), end="")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show one commit."""
    from anvcs.logbook import Logbook, describe
    from anvcs.repository import NothingCommitted

    place = find_place(arguments)
    book = Logbook(place.repository)
    commit = book.resolve(arguments.revision, place.stream)
    if commit is None:
        raise NothingCommitted
    document = book.show(commit)
    if arguments.json:
        print_json(document)
        return 0
    for line in describe(document):
        print(printable(line))
    for change in document["changes"]:
        print(printable(f"{change['status']} {change['path']}"))
    return 0
