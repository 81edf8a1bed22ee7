"""``trust``: agree to the commands that a committed configuration names."""

import argparse
import sys

from anvcs_tools.cli.output import print_json, printable, say
from anvcs_tools.cli.places import find_place
from anvcs_tools.exit_codes import REFUSED


def trust(arguments: argparse.Namespace) -> int:
    """Show the commands, and remember that they may be run."""
    from anvcs import trusting

    place = find_place(arguments)
    repository = place.repository
    if arguments.revoke:
        trusting.distrust(repository)
    wanted = trusting.commands_of(repository.config(place.stream).merge)
    missing = trusting.untrusted(repository, wanted)
    if not arguments.json:
        for one in wanted:
            print(printable(f"{'not trusted' if one in missing else 'trusted    '}  {one.kind}: {one.text}"))
        if not wanted:
            say(printable(f"the configuration of {place.stream} names no commands"))
    if missing and not arguments.list and not arguments.revoke and (arguments.yes or _agrees()):
        trusting.trust(repository, missing, place.view.agent if place.view else "")
        missing = ()
        if not arguments.json:
            say("these commands may be run in this repository now; ai-vcs trust --revoke takes that back")
    if arguments.json:
        told = [{"kind": one.kind, "command": one.text, "trusted": one not in missing} for one in wanted]
        print_json({"stream": place.stream, "commands": told})
    return REFUSED if missing and not arguments.revoke else 0


def _agrees() -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        say("nobody can be asked here: say --yes to agree to these commands")
        return False
    return input("Run these commands when streams are merged? [y/N] ").strip().lower() in ("y", "yes")
