"""Merging many files in several processes gives what one gives."""

import sys
from pathlib import Path

import pytest

from anvcs import merge_workers
from anvcs.file_merging import Names
from anvcs.git.objects import ObjectStore
from anvcs.merge_ways import Ways
from anvcs.model.stream_merge import Merged
from anvcs.tree_merging import TreeMerger
from support.merges import empty, forked

CODE = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
CHECKS = ("syntax", "names")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Clean ones, conflicts, and one that nobody may look into."""
    place = empty(tmp_path / "repository")
    names = [f"m{number}.py" for number in range(60)]
    base: dict[str, str | bytes] = {**dict.fromkeys(names, CODE), "data": b"\0base"}
    ours = {**dict.fromkeys(names, CODE.replace("return 1", "return 11")), "data": b"\0ours"}
    theirs = {**dict.fromkeys(names, CODE.replace("return 2", "return 22")), "data": b"\0theirs"}
    theirs |= dict.fromkeys(names[::7], CODE.replace("return 1", "return 1111"))
    forked(place, base, ours, theirs)
    return place


def merged(place: Path) -> Merged:
    objects = ObjectStore(place / ".git")
    merger = TreeMerger(objects, Ways("structure"))
    return merger.merge(objects.resolve("main"), objects.resolve("side"), Names("main", "side"), CHECKS)


def test_as_one_process_does(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = merged(place)
    monkeypatch.setattr(merge_workers, "_WORTH_IT", 1)
    monkeypatch.setattr(merge_workers, "_PORTION", 1)
    monkeypatch.setattr(merge_workers, "processors", lambda: 3)
    assert merged(place) == alone
    assert len(alone.disputes) == 10
    assert all(file.checked for file in alone.files if not file.disputes and file.how != "identical")


@pytest.mark.parametrize("program", ["import sys; sys.exit(3)", "import sys; sys.stdin.buffer.read(9); print('what')"])
def test_a_process_that_fails(program: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = merged(place)
    monkeypatch.setattr(merge_workers, "_WORTH_IT", 1)
    monkeypatch.setattr(merge_workers, "_PORTION", 1)
    monkeypatch.setattr(merge_workers, "processors", lambda: 2)
    monkeypatch.setattr(merge_workers, "_COMMAND", (sys.executable, "-c", program))
    assert merged(place) == alone
