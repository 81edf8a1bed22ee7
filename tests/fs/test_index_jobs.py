"""Git's index of a view, when the disk was full or the lock held as it was to be brought along."""

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from anvcs.git import indexing
from anvcsfs import indexjobs
from support.handlers import make_handled_repository
from support.programs import git
from support.stations import Station, make_stations


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_handled_repository(tmp_path / "repository")


@pytest.fixture
def view(repository: Path):
    (station,) = make_stations(repository, 1)
    yield station
    station.crash()


@pytest.fixture
def disk_full(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(indexing, "start", no_space)
    return monkeypatch


def no_space(*_args, **_more):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def admin(view: Station) -> Path:
    return view.parts.table.follower.admin_dir


def look(view: Station) -> None:
    """Git opens the view's ``.git``."""
    view.kernel.call(view.parts.table.follower.wait_ready)


def without_index(view: Station) -> None:
    view.crash()
    (admin(view) / "index").unlink()
    view.open()


def a_moment_later(patch: pytest.MonkeyPatch) -> None:
    now = time.monotonic() + 5
    patch.setattr(indexjobs, "time", SimpleNamespace(monotonic=lambda: now))


def staged(view: Station) -> str:
    return git("diff-index", "--cached", "--name-only", "HEAD", cwd=admin(view))


def commit_elsewhere(repository: Path, name: str) -> None:
    """As a push does it."""
    (repository / name).write_text(f"{name}\n")
    git("add", name, cwd=repository)
    tree = git("write-tree", cwd=repository).strip()
    commit = git("commit-tree", "-p", "main", "-m", name, tree, cwd=repository).strip()
    git("update-ref", "refs/heads/main", commit, cwd=repository)


def test_git_does_not_wait_for_an_index_that_cannot_be_made(view, disk_full):
    without_index(view)
    look(view)
    assert not (admin(view) / "index").exists()


def test_an_index_that_could_not_be_made_is_made_when_git_looks_again(view, disk_full):
    without_index(view)
    look(view)
    disk_full.undo()
    a_moment_later(disk_full)
    look(view)
    assert staged(view) == ""


@pytest.mark.parametrize("another", [False, True])
def test_a_commit_that_the_index_missed_is_brought_along_later(view, repository, disk_full, another):
    without_index(view)
    disk_full.undo()
    look(view)
    disk_full.setattr(indexing, "update_after_commit", no_space)
    commit_elsewhere(repository, "first")
    view.hear()
    view.parts.table.follower.index.run()
    assert staged(view) == "first"
    disk_full.undo()
    a_moment_later(disk_full)
    if another:
        commit_elsewhere(repository, "second")
        view.hear()
        view.parts.table.follower.index.run()
    else:
        look(view)
    assert staged(view) == ""
    assert not view.parts.table.follower.index.behind
