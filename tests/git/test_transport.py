"""Push and pull between real repositories, notes included."""

import subprocess

import pytest

from anvcs.git import setup
from anvcs.git.notes import NOTES_REF
from anvcs.git.program import redacted
from anvcs.git.transport import (
    NoRemote,
    NoSuchRemoteBranch,
    PullConflict,
    PushRejected,
    Transport,
    TransportFailed,
)
from support.plumbing import WHO, Repo

MAIN = "refs/heads/main"


@pytest.fixture
def hub(tmp_path):
    """A bare repository that two people share."""
    return Repo(tmp_path / "hub.git", "--bare")


@pytest.fixture
def one(hub, tmp_path):
    repo = Repo(tmp_path / "one")
    repo.commit({"a": "a\n", "b": "b\n", "c": "".join(f"{n}\n" for n in range(20))})
    repo.git("remote", "add", "origin", str(hub.path))
    return repo


@pytest.fixture
def two(hub, one, tmp_path):
    push(one)
    subprocess.run(["git", "clone", "-q", hub.path, tmp_path / "two"], check=True)
    return Repo(tmp_path / "two")


def transport(repo: Repo) -> Transport:
    return Transport(repo.store, repo.refs, repo.notes, repo.config)


def push(repo: Repo, branch: str = "main", **more):
    return transport(repo).push(branch, who=WHO, **more)


def pull(repo: Repo, branch: str = "main", **more):
    return transport(repo).pull(branch, who=WHO, **more)


def note(repo: Repo, text: bytes, spec: str = "HEAD") -> None:
    repo.notes.write({repo.oid(spec): text}, who=WHO)


def test_push_carries_branch_and_notes(hub, one):
    note(one, b"first\n")
    done = push(one)
    assert (done.remote, done.url, done.branch) == ("origin", str(hub.path), "main")
    assert (done.branch_moved, done.notes_moved, done.notes_merged) == (True, True, False)
    assert hub.oid(MAIN) == one.oid(MAIN) == done.commit
    assert hub.oid(NOTES_REF) == one.oid(NOTES_REF)
    again = push(one)
    assert (again.branch_moved, again.notes_moved) == (False, False)
    hub.fsck()


def test_push_without_notes_makes_none(hub, one):
    assert not push(one).notes_moved
    assert hub.refs.get(NOTES_REF) is None


def test_pull_forwards_branch_checkout_and_notes(one, two):
    one.commit({"a": "newer\n"})
    note(one, b"from one\n")
    push(one)
    done = pull(two)
    assert (done.how, done.new) == ("fast-forward", one.oid(MAIN))
    assert done.notes is not None
    assert done.notes.changed
    assert [follower.problem for follower in done.followed] == [""]
    assert (two.path / "a").read_text() == "newer\n"
    assert two.git("status", "--porcelain") == ""
    assert two.notes.read(two.oid("HEAD")) == b"from one\n"
    assert two.git("rev-parse", "origin/main") == one.git("rev-parse", "main")
    assert pull(two).how == "up-to-date"
    assert "anvcs/fetched" not in two.git("for-each-ref")


def test_pull_from_a_remote_without_notes(two):
    done = pull(two)
    assert done.notes is None
    assert done.how == "up-to-date"


def test_pull_creates_a_branch_and_stays_ahead(one, two):
    one.git("checkout", "-q", "-b", "topic")
    one.commit({"t": "t\n"})
    push(one, "topic")
    done = pull(two, "topic")
    assert (done.how, done.old, done.new) == ("created", None, one.oid("topic"))
    two.commit({"a": "ahead\n"})
    assert pull(two).how == "ahead"
    assert push(two).branch_moved


def test_diverged_branches_become_a_merge_commit(one, two):
    one.commit({"a": "from one\n"})
    push(one)
    two.commit({"b": "from two\n"})
    before = two.oid("HEAD")
    done = pull(two)
    assert done.how == "merge"
    info = two.store.commit_info(done.new)
    assert info.parents == (before, one.oid("HEAD"))
    assert info.author == WHO
    assert info.subject == f"Merge branch 'main' of {one.git('remote', 'get-url', 'origin')}"
    assert (two.path / "a").read_text() == "from one\n"
    assert (two.path / "b").read_text() == "from two\n"
    assert two.git("status", "--porcelain") == ""
    two.fsck()
    push(two)
    assert pull(one).how == "fast-forward"


def test_conflicts_name_paths_and_move_nothing(one, two):
    one.commit({"a": "from one\n", "b": "also one\n"})
    note(one, b"n\n")
    push(one)
    two.commit({"a": "from two\n", "b": "also two\n"})
    before = two.oid("HEAD")
    with pytest.raises(PullConflict, match="git merge") as conflict:
        pull(two)
    assert conflict.value.paths == (b"a", b"b")
    assert two.oid("HEAD") == before
    assert two.git("status", "--porcelain") == ""
    assert two.notes.read(conflict.value.fetched) == b"n\n"  # notes are merged all the same
    two.raw("merge", conflict.value.fetched.hex()[:12], check=False)  # the way out that the error names
    assert two.git("diff", "--name-only", "--diff-filter=U") == "a\nb"


def test_a_rejected_branch_says_to_pull_first(hub, one, two):
    one.commit({"a": "from one\n"})
    note(one, b"one\n")
    push(one)
    two.commit({"b": "from two\n"})
    note(two, b"two\n")
    with pytest.raises(PushRejected, match="pull first") as rejected:
        push(two)
    assert rejected.value.stale
    assert hub.oid(MAIN) == one.oid(MAIN)
    pull(two)
    done = push(two)
    assert done.branch_moved
    assert len(dict(two.notes.items())) == 2
    assert hub.oid(NOTES_REF) == two.oid(NOTES_REF)


@pytest.mark.parametrize("atomic", [True, False])
def test_diverged_notes_are_merged_and_pushed(hub, one, two, atomic):
    if not atomic:
        hub.git("config", "receive.advertiseAtomic", "false")
    note(one, b"about main, from one\n")
    one.git("checkout", "-q", "-b", "topic")
    one.commit({"t": "t\n"})
    push(one, "topic")
    two.commit({"b": "from two\n"})
    note(two, b"from two\n")
    done = push(two)
    assert (done.branch_moved or not atomic, done.notes_moved, done.notes_merged) == (True, True, True)
    assert hub.oid(MAIN) == two.oid(MAIN)
    assert set(dict(hub.notes.items()).values()) == {b"about main, from one\n", b"from two\n"}
    hub.fsck()


def test_plain_git_pushes_and_fetches_notes_after_configure(hub, one, two):
    for repo in (one, two):
        setup.configure(setup.inspect(repo.path))
    one.git("fetch", "-q")  # a remote without notes is no error
    note(one, b"seen by git\n")
    one.git("push", "-q")
    assert hub.oid(NOTES_REF) == one.oid(NOTES_REF)
    note(two, b"two's own\n", "HEAD")
    two.git("fetch", "-q")
    assert two.notes.read(two.oid("HEAD")) == b"two's own\n"  # fetching overwrites nothing
    assert pull(two).notes.combined == (two.oid("HEAD"),)
    assert sorted(two.notes.read(two.oid("HEAD")).splitlines()) == [b"seen by git", b"two's own"]
    assert "two's own" in two.git("log", "-1")  # notes.displayRef


def test_hooks_of_both_sides_are_heard(hub, one):
    hook = hub.git_dir / "hooks/update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not on fridays' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRejected, match="hook declined") as rejected:
        push(one)
    assert not rejected.value.stale
    hook.unlink()
    own = one.path / ".hooks/pre-push"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\npwd\necho 'tests fail' >&2\nexit 1\n")
    own.chmod(0o755)
    one.git("config", "core.hooksPath", ".hooks")
    with pytest.raises(TransportFailed, match="tests fail"):
        Transport(one.store, one.refs, one.notes, one.config, one.path).push("main", who=WHO)


def test_which_remote(one, tmp_path):
    alone = Repo(tmp_path / "alone")
    alone.commit({"a": "a"})
    with pytest.raises(NoRemote, match="git remote add"):
        push(alone)
    with pytest.raises(NoRemote):
        pull(alone)
    assert transport(one).remote_for("main") == "origin"
    one.git("remote", "add", "fork", str(tmp_path / "fork"))
    one.git("remote", "rename", "origin", "upstream")
    with pytest.raises(NoRemote, match="fork"):
        transport(one).remote_for("main")
    one.git("config", "branch.main.remote", "upstream")
    one.git("config", "remote.pushDefault", "fork")
    assert transport(one).remote_for("main") == "upstream"
    assert transport(one).remote_for("main", pushing=True) == "fork"
    one.git("config", "branch.main.pushRemote", "upstream")
    assert transport(one).remote_for("main", pushing=True) == "upstream"


def test_an_upstream_of_another_name(one, two):
    two.git("checkout", "-q", "-b", "mine", "--track", "origin/main")
    one.commit({"a": "newer\n"})
    push(one)
    assert pull(two, "mine").new == one.oid("main")
    two.commit({"b": "b2\n"})
    assert push(two, "mine").remote_branch == "mine"
    two.git("config", "push.default", "upstream")
    assert push(two, "mine").remote_branch == "main"


def test_no_such_branch_and_no_such_place(one, tmp_path):
    with pytest.raises(NoSuchRemoteBranch):
        pull(one, "main")  # never pushed
    one.git("remote", "set-url", "origin", "http://user:secret@127.0.0.1:9/none")
    for action in (push, pull):
        with pytest.raises(TransportFailed) as failed:
            action(one)
        assert "secret" not in str(failed.value)
    one.git("remote", "set-url", "origin", str(tmp_path / "nowhere"))
    with pytest.raises(TransportFailed, match="nowhere"):
        pull(one)
    with pytest.raises(TransportFailed):
        push(one, remote="--upload-pack=touch /tmp/x")


def test_secrets_leave_errors():
    text = "fatal: https://user:pa%20ss@host/x and ssh://git@host:22/y, http://token@h/z"
    assert redacted(text) == "fatal: https://host/x and ssh://host:22/y, http://h/z"


def test_unrelated_histories_are_refused(one, hub, tmp_path):
    push(one)
    other = Repo(tmp_path / "other")
    other.commit({"z": "z"})
    other.git("remote", "add", "origin", str(hub.path))
    with pytest.raises(TransportFailed, match="unrelated"):
        pull(other)
    with pytest.raises(PushRejected, match="pull first"):
        push(other)


def test_a_dirty_checkout_stops_the_pull(one, two):
    one.commit({"a": "newer\n"})
    push(one)
    (two.path / "a").write_text("dirty\n")
    before = two.oid("HEAD")
    with pytest.raises(Exception, match="stash"):
        pull(two)
    assert two.oid("HEAD") == before
    seen = []
    done = pull(two, advance_branch=lambda new, old, message: seen.append((new, old, message)) or [])
    assert seen == [(done.new, before, "pull origin main: fast-forward")]
