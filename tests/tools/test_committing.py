"""Commits that are planned while the room is in use."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anvcs.committing import Committer
from anvcs.git.objects import ObjectStore
from anvcs.model.request import CommitRequest
from anvcs.model.room import Author
from anvcs.note_queue import NoteQueue
from anvcs.repository import OpenRoom, Repository
from anvcs.work_in_progress import WorkInProgress
from anvcs_tools.bench.views import ai_vcs
from support.programs import git

_REQUEST = CommitRequest(message="all of it")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "repository"
    git("init", "-q", "-b", "main", str(path), cwd=tmp_path)
    for name in ("a", "b", "c"):
        (path / name).write_text(f"{name}\n")
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "start", cwd=path)
    ai_vcs("init", path)
    return Repository.open(path)


@pytest.fixture
def opened(repository: Repository) -> Iterator[OpenRoom]:
    """The room of ``main``, with work of two agents."""
    with repository.room("main", Author(agent="ann", view="ann")) as opened:
        opened.room.write(b"a", b"a\nann's\n")
        opened.room.write(b"b", b"bob's\n", author=Author(agent="bob", view="bob"))
        opened.room.write(b"a", b"a\nann's\nmore\n")
        opened.room.remove(b"c")
        yield opened


@pytest.fixture
def committer(repository: Repository, opened: OpenRoom) -> Committer:
    return Committer(
        git=repository.objects,
        refs=repository.refs,
        skeleton=opened.skeleton,
        queue=NoteQueue(repository.store.root / "queue" / "notes"),
        mirror=None,
        admin_dir=repository.info.git_dir,
        work_dir=None,
        agent="ann",
        model="",
    )


def test_a_plan_through_another_window_is_the_same(opened: OpenRoom, committer: Committer):
    here = committer.prepare(opened.room, _REQUEST, stream="main")
    apart = committer.prepare_apart(opened.room, _REQUEST, stream="main")
    assert replace(apart, started_s=here.started_s) == here
    assert {one.agent for one in apart.contributors} == {"ann", "bob"}
    assert len(apart.inputs) == 3


def test_what_a_commit_costs_to_plan(opened: OpenRoom, committer: Committer):
    assert opened.room.uncommitted == (3, 4)
    result = committer.execute(committer.prepare(opened.room, _REQUEST, stream="main"))
    opened.room.move_base(result.commit, keep=True)
    assert opened.room.uncommitted == (0, 0)
    opened.room.write(b"a", b"again\n")
    assert opened.room.uncommitted == (1, 1)


def test_which_commit_took_an_agents_work_along(opened: OpenRoom, committer: Committer):
    before = opened.room.base
    first = committer.execute(committer.prepare(opened.room, _REQUEST, stream="main")).commit
    opened.room.move_base(first, keep=True)
    assert committer.find_credit("bob", first, before) == first
    assert committer.find_credit("bob", first, first) is None
    assert committer.find_credit("ann", first, before) is None  # its author
    assert committer.find_credit("", first, before) is None
    opened.room.write(b"a", b"ann's again\n")
    second = committer.execute(committer.prepare(opened.room, _REQUEST, stream="main")).commit
    assert committer.find_credit("bob", second, before) == first


def test_a_room_is_saved_from_a_thread_while_it_is_written(
    repository: Repository, opened: OpenRoom, committer: Committer
):
    failures: list[BaseException] = []
    work = WorkInProgress(repository.objects, repository.refs, committer)

    def save() -> None:
        try:
            for _ in range(5):
                work.save_room(opened.room, "main")
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    worker = threading.Thread(target=save)
    worker.start()
    for number in range(50):
        opened.room.write(b"a", b"a\n%d\n" % number)
    worker.join(30)
    assert not failures
    work.save_room(opened.room, "main")
    top = repository.info.git_dir
    assert git("show", "refs/anvcs/wip/main:a", cwd=top) == "a\n49"
    assert git("ls-tree", "--name-only", "refs/anvcs/wip/main", cwd=top).split() == ["a", "b"]


def test_large_files_are_not_saved_with_work_in_progress(
    repository: Repository, opened: OpenRoom, committer: Committer, monkeypatch: pytest.MonkeyPatch
):
    large = os.urandom(3000)
    opened.room.write(b"model.bin", large)
    opened.room.write(b"small.bin", large[:1000])
    work = WorkInProgress(repository.objects, repository.refs, committer)
    work.save_room(opened.room, "main", most=2000)
    top = repository.info.git_dir
    assert git("ls-tree", "--name-only", "refs/anvcs/wip/main", cwd=top).split() == ["a", "b", "small.bin"]
    name, _, file = git("log", "-1", "--format=%b", "refs/anvcs/wip/main", cwd=top).splitlines()[-1].partition(": ")
    assert name.strip() == "model.bin"
    assert (top / file).read_bytes() == large
    work.save_room(opened.room, "main")
    assert git("cat-file", "-s", "refs/anvcs/wip/main:model.bin", cwd=top) == "3000"
    monkeypatch.delattr(ObjectStore, "write_blob_file")  # nothing large is stored twice
    result = committer.execute(committer.prepare(opened.room, _REQUEST, stream="main"))
    assert git("cat-file", "-s", f"{result.commit.hex()}:model.bin", cwd=top) == "3000"
