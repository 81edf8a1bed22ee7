"""``blame``, ``undo`` and ``gc`` without a mount."""

import json
import os
from pathlib import Path

import pytest

from anvcs.model.moment import BadMoment, Moment, moment_text, parse_age, parse_moment
from anvcs.model.room import Author
from anvcs.repository import Repository
from anvcs_tools.bench.views import run_command
from anvcs_tools.exit_codes import INVALID, NOT_FOUND
from support.programs import git

TEXT = "one\ntwo\nthree\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    top = tmp_path / "repo"
    top.mkdir()
    git("init", "-q", "-b", "main", cwd=top)
    (top / "a.txt").write_text(TEXT)
    (top / "opaque").write_bytes(b"\0\xff")
    git("add", ".", cwd=top)
    git("commit", "-q", "-m", "start", cwd=top)
    found, _ = Repository.init(top)
    return found


@pytest.fixture
def top(repository: Repository) -> Path:
    return repository.info.work_tree


def write(repository: Repository, agent: str, data: str, path: bytes = b"a.txt") -> None:
    with repository.room("main", Author(agent=agent, model=f"model of {agent}")) as opened:
        opened.room.write(path, data.encode())


def shown(repository: Repository, path: bytes = b"a.txt") -> str | None:
    with repository.room("main") as opened:
        entry = opened.room.entry(path)
        return None if entry is None else opened.room.read(entry).decode()


def told(*arguments: str | Path, cwd: Path) -> dict:
    done = run_command(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_blame_live_and_committed(repository, top):
    write(repository, "ann", "one\n2\nthree\n")
    live = told("blame", "--live", "a.txt", cwd=top)
    assert [line["agent"] for line in live["lines"]] == ["Tess Ter", "ann", "Tess Ter"]
    assert live["lines"][1]["seq"] == 1
    assert live["lines"][1]["commit"] is None
    committed = told("blame", "a.txt", cwd=top)
    assert [line["text"] for line in committed["lines"]] == TEXT.splitlines(keepends=True)
    assert {line["seq"] for line in committed["lines"]} == {None}
    text = run_command("blame", "--live", "a.txt", cwd=top).stdout.splitlines()
    assert text[1].startswith("op 1 ")
    assert "model of ann" in text[1]
    assert text[1].endswith("2) 2")


def test_blame_of_what_has_no_lines(top):
    for path, code in (("missing", NOT_FOUND), ("opaque", INVALID)):
        for live in ([], ["--live"]):
            assert run_command("blame", path, *live, cwd=top).returncode == code


def test_undo_of_an_agent_since_a_moment(repository, top):
    write(repository, "ann", "one\n2\nthree\n")
    write(repository, "ben", "one\n2\nthree\nben\n")
    write(repository, "ann", "1\n2\nthree\nben\n")
    assert told("undo", "--agent", "ann", "--since", "2", "--dry-run", cwd=top)["seq"] is None
    assert shown(repository) == "1\n2\nthree\nben\n"
    answer = told("undo", "--agent", "ann", "--since", "2", cwd=top)
    assert (answer["seq"], answer["ops"]) == (4, [3])
    assert answer["paths"] == [{"path": "a.txt", "what": ["text"], "old_path": None, "kept": []}]
    assert shown(repository) == "one\n2\nthree\nben\n"
    done = run_command("undo", "--agent", "ann", cwd=top)
    assert done.stdout == "text: a.txt\n"
    assert shown(repository) == "one\ntwo\nthree\nben\n"
    assert "nothing uncommitted" in run_command("undo", "--agent", "ann", cwd=top).stderr
    assert run_command("undo", "--since", "yesterday", cwd=top).returncode == INVALID
    assert told("undo", "--agent", "ann", "--since", "1h", "--dry-run", cwd=top)["paths"] == []


def test_undo_of_some_paths(repository, top):
    write(repository, "ann", "changed\n")
    write(repository, "ann", "new\n", b"dir/new.txt")
    assert [one["path"] for one in told("undo", "--agent", "ann", "dir", cwd=top)["paths"]] == ["dir/new.txt"]
    assert shown(repository) == "changed\n"
    assert shown(repository, b"dir/new.txt") is None


def test_gc_prunes_what_is_committed_and_collects_values(repository, top):
    write(repository, "ann", "changed\n")
    with repository.room("main", Author(agent="ann")) as opened:
        opened.room.write(b"value", b"\0 one")
        opened.room.write(b"value", b"\0 two")
    assert run_command("commit", "-m", "all", cwd=top).returncode == 0
    stray = repository.store.objects / "ab" / ("0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")
    values = list(repository.store.objects.glob("??/*"))
    assert len(values) == 3
    assert told("gc", cwd=top)["rooms"] == [
        {"stream": "main", "ops": 0, "floor": 0, "held": None, "bytes_before": _any(), "bytes_after": _any()}
    ]
    for path in values:
        os.utime(path, (0, 0))
    would = told("gc", "--older-than", "0s", "--dry-run", cwd=top)
    assert (would["rooms"][0]["ops"], would["objects"]) == (4, 1)
    did = told("gc", "--older-than", "0s", cwd=top)
    assert (did["rooms"][0]["floor"], did["objects"]) == (4, 3)  # with the records the two values went
    assert shown(repository) is None
    assert run_command("fsck", cwd=top).returncode == 0
    assert run_command("gc", "--max-size", "much", cwd=top).returncode == INVALID
    assert run_command("gc", "--older-than", "old", cwd=top).returncode == INVALID


def test_a_value_that_is_stored_again_is_not_collected(repository, top):
    with repository.room("main", Author(agent="ann")) as opened:
        digest = opened.room.put_bytes(b"\0 value")
        path = opened.room._core.objects.path(digest)
        os.utime(path, (0, 0))
        assert opened.room.put_bytes(b"\0 value") == digest
    assert told("gc", cwd=top)["objects"] == 0
    assert path.exists()


class _any:  # noqa: N801 - reads like a value
    def __eq__(self, _: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def test_moments():
    now = 1_000_000_000_000_000_000
    assert parse_moment("120") == Moment(120, None)
    assert parse_moment("-5m", now) == Moment(None, now - 300 * 10**9)
    assert parse_moment("5m", now) == parse_moment("-5m", now)
    assert parse_moment("2026-11-23T10:00:00.5Z").time_ns == parse_moment("2026-11-23T11:00:00.5+01:00").time_ns
    assert parse_age("30d") == 30 * 86400 * 10**9
    assert moment_text(parse_moment("2026-11-23T10:00:00.25Z").time_ns) == "2026-11-23T10:00:00.250000Z"
    for wrong in ("", "-", "5", "m", "1e3", "-5y", "\u0665m", "2026-13-01"):
        with pytest.raises(BadMoment):
            parse_age(wrong)
    with pytest.raises(BadMoment):
        parse_moment("2026-13-01")
    with pytest.raises(BadMoment):
        parse_moment("9" * 30)
