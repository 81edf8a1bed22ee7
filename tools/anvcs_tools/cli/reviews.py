"""``review``: merges that tests or policy refused, and what somebody says about them."""

import argparse
from typing import TYPE_CHECKING

from anvcs.errors import AnvcsError
from anvcs_tools.cli.output import print_json, print_table, printable, say
from anvcs_tools.cli.places import Place, find_place
from anvcs_tools.exit_codes import USAGE

if TYPE_CHECKING:
    from anvcs.proposals import Stored


class ReviewIncomplete(AnvcsError):
    """A decision without a merge, or without a reason."""


def review(arguments: argparse.Namespace) -> int:
    """List, show, approve or reject."""
    place = find_place(arguments)
    if arguments.action == "list":
        return _list(place, arguments)
    if not arguments.name:
        say(f"name the merge: ai-vcs review {arguments.action} NAME")
        return USAGE
    from anvcs.proposals import proposal

    stored = proposal(place.repository, arguments.name)
    if arguments.action == "show":
        return _show(stored, arguments)
    if not arguments.why:
        raise ReviewIncomplete(f"say why: ai-vcs review {arguments.action} {arguments.name} --why TEXT")
    return _decide(place, stored, arguments)


def _list(place: Place, arguments: argparse.Namespace) -> int:
    from anvcs.concluding import awaiting_review, review_document

    found = [review_document(stored) for stored in awaiting_review(place.repository)]
    if arguments.json:
        print_json({"reviews": found})
    elif found:
        rows = ([one["review"], one["source"], one["target"], one["why"], one["agent"] or "-"] for one in found)
        print_table(("REVIEW", "SOURCE", "TARGET", "WHY", "AGENT"), rows)
    else:
        say("nothing waits for a review")
    return 0


def _show(stored: "Stored", arguments: argparse.Namespace) -> int:
    from anvcs.concluding import review_document, review_page

    if arguments.json:
        print_json(review_document(stored))
    else:
        print(printable(review_page(stored)), end="")
    return 0


def _decide(place: Place, stored: "Stored", arguments: argparse.Namespace) -> int:
    from anvcs.concluding import conclude, give_up, judged
    from anvcs_tools.cli.stream_merging import author_of

    author = author_of(place, arguments)
    who = author.agent or _identity(place)
    if arguments.action == "reject":
        give_up(place.repository, judged(stored, "rejected", who=who, why=arguments.why))
        document: dict[str, object] = {"review": arguments.name, "verdict": "rejected", "by": who, "commit": None}
    else:
        approved = judged(stored, "approved", who=who, why=arguments.why)
        outcome = conclude(place.repository, approved, author=author)
        told = outcome.commit.hex() if outcome.commit else None
        for note in outcome.remarks if outcome.proposal else ():
            say(printable(f"note: {note}"))
        document = {"review": arguments.name, "verdict": "approved", "by": who, "commit": told}
    if arguments.json:
        print_json(document)
    else:
        say(printable(f"{arguments.name} is {document['verdict']} by {who}"))
    return 0


def _identity(place: Place) -> str:
    from anvcs.git import commits
    from anvcs.git.config import Configuration

    info = place.repository.info
    return commits.identity(Configuration(info.git_dir, info.common_dir), None)[0].name
