"""The streams of a repository: its branches, seen with their rooms and views."""

from collections.abc import Iterable
from dataclasses import dataclass

from anvcs.errors import AnvcsError
from anvcs.git import index_switch
from anvcs.git.program import Git
from anvcs.model.ids import Oid
from anvcs.presence import folder_of
from anvcs.repository import NoSuchStream, Repository
from anvcs.rooms.forking import remove_room
from anvcs.views import ViewInfo, ViewState

_HEADS = "refs/heads/"


class StreamInUse(AnvcsError):
    """A stream is shown by views, or checked out."""

    def __init__(self, name: str, users: Iterable[str], *, mounted: bool) -> None:
        listed = ", ".join(users)
        way_out = (
            "switch them to another stream or unmount them first" if mounted else "--force deletes it all the same"
        )
        super().__init__(f"the stream {name} is in use by {listed}: {way_out}")
        self.name = name


class StreamCheckedOut(AnvcsError):
    """An ordinary checkout stands on the stream."""

    def __init__(self, name: str, where: str) -> None:
        super().__init__(f"the stream {name} is checked out at {where}: switch that directory to another branch first")
        self.name = name


class StreamHasWork(AnvcsError):
    """Deleting a stream would lose work."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"the stream {name} has {what}; --force deletes it all the same")
        self.name = name


class GitAtWork(AnvcsError):
    """A command of Git is changing this view."""

    def __init__(self) -> None:
        super().__init__("a command of Git is at work in this view: try again when it has ended")


class OperationUnderWay(AnvcsError):
    """Git has begun something in this view that a switch would tear apart."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is under way in this view: finish or abort it with git first")
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream and how it stands."""

    name: str
    commit: Oid | None
    """Its last commit; ``None`` before the first."""
    changed: int
    """Paths that are not committed."""
    views: tuple[str, ...]
    """Names of mounted views that show it."""
    is_default: bool
    """Whether the repository's HEAD names it."""


def list_streams(repository: Repository) -> list[StreamInfo]:
    """Every stream, by name."""
    heads = {name.removeprefix(_HEADS): oid for name, oid in repository.refs.list(_HEADS).items()}
    names: dict[str, Oid | None] = dict(heads)
    default = repository.info.head_branch
    if default is not None:
        names.setdefault(default, None)
    shown = _shown(repository)
    return [
        StreamInfo(
            name=name,
            commit=names[name],
            changed=repository.changed_count(name),
            views=tuple(info.spec.name for info in shown.get(name, ()) if info.state is ViewState.MOUNTED),
            is_default=name == default,
        )
        for name in sorted(names)
    ]


def delete_stream(repository: Repository, name: str, *, force: bool = False) -> Oid:
    """Delete the branch *name* with its room; where its last commit was.

    Raises:
        StreamInUse, StreamCheckedOut, StreamHasWork: with *force* only while a mounted view shows it, or a
            checkout stands on it.
    """
    ref = _HEADS + name
    head = repository.refs.get(ref)
    if head is None:
        raise NoSuchStream(name)
    with repository.views.lock():
        _check_unused(repository, name, force=force)
        if not force:
            _check_saved(repository, name, head)
        wip = f"refs/anvcs/wip/{name}"
        saved = repository.refs.get(wip)
        repository.refs.delete(ref, head)
        merge = repository.refs.get(f"refs/anvcs/merges/{name}")  # one that is not concluded goes with its stream
        for kept, commit in ((wip, saved), (f"refs/anvcs/merges/{name}", merge)):
            if commit is not None:
                repository.refs.delete(kept, commit)
        _forget_room(repository, name)
    return head


def _check_unused(repository: Repository, name: str, *, force: bool) -> None:
    from anvcs.git.checkouts import find_checkouts

    views = _shown(repository).get(name, [])
    mounted = [info.spec.name for info in views if info.state is not ViewState.UNMOUNTED]
    if mounted:
        raise StreamInUse(name, mounted, mounted=True)
    if views and not force:
        raise StreamInUse(name, [info.spec.name for info in views], mounted=False)
    for checkout in find_checkouts(repository.info.common_dir, _HEADS + name):
        raise StreamCheckedOut(name, str(checkout.work_tree))


def _check_saved(repository: Repository, name: str, head: Oid) -> None:
    count = repository.changed_count(name)
    if count:
        raise StreamHasWork(name, f"uncommitted work in {count} files")
    git = Git(repository.info.common_dir)
    told = git.run(
        "for-each-ref", "--contains", head.hex(), "--format=%(refname)", _HEADS, "refs/remotes/", "refs/tags/"
    )
    if not [ref for ref in told.out.decode("utf-8", "surrogateescape").splitlines() if ref != _HEADS + name]:
        raise StreamHasWork(name, "commits that no other branch or tag has")


def _forget_room(repository: Repository, name: str) -> None:
    file = repository.store.room_file(name)
    remove_room(file)
    for leftover in (file.with_suffix(".next"), folder_of(file)):
        if leftover.is_dir():
            for each in leftover.iterdir():
                each.unlink()
            leftover.rmdir()
    for info in repository.views.list():
        index_switch.forget(info.spec.folder / "git", name)


def _shown(repository: Repository) -> dict[str, list[ViewInfo]]:
    found: dict[str, list[ViewInfo]] = {}
    for info in repository.views.list():
        found.setdefault(repository.stream_of(info.spec), []).append(info)
    return found
