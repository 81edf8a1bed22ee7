"""A view's request handlers with a kernel in memory."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anvcs.base_tree import GitBaseTree
from anvcs.git.objects import ObjectStore
from anvcs.git.refs import Refs
from anvcs.git.skeleton import Skeleton
from anvcs.model.room import Author
from anvcs.rooms.room import Room
from anvcsfs.table import Table
from anvcsfs.view import Limits, View
from support.fake_kernel import FakeKernel
from support.programs import git

EPOCH_NS = 10**18
FILES = {
    ".gitignore": "*.log\nbuild/\n",
    "main.py": "one\ntwo\nthree\n",
    "other.py": "other\n",
    "src/a.py": "a\n",
    "src/b.py": "b\n",
    "src/deep/c.py": "c\n",
}


@pytest.fixture(scope="session")
def handled_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit of `FILES`, a program and a link; tests only read it."""
    path = tmp_path_factory.mktemp("handlers") / "repository"
    git("init", "-q", "-b", "main", str(path), cwd=path.parent)
    for name, text in FILES.items():
        file = path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    (path / "link").symlink_to("main.py")
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "start", cwd=path)
    return path


MakeKernel = Callable[..., FakeKernel]


@pytest.fixture
def make_kernel(handled_repository: Path, tmp_path: Path) -> Iterator[MakeKernel]:
    """A view on the repository; called again it is the same one after a remount."""
    store = ObjectStore(handled_repository / ".git")
    opened: list[tuple[View, Skeleton]] = []

    def close() -> None:
        for view, skeleton in opened:
            view.close()
            skeleton.close()
        opened.clear()

    def make(*, read_only: bool = False, **limits: float) -> FakeKernel:
        close()
        refs, folder = Refs(store), tmp_path / "view"
        folder.mkdir(exist_ok=True)
        skeleton = Skeleton(store.common_dir, folder / "skeleton.git", folder / "skeleton")
        author = Author(agent="tester")
        room = Room.open(
            tmp_path / "room.sqlite",
            tree=GitBaseTree(store, skeleton),
            objects=tmp_path / "objects",
            author=author,
            base=refs.get("refs/heads/main"),
        )
        view = View(
            folder=folder,
            mountpoint="/nowhere",
            git=store,
            refs=refs,
            room=room,
            skeleton=skeleton,
            author=author,
            stream="main",
            detached=False,
            epoch_ns=EPOCH_NS,
            uid=os.getuid(),
            gid=os.getgid(),
            limits=Limits(**limits),
            read_only=read_only,
        )
        opened.append((view, skeleton))
        return FakeKernel(Table(view))

    yield make
    close()


@pytest.fixture
def kernel(make_kernel: MakeKernel) -> FakeKernel:
    """A view in which nothing is published by itself."""
    return make_kernel(publish_s=3600.0)


@pytest.fixture
def hasty(make_kernel: MakeKernel) -> FakeKernel:
    """A view in which new files may be published at once."""
    return make_kernel(publish_s=0.0)
