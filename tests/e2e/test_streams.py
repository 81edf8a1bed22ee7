"""Streams: made, listed, switched and deleted; each keeps its room's work."""

import json
import os
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs, run_command
from support.fixtures import Mounts
from support.programs import git, run
from support.sharing import LINES, changed, edit, make_small_repository, published, read, shows, slow_git, status

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_small_repository(tmp_path / "repository")


@pytest.fixture
def ann(repository: Path, tmp_path: Path, mounted: Mounts) -> MountedView:
    return mounted(repository, tmp_path / "ann", "--agent", "ann")


def switch(view: MountedView, *words: str) -> None:
    ai_vcs("stream", "switch", *words, cwd=view.path)


def stream_of(view: MountedView) -> str:
    return (view.control / "stream").read_text()


def test_a_switch_leaves_work_open_files_and_local_files(ann: MountedView):
    edit(ann, "line 1\n", "uncommitted\n")
    (ann.path / "doc").write_text("staged\n")
    git("add", "doc", cwd=ann.path)
    (ann.path / "kept.log").write_text("local\n")
    with (ann.path / "dir" / "file").open("r+") as held, (ann.path / "text").open() as reader:
        held.write("half")
        held.flush()
        switch(ann, "other")
        assert stream_of(ann) == "other\n"
        assert git("symbolic-ref", "HEAD", cwd=ann.path) == "refs/heads/other"
        assert read(ann) == LINES.replace("line 12\n", "other\n")
        assert (ann.path / "fresh").exists()
        assert not (ann.path / "gone").exists()
        assert status(ann) == []
        assert changed(ann) == []
        assert (ann.path / "kept.log").read_text() == "local\n"
        assert os.fstat(reader.fileno()).st_nlink == 1
        assert reader.read() == read(ann)
        held.write(" and more")
    assert read(ann, "dir/file").startswith("file\n") or "and more" in read(ann, "dir/file")
    git("checkout", "-q", "--", "dir/file", cwd=ann.path)
    switch(ann, "main")
    assert read(ann, "dir/file") == "half\n"
    assert read(ann).startswith("uncommitted\n")
    assert status(ann) == [" M dir/file", " M text", "M  doc"]
    assert git("diff", "--cached", "--name-only", cwd=ann.path) == "doc"


@pytest.mark.parametrize("by_git", [False, True])
def test_rooms_that_count_alike_are_told_apart(ann: MountedView, *, by_git: bool):
    """A file's first edit has the same number in both rooms; what is open stays readable."""
    edit(ann, "line 2\n", "two\n")
    only = ann.path / "only"
    only.write_text("only on main\n")
    published(ann, "only")
    git("switch", "-q", "-c", "topic", cwd=ann.path)
    edit(ann, "line 3\n", "a much longer line\n")  # at once: it must not go to the room that was left
    texts = {"main": LINES.replace("line 2\n", "two\n"), "topic": LINES.replace("line 3\n", "a much longer line\n")}

    def go(stream: str) -> None:
        if by_git:
            git("switch", "-q", "-f", stream, cwd=ann.path)
        else:
            switch(ann, stream)
        shows(ann, "text", texts[stream])
        assert (ann.path / "text").stat().st_size == len(texts[stream])

    go("main")
    with only.open("rb", buffering=0) as file:
        go("topic")
        assert not only.exists()
        assert os.fstat(file.fileno()).st_size == 13
        assert file.read() == b"only on main\n"
    go("main")


def test_what_was_staged_follows_its_branch(ann: MountedView, repository: Path):
    (ann.path / "doc").write_text("staged\n")
    git("add", "doc", cwd=ann.path)
    switch(ann, "other")
    tree = git("rev-parse", "side^{tree}", cwd=repository)
    commit = git("commit-tree", "-p", "main", "-m", "moved meanwhile", git_tree_with(repository, tree), cwd=repository)
    git("update-ref", "refs/heads/main", commit, cwd=repository)
    switch(ann, "main")
    assert read(ann, "gone") == "changed\n"
    assert status(ann) == ["M  doc"]


def git_tree_with(repository: Path, tree: str) -> str:
    """The tree of ``main`` with another content in ``gone``."""
    del tree
    blob = git("hash-object", "-w", "--stdin", cwd=repository, stdin="changed\n")
    listed = git("ls-tree", "main", cwd=repository).splitlines()
    lines = [line if not line.endswith("\tgone") else f"100644 blob {blob}\tgone" for line in listed]
    return git("mktree", cwd=repository, stdin="\n".join(lines) + "\n")


def test_a_name_written_to_the_file_switches(ann: MountedView):
    (ann.control / "stream").write_text("other\n")
    assert stream_of(ann) == "other\n"
    handle = os.open(ann.control / "stream", os.O_RDWR)
    os.write(handle, b'{"stream": "third", "create": true}')
    os.fsync(handle)
    answer = json.loads(os.pread(handle, 4096, 0))
    os.close(handle)
    assert answer["ok"]
    assert answer["switched"]
    assert (answer["stream"], stream_of(ann)) == ("third", "third\n")
    assert git("rev-parse", "third", cwd=ann.path) == git("rev-parse", "other", cwd=ann.path)
    assert ann.description["stream"] == "third"
    ann.options = ("--agent", "ann")
    ann.remount()
    assert stream_of(ann) == "third\n"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("nowhere\n", "NoSuchStream"),
        ("bad..name\n", "StreamNameInvalid"),
        ("two\nlines\n", "BadRequest"),
        ("\n", "BadRequest"),
        ('{"stream": "other", "kreate": true}', "BadRequest"),
        ('{"stream": "other", "create": true}', "StreamExists"),
        ('{"stream": 3}', "BadRequest"),
        ("{", "BadRequest"),
    ],
)
def test_a_request_that_fails_says_why_and_changes_nothing(ann: MountedView, request_: str, error: str):
    with pytest.raises(OSError):  # noqa: PT011 - which errno is tests/fs/test_errnos.py's
        (ann.control / "stream").write_text(request_)
    assert json.loads((ann.control / "status").read_text())["last_error"]["error"] == error
    assert stream_of(ann) == "main\n"
    (ann.control / "stream").write_text("other")
    assert stream_of(ann) == "other\n"


def test_a_switch_is_refused_while_git_is_at_work(ann: MountedView, tmp_path: Path):
    with slow_git(ann, "merge", tmp_path) as slow:
        slow.do("write", "text", "half|")
        assert run_command("stream", "switch", "other", cwd=ann.path).returncode == 8
        slow.do("give-up")
        slow.end()
    edit(ann, "line 12\n", "main\n")
    git("commit", "-qam", "main too", cwd=ann.path)
    assert run("git", "merge", "-q", "other", cwd=ann.path).code == 1
    done = run_command("stream", "switch", "side", cwd=ann.path)
    assert "a merge is under way" in done.stderr
    git("merge", "--abort", cwd=ann.path)
    switch(ann, "side")


def test_list_create_delete(ann: MountedView, repository: Path):
    edit(ann, "line 1\n", "uncommitted\n")
    ai_vcs("stream", "create", "topic", cwd=ann.path)
    ai_vcs("stream", "create", "old", "--from", "side", cwd=repository)
    listed = {each["stream"]: each for each in json.loads(ai_vcs("stream", "list", "--json", cwd=ann.path))["streams"]}
    assert sorted(listed) == ["main", "old", "other", "side", "topic"]
    assert listed["main"]["changed"] == 1
    assert listed["main"]["views"] == ["ann"]
    assert listed["main"]["current"]
    assert listed["topic"]["commit"] == listed["main"]["commit"]
    assert listed["old"]["commit"] == git("rev-parse", "side", cwd=repository)
    assert "topic" in ai_vcs("stream", "list", cwd=repository)
    assert "in use by ann" in run_command("stream", "delete", "main", cwd=repository).stderr
    assert "no other branch or tag" in run_command("stream", "delete", "other", cwd=repository).stderr
    ai_vcs("stream", "delete", "topic", cwd=repository)
    switch(ann, "old")
    edit(ann, "line 1\n", "uncommitted\n")
    switch(ann, "main")
    assert "uncommitted work" in run_command("stream", "delete", "old", cwd=repository).stderr
    ai_vcs("stream", "delete", "old", "--force", cwd=repository)
    assert not list((ann.store / "rooms").glob("old*"))
    assert run("git", "rev-parse", "-q", "--verify", "old", cwd=repository).code == 1
    missing = run_command("stream", "switch", "old", cwd=ann.path)
    assert missing.returncode == 12
    assert run_command("stream", "switch", "other", cwd=repository).returncode != 0
    assert run_command("stream", "create", cwd=repository).returncode == 2


def test_a_checked_out_branch_is_not_deleted(repository: Path):
    ai_vcs("init", repository)
    git("switch", "-q", "side", cwd=repository)
    done = run_command("stream", "delete", "side", "--force", cwd=repository)
    assert done.returncode != 0
    assert "checked out" in done.stderr


def test_collab(repository: Path, tmp_path: Path, mounted: Mounts):
    ai_vcs("init", repository)
    told = run_command("collab", "start", "parser", "--from", "side", cwd=repository)
    assert "ai-vcs collab join parser" in told.stderr
    first = tmp_path / "first"
    second = tmp_path / "second"
    for place, agent in ((first, "ann"), (second, "bob")):
        answer = json.loads(ai_vcs("collab", "join", "parser", place, "--agent", agent, "--json", "-C", repository))
        assert (answer["stream"], answer["agent"]) == ("parser", agent)
    try:
        (first / "shared").write_text("by ann\n")
        shows(MountedView(repository, second), "shared", "by ann\n")
        assert run_command("collab", "join", "nowhere", tmp_path / "third", "-C", repository).returncode == 12
        assert run_command("collab", "join", "parser", "-C", repository).returncode == 2
        third = tmp_path / "third"
        ai_vcs("collab", "start", "parser", third, "--agent", "cid", "-q", "-C", repository)
        shows(MountedView(repository, third), "shared", "by ann\n")
        ai_vcs("umount", third)
    finally:
        for place in (first, second):
            ai_vcs("umount", place)


def test_forgetting_a_view(ann: MountedView, repository: Path):
    assert "mounted" in run_command("forget", "ann", "-C", repository).stderr
    (ann.path / "only.log").write_text("local\n")
    (ann.path / "shared").write_text("published\n")
    published(ann, "shared")
    git("add", "shared", cwd=ann.path)
    ann.unmount()
    refused = run_command("forget", "ann", "-C", repository)
    assert refused.returncode == 5
    assert "only.log" in refused.stderr
    ai_vcs("forget", "ann", "--force", "-C", repository)
    assert not (ann.store / "views" / "ann").exists()
    assert run_command("forget", "ann", "-C", repository).returncode == 12
    assert json.loads(ai_vcs("views", repository, "--json"))["views"] == []
    assert "shared" in ai_vcs("status", "--stream", "main", "-C", repository)


def test_views_on_different_streams_are_apart(repository: Path, tmp_path: Path, mounted: Mounts, ann: MountedView):
    bob = mounted(repository, tmp_path / "bob", "--agent", "bob", "--new-stream", "topic", "--from", "main")
    edit(ann, "line 1\n", "ann's\n")
    edit(bob, "line 1\n", "bob's\n")
    (bob.path / "bobs").write_text("bob's\n")
    published(bob, "bobs")
    assert read(ann).startswith("ann's\n")
    assert read(bob).startswith("bob's\n")
    assert not (ann.path / "bobs").exists()
    assert changed(ann) == ["text"]
    assert changed(bob) == ["bobs", "text"]
