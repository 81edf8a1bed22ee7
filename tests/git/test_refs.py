"""Refs read and moved by us while plain Git works on them."""

import os
import signal
import subprocess
import threading
import time

import pytest

from anvcs.git import reflock
from anvcs.git.refs import BadRefName, DamagedRef, RefClash, RefLocked, RefMoved, Refs, check_name
from anvcs.model.ids import Oid
from support.plumbing import WHO, Repo

MAIN = "refs/heads/main"


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit({"a": "one"}, "one")
    return repo


@pytest.fixture
def two(repo):
    """A second commit that no ref knows."""
    return repo.commit_tree({b"a": b"two"}, repo.oid("HEAD"))


def test_loose_packed_symbolic_and_absent(repo):
    head = repo.oid("HEAD")
    repo.git("branch", "topic/deep")
    repo.git("tag", "-a", "-m", "annotated", "v1")
    repo.git("symbolic-ref", "refs/heads/alias", MAIN)
    for pack in (False, True):
        if pack:
            repo.git("pack-refs", "--all")
            assert not (repo.git_dir / MAIN).exists()
        for name in (MAIN, "HEAD", "refs/heads/topic/deep", "refs/tags/v1", "refs/heads/alias"):
            assert repo.refs.get(name) == head, name
        for name in ("refs/heads/none", "refs/heads/main/none", "refs/heads/topic", "refs/heads", "../x", ""):
            assert repo.refs.get(name) is None, name
    assert repo.refs.symbolic_target("HEAD") == MAIN
    assert repo.refs.symbolic_target(MAIN) is None


def test_list_agrees_with_git(repo, two):
    repo.git("tag", "-a", "-m", "annotated", "v1")
    repo.git("branch", "a/b")
    repo.git("branch", "a/c")
    repo.git("pack-refs", "--all")
    repo.git("branch", "-f", "a/c", two.hex())  # loose over packed
    repo.git("tag", "tree", "HEAD^{tree}")  # leads to no commit
    repo.git("branch", "a-b")
    for prefix in ("refs/", "refs/heads/", "refs/heads/a", "refs/heads/a/", "refs/tags/", "refs/none/"):
        told = repo.git("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)")
        lines = [line.split() for line in told.splitlines() if line.startswith(prefix)]
        wanted = {words[0]: words[-1] for words in lines if words[0] != "refs/tags/tree"}
        assert {name: oid.hex() for name, oid in repo.refs.list(prefix).items()} == wanted
    assert list(repo.refs.list("refs/")) == sorted(repo.refs.list("refs/"))


def test_names_of_any_bytes(repo):
    name = "refs/heads/" + os.fsdecode(b"\xff\xe2\x98\x83")
    repo.refs.move(name, repo.oid("HEAD"), None, "create")
    assert repo.refs.get(name) == repo.oid("HEAD")
    assert name in repo.refs.list("refs/heads/")
    assert name in repo.git("for-each-ref", "--format=%(refname)").splitlines()
    repo.git("pack-refs", "--all")
    assert name in repo.refs.list("refs/heads/")
    repo.refs.delete(name, repo.oid("HEAD"))
    assert repo.refs.get(name) is None


def test_compare_and_swap(repo, two):
    one = repo.oid("HEAD")
    with pytest.raises(RefMoved) as moved:
        repo.refs.move(MAIN, two, two, "wrong")
    assert (moved.value.name, moved.value.expected, moved.value.found) == (MAIN, two, one)
    with pytest.raises(RefMoved):
        repo.refs.move(MAIN, two, None, "must not exist")
    with pytest.raises(RefMoved):
        repo.refs.move("refs/heads/new", two, one, "must exist")
    assert repo.oid(MAIN) == one
    repo.refs.move(MAIN, two, one, "commit: two")
    assert repo.oid(MAIN) == repo.refs.get(MAIN) == two
    repo.git("pack-refs", "--all")
    repo.refs.move(MAIN, one, two, "back, over a packed ref")
    assert repo.oid(MAIN) == one
    assert not list(repo.git_dir.rglob("*.lock"))
    repo.fsck()


def test_reflogs_are_those_git_would_write(repo, two):
    one = repo.oid("HEAD")
    repo.refs.move(MAIN, two, one, "commit:\n two  lines")
    repo.refs.move("refs/heads/new/deep", two, None, "branch: Created")
    repo.refs.move("refs/anvcs/wip/main", two, None, "not logged")
    assert repo.git("reflog", "-1", "--format=%gs %gn <%ge>", MAIN) == "commit: two lines Ada L <ada@example.com>"
    line = (repo.git_dir / "logs" / MAIN).read_text().splitlines()[-1]
    assert line == f"{one.hex()} {two.hex()} Ada L <ada@example.com> 1700000000 +0130\tcommit: two lines"
    assert (repo.git_dir / "logs/refs/heads/new/deep").read_text().startswith("0" * 40)
    assert not (repo.git_dir / "logs/refs/anvcs").exists()
    assert repo.git("rev-parse", f"{MAIN}@{{1}}") == one.hex()


@pytest.mark.parametrize(("setting", "logged"), [("true", True), ("false", False), ("always", True), (None, False)])
def test_log_all_ref_updates(tmp_path, setting, logged):
    repo = Repo(tmp_path / "bare.git", "--bare")
    if setting:
        repo.git("config", "core.logAllRefUpdates", setting)
    repo.refs.move("refs/heads/x", repo.commit_tree({b"a": b"a"}), None, "create")
    assert (repo.git_dir / "logs/refs/heads/x").exists() == logged


def test_moving_a_symbolic_ref_moves_its_target(repo, two):
    one = repo.oid("HEAD")
    repo.git("symbolic-ref", "refs/heads/alias", MAIN)
    repo.refs.move("refs/heads/alias", two, one, "through the alias")
    assert repo.oid(MAIN) == two
    repo.refs.move("HEAD", one, two, "through HEAD")
    assert repo.oid(MAIN) == one
    assert repo.git("symbolic-ref", "HEAD") == MAIN
    assert repo.git("reflog", "-1", "--format=%gs", "HEAD") == "through HEAD"


def test_an_unborn_branch_is_created_through_head(tmp_path):
    repo = Repo(tmp_path / "repo")
    assert repo.refs.get("HEAD") is None
    commit = repo.commit_tree({b"a": b"a"})
    repo.refs.move("HEAD", commit, None, "commit (initial): a")
    assert repo.oid(MAIN) == commit


@pytest.mark.parametrize("packed", [False, True])
def test_a_name_is_a_ref_or_a_folder(repo, packed):
    one = repo.oid("HEAD")
    repo.git("branch", "a/b")
    if packed:
        repo.git("pack-refs", "--all")
    for name, other in (("refs/heads/a", "refs/heads/a/b"), ("refs/heads/a/b/c", "refs/heads/a/b")):
        with pytest.raises(RefClash) as clash:
            repo.refs.move(name, one, None, "create")
        assert clash.value.other == other
        assert other in str(clash.value)
    repo.refs.delete("refs/heads/a/b", one)
    repo.refs.move("refs/heads/a", one, None, "room now")
    assert repo.oid("refs/heads/a") == one
    repo.refs.delete("refs/heads/a", one)
    repo.refs.move("refs/heads/a/b/c", one, None, "and the other way round")
    assert not list(repo.git_dir.rglob("*.lock"))


def test_empty_folders_are_no_hindrance(repo):
    (repo.git_dir / "refs/heads/a/b/c").mkdir(parents=True)
    (repo.git_dir / "logs/refs/heads/a/b").mkdir(parents=True)
    repo.refs.move("refs/heads/a", repo.oid("HEAD"), None, "create")
    assert repo.oid("refs/heads/a") == repo.oid("HEAD")


def test_delete(repo, two):
    one = repo.oid("HEAD")
    repo.git("branch", "x")
    repo.git("pack-refs", "--all")
    with pytest.raises(RefMoved):
        repo.refs.delete("refs/heads/x", two)
    repo.refs.delete("refs/heads/x", one)
    assert repo.refs.get("refs/heads/x") is None
    assert "refs/heads/x" not in repo.git("for-each-ref")
    with pytest.raises(RefMoved):
        repo.refs.delete("refs/heads/x", one)


@pytest.mark.parametrize(
    "name",
    ["refs/heads/a..b", "refs/heads/.a", "refs/heads/a.lock", "refs/heads/a b", "refs/heads/a~1", "refs/heads/a^",
     "refs/heads/a:b", "refs/heads/a?", "refs/heads/[a", "refs/heads/a\\b", "refs/heads/a/", "refs/heads/a.",
     "refs/heads//a", "refs/heads/a@{1}", "refs/heads/a\x7f", "refs/heads/a\n", "heads/a", "refs/a.lock/b", "main",
     "../../x", "refs/heads/../../config", "config", "@", "-x", "refs/x"],
)  # fmt: skip
def test_bad_names(repo, name):
    with pytest.raises(BadRefName):
        repo.refs.move(name, repo.oid("HEAD"), None, "no")
    assert repo.refs.get(name) is None or name == "main"


@pytest.mark.parametrize(
    "name", ["refs/heads/@", "refs/heads/a.b", "refs/heads/-x", "refs/heads/{a", "refs/heads/HEAD"]
)
def test_names_that_only_look_bad(repo, name):
    subprocess.run(["git", "check-ref-format", name], check=True)
    check_name(name)


def test_damaged_refs(repo):
    (repo.git_dir / "refs/heads/bad").write_text("not an id\n")
    (repo.git_dir / "refs/heads/circle").write_text("ref: refs/heads/circle\n")
    for name in ("refs/heads/bad", "refs/heads/circle"):
        with pytest.raises(DamagedRef):
            repo.refs.get(name)
    assert list(repo.refs.list("refs/heads/")) == [MAIN]


def test_a_lock_held_by_git_is_awaited_and_then_reported(repo, two, monkeypatch):
    one = repo.oid("HEAD")
    lock = repo.git_dir / (MAIN + ".lock")
    lock.touch()
    monkeypatch.setattr(reflock, "LOCK_PATIENCE_S", 0.01)
    with pytest.raises(RefLocked) as locked:
        repo.refs.move(MAIN, two, one, "no")
    assert locked.value.lock == lock
    assert lock.exists()
    monkeypatch.setattr(reflock, "LOCK_PATIENCE_S", 10)
    pause = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (lock.unlink(missing_ok=True), pause(0))[1])
    repo.refs.move(MAIN, two, one, "yes")
    assert repo.oid(MAIN) == two


def test_many_writers_each_succeed_once(repo):
    """Counting by compare-and-swap, against plain git doing the same."""
    start = repo.oid("HEAD")
    repo.git("branch", "count")
    name = "refs/heads/count"
    won = []

    def ours() -> None:
        refs = Refs(repo.store, WHO)
        for _ in range(15):
            while True:
                old = refs.get(name)
                new = repo.commit_tree({}, old, message=os.urandom(8).hex().encode() + b"\n")
                try:
                    refs.move(name, new, old, "count")
                except RefMoved:
                    continue
                won.append(new)
                break

    def theirs() -> None:
        for _ in range(10):
            while True:
                old = repo.git("rev-parse", name)
                new = repo.git("commit-tree", "-p", old, "-m", os.urandom(8).hex(), f"{old}^{{tree}}")
                done = subprocess.run(
                    ["git", "update-ref", name, new, old], cwd=repo.path, capture_output=True, check=False
                )
                if done.returncode == 0:
                    won.append(Oid(bytes.fromhex(new)))
                    break
            repo.git("pack-refs", "--all")

    threads = [threading.Thread(target=ours), threading.Thread(target=ours), threading.Thread(target=theirs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = repo.git("rev-list", f"{start.hex()}..{name}").split()
    assert len(history) == len(won) == 40
    assert set(history) == {oid.hex() for oid in won}
    repo.fsck()


def test_objects_are_durable_before_the_ref_names_them(repo, two, monkeypatch):
    order = []
    sync = repo.store.sync
    monkeypatch.setattr(repo.store, "sync", lambda: (order.append("objects"), sync()))
    publish = reflock.RefLock.publish
    monkeypatch.setattr(
        reflock.RefLock, "publish", lambda self, value, **_: (order.append("ref"), publish(self, value))
    )
    repo.refs.move(MAIN, two, repo.oid("HEAD"), "x")
    assert order == ["objects", "ref"]


def test_a_crash_before_the_rename_leaves_the_old_ref(repo, two, monkeypatch):
    one = repo.oid("HEAD")

    def die(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        repo.refs.move(MAIN, two, one, "x")
    monkeypatch.undo()
    assert repo.oid(MAIN) == one
    repo.refs.move(MAIN, two, one, "x")  # the lock was given up


def test_the_reference_transaction_hook_has_its_say(repo, two):
    one = repo.oid("HEAD")
    hook = repo.git_dir / "hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\necho "$1" >> "$GIT_DIR/seen"\ntest -e "$GIT_DIR/refuse" && exit 1\nexit 0\n')
    hook.chmod(0o755)
    with pytest.raises(RefMoved):
        repo.refs.move(MAIN, two, two, "wrong")
    repo.refs.move(MAIN, two, one, "with a hook")
    assert repo.oid(MAIN) == two
    assert "committed" in (repo.git_dir / "seen").read_text()
    assert repo.git("reflog", "-1", "--format=%gs", MAIN) == "with a hook"
    (repo.git_dir / "refuse").touch()
    with pytest.raises(Exception, match="hook"):
        repo.refs.move(MAIN, one, two, "refused")
    assert repo.oid(MAIN) == two


def test_reading_is_cheap(repo):
    """No process is started, and nothing but the ref's file is read."""
    repo.refs.get(MAIN)
    reads = []
    original = os.open
    try:
        os.open = lambda path, *rest: (reads.append(path), original(path, *rest))[1]
        repo.refs.get(MAIN)
    finally:
        os.open = original
    assert len(reads) == 1


def test_a_lock_of_ours_whose_process_was_killed_is_removed(repo, two):
    lock = repo.git_dir / (MAIN + ".lock")
    child = os.fork()
    if child == 0:
        with reflock.locked(str(repo.git_dir), MAIN):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert lock.exists()
    repo.refs.move(MAIN, two, repo.refs.get(MAIN), "after the crash")
    assert repo.refs.get(MAIN) == two
    assert not list(repo.git_dir.rglob("*.lock*"))


def test_a_lock_of_ours_whose_process_lives_is_respected(repo, two, monkeypatch):
    monkeypatch.setattr(reflock, "LOCK_PATIENCE_S", 0.01)
    with reflock.locked(str(repo.git_dir), MAIN), pytest.raises(RefLocked):
        repo.refs.move(MAIN, two, repo.refs.get(MAIN), "too early")
    assert not list(repo.git_dir.rglob("*.lock*"))
