"""Lock files that both sides changed are written again by their program."""

from pathlib import Path

import pytest

from anvcs_tools import exit_codes
from support.merge_commands import WAITS, Run, branched, runner
from support.merges import trust_commands
from support.programs import git


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def prepared(
    folder: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    consent: bool = True,
    code: tuple[str, str] = ("1\n2\n3\n", "1\n2\n3\n"),
) -> Path:
    """Both sides need something more, and have it in the lock file."""
    base = {
        "needs": "a\n", "sub/app.lock": "a\n", "code": "1\n2\n3\n",
        "ai-vcs.config.yaml": f"merge:\n  guards: []\n  locks:\n    - '*.lock {command}'\n",
    }  # fmt: skip
    ours, theirs = (
        base | {"needs": "x\na\n", "sub/app.lock": "a x\n", "code": code[0]},
        base | {"new": "y\n", "sub/app.lock": "a y\n", "code": code[1]},
    )
    monkeypatch.setattr("anvcs.guard_places._mount", lambda *_: "FUSE is missing")
    place = branched(folder / "repository", base, ours, theirs)
    monkeypatch.chdir(place)
    if consent:
        trust_commands(place)
    return place


def test_written_again_from_what_was_merged(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    place = prepared(tmp_path, "sort ../needs ../new > app.lock", monkeypatch)
    answer = run("merge", "side")
    assert (answer["outcome"], answer["conflicts"]) == ("merged", [])
    assert {"path": "sub/app.lock", "how": "regenerated"} in answer["files"]
    assert (place / "sub/app.lock").read_text() == "a\nx\ny\n"
    assert '"sub/app.lock":"regenerated"' in git("notes", "--ref", "anvcs", "show", cwd=place).replace(" ", "")


@pytest.mark.parametrize(
    ("command", "why"), [("echo no network; false", "failed: no network"), ("rm app.lock", "left no file there")]
)
def test_ours_stays_when_that_fails(
    command: str, why: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = prepared(tmp_path, command, monkeypatch)
    answer = run("merge", "side")
    assert answer["outcome"] == "merged"
    assert {"path": "sub/app.lock", "how": "ours"} in answer["files"]
    assert why in answer["notes"][0]
    assert (place / "sub/app.lock").read_text() == "a x\n"


def test_it_needs_consent(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(tmp_path, f"touch {tmp_path}/ran", monkeypatch, consent=False)
    assert run("merge", "side", code=exit_codes.REFUSED)["error"]["type"] == "CommandsNotTrusted"
    assert not (tmp_path / "ran").exists()
    assert run("merge", "side", "--no-commit", code=exit_codes.FAILED)["proposal"] == WAITS


def test_after_other_conflicts_are_decided(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    place = prepared(tmp_path, "sort ../needs ../new > app.lock", monkeypatch, code=("one\n2\n3\n", "uno\n2\n3\n"))
    answer = run("merge", "side", code=exit_codes.FAILED)
    assert any("sub/app.lock: to be written again" in note for note in answer["notes"])
    for one in run("conflicts", "--stream", WAITS)["conflicts"]:
        run("conflicts", "resolve", one["id"], "--ours", "--stream", WAITS)
    answer = run("merge", "--continue")
    assert {"path": "sub/app.lock", "how": "regenerated"} in answer["files"]
    assert (place / "sub/app.lock").read_text() == "a\nx\ny\n"
    assert (place / "code").read_text() == "one\n2\n3\n"
