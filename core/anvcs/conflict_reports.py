"""Conflict records for people and programs: one page, one document each."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anvcs.model.conflict import Conflict
    from anvcs.rooms.room import Room

_WHAT = {
    "lines": "two edited the same lines",
    "parse": "the merged file does not parse",
    "base-unsure": "it is not known which version the writer had read",
    "same-name": "two files were given one name",
    "rename-rename": "a file was renamed by two",
    "rename-edit": "a file was renamed while it was edited",
    "delete-edit": "a file was deleted while it was edited",
    "directory": "a directory was moved, removed or replaced under somebody's work",
    "case": "two names differ only in case",
    "opaque": "a file that can't be merged was written by two",
    "merge": "a merge of two streams can't decide this",
}


def conflict_document(room: "Room", record: "Conflict") -> dict[str, Any]:
    """*record* as ``--json`` prints it (``docs/reference/json.md``)."""
    first, last = room.conflict_lines(record)
    return {
        "id": record.id,
        "seq": record.seq,
        "time": _time(record),
        "path": _text(record.path),
        "kind": record.kind,
        "lines": [first, last] if first else None,
        "note": record.note,
        "resolved": record.resolved,
        "sides": [{"agent": side.agent, "model": side.model, "text": _text(side.text)} for side in record.sides],
    }


def conflict_summary(room: "Room", record: "Conflict") -> dict[str, Any]:
    """What a status says of *record*."""
    first, last = room.conflict_lines(record)
    return {
        "id": record.id,
        "path": _text(record.path),
        "kind": record.kind,
        "lines": [first, last] if first else None,
        "agents": [side.agent for side in record.sides],
    }


def conflict_line(document: dict[str, Any]) -> str:
    """A summary or document in one line of text."""
    at = "" if document["lines"] is None else ":{}-{}".format(*document["lines"])
    agents = document.get("agents") or [side["agent"] for side in document["sides"]]
    who = " and ".join(agent or "?" for agent in agents)
    done = "  (resolved)" if document.get("resolved") else ""
    return f"{document['id']}  {document['kind']}  {document['path']}{at}  {who}{done}"


def conflict_page(room: "Room", record: "Conflict") -> bytes:
    """The file ``.anvcs/conflicts/<id>.md``."""
    return "\n".join(_page(conflict_document(room, record))).encode("utf-8", "backslashreplace") + b"\n"


def _page(told: dict[str, Any]) -> Iterator[str]:
    yield f"# Conflict {told['id']}: {_WHAT[told['kind']]}"
    yield ""
    yield f"* kind: {told['kind']}"
    yield f"* path: {told['path']}"
    if told["lines"] is not None:
        yield "* lines: {} to {}".format(*told["lines"])
    yield f"* time: {told['time']}"
    yield f"* {told['note']}"
    for side in told["sides"]:
        model = f" ({side['model']})" if side["model"] else ""
        yield ""
        yield f"## {side['agent'] or 'unknown'}{model}"
        yield ""
        # Indented, so that nothing in a text can end it.
        yield from (f"    {line}" for line in side["text"].splitlines() or ["(nothing)"])
    yield ""
    if told["kind"] in ("lines", "base-unsure"):
        yield f"It ends when somebody who has seen these lines edits them, or by: ai-vcs conflicts resolve {told['id']}"
    elif told["kind"] == "parse":
        yield f"It ends when the file parses again, or by: ai-vcs conflicts resolve {told['id']}"
    elif told["kind"] == "merge":
        if told["lines"] is not None:
            yield "It ends when its marked lines are edited in this view, or by:"
            yield f"ai-vcs conflicts resolve {told['id']} --ours (or --theirs, --union, --edit)"
        else:
            yield f"It ends by: ai-vcs conflicts resolve {told['id']} --ours (or --theirs, or --both where both files are there; with none of them: it is as it must be)"
    else:
        yield f"It ends by: ai-vcs conflicts resolve {told['id']}"


def _time(record: "Conflict") -> str:
    return datetime.fromtimestamp(record.time_ns / 1e9, UTC).isoformat().replace("+00:00", "Z")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
