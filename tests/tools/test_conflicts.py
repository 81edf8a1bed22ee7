"""``ai-vcs conflicts`` without a mount."""

import json
from pathlib import Path

import pytest

from anvcs.model.room import Author
from anvcs.repository import Repository
from anvcs_tools import exit_codes
from anvcs_tools.cli import main
from support.programs import git

TEXT = "one\ntwo\nthree\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git("init", "-q", "-b", "main", str(tmp_path), cwd=tmp_path)
    (tmp_path / "f.txt").write_text(TEXT)
    git("add", "-A", cwd=tmp_path)
    git("commit", "-q", "-m", "start", cwd=tmp_path)
    Repository.init(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def collide(place: Path) -> str:
    repository = Repository.open(place)
    with (
        repository.room("main", Author(agent="ann", model="m-1")) as ann,
        repository.room("main", Author(agent="bob")) as bob,
    ):
        seen = ann.room.version(b"f.txt")
        ann.room.write(b"f.txt", TEXT.replace("two", "ann").encode(), base=seen)
        moved = bob.room.write(b"f.txt", TEXT.replace("two", "bob").encode(), base=seen)
    return f"{moved.seq}-0"


def test_nothing_met(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conflicts"]) == 0
    assert "no open conflicts" in capsys.readouterr().err
    assert main(["conflicts", "--json", "--exit-code"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stream": "main", "open": 0, "conflicts": []}
    assert main(["conflicts", "resolve", "1-0"]) == exit_codes.NOT_FOUND
    assert main(["conflicts", "list", "1-0"]) == exit_codes.NOT_FOUND


def test_a_conflict_from_record_to_resolved(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = collide(place)
    assert main(["conflicts"]) == 0
    assert f"{name}  lines  f.txt:2-3  ann and bob" in capsys.readouterr().out
    assert main(["conflicts", "--exit-code"]) == exit_codes.FAILED
    capsys.readouterr()
    assert main(["conflicts", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["conflicts"]
    assert told["id"] == name
    assert told["sides"] == [
        {"agent": "ann", "model": "m-1", "text": "ann\n"},
        {"agent": "bob", "model": "", "text": "bob\n"},
    ]
    assert (told["lines"], told["resolved"]) == ([2, 3], False)
    assert main(["status"]) == 0
    assert f"! {name}" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["conflicts"] == [
        {"id": name, "path": "f.txt", "kind": "lines", "lines": [2, 3], "agents": ["ann", "bob"]}
    ]
    assert main(["conflicts", "resolve", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stream": "main", "resolved": [name], "open": 0}
    assert main(["conflicts"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["conflicts", "--all"]) == 0
    assert "(resolved)" in capsys.readouterr().out


def test_all_at_once_or_none(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collide(place)
    second = collide(place)  # which edits the lines of the first by who has seen them
    assert main(["conflicts", "resolve", second, "77-0"]) == exit_codes.NOT_FOUND
    assert main(["conflicts", "--exit-code"]) == exit_codes.FAILED
    capsys.readouterr()
    assert main(["conflicts", "resolve", "--all", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["resolved"]) == {second}
    assert main(["conflicts", "--exit-code"]) == 0


def test_resolving_nothing_is_a_mistake_that_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collide(place)
    assert main(["conflicts", "resolve"]) == exit_codes.USAGE
    assert "--all" in capsys.readouterr().err
