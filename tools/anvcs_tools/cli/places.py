"""Where a command works: inside a mounted view, or on a repository without one."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anvcs.errors import AnvcsError
from anvcs.mounts import mount_of
from anvcs.views import ViewSpec, view_of

if TYPE_CHECKING:
    from anvcs.repository import Repository


class PathOutside(AnvcsError):
    """A path that is not in the view or work tree."""

    def __init__(self, path: str, top: Path) -> None:
        super().__init__(f"{path} is not in {top}")
        self.path, self.top = path, top


class ViewStale(AnvcsError):
    """The command was called in a view whose process is gone."""

    def __init__(self, mountpoint: Path) -> None:
        super().__init__(f"the view at {mountpoint} has lost its process; `ai-vcs mount` there brings it back")
        self.mountpoint = mountpoint


class NotInWorkTree(AnvcsError):
    """Paths were given where there is no tree to find them in."""

    def __init__(self) -> None:
        super().__init__("a bare repository has no files to name: run this in a view")


@dataclass(frozen=True, slots=True)
class Place:
    """What a command works on."""

    repository: "Repository"
    view: ViewSpec | None
    """The mounted view that the command was called in."""
    stream: str

    @property
    def control(self) -> Path | None:
        """The directory of the view's control files."""
        return self.view.mountpoint / ".anvcs" if self.view else None

    def relative(self, paths: Sequence[str], start: Path) -> list[bytes]:
        """*paths* as the tree has them; *start* is where relative ones begin."""
        if not paths:
            return []
        top = self.view.mountpoint if self.view else self.repository.info.work_tree
        if top is None:
            raise NotInWorkTree
        return [_inside(os.fspath(start / path), Path(os.path.realpath(top))) for path in paths]

    def has(self, path: bytes) -> bool:
        """Whether something is at *path*: in the view, or without one in the stream's last commit."""
        if not path:
            return True
        if self.view is not None:
            return os.path.lexists(os.fsencode(self.view.mountpoint) + b"/" + path)
        head = self.repository.refs.get(f"refs/heads/{self.stream}")
        objects = self.repository.objects
        return head is not None and objects.find(objects.tree_of(head), path) is not None


def _inside(path: str, top: Path) -> bytes:
    # Only what lies above the last component is resolved: a symlink is itself a path of the tree.
    parent, name = os.path.split(os.path.normpath(path))
    place = Path(os.path.realpath(parent), name)
    if place == top:
        return b""
    try:
        return os.fsencode(place.relative_to(top))
    except ValueError:
        raise PathOutside(path, top) from None


def _look(here: Path) -> "tuple[ViewSpec | None, Repository]":
    from anvcs.repository import Repository

    mount = mount_of(here)
    view = view_of(mount) if mount is not None else None
    return view, Repository.open(view.common_dir if view else here)


def find_place(arguments: argparse.Namespace, *, needs_stream: bool = True) -> Place:
    """Where ``-C`` or the current directory is; ``--stream`` leaves the view for the room itself.

    A command that *needs_stream* not has a place where HEAD is on no branch, too: its stream is empty then.

    Outside of every repository it is where the first path is that the command names.
    """
    from anvcs.git.setup import NotARepository

    here = Path(os.path.realpath(arguments.repo))
    paths = getattr(arguments, "paths", None) or [getattr(arguments, "path", None)]
    try:
        view, repository = _look(here)
    except NotARepository:
        if not paths[0]:
            raise
        view, repository = _look(Path(os.path.realpath((here / paths[0]).parent)))
    named = getattr(arguments, "stream", None)
    if view is not None and repository.views.process(view.name) is None:
        raise ViewStale(view.mountpoint)
    shown = repository.stream_of(view) if view else ""
    if view is not None and named in {None, shown}:
        return Place(repository, view, shown)
    if not needs_stream and named is None:
        return Place(repository, None, "")
    return Place(repository, None, repository.check_stream(named or repository.default_stream))
