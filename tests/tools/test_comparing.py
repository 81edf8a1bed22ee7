"""``ai-vcs diff``."""

import json
from pathlib import Path

import pytest

from anvcs.repository import Repository
from anvcs_tools import exit_codes
from anvcs_tools.cli import main
from support.merges import commit, empty

GOING = "def going(x):\n    y = x + 1\n    return y * 2\n"
OLD = {"a.py": f"def stays():\n    return 1\n\n\n{GOING}", "c.json": '{"a": 1}\n', "raw": "1\n", "d/x": "1\n"}
NEW = {
    "a.py": "def stays(n):\n    return 1\n",
    "b.py": GOING,
    "c.json": '{"a": 1, "b": 2}\n',
    "raw": "2\n",
    "d/x": "1\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repository = empty(tmp_path / "repository")
    start = commit(repository, "main", OLD)
    commit(repository, "two", NEW, start)
    Repository.init(repository)
    monkeypatch.chdir(repository)
    return repository


@pytest.mark.usefixtures("place")
def test_between_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "--semantic", "main", "two", "--json"]) == 0
    files = {file["path"]: file["changes"] for file in json.loads(capsys.readouterr().out)["files"]}
    assert files == {
        "a.py": [{"what": "signature changed", "entity": "def stays", "line": 1}],
        "b.py": [{"what": "moved", "entity": "def going", "line": 1, "was": "def going", "from": "a.py"}],
        "c.json": [{"what": "key added", "entity": "key b", "line": 1}],
        "raw": None,
    }
    assert main(["diff", "--semantic", "main", "two", "b.py", "raw"]) == 0
    assert capsys.readouterr().out == "b.py\n  moved:1: def going from a.py\nraw: changed\n"


@pytest.mark.usefixtures("place")
def test_by_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["diff", "main", "two", "raw"]) == 0
    assert b"-1\n+2\n" in capfdbinary.readouterr().out
    assert main(["diff", "main", "two", "--json"]) == 0
    changes = json.loads(capfdbinary.readouterr().out)["changes"]
    assert {one["path"]: one["status"] for one in changes} == {"a.py": "M", "b.py": "A", "c.json": "M", "raw": "M"}
    assert main(["diff", "main", "nothing"]) == exit_codes.NOT_FOUND
