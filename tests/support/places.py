"""The same test on a plain directory and in a view: the ``place`` fixture.

In a view there are three kinds of files, and each must behave as on a plain directory:
*tracked* ones (in the base commit), *new* ones (shared, not committed yet) and *local*
ones (ignored by Git).  A test gets a directory of its own that holds the same things at
every place.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs
from support.fixtures import Mounts, _managed
from support.programs import git
from support.watchdog import Watchdog

TEXT = b"alpha\nbeta\ngamma\n"
DATA = bytes(range(256)) * 20
_DIRECTORIES = 900
KINDS = ("native", "tracked", "new", "local")


@dataclass(frozen=True, slots=True)
class Place:
    """A directory of the test's own; ``kind`` is one of ``KINDS``."""

    path: Path
    kind: str
    view: MountedView | None

    @property
    def is_view(self) -> bool:
        """Whether our file system serves it."""
        return self.view is not None

    def __truediv__(self, name: str) -> Path:
        return self.path / name


def populate(top: Path) -> Path:
    """What each place holds before a test: text, data, an empty file, a program, a link, a directory."""
    top.mkdir(parents=True, exist_ok=True)
    (top / "text").write_bytes(TEXT)
    (top / "data").write_bytes(DATA)
    (top / "empty").write_bytes(b"")
    (top / "run").write_bytes(b"#!/bin/sh\necho ran\n")
    (top / "run").chmod(0o755)
    (top / "link").symlink_to("text")
    (top / "sub").mkdir()
    (top / "sub" / "inner").write_bytes(b"inner\n")
    return top


def make_places_repository(path: Path) -> Path:
    """A bare repository with the same populated directory many times over, ``local/`` ignored."""
    work = path.with_name("work")
    populate(work / "one")
    git("init", "-q", "--bare", "-b", "main", str(path), cwd=work)
    bare = {"GIT_DIR": str(path), "GIT_WORK_TREE": str(work)}
    git("add", "-A", cwd=work, env=bare)
    one = git("rev-parse", git("write-tree", cwd=work, env=bare) + ":one", cwd=path)
    ignore = git("hash-object", "-w", "--stdin", cwd=path, stdin="/local/\n")
    lines = [f"100644 blob {ignore}\t.gitignore"]
    lines += [f"040000 tree {one}\tt{number:03}" for number in range(_DIRECTORIES)]
    tree = git("mktree", cwd=path, stdin="\n".join(lines) + "\n")
    commit = git("commit-tree", "-m", "places", tree, cwd=path)
    git("update-ref", "refs/heads/main", commit, cwd=path)
    return path


@pytest.fixture(scope="session")
def _places_mounts(watchdog: Watchdog) -> Iterator[Mounts]:
    yield from _managed(watchdog)


@pytest.fixture(scope="session")
def places_view(_places_mounts: Mounts, tmp_path_factory: pytest.TempPathFactory) -> MountedView:
    """The view that all tests of behaviour share."""
    top = tmp_path_factory.mktemp("places")
    repository = make_places_repository(top / "places.git")
    ai_vcs("init", repository)
    return _places_mounts(repository, top / "view", init=False)


_numbers = itertools.count()


@pytest.fixture(params=[kind if kind == "native" else pytest.param(kind, marks=pytest.mark.fuse) for kind in KINDS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A populated directory: native, or in a view in each of the three kinds."""
    kind = request.param
    if kind == "native":
        return Place(populate(tmp_path / "place"), kind, None)
    view: MountedView = request.getfixturevalue("places_view")
    if not view.alive:
        view.remount()  # a test that killed it must not fail the others
    number = next(_numbers)
    if kind == "tracked":
        return Place(view.path / f"t{number % _DIRECTORIES:03}", kind, view)
    top = view.path / ("local" if kind == "local" else "fresh") / f"n{number}"
    return Place(populate(top), kind, view)
