"""init, deinit and the commands that work without a mount, on every kind of repository."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from anvcs.model.room import Author
from anvcs.repository import Repository, UncommittedWork
from anvcs_tools import exit_codes
from anvcs_tools.cli import main


def git(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make(path: Path, *, commit: bool = True) -> Path:
    git("init", "-q", str(path), cwd=path.parent)
    if commit:
        (path / "a.txt").write_text("one\n")
        git("add", ".", cwd=path)
        git("commit", "-qm", "first", cwd=path)
    return path


@pytest.fixture
def plain(tmp_path) -> Path:
    return make(tmp_path / "repo")


@pytest.fixture
def run(capsys):
    """Runs a command with --json; its document and its exit code."""

    def call(*arguments, code=0):
        found = main([*map(str, arguments), "--json"])
        assert found == code, capsys.readouterr()
        shown = capsys.readouterr().out
        return json.loads(shown) if shown else None

    return call


def state(repository: Path) -> dict[str, bytes]:
    """Every file of a Git directory that says something."""
    files = (path for path in repository.rglob("*") if path.is_file())
    return {str(path.relative_to(repository)): path.read_bytes() for path in files}


def test_init_changes_no_history_and_deinit_leaves_no_trace(plain, run):
    before = state(plain / ".git")
    made = run("init", plain)
    assert made == {
        "common_dir": str(plain / ".git"),
        "store": str(plain / ".git" / "anvcs"),
        "made": True,
        "stream": "main",
        "config_written": None,
    }
    assert git("status", "--porcelain", cwd=plain) == ""
    after = state(plain / ".git")
    assert run("init", plain)["made"] is False
    assert state(plain / ".git") == after
    run("deinit", plain)
    assert state(plain / ".git") == before
    assert sorted(path.name for path in plain.iterdir()) == [".git", "a.txt"]


def test_a_bare_repository(tmp_path, run):
    git("init", "-q", "--bare", "b.git", cwd=tmp_path)
    made = run("init", tmp_path / "b.git", "--config")
    assert made["store"] == str(tmp_path / "b.git" / "anvcs")
    assert made["config_written"] is None  # there is no tree to write it to
    assert run("status", "-C", tmp_path / "b.git")["base"] is None


def test_a_linked_worktree_shares_the_store(plain, tmp_path, run):
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"), cwd=plain)
    run("init", plain)
    linked = run("init", tmp_path / "linked")
    assert linked["store"] == str(plain / ".git" / "anvcs")
    assert linked["made"] is False
    assert linked["stream"] == "side"
    trees = Repository.open(plain).own_trees
    assert tmp_path / "linked" in trees
    assert plain in trees


def test_a_repository_with_submodules(plain, tmp_path, run):
    git("submodule", "add", "-q", str(make(tmp_path / "other")), "sub", cwd=plain)
    git("commit", "-qm", "with a submodule", cwd=plain)
    run("init", plain)
    assert run("init", plain / "sub")["common_dir"] == str(plain / ".git" / "modules" / "sub")
    assert Repository.open(plain).info.submodules == ("sub",)


def test_an_empty_repository(tmp_path, run):
    empty = make(tmp_path / "empty", commit=False)
    assert run("init", empty)["stream"] == "main"
    assert run("status", "-C", empty)["changed"] == []
    assert run("log", "-C", empty) == {"stream": "main", "commits": []}
    assert run("graph", "-C", empty) == {"commits": []}
    assert run("show", "-C", empty, code=exit_codes.NOTHING_TO_DO)["error"]["type"] == "NothingCommitted"


def test_from_inside_a_folder(plain, run, monkeypatch):
    (plain / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(plain / "deep" / "er")
    assert run("init")["common_dir"] == str(plain / ".git")
    assert run("status")["stream"] == "main"


def test_what_can_not_be_used_is_said_in_one_sentence(tmp_path, run, capsys):
    assert run("init", tmp_path, code=exit_codes.NOT_READY)["error"]["type"] == "NotARepository"
    git("init", "-q", "--object-format=sha256", "s", cwd=tmp_path)
    error = run("init", tmp_path / "s", code=exit_codes.NOT_READY)["error"]
    assert error["type"] == "UnsupportedRepository"
    assert "\n" not in error["message"]
    assert not (tmp_path / "s" / ".git" / "anvcs").exists()
    make(tmp_path / "plain")
    assert run("status", "-C", tmp_path / "plain", code=exit_codes.NOT_READY)["error"]["type"] == "StoreMissing"


def test_the_written_configuration_is_read(plain, run):
    made = run("init", plain, "--config")
    file = plain / "ai-vcs.config.yaml"
    assert made["config_written"] == str(file)
    assert run("init", plain, "--config")["config_written"] is None  # never overwritten
    file.write_text("agent: {name: ann}\n")
    assert run("config", "check", "-C", plain)["config"]["agent"]["name"] == "ann"
    git("add", ".", cwd=plain)
    git("commit", "-qm", "settings", cwd=plain)
    file.write_text("agent: {name: bob}\n")  # not committed: views would not see it
    assert run("config", "check", "-C", plain)["config"]["agent"]["name"] == "ann"
    assert run("config", "check", file)["config"]["agent"]["name"] == "bob"
    file.write_text("agent: [\n")
    assert run("config", "check", file, code=exit_codes.INVALID)["error"]["type"] == "ConfigInvalid"


def edit(repository: Path, path: bytes, data: bytes, stream: str = "main") -> None:
    with Repository.open(repository).room(stream) as opened:
        opened.room.write(path, data)


def test_commits_without_a_mount(plain, run):
    run("init", plain)
    edit(plain, b"a.txt", b"one\ntwo\n")
    edit(plain, b"new/b.txt", b"b\n")
    assert run("status", "-C", plain)["changed"] == [
        {"path": "a.txt", "status": "M"},
        {"path": "new/b.txt", "status": "A"},
    ]
    run("add", plain / "new", "-C", plain)
    assert run("status", "-C", plain)["selected"] == ["new"]
    answer = run("commit", "-m", "b", "--prompt", "add b", "--agent", "ann", "--tests-passed", "-C", plain)
    assert answer["paths"] == ["new/b.txt"]
    assert run("status", "-C", plain)["selected"] == []
    assert (plain / "new" / "b.txt").read_text() == "b\n"  # the checkout of the branch follows
    run("commit", "-m", "rest", "-C", plain)
    assert run("commit", "-m", "none", "-C", plain, code=exit_codes.NOTHING_TO_DO)["error"]["type"] == "NothingToCommit"
    log = run("log", "-C", plain)["commits"]
    assert [commit["subject"] for commit in log] == ["rest", "b", "first"]
    assert log[2]["metadata"] == {}
    assert log[1]["metadata"]["prompt"] == "add b"
    assert log[1]["author"]["name"] == "ann"
    shown = run("show", answer["commit"][:8], "-C", plain)
    assert shown["changes"] == [{"status": "A", "path": "new/b.txt"}]
    assert [commit["commit"] for commit in run("graph", "-C", plain)["commits"]] == [one["commit"] for one in log]
    git("fsck", "--strict", cwd=plain)


def test_a_room_follows_what_others_committed_meanwhile(plain, run):
    run("init", plain)
    edit(plain, b"mine.txt", b"mine\n")
    (plain / "theirs.txt").write_text("theirs\n")
    git("add", ".", cwd=plain)
    git("commit", "-qm", "theirs", cwd=plain)
    status = run("status", "-C", plain)
    assert status["base"] == git("rev-parse", "HEAD", cwd=plain)
    assert status["changed"] == [{"path": "mine.txt", "status": "A"}]


def test_line_ends_are_cleaned_as_git_does(plain, run):
    (plain / ".gitattributes").write_text("*.bat eol=crlf\n")
    git("add", ".", cwd=plain)
    git("commit", "-qm", "rules", cwd=plain)
    run("init", plain)
    edit(plain, b"x.bat", b"a\r\nb\r\n")
    run("commit", "-m", "bat", "-C", plain)
    assert git("cat-file", "-s", "HEAD:x.bat", cwd=plain) == "4"


def test_deinit_refuses_while_work_is_uncommitted(plain, run):
    run("init", plain)
    edit(plain, b"b", b"x")
    with pytest.raises(UncommittedWork, match="main"):
        Repository.open(plain).deinit()
    assert run("deinit", plain, code=exit_codes.REFUSED)["error"]["type"] == "UncommittedWork"
    run("commit", "-m", "b", "-C", plain)
    run("deinit", plain)
    assert git("for-each-ref", "refs/anvcs", cwd=plain) == ""


def test_recover_makes_commits_that_plain_git_reads(plain, run):
    run("init", plain)
    assert run("recover", "-C", plain) == {"saved": []}
    edit(plain, b"a.txt", b"changed\n")
    saved = run("recover", "-C", plain, "--branch", "rescued")["saved"]
    assert [(one["stream"], one["ref"], one["branch"]) for one in saved] == [("main", "refs/anvcs/wip/main", "rescued")]
    assert git("show", "rescued:a.txt", cwd=plain) == "changed"
    assert run("status", "-C", plain)["changed"]  # nothing is taken from the room


def test_only_who_wrote_what_a_commit_takes_is_named_in_it(plain, run):
    run("init", plain)
    with Repository.open(plain).room("main") as opened:
        opened.room.write(b"a.txt", b"one\ntwo\n", author=Author(agent="ann"))
        opened.room.write(b"b.txt", b"1\n2\n3\n", author=Author(agent="bob"))
    answer = run("commit", "-m", "b", "-C", plain, "--agent", "eve", plain / "b.txt")
    assert [(one["agent"], one["added"]) for one in answer["contributors"]] == [("bob", 3)]
    assert "ann" not in git("log", "-1", "--format=%B", cwd=plain)
    answer = run("commit", "-m", "a", "-C", plain)
    assert [(one["agent"], one["added"]) for one in answer["contributors"]] == [("ann", 1)]


def test_a_policy_that_wants_passed_tests(plain, run):
    (plain / "ai-vcs.config.yaml").write_text("agent: {commit_policy: tests_passed}\n")
    run("init", plain)
    edit(plain, b"b", b"x")
    error = run("commit", "-m", "b", "-C", plain, code=exit_codes.REFUSED)["error"]
    assert error["type"] == "CommitAgainstPolicy"
    run("commit", "-m", "b", "--tests-failed", "-C", plain, code=exit_codes.REFUSED)
    assert run("commit", "-m", "b", "--tests-passed", "-C", plain)["ok"]


def test_paths_outside_are_refused(plain, tmp_path, run):
    run("init", plain)
    error = run("add", tmp_path / "elsewhere", "-C", plain, code=exit_codes.INVALID)["error"]
    assert error["type"] == "PathOutside"


def test_a_misspelt_path_is_not_chosen(plain, run, monkeypatch):
    run("init", plain)
    monkeypatch.chdir(plain)
    edit(plain, b"new/b.txt", b"b\n")
    error = run("add", "new", "newx", code=exit_codes.NOT_FOUND)["error"]
    assert error["type"] == "NothingThere"
    assert "newx" in error["message"]
    assert run("status")["selected"] == []
    assert run("add", "a.txt", "new")["selected"] == ["a.txt", "new"]  # unchanged, but there


def test_one_branch_takes_the_work_of_one_stream(plain, run):
    run("init", plain)
    git("branch", "other", cwd=plain)
    edit(plain, b"b", b"x")
    edit(plain, b"b", b"y", stream="other")
    assert run("recover", "-C", plain, "--branch", "saved", code=exit_codes.USAGE)["error"]["type"] == "SeveralStreams"
    assert run("recover", "-C", plain, "--branch", "saved", "--stream", "other")["saved"][0]["branch"] == "saved"


def test_any_name_can_be_chosen(plain, run, monkeypatch):
    run("init", plain)
    monkeypatch.chdir(plain)
    odd = os.fsdecode(b"a\xff \n'")
    edit(plain, os.fsencode(odd), b"x")
    assert run("add", odd, ".")["selected"] == [".", odd]
    assert run("add", "--clear")["selected"] == []


def test_push_and_pull_carry_the_notes(plain, tmp_path, run):
    git("init", "-q", "--bare", "hub.git", cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "hub.git"), cwd=plain)
    run("init", plain)
    edit(plain, b"b", b"x\n")
    run("commit", "-m", "b", "--prompt", "make b", "-C", plain)
    pushed = run("push", "-C", plain)
    assert (pushed["branch_moved"], pushed["notes_moved"]) == (True, True)
    assert run("push", "-C", plain)["branch_moved"] is False
    git("clone", "-q", str(tmp_path / "hub.git"), "other", cwd=tmp_path)
    other = tmp_path / "other"
    run("init", other)
    pulled = run("pull", "-C", other)
    assert (pulled["how"], pulled["notes_changed"]) == ("up-to-date", True)
    assert run("log", "-C", other)["commits"][0]["metadata"]["prompt"] == "make b"
    no_remote = make(tmp_path / "alone")
    run("init", no_remote)
    assert run("push", "-C", no_remote, code=exit_codes.NOT_FOUND)["error"]["type"] == "NoRemote"


def test_texts_for_people(plain, run, capsys, monkeypatch):
    monkeypatch.chdir(plain)
    assert main([]) == 0
    assert "ai-vcs init" in capsys.readouterr().out
    assert main(["init"]) == 0
    assert main([]) == 0
    assert "ai-vcs mount DIR" in capsys.readouterr().out
    edit(plain, b"a.txt", b"changed\n")
    for command in (["status"], ["views"], ["add", "a.txt"], ["commit", "-m", "c"], ["log"], ["graph"], ["show"]):
        assert main(command) == 0, command
    shown = capsys.readouterr()
    assert "  M a.txt" in shown.out
    assert "no views yet" in shown.err
    assert "(1 file)" in shown.out


def test_messages_say_what_to_do_next(plain, tmp_path, capsys, monkeypatch):
    def said(*arguments):
        assert main([str(argument) for argument in arguments]) != 0
        return capsys.readouterr().err

    assert f"run: ai-vcs init {plain}" in said("status", "-C", plain)
    assert f"there is no {tmp_path / 'gone'}" in said("init", tmp_path / "gone")
    assert main(["init", "--quiet", str(plain)]) == 0
    assert "--allow-empty" in said("commit", "-m", "a", "-C", plain)
    monkeypatch.chdir(make(tmp_path / "empty", commit=False))
    assert main(["init", "--quiet"]) == main(["status"]) == 0
    assert "stream main, no commit yet" in capsys.readouterr().out


def test_values_are_shown_as_they_are_written(plain, capsys):
    assert main(["init", "--quiet", str(plain)]) == main(["config", "check", "-C", str(plain)]) == 0
    shown = capsys.readouterr().out
    assert "mount.allow_other: false\n" in shown
    assert 'agent.name: ""\n' in shown
    edit(plain, b"b", b"x")
    assert main(["commit", "-m", "b", "--coverage", "88.5", "-C", str(plain)]) == 0
    assert main(["log", "-C", str(plain)]) == 0
    assert "Covers: 88.5 %\n" in capsys.readouterr().out


def test_the_library_has_one_door():
    import anvcs

    assert anvcs.Repository is Repository
    with pytest.raises(AttributeError):
        _ = anvcs.Nothing
