"""Forgetting a view: its folder with local files, its Git directory, what was kept for it."""

import os
from collections.abc import Iterator
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.git import admin
from anvcs.repository import Repository, ViewsInUse
from anvcs.rooms.forking import remove_room
from anvcs.views import ViewSpec, ViewState

_SHOWN = 3


class ViewHasWork(AnvcsError):
    """Forgetting the view would lose what nobody else has."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"the view {name} has {what}: mount it once more, or --force gives that up")
        self.name = name


def forget_view(repository: Repository, name: str, *, force: bool = False) -> None:
    """Delete everything that only the view *name* has; what is in a room stays.

    Raises:
        NoSuchView, ViewsInUse: it is mounted or its process runs.
        ViewHasWork: without *force*, when something in it was never published.
    """
    with repository.views.lock():
        info = repository.views.info(repository.views.load(name))
        if info.state is not ViewState.UNMOUNTED:
            raise ViewsInUse([info.spec.mountpoint])
        if not force:
            what = _own_work(repository, info.spec)
            if what is not None:
                raise ViewHasWork(name, what)
        remove_room(repository.store.room_file(f"~{name}"))
        admin.remove(repository.info.common_dir, info.spec.folder / "git", name)
        repository.views.remove(name)


def _own_work(repository: Repository, spec: ViewSpec) -> str | None:
    if (spec.folder / "aside.json").exists():
        return "the work of a git command that it has not taken in"
    if repository.store.room_file(f"~{spec.name}").exists() and repository.changed_count(f"~{spec.name}"):
        return "uncommitted work on a commit that no stream has"
    files = list(_files(spec.folder / "local"))
    if files:
        more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
        return f"files that only it has ({', '.join(files[:_SHOWN])}{more})"
    return None


def _files(top: Path) -> Iterator[str]:
    for folder, _, names in os.walk(top):
        yield from sorted(os.path.relpath(os.path.join(folder, name), top) for name in names)  # noqa: PTH118 - many
