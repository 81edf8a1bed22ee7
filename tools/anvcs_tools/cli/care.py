"""``recover`` and ``fsck``."""

import argparse
from pathlib import Path
from typing import Any

from anvcs_tools.cli.output import print_json, printable, say
from anvcs_tools.exit_codes import DAMAGED


def recover(arguments: argparse.Namespace) -> int:
    """Save uncommitted work where plain Git finds it."""
    from anvcs.offline import save_wip
    from anvcs.repository import Repository

    repository = Repository.open(Path(arguments.repo))
    streams = [arguments.stream] if arguments.stream else repository.store.streams_with_rooms()
    saved: list[dict[str, Any]] = []
    for stream in streams:
        found = save_wip(repository, stream)
        if found is not None:
            saved.append({"stream": stream, "ref": found.ref, "commit": found.commit.hex(), "branch": None})
    if arguments.branch:
        _make_branch(repository, arguments.branch, saved)
    if arguments.json:
        print_json({"saved": saved})
        return 0
    if not saved:
        say("no uncommitted work")
    for item in saved:
        print(printable(f"{item['stream']}: {item['commit']} at {item['branch'] or item['ref']}"))
    if saved and not arguments.branch:
        say("plain Git reads it, for instance: git switch -c rescued " + saved[0]["ref"])
    return 0


def _make_branch(repository: Any, name: str, saved: list[dict[str, Any]]) -> None:
    from anvcs.repository import SeveralStreams

    if len(saved) > 1:
        raise SeveralStreams([item["stream"] for item in saved])
    for item in saved:
        repository.create_stream(name, item["commit"])
        item["branch"] = name


def fsck(arguments: argparse.Namespace) -> int:
    """Check the store."""
    from anvcs.checking import check_store
    from anvcs.repository import Repository

    repository = Repository.open(Path(arguments.repo))
    findings = check_store(repository, repair=arguments.repair)
    left = [finding for finding in findings if not finding.repaired]
    if arguments.json:
        listed = [{"where": one.where, "what": one.what, "repaired": one.repaired} for one in findings]
        print_json({"findings": listed, "ok": not left})
    else:
        for finding in findings:
            print(printable(f"{finding.where}: {finding.what}{' (repaired)' if finding.repaired else ''}"))
        say(
            "the store is sound" if not left else f"{len(left)} findings; `ai-vcs fsck --repair` keeps all that is good"
        )
    return DAMAGED if left else 0
