"""Commits in a shared room: what they take, several at once, and what Git tells in every view afterwards."""

import json
import os
import threading
from pathlib import Path

import pytest

from anvcs.model.room import Author
from anvcs.repository import Repository
from anvcs_tools.bench.views import MountedView, ai_vcs, run_command
from support.fixtures import Mounts
from support.programs import git
from support.sharing import LINES, edit, make_small_repository, published, read, shows, status
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

Pair = tuple[MountedView, MountedView]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_small_repository(tmp_path / "repository")


@pytest.fixture
def pair(repository: Path, tmp_path: Path, mounted: Mounts) -> Pair:
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann")
    bob = mounted(repository, tmp_path / "bob", "--agent", "bob")
    return ann, bob


def both_edit(ann: MountedView, bob: MountedView) -> None:
    edit(ann, "line 2\n", "ann's 2\n")
    (ann.path / "anns").write_text("ann's\n")
    published(ann, "anns")
    shows(bob, "text", LINES.replace("line 2\n", "ann's 2\n"))
    edit(bob, "line 9\n", "bob's 9\n")
    (bob.path / "bobs").write_text("bob's\n")
    published(bob, "bobs")
    shows(ann, "bobs", "bob's\n")


def commit(view: MountedView, **request: object) -> dict:
    handle = os.open(view.control / "commit", os.O_RDWR)
    try:
        os.write(handle, json.dumps(request).encode())
        os.fsync(handle)
        return json.loads(os.pread(handle, 1 << 16, 0))
    finally:
        os.close(handle)


def at(repository: Path, path: str, revision: str = "main") -> str:
    return git("show", f"{revision}:{path}", cwd=repository)


def test_the_agents_own_work(pair: Pair, repository: Path):
    ann, bob = pair
    both_edit(ann, bob)
    answer = commit(ann, message="ann's own", scope="mine")
    assert answer["paths"] == ["anns", "text"]
    assert answer["contributors"] == [{"agent": "ann", "model": "", "added": 2, "removed": 1}]
    assert at(repository, "text") + "\n" == LINES.replace("line 2\n", "ann's 2\n")
    assert "Co-authored-by" not in git("log", "-1", "--format=%B", "main", cwd=repository)
    for view in pair:
        assert read(view) == LINES.replace("line 2\n", "ann's 2\n").replace("line 9\n", "bob's 9\n")
        eventually(lambda view=view: status(view) == [" M text", "?? bobs"], what="status")
    ai_vcs("commit", "--mine", "-m", "bob's own", cwd=bob.path)
    assert at(repository, "text") + "\n" == read(ann)
    for view in pair:
        eventually(lambda view=view: status(view) == [], what="status")
    with pytest.raises(OSError, match="No data"):
        commit(ann, message="nothing left", scope="mine")


def test_paths_and_only(pair: Pair, repository: Path):
    ann, bob = pair
    both_edit(ann, bob)
    ai_vcs("commit", "--only", "anns", "-m", "one file", cwd=ann.path)
    for view in pair:
        eventually(lambda view=view: status(view) == [" M text", "?? bobs"], what="status")
    answer = commit(bob, message="two", paths=["text"])
    assert sorted(one["agent"] for one in answer["contributors"]) == ["ann", "bob"]
    assert "Co-authored-by: ann" in git("log", "-1", "--format=%B", "main", cwd=repository)
    for view in pair:
        eventually(lambda view=view: status(view) == ["?? bobs"], what="status")


def test_mine_and_paths_together_and_without_a_view(pair: Pair, repository: Path):
    ann, bob = pair
    both_edit(ann, bob)
    ai_vcs("commit", "--mine", "text", "-m", "ann in text", cwd=ann.path)
    assert at(repository, "text") + "\n" == LINES.replace("line 2\n", "ann's 2\n")
    assert git("ls-tree", "--name-only", "main", "anns", cwd=repository) == ""
    ai_vcs("commit", "--mine", "--agent", "bob", "-m", "bob offline", "--stream", "main", "-C", repository)
    assert git("log", "-1", "--format=%an", "main", cwd=repository) == "bob"
    assert sorted(git("show", "--format=", "--name-only", "main", cwd=repository).split()) == ["bobs", "text"]
    for view in pair:
        eventually(lambda view=view: status(view) == ["?? anns"], what="status")
    assert run_command("commit", "--mine", "-m", "x", "no-such-file", cwd=ann.path).returncode != 0


def test_what_is_saved_after_the_cut_stays_uncommitted(pair: Pair, repository: Path, tmp_path: Path):
    """A hook holds the commit while both views go on writing in the very line that it takes."""
    ann, bob = pair
    edit(ann, "line 2\n", "committed\n")
    waiting, go = tmp_path / "waiting", tmp_path / "go"
    hook = repository / ".git" / "hooks" / "commit-msg"
    hook.write_text(f"#!/bin/sh\ntouch {waiting}\nuntil [ -e {go} ]; do sleep 0.02; done\n")
    hook.chmod(0o755)
    worker = threading.Thread(target=commit, args=(ann,), kwargs={"message": "cut"})
    worker.start()
    eventually(waiting.exists, what="the hook")
    shows(bob, "text", LINES.replace("line 2\n", "committed\n"))
    edit(bob, "committed\n", "after the cut\n")
    edit(bob, "line 7\n", "also after\n")
    go.touch()
    worker.join(30)
    text = LINES.replace("line 2\n", "after the cut\n").replace("line 7\n", "also after\n")
    assert at(repository, "text") + "\n" == LINES.replace("line 2\n", "committed\n")
    for view in pair:
        shows(view, "text", text)
        eventually(lambda view=view: status(view) == [" M text"], what="status")
        assert git("diff", "--numstat", cwd=view.path) == "2\t2\ttext"


@pytest.mark.parametrize("scope", ["mine", "paths"])
def test_several_commit_at_once(repository: Path, tmp_path: Path, mounted: Mounts, scope: str):
    names = ["ann", "bob", "cid", "dan"]
    views = [mounted(repository, tmp_path / name, "--agent", name) for name in names]
    failures: list[BaseException] = []
    rounds = 4

    def work(view: MountedView, name: str) -> None:
        try:
            for number in range(rounds):
                with (view.path / f"{name}.txt").open("a") as file:
                    file.write(f"{number}\n")
                request = {"message": f"{name} {number}"}
                request |= {"scope": "mine"} if scope == "mine" else {"paths": [f"{name}.txt"]}
                assert commit(view, **request)["ok"]
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    workers = [threading.Thread(target=work, args=pair) for pair in zip(views, names, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert not failures
    subjects = git("log", "--format=%s", "main", "--not", "other", cwd=repository).splitlines()
    assert sorted(subjects) == sorted(f"{name} {number}" for name in names for number in range(rounds))
    assert all(
        "\t" in line or line == ""
        for line in git("log", "--numstat", "--format=", "main", "--not", "other", cwd=repository).splitlines()
    )
    for view, name in zip(views, names, strict=True):
        assert at(repository, f"{name}.txt") == "0\n1\n2\n3"
        eventually(lambda view=view: status(view) == [], what=f"a clean {view.path}")
    git("fsck", "--strict", cwd=repository)


def test_the_whole_room_twice_at_once(pair: Pair, repository: Path):
    """Whoever is second finds its work committed and is told so, or commits what came later."""
    ann, bob = pair
    edit(ann, "line 2\n", "ann's 2\n")
    edit(bob, "doc\n", "bob's doc\n", "doc")
    answers: list[object] = []

    def work(view: MountedView) -> None:
        try:
            answers.append(commit(view, message=f"by {view.path.name}"))
        except OSError as error:
            answers.append(error.errno)

    workers = [threading.Thread(target=work, args=(view,)) for view in pair]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert any(isinstance(answer, dict) and answer["paths"] for answer in answers)
    assert at(repository, "doc") == "bob's doc"
    assert at(repository, "text").startswith("line 1\nann's 2")
    for view in pair:
        eventually(lambda view=view: status(view) == [], what="status")


def test_who_is_second_is_told_of_the_commit_that_has_its_work(pair: Pair):
    """Once, however late it asks; then there is nothing to commit."""
    ann, bob = pair
    both_edit(ann, bob)
    first = commit(ann, message="all of it")
    answer = commit(bob, message="mine")
    assert (answer["ok"], answer["commit"], answer["paths"]) == (True, first["commit"], [])
    assert first["commit"] in answer["notes"][0]
    for view in pair:
        with pytest.raises(OSError, match="No data available"):
            commit(view, message="again")


def test_a_commit_of_much(pair: Pair, repository: Path):
    """So much is not read by the loop that serves requests; what is committed is the same."""
    ann, _ = pair
    names = [f"dir/new{number}" for number in range(150)]
    with Repository.open(repository).room("main", Author(agent="cid", view="elsewhere")) as opened:
        for name in names:
            opened.room.write(name.encode(), b"one\ntwo\n")
    edit(ann, "line 2\n", "ann's 2\n")
    answer = commit(ann, message="much")
    assert set(answer["paths"]) == {*names, "text"}
    told = {one["agent"]: (one["added"], one["removed"]) for one in answer["contributors"]}
    assert told == {"cid": (300, 0), "ann": (1, 1)}
    for view in pair:
        eventually(lambda view=view: status(view) == [], what="status")


def test_git_commits_in_one_view(pair: Pair, repository: Path):
    ann, bob = pair
    both_edit(ann, bob)
    git("add", "anns", cwd=ann.path)
    git("commit", "-qm", "with git", cwd=ann.path)
    for view in pair:
        eventually(lambda view=view: status(view) == [" M text", "?? bobs"], what="status")
    git("commit", "-qam", "all of it", cwd=bob.path)
    for view in pair:
        eventually(lambda view=view: status(view) == ["?? bobs"], what="status")


def test_a_branch_that_was_deleted(pair: Pair, repository: Path):
    ann, _ = pair
    edit(ann, "line 2\n", "ann's 2\n")
    git("update-ref", "-d", "refs/heads/main", cwd=repository)
    done = run_command("commit", "-m", "too late", cwd=ann.path)
    assert done.returncode != 0
    assert "was deleted" in done.stderr
    assert read(ann) == LINES.replace("line 2\n", "ann's 2\n")
    base = json.loads((ann.control / "status").read_text())["base"]
    git("branch", "main", base, cwd=repository)
    ai_vcs("commit", "-m", "in time", cwd=ann.path)
    assert status(ann) == []
