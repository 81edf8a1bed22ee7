"""``stream``, ``collab`` and ``forget``."""

import argparse
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anvcs.errors import AnvcsError
from anvcs_tools.cli.output import print_json, print_table, say
from anvcs_tools.cli.places import ViewStale

if TYPE_CHECKING:
    from anvcs.repository import Repository
    from anvcs.streams import StreamInfo
    from anvcs.views import ViewSpec


class StreamNotNamed(AnvcsError):
    """An action on one stream was asked for, and none was named."""

    def __init__(self, action: str) -> None:
        super().__init__(f"name the stream: ai-vcs stream {action} NAME")


class NotInView(AnvcsError):
    """A switch was asked for outside a view."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a view is switched from inside it: cd there and run ai-vcs stream switch {shlex.quote(name)}"
        )


class PlaceNotNamed(AnvcsError):
    """A room was to be joined, and nowhere was said where."""

    def __init__(self, room: str) -> None:
        super().__init__(f"say where to mount the view: ai-vcs collab join {shlex.quote(room)} DIR")


@dataclass(frozen=True, slots=True)
class _Here:
    """The repository, and the mounted view that the command was called in."""

    repository: "Repository"
    view: "ViewSpec | None"

    @property
    def stream(self) -> str:
        """What the view shows; outside a view nothing."""
        return self.repository.stream_of(self.view) if self.view is not None else ""


def _here(arguments: argparse.Namespace) -> _Here:
    from anvcs.mounts import mount_of
    from anvcs.repository import Repository
    from anvcs.views import view_of

    path = Path(os.path.realpath(arguments.repo))
    mount = mount_of(path)
    view = view_of(mount) if mount is not None else None
    repository = Repository.open(view.common_dir if view else path)
    if view is not None and repository.views.process(view.name) is None:
        raise ViewStale(view.mountpoint)
    return _Here(repository, view)


def stream(arguments: argparse.Namespace) -> int:
    """List, make, delete streams, or switch a view to one."""
    action: str = arguments.action
    if action == "list":
        return _list(arguments)
    if not arguments.name:
        raise StreamNotNamed(action)
    return {"create": _create, "delete": _delete, "switch": _switch}[action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from anvcs.streams import list_streams

    place = _here(arguments)
    found, here = list_streams(place.repository), place.stream
    if arguments.json:
        print_json({"streams": [_described(each, here) for each in found]})
    elif found:
        print_table(("", "STREAM", "COMMIT", "CHANGED", "VIEWS"), (_row(each, here) for each in found))
    else:
        say("no streams yet: the first commit makes one")
    return 0


def _described(info: "StreamInfo", here: str) -> dict[str, Any]:
    return {
        "stream": info.name,
        "commit": info.commit.hex() if info.commit else None,
        "changed": info.changed,
        "views": list(info.views),
        "default": info.is_default,
        "current": info.name == here,
    }


def _row(info: "StreamInfo", here: str) -> tuple[object, ...]:
    mark = "*" if info.name == here else ""
    commit = info.commit.hex()[:12] if info.commit else "-"
    return mark, info.name, commit, info.changed or "-", ", ".join(info.views) or "-"


def _create(arguments: argparse.Namespace) -> int:
    place = _here(arguments)
    start = arguments.start or place.stream
    commit = place.repository.create_stream(arguments.name, start)
    if arguments.json:
        print_json({"stream": arguments.name, "commit": commit.hex()})
    else:
        say(f"the stream {arguments.name} starts at {commit.hex()[:12]}")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    from anvcs.streams import delete_stream

    place = _here(arguments)
    commit = delete_stream(place.repository, arguments.name, force=arguments.force)
    if arguments.json:
        print_json({"stream": arguments.name, "commit": commit.hex()})
    else:
        say(f"the stream {arguments.name} is deleted; it was at {commit.hex()}")
    return 0


def _switch(arguments: argparse.Namespace) -> int:
    from anvcs_tools.cli.work import ask

    place = _here(arguments)
    if place.view is None:
        raise NotInView(arguments.name)
    left = place.stream
    answer = ask(place.view.mountpoint / ".anvcs" / "stream", {"stream": arguments.name, "create": arguments.create})
    if arguments.json:
        print_json(answer)
    elif answer["switched"]:
        say(f"the view shows {answer['stream']} now; what was not committed stays in {left}")
    else:
        say(f"the view shows {answer['stream']} already")
    return 0


def collab(arguments: argparse.Namespace) -> int:
    """Open a room for others to join, or join one."""
    place = _here(arguments)
    if arguments.action == "join":
        place.repository.check_stream(arguments.room)
        if arguments.dir is None:
            raise PlaceNotNamed(arguments.room)
        return _mount(arguments, place)
    return _start(arguments, place)


def _start(arguments: argparse.Namespace, place: _Here) -> int:
    repository = place.repository
    exists = repository.refs.get(f"refs/heads/{arguments.room}") is not None
    if not exists:
        repository.create_stream(arguments.room, arguments.start or place.stream)
    if arguments.dir is not None:
        return _mount(arguments, place)
    if arguments.json:
        print_json({"room": arguments.room, "created": not exists, "join": _how_to_join(repository, arguments.room)})
    elif not arguments.quiet:
        say(f"the room {arguments.room} is open. Each agent joins it with a view of its own:")
        say(f"  {_how_to_join(repository, arguments.room)}")
    return 0


def _how_to_join(repository: "Repository", room: str) -> str:
    where = shlex.quote(os.fspath(repository.info.work_tree or repository.info.git_dir))
    return f"ai-vcs collab join {shlex.quote(room)} DIR -C {where} --agent NAME"


def _mount(arguments: argparse.Namespace, place: _Here) -> int:
    from anvcs_tools.cli.views import mount

    repository = place.repository
    wanted = argparse.Namespace(
        repo=os.fspath(repository.info.work_tree or repository.info.git_dir),
        dir=arguments.dir,
        stream=arguments.room,
        new_stream=None,
        start=None,
        agent=arguments.agent,
        model=arguments.model,
        name=None,
        foreground=False,
        read_only=False,
        options=[],
        quiet=arguments.quiet,
        json=arguments.json,
        follow=None,
    )
    return mount(wanted)


def forget(arguments: argparse.Namespace) -> int:
    """Forget a view, and delete what only it has."""
    from anvcs.forgetting import forget_view
    from anvcs.repository import Repository

    repository = Repository.open(Path(arguments.repo))
    forget_view(repository, arguments.view, force=arguments.force)
    if arguments.json:
        print_json({"view": arguments.view})
    else:
        say(f"the view {arguments.view} is forgotten")
    return 0
