"""``merge``: from one stream into another, and what became of it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anvcs.errors import AnvcsError
from anvcs.model.merge_request import MergeRequest, sources_of
from anvcs_tools.cli.output import print_json, print_table, printable, say
from anvcs_tools.cli.places import Place, find_place
from anvcs_tools.cli.signals import terminated_by_signals
from anvcs_tools.exit_codes import FAILED, REFUSED

if TYPE_CHECKING:
    from anvcs.model.room import Author
    from anvcs.proposals import Stored

_FILES_SHOWN = 20


class ViewReadOnly(AnvcsError):
    """The view that was asked to merge can't be written to."""

    def __init__(self, place: Path, target: str) -> None:
        super().__init__(
            f"{place} is mounted read-only, so nothing is merged from there: go to the repository or to another view, or"
            f" name the repository: ai-vcs merge SRC into {target} -C DIR"
        )


def merge(arguments: argparse.Namespace) -> int:
    """Merge, conclude, give up, or list what waits."""
    with terminated_by_signals():  # what guards have mounted must not outlive us
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _list(_place(arguments, ""), arguments)
    if arguments.go_on or arguments.abort:
        stream = arguments.stream
        return _end(_place(arguments, stream or ""), arguments, stream)
    source, target = sources_of(arguments.words)
    place = _place(arguments, target)
    request = MergeRequest(
        source=source,
        into=target or place.stream,
        strategy=arguments.strategy or "",
        message=arguments.message or "",
        auto=arguments.auto,
        test_check=arguments.test_check,
        dry_run=arguments.dry_run,
        no_commit=arguments.no_commit,
        no_verify=arguments.no_verify,
        agent=arguments.agent or (place.view.agent if place.view else ""),
        model=arguments.model or (place.view.model if place.view else ""),
    )
    answer = _merge(place, request, explain=arguments.explain)
    if arguments.json:
        print_json(answer)
    else:
        _print(answer)
    return _code(answer)


def _place(arguments: argparse.Namespace, stream: str) -> Place:
    """Where the command works; it is about *stream* only where HEAD is on none."""
    from anvcs.repository import HeadDetached

    arguments.stream = None
    try:
        return find_place(arguments)
    except HeadDetached:
        if not stream:
            raise
        arguments.stream = stream
        return find_place(arguments)


def _merge(place: Place, request: MergeRequest, *, explain: bool) -> dict[str, Any]:
    """Through the control file of the view that shows the target, so that it shows the merge at once; else here."""
    if place.view is not None and place.view.read_only and request.into == place.stream and not request.dry_run:
        raise ViewReadOnly(place.view.mountpoint, place.stream)
    can_only_look = place.view is not None and place.view.read_only
    if place.control is not None and not can_only_look and request.into == place.stream and not explain:
        from anvcs_tools.cli.work import ask

        fields = {name: getattr(request, name) for name in MergeRequest.__dataclass_fields__}
        return ask(place.control / "merge", {name: value for name, value in fields.items() if value})
    from anvcs.stream_merging import merge_streams

    outcome = merge_streams(place.repository, request)
    answer = outcome.document()
    if explain and outcome.merged is not None:
        from anvcs.explaining import explained

        answer["explained"] = explained(place.repository.objects, outcome.merged)
    return answer


def _code(answer: dict[str, Any]) -> int:
    if answer["outcome"] in ("proposal", "dry-run"):
        return {"conflicts": FAILED, "guards": REFUSED, "policy": REFUSED}.get(answer["why"], 0)
    return 0


def _end(place: Place, arguments: argparse.Namespace, stream: str | None) -> int:
    from anvcs.concluding import clear_concluded, conclude, give_up

    clear_concluded(place.repository)
    stored = _wanted(place, stream)
    if arguments.abort:
        commit, kept = give_up(place.repository, stored)
        told = {"aborted": stored.proposal.name, "commit": commit.hex() if commit else None, "kept": kept or None}
        if arguments.json:
            print_json(told)
        else:
            say(printable(f"the merge {stored.proposal.name} is given up"))
            if kept:
                say(
                    printable(
                        f"what was decided is kept: git show {kept}:PATH, or git diff {stored.proposal.target} {kept}"
                    )
                )
        return 0
    outcome = conclude(place.repository, stored, author=author_of(place, arguments), message=arguments.message or "")
    if arguments.json:
        print_json(outcome.document())
    else:
        _print(outcome.document())
    return _code(outcome.document())


def _wanted(place: Place, stream: str | None) -> "Stored":
    from anvcs.proposals import NoSuchProposal, proposal

    if stream is None and place.view is not None:
        try:
            return proposal(place.repository, place.stream)
        except NoSuchProposal:  # the view shows something else: the only merge that waits
            return proposal(place.repository, "")
    return proposal(place.repository, stream or "")


def author_of(place: Place, arguments: argparse.Namespace) -> "Author":
    """Who acts: named, else the view's agent, else the configured one."""
    from anvcs.model.room import Author

    config = place.repository.config(place.stream).agent
    view = place.view
    agent = arguments.agent or (view.agent if view else "") or config.name
    model = getattr(arguments, "model", None) or (view.model if view else "") or config.model
    return Author(agent=agent, model=model, view=view.name if view else "")


def _list(place: Place, arguments: argparse.Namespace) -> int:
    from anvcs.concluding import clear_concluded
    from anvcs.proposals import ensure_open, proposals

    clear_concluded(place.repository)
    rows = []
    for stored in proposals(place.repository):
        ensure_open(stored)  # a process may have died between the two
        one = stored.proposal
        with place.repository.room(one.name) as opened:
            left = opened.room.open_conflicts()
        rows.append({"stream": one.name, "source": one.source, "target": one.target, "why": one.why, "open": left})
    if arguments.json:
        print_json({"merges": rows})
    elif rows:
        print_table(("STREAM", "SOURCE", "TARGET", "WHY", "OPEN"), ([*row.values()] for row in rows))
    else:
        say("no merge waits")
    return 0


def _print(answer: dict[str, Any]) -> None:
    target, source = answer["target"], answer["source"]
    files = _summary(answer["files"])
    match answer["outcome"]:
        case "up-to-date":
            print(printable(f"{target} has everything of {source} already"))
        case "fast-forward":
            print(printable(f"{target} is now at {answer['commit'][:12]} (fast-forward)"))
        case "merged":
            print(printable(f"[{target} {answer['commit'][:12]}] {source} merged{files}"))
        case "dry-run":
            print(printable(f"{source} into {target}: {_WOULD[answer['why']]}{files}"))
        case _:
            print(printable(f"{source} into {target}: {_WAITS[answer['why']]}{files}"))
    for one in answer["conflicts"]:
        at = ":{}-{}".format(*one["lines"]) if one["lines"] else ""
        entity = f" in {one['entity']}" if one["entity"] else ""
        print(printable(f"  conflict: {one['path']}{at}{entity}: {one['reason']}"))
    for guard in answer["guards"]:
        if not guard["ok"]:
            print(printable(f"  failed: {guard['name']}"))
            print("".join(f"    {printable(line)}\n" for line in guard["output"].splitlines()[-_FILES_SHOWN:]), end="")
    _print_explained(answer.get("explained", ()))
    for note in answer["notes"]:
        say(printable(f"note: {note}"))
    if answer["proposal"]:
        name = answer["proposal"]
        say(printable(f"look at it: ai-vcs mount --stream {name} DIR; ai-vcs conflicts list --stream {name}"))
        say(printable(f"then: ai-vcs merge --continue --stream {name} (or --abort)"))


_WOULD = {"fast-forward": "would be a fast-forward", "conflicts": "would have conflicts", "clean": "would merge"}
_WAITS = {
    "conflicts": "there are conflicts to decide",
    "guards": "the guards refuse the merge",
    "policy": "agent.commit_policy refuses the merge",
    "asked": "the merge waits to be looked at",
}


def _summary(files: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for file in files:
        counts[file["how"]] = counts.get(file["how"], 0) + 1
    told = ", ".join(f"{count} {how}" for how, count in sorted(counts.items()))
    return f" ({told})" if told else ""


def _print_explained(explained: Any) -> None:
    for file in explained:
        print(printable(f"  {file['path']}: {file['how']}"))
        for block in file["blocks"]:
            where = f"{block['entity']}, " if block["entity"] else ""
            print(printable(f"    {where}{_lines_text(*block['lines'])}: {block['decision']}"))
        for note in file["notes"]:
            print(printable(f"    {note}"))


def _lines_text(first: int, last: int) -> str:
    if last < first:
        return f"at line {first}"  # something is gone there
    return f"line {first}" if first == last else f"lines {first}-{last}"
