"""Commits as the command line tells them: what Git says, with the metadata of our notes."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from anvcs.git.history import CommitInfo, Signature
from anvcs.git.notes import Notes
from anvcs.git.program import Git
from anvcs.model.ids import Oid
from anvcs.model.tree import Leaf, TreeChange
from anvcs.repository import Repository

_DRAWING = ("log", "--graph", "--oneline", "--decorate", "--color=never")


class Logbook:
    """Reads history; documents are what ``--json`` prints (``docs/reference/command-line.md``)."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._git = Git(repository.info.common_dir)
        self._notes = Notes(repository.objects, repository.refs)

    def resolve(self, revision: str | None, stream: str) -> Oid | None:
        """The commit that *revision* names, or the head of *stream*; None before the first commit."""
        if revision is not None:
            return self._repository.objects.resolve(revision)
        return self._repository.refs.get(f"refs/heads/{stream}")

    def commits(self, start: Oid | None, limit: int) -> list[dict[str, Any]]:
        """*start* and what came before it, newest first."""
        return [] if start is None else self._documents([start.hex()], limit)

    def graph(self, limit: int) -> list[dict[str, Any]]:
        """The commits of all streams, children before parents."""
        return self._documents(["--topo-order", "--branches"], limit)

    def drawing(self, limit: int) -> str:
        """The same as lines of text."""
        if not self._repository.refs.list("refs/heads/"):
            return ""
        return self._git.run(*_DRAWING, f"--max-count={limit}", "--branches").out.decode(errors="replace")

    def show(self, commit: Oid) -> dict[str, Any]:
        """One commit with its metadata and the paths that it changed, compared with its first parent."""
        objects = self._repository.objects
        info = objects.commit_info(commit)
        before = objects.tree_of(info.parents[0]) if info.parents else None
        changes = [_change(change) for change in objects.diff(before, info.tree)]
        return self._document(info, self._names()) | {"changes": changes}

    def _documents(self, what: Sequence[str], limit: int) -> list[dict[str, Any]]:
        listed = self._git.run("rev-list", f"--max-count={limit}", *what, "--").out.decode().split()
        names = self._names()
        infos = (self._repository.objects.commit_info(Oid(bytes.fromhex(text))) for text in listed)
        return [self._document(info, names) for info in infos]

    def _names(self) -> dict[Oid, list[str]]:
        names: dict[Oid, list[str]] = {}
        for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/"):
            for name, oid in self._repository.refs.list(prefix).items():
                names.setdefault(oid, []).append(name)
        return names

    def _document(self, info: CommitInfo, names: dict[Oid, list[str]]) -> dict[str, Any]:
        return {
            "commit": info.oid.hex(),
            "parents": [parent.hex() for parent in info.parents],
            "refs": sorted(names.get(info.oid, ())),
            "author": {"name": info.author.name, "email": info.author.email},
            "time": iso_time(info.author),
            "subject": info.subject,
            "message": _text(info),
            "metadata": self._metadata(info.oid),
        }

    def _metadata(self, commit: Oid) -> dict[str, Any]:
        """The note as a mapping; empty for a commit made without us, or for a note that isn't ours."""
        note = self._notes.read(commit)
        try:
            found = json.loads(note) if note else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def iso_time(signature: Signature) -> str:
    """The time of a signature, in its writer's zone."""
    try:
        zone = timezone(timedelta(minutes=signature.offset_min))
        return datetime.fromtimestamp(signature.time_s, zone).isoformat()
    except (ValueError, OverflowError, OSError):  # a forged commit may claim any year
        return datetime.fromtimestamp(0, UTC).isoformat()


def _text(info: CommitInfo) -> str:
    try:
        return info.message.decode(info.encoding, "replace")
    except LookupError:
        return info.message.decode("utf-8", "replace")


def _change(change: TreeChange) -> dict[str, Any]:
    path = change.path.decode("utf-8", "surrogateescape")
    return {"status": _letter(change.old, change.new), "path": path}


def _letter(old: Leaf | None, new: Leaf | None) -> str:
    if old is None:
        return "A"
    if new is None:
        return "D"
    # The upper half of a mode is the type: file, symlink, submodule.
    return "T" if old.mode >> 12 != new.mode >> 12 else "M"


def describe(document: dict[str, Any]) -> Iterable[str]:
    """The lines that tell one commit to a person."""
    yield f"commit {document['commit']}" + (f" ({', '.join(document['refs'])})" if document["refs"] else "")
    yield f"Author: {document['author']['name']} <{document['author']['email']}>"
    yield f"Date:   {document['time']}"
    meta = document["metadata"]
    for label, key in (("Agent", "agent_id"), ("Model", "model"), ("Prompt", "prompt"), ("Report", "test_report_ref")):
        if meta.get(key):
            yield f"{label + ':':8}{' '.join(str(meta[key]).split())}"
    if isinstance(meta.get("tests_passed"), bool):
        yield f"Tests:  {'passed' if meta['tests_passed'] else 'failed'}"
    if isinstance(meta.get("coverage"), int | float):
        yield f"Covers: {meta['coverage']:g} %"
    yield ""
    yield from (f"    {line}" for line in document["message"].rstrip("\n").split("\n"))
    yield ""
