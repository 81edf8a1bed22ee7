"""``ai-vcs merge`` and what follows it, as functions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anvcs.repository import Repository
from anvcs_tools.cli import main
from support.merges import Tree, commit, empty
from support.programs import git

WAITS = "merge/side-into-main"

Run = Callable[..., dict[str, Any]]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """What runs a command in this process and gives its document."""

    def call(*arguments: str, code: int = 0) -> dict[str, Any]:
        found = main([*arguments, "--json"])
        shown = capsys.readouterr()
        assert found == code, shown
        document: dict[str, Any] = json.loads(shown.out)
        return document

    return call


def branched(folder: Path, base: Tree, ours: Tree, theirs: Tree) -> Path:
    """A repository whose ``main``, checked out, and ``side`` both come from ``start``."""
    repository = empty(folder)
    start = commit(repository, "start", base)
    commit(repository, "main", ours, start)
    commit(repository, "side", theirs, start)
    git("reset", "-q", "--hard", cwd=repository)
    Repository.init(repository)
    return repository


def content(place: Path, stream: str, path: str) -> bytes | None:
    """What a view of *stream* would show there; ``None``: nothing."""
    repository = Repository.open(place)
    with repository.room(stream) as opened:
        entry = opened.room.entry(path.encode())
        if entry is not None:
            return opened.room.read(entry)
        if opened.room.hides(path.encode()):
            return None
    found = repository.objects.find(repository.objects.tree_of(repository.objects.resolve(stream)), path.encode())
    return None if found is None else repository.objects.blob(found.oid)
