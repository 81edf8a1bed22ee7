"""``ai-vcs merge`` and what follows it, without a mount."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anvcs import concluding, guard_places, proposals, stream_merging
from anvcs.git.notes import Notes
from anvcs.guarding import OUTPUT_LIMIT, run_command
from anvcs.model.ids import Oid
from anvcs.model.room import Author
from anvcs.repository import Repository
from anvcs_tools import exit_codes
from anvcs_tools.cli import main
from support.merges import commit, empty, trust_commands
from support.programs import git

CODE = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
BASE = {"m.py": CODE, "x": "1\n2\n3\n4\n5\n6\n", "gone": "gone\n"}
OURS = BASE | {"m.py": CODE.replace("return 1", "return 111"), "gone": "gone\nmore\n"}
THEIRS = {"m.py": CODE.replace("return 1", "return 11"), "x": BASE["x"], "new": "new\n"}
WAITS = "merge/side-into-main"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``main``, which ``ok`` merges into cleanly and ``side`` doesn't."""
    repository = empty(tmp_path / "repository")
    start = commit(repository, "start", BASE)
    commit(repository, "main", OURS, start)
    commit(repository, "ok", BASE | {"x": "1\n2\n3\n4\n5\nsix\n", "m.py": CODE.replace("return 2", "return 22")}, start)
    commit(repository, "side", THEIRS, start)
    git("reset", "-q", "--hard", cwd=repository)
    Repository.init(repository)
    monkeypatch.chdir(repository)
    return repository


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str, code: int = 0) -> dict[str, Any]:
        found = main([*arguments, "--json"])
        shown = capsys.readouterr()
        assert found == code, shown
        document: dict[str, Any] = json.loads(shown.out)
        return document

    return call


def note(place: Path, revision: str = "main") -> dict[str, Any]:
    repository = Repository.open(place)
    data = Notes(repository.objects, repository.refs).read(repository.objects.resolve(revision))
    assert data is not None
    return json.loads(data)


def parents(place: Path, revision: str = "main") -> list[str]:
    return git("rev-list", "--parents", "-n1", revision, cwd=place).split()[1:]


def head(place: Path, name: str = "main") -> str:
    return git("rev-parse", name, cwd=place)


def refs(place: Path) -> set[str]:
    return {*git("for-each-ref", "--format=%(refname) %(objectname)", cwd=place).splitlines()}


# Clean merges


def test_a_commit_with_two_parents(place: Path, run: Run) -> None:
    before, side = head(place), head(place, "ok")
    answer = run("merge", "ok", "into", "main", "--agent", "ann", "--model", "m-1")
    assert answer["outcome"] == "merged"
    assert answer["commit"] == head(place)
    assert parents(place) == [before, side]
    assert {file["path"]: file["how"] for file in answer["files"]} == {"m.py": "line", "x": "identical"}
    assert git("log", "-1", "--format=%an|%s", cwd=place) == "ann|Merge branch 'ok'"
    assert git("status", "--porcelain", cwd=place) == "", "the ordinary checkout has followed"
    assert "six" in (place / "x").read_text()
    told = note(place)
    assert told["agent_id"] == "ann"
    assert told["merge"]["files"] == {"m.py": "line"}
    assert told["merge"]["identical"] == 1
    assert (told["merge"]["commit"], told["merge"]["source"]) == (side, "ok")
    assert [guard["name"] for guard in told["merge"]["guards"]] == ["syntax", "names"]
    assert git("reflog", "-1", "--format=%gs", "main", cwd=place) == "commit (merge): Merge branch 'ok'"


def test_as_git_answers(place: Path, run: Run) -> None:
    run("merge", "ok")
    assert run("merge", "ok")["outcome"] == "up-to-date"
    git("branch", "behind", "start", cwd=place)
    before = head(place)
    answer = run("merge", "main", "into", "behind")
    assert (answer["outcome"], answer["commit"]) == ("fast-forward", before)
    assert head(place, "behind") == before


def test_a_dry_run_moves_nothing(place: Path, run: Run) -> None:
    before = refs(place)
    assert run("merge", "ok", "--dry-run")["why"] == "clean"
    answer = run("merge", "side", "--dry-run", code=exit_codes.FAILED)
    assert [one["path"] for one in answer["conflicts"]] == ["gone", "m.py"]
    assert run("merge", "main", "into", "start", "--dry-run")["why"] == "fast-forward"
    assert refs(place) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ok", "side"], exit_codes.INVALID),
        (["ok", "side", "into", "main"], exit_codes.INVALID),
        (["ok", "into"], exit_codes.INVALID),
        ([], exit_codes.INVALID),
        (["main"], exit_codes.INVALID),
        (["nothing"], exit_codes.NOT_FOUND),
        (["ok", "into", "nothing"], exit_codes.NOT_FOUND),
        (["alien"], exit_codes.REFUSED),
        (["ok", "--strategy", "magic"], exit_codes.INVALID),
        (["ok", "--test-check"], exit_codes.REFUSED),
        (["--continue"], exit_codes.NOT_FOUND),
        (["--abort", "--stream", "nothing"], exit_codes.NOT_FOUND),
    ],
)
def test_what_is_refused_changes_nothing(arguments: list[str], code: int, place: Path, run: Run) -> None:
    commit(place, "alien", {"x": "another history\n"})
    before = refs(place)
    assert run("merge", *arguments, code=code)["error"]["message"]
    assert refs(place) == before


def test_uncommitted_work_of_the_target_is_carried_over(place: Path, run: Run) -> None:
    with Repository.open(place).room("main", Author(agent="ann")) as opened:
        opened.room.write(b"x", b"ONE\n2\n3\n4\n5\n6\n")
        opened.room.write(b"draft", b"draft\n")
    with Repository.open(place).room("ok", Author(agent="bob")) as opened:
        opened.room.write(b"y", b"y\n")
    answer = run("merge", "ok")
    assert answer["notes"] == ["ok has uncommitted work in 1 files, which is not merged"]
    assert git("show", "main:x", cwd=place).startswith("1\n"), "what nobody committed isn't in the merge"
    with Repository.open(place).room("main") as opened:
        entry = opened.room.entry(b"x")
        assert entry is not None
        assert opened.room.read(entry) == b"ONE\n2\n3\n4\n5\nsix\n"
        assert [change.path for change in opened.room.changes()] == [b"draft", b"x"]


def test_an_uncommitted_edit_of_a_file_that_the_merge_renames(place: Path, run: Run) -> None:
    commit(place, "moves", {"m.py": CODE, "gone": "gone\n", "named": "1\n2\n3\n4\n5\nsix\n"}, _oid(place, "start"))
    with Repository.open(place).room("main", Author(agent="ann")) as opened:
        opened.room.write(b"x", b"ONE\n2\n3\n4\n5\n6\n")
    answer = run("merge", "moves")
    assert answer["notes"] == []
    with Repository.open(place).room("main") as opened:
        assert [(change.path, change.status) for change in opened.room.changes()] == [(b"named", "M")]
        entry = opened.room.entry(b"named")
        assert entry is not None
        assert opened.room.read(entry) == b"ONE\n2\n3\n4\n5\nsix\n", "with what the merge has changed in it"


def test_a_checkout_in_the_way_refuses(place: Path, run: Run) -> None:
    (place / "x").write_text("own change\n")
    before = head(place)
    assert run("merge", "ok", code=exit_codes.REFUSED)["error"]["type"] == "CheckoutInTheWay"
    assert head(place) == before
    assert (place / "x").read_text() == "own change\n"


def test_hooks_of_a_merge(place: Path, run: Run) -> None:
    hooks = place / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "post-merge").write_text(f"#!/bin/sh\necho squash=$1 > {place}/.git/told\n")
    (hooks / "commit-msg").write_text('#!/bin/sh\necho "Checked: yes" >> "$1"\n')
    for hook in hooks.iterdir():
        hook.chmod(0o755)
    run("merge", "ok", "-m", "take ok in")
    assert "Checked: yes" in git("log", "-1", "--format=%B", cwd=place)
    assert (place / ".git" / "told").read_text() == "squash=0\n"
    (hooks / "pre-merge-commit").write_text("#!/bin/sh\necho no merges today\nexit 1\n")
    (hooks / "pre-merge-commit").chmod(0o755)
    commit(place, "more", OURS | {"fresh": "fresh\n"}, _oid(place, "start"))
    before = head(place)
    assert "no merges today" in run("merge", "more", code=exit_codes.REFUSED)["error"]["message"]
    assert head(place) == before


def _oid(place: Path, name: str) -> Oid:
    return Oid(bytes.fromhex(head(place, name)))


def test_the_target_moves_meanwhile(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stream_merging.StreamMerger._guarded
    moved = []

    def slow(self: stream_merging.StreamMerger, merged: Any) -> Any:
        if not moved:
            moved.append(commit(place, "main", OURS | {"fast": "fast\n"}, _oid(place, "main")).hex())
            git("reset", "-q", "--hard", cwd=place)
        return made(self, merged)

    monkeypatch.setattr(stream_merging.StreamMerger, "_guarded", slow)
    run("merge", "ok")
    assert parents(place) == [moved[0], head(place, "ok")]


# Conflicts


def conflicts(run: Run) -> dict[str, str]:
    """Path → id of what is open."""
    return {one["path"]: one["id"] for one in run("conflicts", "--stream", WAITS)["conflicts"]}


def test_conflicts_wait_in_a_stream_of_their_own(place: Path, run: Run) -> None:
    before = head(place)
    answer = run("merge", "side", code=exit_codes.FAILED)
    assert (answer["outcome"], answer["proposal"]) == ("proposal", WAITS)
    assert head(place) == before, "the target hasn't moved"
    assert git("status", "--porcelain", cwd=place) == ""
    assert head(place, WAITS) == before
    with Repository.open(place).room(WAITS) as opened:
        entry = opened.room.entry(b"m.py")
        assert entry is not None
        text = opened.room.read(entry).decode()
    assert "<<<<<<< main" in text
    assert "def one" in text.splitlines()[1], "the marker says where it is"
    told = run("conflicts", "--stream", WAITS)
    assert {(one["path"], one["kind"]) for one in told["conflicts"]} == {("gone", "merge"), ("m.py", "merge")}
    sides = next(one for one in told["conflicts"] if one["path"] == "m.py")["sides"]
    assert [(side["agent"], side["text"]) for side in sides] == [
        ("main", "    return 111\n"),
        ("side", "    return 11\n"),
    ]
    assert run("merge", "--list")["merges"] == [
        {"stream": WAITS, "source": "side", "target": "main", "why": "conflicts", "open": 2}
    ]
    assert run("merge", "side", code=exit_codes.REFUSED)["error"]["type"] == "MergeUnderWay"
    assert run("merge", "--continue", code=exit_codes.REFUSED)["error"]["type"] == "StillOpen"


@pytest.mark.parametrize(("side", "value", "there"), [("ours", "return 111", True), ("theirs", "return 11\n", False)])
def test_decided_by_side_and_concluded(side: str, value: str, there: bool, place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    before = head(place)
    for name in conflicts(run).values():
        run("conflicts", "resolve", name, f"--{side}", "--stream", WAITS)
    answer = run("merge", "--continue", "--agent", "zoe")
    assert answer["outcome"] == "merged"
    assert parents(place) == [before, head(place, "side")]
    assert value in (place / "m.py").read_text()
    assert (place / "gone").exists() is there
    assert (place / "new").exists()
    assert note(place)["merge"]["files"] == {"gone": "manual", "m.py": "manual"}
    names = {line.split()[0] for line in refs(place)}
    assert not {name for name in names if "merge" in name}, "nothing of the proposal is left"
    assert run("merge", "side")["outcome"] == "up-to-date"


def test_both_sides_lines(place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    found = conflicts(run)
    run("conflicts", "resolve", found["m.py"], "--union", "--stream", WAITS)
    refused = run("conflicts", "resolve", found["gone"], "--union", "--stream", WAITS, code=exit_codes.INVALID)
    assert "whole file" in refused["error"]["message"]
    with Repository.open(place).room(WAITS) as opened:
        entry = opened.room.entry(b"m.py")
        assert entry is not None
        assert b"    return 111\n    return 11\n" in opened.room.read(entry)


def test_what_is_no_text_to_a_room(place: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Latin 1 has lines, too; bytes without lines are one side's or the other's."""
    base = {"latin": b"1\n2\n3\n4\n5\n\xe9\n", "bin": b"\0base"}
    start = commit(place, "start", base)
    commit(place, "main", {"latin": b"one\n2\n3\n4\n5\nours \xe9\n", "bin": b"\0ours"}, start)
    commit(place, "side", {"latin": b"1\n2\n3\n4\nfive\ntheirs \xe9\n", "bin": b"\0theirs"}, start)
    git("reset", "-q", "--hard", cwd=place)
    run("merge", "side", code=exit_codes.FAILED)
    found = conflicts(run)
    main(["conflicts", "show", found["bin"], "--stream", WAITS])
    assert "marked lines" not in capsys.readouterr().out
    for path in ("latin", "bin"):
        run("conflicts", "resolve", found[path], "--theirs", "--stream", WAITS)
    run("merge", "--continue")
    assert (place / "latin").read_bytes() == b"one\n2\n3\n4\nfive\ntheirs \xe9\n"
    assert (place / "bin").read_bytes() == b"\0theirs"


def test_decided_in_an_editor(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    found = conflicts(run)
    resolve = ("conflicts", "resolve", found["m.py"], "--edit", "--stream", WAITS)
    monkeypatch.setenv("GIT_EDITOR", "true")
    assert "markers" in run(*resolve, code=exit_codes.INVALID)["error"]["message"]
    monkeypatch.setenv("GIT_EDITOR", "false")
    run(*resolve, code=exit_codes.INVALID)
    monkeypatch.setenv("GIT_EDITOR", "printf '    return 1234\\n' >")
    run(*resolve)
    run("conflicts", "resolve", found["gone"], "--ours", "--stream", WAITS)
    run("merge", "--continue", "--stream", WAITS)
    assert (place / "m.py").read_text() == CODE.replace("return 1", "return 1234")


def test_markers_that_are_left_are_not_concluded(place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    run("conflicts", "resolve", "--all", "--stream", WAITS)
    refused = run("merge", "--continue", code=exit_codes.REFUSED)
    assert "markers are left in m.py" in refused["error"]["message"]
    with Repository.open(place).room(WAITS, Author(agent="ann")) as opened:
        opened.room.write(b"m.py", CODE.encode())
    run("merge", "--continue", "--agent", "ann")
    assert note(place)["contributors"][0]["agent"] == "ann"


def test_edited_markers_are_not_cut_by_a_side(place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    name = conflicts(run)["m.py"]
    with Repository.open(place).room(WAITS, Author(agent="ann")) as opened:
        entry = opened.room.entry(b"m.py")
        assert entry is not None
        opened.room.write(b"m.py", opened.room.read(entry).replace(b"<<<<<<< main", b"# <<<<<<< main"))
    refused = run("conflicts", "resolve", name, "--ours", "--stream", WAITS, code=exit_codes.INVALID)
    assert "markers were edited" in refused["error"]["message"]


def test_given_up(place: Path, run: Run) -> None:
    before = refs(place)
    run("merge", "side", code=exit_codes.FAILED)
    assert run("merge", "--abort")["aborted"] == WAITS
    assert refs(place) == before
    assert not Repository.open(place).store.room_file(WAITS).exists()
    run("merge", "side", code=exit_codes.FAILED)
    run("stream", "delete", WAITS, "--force")
    assert run("merge", "--list")["merges"] == []


def test_the_target_has_moved_before_the_conclusion(place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    for name in conflicts(run).values():
        run("conflicts", "resolve", name, "--theirs", "--stream", WAITS)
    run("merge", "ok")
    before = head(place)
    run("merge", "--continue")
    assert parents(place) == [before, head(place, "side")]
    assert (place / "m.py").read_text() == CODE.replace("return 1", "return 11").replace("return 2", "return 22")
    assert "six" in (place / "x").read_text()


def test_left_to_be_looked_at(place: Path, run: Run) -> None:
    before = head(place)
    answer = run("merge", "ok", "--no-commit")
    assert (answer["why"], answer["conflicts"]) == ("asked", [])
    assert head(place) == before
    run("merge", "--continue", "-m", "looked at it")
    assert git("log", "-1", "--format=%s", cwd=place) == "looked at it"
    assert note(place)["merge"]["files"] == {"m.py": "line"}


# A process may die at any moment


class Died(BaseException):
    """As a kill would."""


def test_dead_before_the_stream_is_there(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(stream_merging, "ensure_open", die)
        with pytest.raises(Died):
            main(["merge", "side"])
    assert run("merge", "--list")["merges"][0]["open"] == 2
    assert run("merge", "--abort")["aborted"] == WAITS


def test_dead_while_the_room_is_filled(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(proposals, "_fill", die)
        with pytest.raises(Died):
            main(["merge", "side"])
    assert head(place, WAITS) == head(place)
    assert run("merge", "--list")["merges"][0]["open"] == 2


def test_dead_right_after_the_target_moved(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Died

    run("merge", "ok", "--no-commit")
    with monkeypatch.context() as patch:
        patch.setattr(concluding, "_clear", die)
        with pytest.raises(Died):
            main(["merge", "--continue"])
    assert parents(place)[1] == head(place, "ok")
    assert run("merge", "--list")["merges"] == []
    assert not {line for line in refs(place) if "refs/anvcs/merges" in line or "refs/heads/merge" in line}


def test_two_conclude_at_once(place: Path, run: Run) -> None:
    run("merge", "ok", "--no-commit")
    repository = Repository.open(place)
    stored = proposals.proposal(repository, "")
    run("merge", "--continue")
    before = refs(place)
    with pytest.raises(proposals.NoSuchProposal):
        concluding.conclude(repository, stored, author=Author(agent="late"))
    assert refs(place) == before


# Guards and reviews


def guarded(place: Path, *guards: str, policy: str = "any", timeout_s: int = 60) -> None:
    lines = [f"agent:\n  commit_policy: {policy}\nmerge:\n  guard_timeout_s: {timeout_s}\n  guards:\n"]
    config = "".join([*lines, *(f"    - '{guard}'\n" for guard in guards)])
    commit(place, "main", OURS | {"ai-vcs.config.yaml": config}, _oid(place, "main"))
    git("reset", "-q", "--hard", cwd=place)
    trust_commands(place)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without FUSE."""
    monkeypatch.setattr(guard_places, "_mount", lambda *_: "FUSE is missing")


@pytest.mark.usefixtures("plain")
def test_guards_see_the_merged_tree(place: Path, run: Run) -> None:
    guarded(place, "grep -q six x && grep -q 111 m.py && cat x")
    answer = run("merge", "ok", "--test-check")
    (guard,) = answer["guards"]
    assert guard["ok"]
    assert guard["output"] == "1\n2\n3\n4\n5\nsix\n"
    assert any("plain checkout" in told for told in answer["notes"])
    assert note(place)["tests_passed"] is True
    assert note(place)["merge"]["guards"][0]["output"] == guard["output"]


@pytest.mark.usefixtures("plain")
def test_a_failed_guard_leaves_the_target_alone(place: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    guarded(place, "echo it is broken; exit 3")
    before = head(place)
    answer = run("merge", "ok", code=exit_codes.REFUSED)
    assert (answer["outcome"], answer["why"]) == ("proposal", "guards")
    assert head(place) == before
    name = answer["proposal"]
    assert [one["review"] for one in run("review", "list")["reviews"]] == [name]
    assert main(["review", "show", name]) == 0
    assert "it is broken" in capsys.readouterr().out
    assert run("merge", "--continue", code=exit_codes.REFUSED)["error"]["type"] == "GuardsFailed"
    assert run("review", "approve", name, code=exit_codes.USAGE)["error"]["type"] == "ReviewIncomplete"
    answer = run("review", "approve", name, "--why", "a flaky test", "--agent", "ann")
    assert answer["commit"] == head(place)
    (review,) = note(place)["merge"]["reviews"]
    assert (review["by"], review["why"], review["verdict"]) == ("ann", "a flaky test", "approved")
    assert note(place)["tests_passed"] is False
    audit = (place / ".git" / "anvcs" / "audit" / "reviews.jsonl").read_text().splitlines()
    assert json.loads(audit[0])["by"] == "ann"


@pytest.mark.usefixtures("plain")
def test_rejected(place: Path, run: Run) -> None:
    guarded(place, "false")
    before = refs(place)
    name = run("merge", "ok", code=exit_codes.REFUSED)["proposal"]
    assert run("review", "reject", name, "--why", "not now")["verdict"] == "rejected"
    assert refs(place) == before
    audit = (place / ".git" / "anvcs" / "audit" / "reviews.jsonl").read_text()
    assert json.loads(audit)["why"] == "not now"


@pytest.mark.usefixtures("plain")
def test_policy_wants_tests(place: Path, run: Run) -> None:
    guarded(place, "syntax", policy="tests_passed")
    answer = run("merge", "ok", code=exit_codes.REFUSED)
    assert answer["why"] == "policy"
    assert run("review", "list")["reviews"][0]["why"] == "policy"


@pytest.mark.usefixtures("plain")
def test_a_guard_that_hangs_and_one_that_floods(place: Path, run: Run, tmp_path: Path) -> None:
    guarded(place, f"echo $$ > {tmp_path}/pid; sleep 1000 & sleep 1000", timeout_s=1)
    (guard,) = run("merge", "ok", code=exit_codes.REFUSED)["guards"]
    assert guard["timed_out"]
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
    flood = run_command("yes | head -c 3000000; echo the end", tmp_path, 60)
    assert flood.ok
    assert len(flood.output) <= OUTPUT_LIMIT
    assert flood.output.endswith("the end\n")


def test_syntax_and_names_are_looked_at(place: Path, run: Run) -> None:
    base = commit(place, "start", {"lib.py": "def old():\n    return 1\n", "use.py": "x = 1\n"})
    commit(place, "main", {"lib.py": "def old():\n    return 1\n", "use.py": "import lib\n\nx = lib.old()\n"}, base)
    commit(place, "side", {"lib.py": "def new():\n    return 1\n", "use.py": "x = 1\n"}, base)
    git("reset", "-q", "--hard", cwd=place)
    answer = run("merge", "side", code=exit_codes.REFUSED)
    assert [(guard["name"], guard["ok"]) for guard in answer["guards"]] == [("syntax", True), ("names", False)]
    assert answer["guards"][1]["output"] == "use.py:3: uses old, which lib.py has no more"
    with Repository.open(place).room(WAITS, Author(agent="ann")) as opened:
        opened.room.write(b"use.py", b"import lib\n\nx = lib.new()\n")
    run("merge", "--continue")
    assert git("show", "main:use.py", cwd=place) == "import lib\n\nx = lib.new()"


# Strategies and explanations


def test_strategies_by_path(place: Path, run: Run) -> None:
    config = 'merge:\n  strategies: ["*.py theirs", "m.py ours"]\n'
    commit(place, "main", OURS | {"ai-vcs.config.yaml": config}, _oid(place, "main"))
    git("reset", "-q", "--hard", cwd=place)
    answer = run("merge", "side", code=exit_codes.FAILED)
    assert [one["path"] for one in answer["conflicts"]] == ["gone"]


def test_explained(place: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    told = run("merge", "side", "--dry-run", "--explain", code=exit_codes.FAILED)["explained"]
    assert {file["path"] for file in told} == {"gone", "m.py"}
    code = next(file for file in told if file["path"] == "m.py")
    assert code["blocks"][0]["decision"] == "conflict: both-changed"
    assert code["blocks"][0]["entity"] == "def one"
    told = run("merge", "ok", "--dry-run", "--explain")["explained"]
    assert [(block["entity"], block["decision"]) for block in told[0]["blocks"]] == [
        ("def one", "ours"),
        ("def two", "theirs"),
    ]
    assert main(["merge", "ok", "--dry-run", "--explain"]) == 0
    assert "def two, line 6: theirs" in capsys.readouterr().out


def test_what_people_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", "side"]) == exit_codes.FAILED
    shown = capsys.readouterr()
    assert "conflict: m.py:2-6 in def one" in shown.out
    assert f"ai-vcs merge --continue --stream {WAITS}" in shown.err
    name = json.loads(_json(capsys, "conflicts", "--stream", WAITS))["conflicts"][1]["id"]
    assert main(["conflicts", "show", name, "--stream", WAITS]) == 0
    assert f"ai-vcs conflicts resolve {name} --ours" in capsys.readouterr().out
    assert main(["merge", "--list"]) == 0
    assert WAITS in capsys.readouterr().out


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main([*arguments, "--json"])
    return capsys.readouterr().out


def test_a_bare_repository(place: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(place), str(bare), cwd=tmp_path)
    Repository.init(bare)
    monkeypatch.chdir(bare)
    assert run("merge", "ok", "into", "main")["outcome"] == "merged"
    assert run("merge", "side", "into", "main", code=exit_codes.FAILED)["proposal"] == WAITS
    assert os.listdir(bare / "anvcs" / "rooms")
