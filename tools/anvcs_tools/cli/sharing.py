"""``push`` and ``pull``."""

import argparse
from typing import TYPE_CHECKING, Any

from anvcs_tools.cli.output import print_json, printable, say
from anvcs_tools.cli.places import Place, find_place

if TYPE_CHECKING:
    from anvcs.git.history import Signature
    from anvcs.git.transport import Transport
    from anvcs_tools.cli.artifacts import Fetched


def push(arguments: argparse.Namespace) -> int:
    """Send the stream and its notes."""
    place = find_place(arguments)
    transport, who, _ = _transport(place)
    if not arguments.allow_unsent:
        _check_sent(place, arguments.remote or transport.remote_for(place.stream, pushing=True))
    done = transport.push(place.stream, who=who, remote=arguments.remote)
    if arguments.json:
        print_json(
            {
                "remote": done.remote,
                "url": done.url,
                "stream": done.branch,
                "remote_branch": done.remote_branch,
                "commit": done.commit.hex(),
                "branch_moved": done.branch_moved,
                "notes_moved": done.notes_moved,
                "notes_merged": done.notes_merged,
            }
        )
        return 0
    branch = f"{done.remote_branch} is now {done.commit.hex()[:12]}" if done.branch_moved else "has this commit already"
    notes = ", metadata sent" if done.notes_moved else ""
    merged = " (merged with theirs first)" if done.notes_merged else ""
    say(printable(f"{done.remote}: {branch}{notes}{merged}"))
    return 0


def pull(arguments: argparse.Namespace) -> int:
    """Get the stream and its notes."""
    place = find_place(arguments)
    transport, who, signer = _transport(place)
    done = transport.pull(place.stream, who=who, remote=arguments.remote, sign=signer)
    problems = [followed.problem for followed in done.followed if followed.problem]
    _tell_git(place)
    fetched = _fetch_all(place) if arguments.artifacts == "eager" else None
    if arguments.json:
        print_json(
            {
                "remote": done.remote,
                "url": done.url,
                "stream": done.branch,
                "remote_branch": done.remote_branch,
                "how": done.how,
                "before": done.old.hex() if done.old else None,
                "commit": done.new.hex(),
                "fetched": done.fetched.hex(),
                "notes_changed": done.notes is not None and done.notes.changed,
                "problems": problems,
                **({"artifacts": fetched.document} if fetched is not None else {}),
            }
        )
        return fetched.code if fetched is not None else 0
    notes = "; metadata updated" if done.notes is not None and done.notes.changed else ""
    say(printable(f"{done.branch}: {done.how}, now {done.new.hex()[:12]}{notes}"))
    for problem in problems:
        say(printable(f"warning: {problem}"))
    return fetched.tell() if fetched is not None else 0


def _check_sent(place: Place, remote: str) -> None:
    """Refuse to publish what nobody else could fetch; repositories without a queue pay one look at a folder."""
    from contextlib import closing

    from anvcs.unsent import check_sent
    from anvcs_tools.cli.artifacts import opened

    with closing(opened(place)) as artifacts:
        check_sent(place.repository.objects, artifacts, place.stream, remote)


def _tell_git(place: Place) -> None:
    """Patterns may have come along."""
    from anvcs.config import ConfigInvalid

    try:
        blobs = place.repository.config(place.stream).blobs
    except ConfigInvalid as error:
        say(printable(f"warning: {error}"))
        return
    if blobs.track or blobs.max_git_size:
        from anvcs.git.filter_setup import filter_program

        place.repository.use_filter(filter_program(), blobs)


def _fetch_all(place: Place) -> "Fetched":
    from contextlib import closing

    from anvcs_tools.cli.artifacts import fetch_pinned, opened

    with closing(opened(place)) as artifacts:
        return fetch_pinned(place, artifacts, [])


def _transport(place: Place) -> "tuple[Transport, Signature, Any]":
    from anvcs.git import commits
    from anvcs.git.config import Configuration
    from anvcs.git.notes import Notes
    from anvcs.git.transport import Transport

    repository = place.repository
    config = Configuration(repository.info.git_dir, repository.info.common_dir)
    notes = Notes(repository.objects, repository.refs)
    agent = place.view.agent if place.view else repository.config(place.stream).agent.name
    _, committer = commits.identity(config, agent or None)
    transport = Transport(repository.objects, repository.refs, notes, config, repository.info.work_tree)
    return transport, committer, commits.signer_for(config, repository.info.git_dir)
