"""What the readable control files say."""

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from anvcs.conflict_reports import conflict_summary
from anvcs.git.program import Git
from anvcsfs.later import Later

if TYPE_CHECKING:
    from anvcsfs.table import Table

_COMMITS_SHOWN = 50


def document(value: object) -> bytes:
    """One JSON document, a line per member; undecodable names as surrogate escapes' replacements."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def shown(path: bytes) -> str:
    r"""A path for a JSON document: bytes that aren't UTF-8 appear as ``\xNN``."""
    return path.decode("utf-8", "backslashreplace")


class Reports:
    """Content of ``status``, ``log``, ``graph``, ``agent``, ``stream`` and ``.git``."""

    def __init__(self, table: "Table") -> None:
        self._table = table
        self._view = table.view
        self.last_error: dict[str, object] | None = None
        self.follow: Callable[[], None] = lambda: None
        """Takes in what Git did."""
        self._kept: dict[str, tuple[object, bytes]] = {}

    def _keep(self, name: str, key: object, make: object) -> bytes:
        kept = self._kept.get(name)
        if kept is None or kept[0] != key:
            assert callable(make)  # one of the two methods below
            kept = self._kept[name] = (key, make())
        return kept[1]

    def status(self) -> bytes:
        """State of the view as one JSON document, what Git did a moment ago included."""
        self.follow()
        view = self._view
        pinning = view.artifacts.pinning
        artifacts = None if pinning is None else pinning.report()
        key = (
            json.dumps(artifacts),
            view.journal.count,
            view.room.seq,
            view.room.base,
            id(self.last_error),
            len(view.pending),
            view.git_problem,
        )
        return self._keep("status", key, lambda: self._status(artifacts))

    def _status(self, artifacts: dict[str, object] | None) -> bytes:
        view = self._view
        base = view.room.base
        return document(
            {
                "view": view.folder.name,
                "stream": view.stream,
                "detached": view.detached,
                "agent": view.author.agent,
                "model": view.author.model,
                "base": base.hex() if base is not None else None,
                "seq": view.room.seq,
                "changed": self.changed(),
                "conflicts": [conflict_summary(view.room, record) for record in view.room.conflicts()],
                "local_only": [
                    {"path": shown(path), "size": size} for path, size in self._table.publisher.held.items()
                ],
                "problem": view.git_problem,
                "last_error": self.last_error,
                **({"artifacts": artifacts} if artifacts is not None else {}),
            }
        )

    def changed(self) -> list[dict[str, object]]:
        """Every path that differs from the base commit, pending ones included."""
        view = self._view
        found: dict[bytes, dict[str, object]] = {}
        for change in view.room.changes():
            item: dict[str, object] = {"path": shown(change.path), "status": change.status}
            if change.renamed_from is not None:
                item["renamed_from"] = shown(change.renamed_from)
            found[change.path] = item
        for path in view.pending:
            known = found.get(path)
            found[path] = {"path": shown(path), "status": "A" if known is None or known["status"] == "A" else "M"}
        return [found[path] for path in sorted(found)]

    def agent(self) -> bytes:
        """Who writes in this view."""
        author = self._view.author
        return document({"agent": author.agent, "model": author.model, "view": author.view})

    def stream(self) -> bytes:
        """The stream's name, one line."""
        return os.fsencode(self._view.stream) + b"\n"

    def log(self) -> bytes:
        """The stream's recent commits, newest first."""
        return self._git_text("log", "log", f"-{_COMMITS_SHOWN}", "--date=iso-strict", "--format=%h %ad %an%n    %s")

    def graph(self) -> bytes:
        """How the branches run."""
        return self._git_text("graph", "log", "--graph", "--oneline", "--decorate", "--branches", f"-{_COMMITS_SHOWN}")

    def _git_text(self, name: str, *args: str) -> bytes:
        """The output of a git command over the stream's head; made in a thread, kept until a ref moves."""
        view = self._view
        base = view.room.base
        if base is None:
            return b""
        key = tuple(view.refs.list("refs/heads/").items()) if name == "graph" else base
        kept = self._kept.get(name)
        if kept is not None and kept[0] == key:
            return kept[1]

        def run() -> None:
            self._kept[name] = (key, Git(view.git.common_dir).run(*args, base.hex()).out)

        raise Later(run)

    def git_ready(self, link: bytes) -> bytes:
        """The ``.git`` file; whoever opens it waits until the index is right."""
        self._table.follower.wait_ready()
        return link
