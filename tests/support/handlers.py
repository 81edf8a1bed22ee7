"""A view's request handlers wired without a mount."""

import os
from pathlib import Path

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


def write_files(top: Path) -> None:
    """`FILES`, a program and a link."""
    for name, text in FILES.items():
        file = top / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "link").symlink_to("main.py")


def make_handled_repository(path: Path) -> Path:
    """A repository with one commit of `write_files`."""
    git("init", "-q", "-b", "main", str(path), cwd=path.parent)
    write_files(path)
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "start", cwd=path)
    return path


class Remounts:
    """One view of a repository; each call serves it anew, as after a remount."""

    def __init__(self, repository: Path, top: Path) -> None:
        self._store = ObjectStore(repository / ".git")
        self._top = top
        self._opened: list[tuple[View, Skeleton]] = []

    def close(self) -> None:
        """Let go of the view."""
        while self._opened:
            view, skeleton = self._opened.pop()
            view.close()
            skeleton.close()

    def __call__(self, *, read_only: bool = False, **limits: float) -> FakeKernel:
        self.close()
        top, store, refs = self._top, self._store, Refs(self._store)
        folder = top / "view"
        folder.mkdir(exist_ok=True)
        skeleton = Skeleton(store.common_dir, folder / "skeleton.git", folder / "skeleton")
        author = Author(agent="tester")
        room = Room.open(
            top / "room.sqlite",
            tree=GitBaseTree(store, skeleton),
            objects=top / "objects",
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
        self._opened.append((view, skeleton))
        return FakeKernel(Table(view))
