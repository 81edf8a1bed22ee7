"""Commands of a committed configuration are not run before somebody here has agreed to them."""

from pathlib import Path

import pytest

from anvcs.repository import Repository
from anvcs_tools import exit_codes
from anvcs_tools.cli import main
from support.merge_commands import WAITS, Run, branched, runner
from support.merges import commit
from support.programs import git

BASE = {"a": "1\n2\n3\n4\n", "b": "b\n"}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """What exists after the guard was run."""
    return tmp_path / "ran"


def configured(*guards: str, assistant: str = "") -> dict[str, str]:
    lines = "".join(f"    - '{guard}'\n" for guard in guards)
    return {"ai-vcs.config.yaml": f"merge:\n  guards:\n    - syntax\n{lines}  assistant: '{assistant}'\n"}


@pytest.fixture
def place(tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = configured(f"touch {ran}", assistant=f"touch {ran}-too")
    monkeypatch.setattr("anvcs.guard_places._mount", lambda *_: "FUSE is missing")
    place = branched(
        tmp_path / "repository", BASE | config, BASE | config | {"b": "ours\n"}, BASE | config | {"c": "c\n"}
    )
    monkeypatch.chdir(place)
    return place


def test_nothing_is_run_without_consent(place: Path, run: Run, ran: Path) -> None:
    before = git("for-each-ref", cwd=place)
    for options in ((), ("--auto",), ("--test-check",)):
        told = run("merge", "side", *options, code=exit_codes.REFUSED)["error"]
        assert told["type"] == "CommandsNotTrusted"
        assert f"guard: touch {ran}" in told["message"]
        assert "ai-vcs trust --stream main" in told["message"]
    assert git("for-each-ref", cwd=place) == before
    assert not list(ran.parent.glob("ran*"))
    assert run("merge", "side", "--dry-run")["why"] == "clean", "looking is always possible"


def test_a_waiting_merge_is_not_concluded_without_it_either(place: Path, run: Run, ran: Path) -> None:
    run("merge", "side", "--no-commit")
    assert run("merge", "--continue", code=exit_codes.REFUSED)["error"]["type"] == "CommandsNotTrusted"
    assert not ran.exists()
    run("trust", "--yes")
    assert run("merge", "--continue")["outcome"] == "merged"
    assert ran.exists()
    assert WAITS not in git("for-each-ref", cwd=place)


def test_consent_is_to_the_very_words(place: Path, run: Run, ran: Path) -> None:
    shown = run("trust", "--list", code=exit_codes.REFUSED)["commands"]
    assert [(one["kind"], one["command"], one["trusted"]) for one in shown] == [
        ("guard", f"touch {ran}", False), ("assistant", f"touch {ran}-too", False),
    ]  # fmt: skip
    assert all(one["trusted"] for one in run("trust", "--yes")["commands"])
    tip = Repository.open(place).objects.resolve("main")
    other = configured(f"touch {ran}", f"touch {ran}; true", assistant=f"touch {ran}-too")
    commit(place, "main", BASE | other | {"b": "ours\n"}, tip)
    git("reset", "-q", "--hard", cwd=place)
    message = run("merge", "side", code=exit_codes.REFUSED)["error"]["message"]
    assert f"(guard: touch {ran}; true)" in message, "only what is new is asked about"
    assert not ran.exists()


def test_consent_is_given_once_and_taken_back(place: Path, run: Run, ran: Path) -> None:
    run("trust", "--yes")
    assert run("merge", "side")["outcome"] == "merged"
    assert ran.exists()
    assert not any(one["trusted"] for one in run("trust", "--revoke")["commands"])
    commit(place, "more", BASE, Repository.open(place).objects.resolve("start"))
    commit(place, "more", BASE | {"d": "d\n"}, Repository.open(place).objects.resolve("more"))
    assert run("merge", "more", code=exit_codes.REFUSED)["error"]["type"] == "CommandsNotTrusted"


def test_a_machine_that_is_thrown_away(place: Path, run: Run, ran: Path) -> None:
    git("config", "anvcs.trustCommands", "true", cwd=place)
    assert run("merge", "side")["outcome"] == "merged"
    assert ran.exists()


def test_nobody_to_ask(place: Path, ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust"]) == exit_codes.REFUSED
    shown = capsys.readouterr()
    assert f"not trusted  guard: touch {ran}" in shown.out
    assert "--yes" in shown.err


def test_a_damaged_line_trusts_nothing(place: Path, run: Run) -> None:
    file = Repository.open(place).store.root / "trusted-commands.jsonl"
    file.write_text('{"sha256": \n[]\n"x"\n')
    assert run("merge", "side", code=exit_codes.REFUSED)["error"]["type"] == "CommandsNotTrusted"
    run("trust", "--yes")
    assert run("merge", "side")["outcome"] == "merged"


def test_nothing_to_agree_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(branched(tmp_path / "repository", BASE, BASE | {"b": "o\n"}, BASE | {"c": "c\n"}))
    assert main(["trust"]) == 0
    assert "names no commands" in capsys.readouterr().err
    assert main(["merge", "side"]) == 0
