"""The target moves on while a merge waits, and clashes with what was decided: nothing that was decided is lost."""

from pathlib import Path

import pytest

from anvcs.model.ids import Oid
from anvcs.repository import Repository
from anvcs_tools import exit_codes
from support.merge_commands import WAITS, Run, branched, content, runner
from support.merges import Tree, commit
from support.programs import git

LINES = [f"line {number}\n" for number in range(30)]
AGAIN = WAITS + "-2"


def text(**changes: str) -> str:
    """The lines, some of them changed: ``l3="ours"``."""
    return "".join(
        f"{changes[f'l{number}']}\n" if f"l{number}" in changes else line for number, line in enumerate(LINES)
    )


BASE: Tree = {"t": text(), "bin": b"\0base", "gone": "gone\n"}
OURS: Tree = {"t": text(l3="ours 3", l20="ours 20"), "bin": b"\0ours", "gone": "gone\nours\n"}
THEIRS: Tree = {"t": text(l3="theirs 3", l20="theirs 20"), "bin": b"\0theirs"}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def place(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A merge with four conflicts, all of them decided."""
    place = branched(tmp_path / "repository", BASE, OURS, THEIRS)
    monkeypatch.chdir(place)
    run("merge", "side", code=exit_codes.FAILED)
    found = run("conflicts", "--stream", WAITS)["conflicts"]
    assert len(found) == 4
    for one in found:
        run("conflicts", "resolve", one["id"], "--theirs", "--stream", WAITS)
    with Repository.open(place).room(WAITS) as opened:
        opened.room.write(b"by-hand", b"written while deciding\n")
    return place


def moves(place: Path, tree: Tree) -> str:
    """``main`` gets one more commit."""
    tip = Oid(bytes.fromhex(git("rev-parse", "main", cwd=place)))
    made = commit(place, "main", tree, tip).hex()
    git("reset", "-q", "--hard", cwd=place)
    return made


def test_what_still_fits_is_kept(place: Path, run: Run) -> None:
    tip = moves(place, {**OURS, "t": text(l3="ours 3", l20="main 20")})
    answer = run("merge", "--continue", "--stream", WAITS, code=exit_codes.FAILED)
    assert (answer["outcome"], answer["why"], answer["proposal"]) == ("proposal", "conflicts", AGAIN)
    assert git("rev-parse", "main", cwd=place) == tip
    assert [(one["path"], one["lines"]) for one in answer["conflicts"]] == [("t", [21, 25])]
    shown = content(place, AGAIN, "t")
    assert shown is not None
    assert b"theirs 3\n" in shown, "decided as before, because it is the same conflict"
    assert b"<<<<<<< main\nmain 20\n=======\ntheirs 20\n>>>>>>> side\n" in shown
    assert content(place, AGAIN, "gone") is None
    assert (content(place, AGAIN, "bin"), content(place, AGAIN, "bin~side")) == (b"\0theirs", None)
    assert content(place, AGAIN, "by-hand") == b"written while deciding\n"
    assert [one["stream"] for one in run("merge", "--list")["merges"]] == [AGAIN]
    (record,) = run("conflicts", "--stream", AGAIN)["conflicts"]
    run("conflicts", "resolve", record["id"], "--ours", "--stream", AGAIN)
    run("merge", "--continue")
    assert (place / "t").read_text() == text(l3="theirs 3", l20="main 20")
    assert not (place / "gone").exists()
    assert (place / "bin").read_bytes() == b"\0theirs"


def test_what_was_decided_can_be_looked_up(place: Path, run: Run) -> None:
    moves(place, {**OURS, "t": text(l3="ours 3", l20="main 20")})
    answer = run("merge", "--continue", "--stream", WAITS, code=exit_codes.FAILED)
    where = f"refs/anvcs/merges/{AGAIN}:decided/t"
    assert any(where in note for note in answer["notes"])
    (record,) = run("conflicts", "--stream", AGAIN)["conflicts"]
    assert where in record["note"]
    assert git("show", where, cwd=place) + "\n" == text(l3="theirs 3", l20="theirs 20")


def test_a_file_that_nobody_can_look_into(place: Path, run: Run) -> None:
    moves(place, {**OURS, "bin": b"\0main"})
    answer = run("merge", "--continue", "--stream", WAITS, code=exit_codes.FAILED)
    assert [one["path"] for one in answer["conflicts"]] == ["bin"]
    assert (content(place, AGAIN, "bin"), content(place, AGAIN, "bin~side")) == (b"\0main", b"\0theirs")
    assert content(place, AGAIN, "t") == text(l3="theirs 3", l20="theirs 20").encode()


def test_everything_fits_after_all(place: Path, run: Run) -> None:
    """The target has come to what was decided, or to the same place in another way."""
    moves(place, {**OURS, "t": text(l3="ours 3", l20="theirs 20")})
    assert run("merge", "--continue", "--stream", WAITS)["outcome"] == "merged"
    assert (place / "t").read_text() == text(l3="theirs 3", l20="theirs 20")
    assert run("merge", "--list")["merges"] == []


def test_given_up_and_yet_not_lost(place: Path, run: Run) -> None:
    answer = run("merge", "--abort", "--stream", WAITS)
    assert answer["kept"] == f"refs/anvcs/given-up/{WAITS}"
    git("gc", "-q", "--prune=now", cwd=place)
    assert git("show", answer["kept"] + ":by-hand", cwd=place) == "written while deciding"
    assert git("show", answer["kept"] + ":t", cwd=place) + "\n" == text(l3="theirs 3", l20="theirs 20")
    run("merge", "side", code=exit_codes.FAILED)
    assert run("merge", "--abort", "--stream", WAITS)["kept"] is None, "nothing was decided"
