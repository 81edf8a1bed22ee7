"""``mount``, ``umount`` and ``views``."""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anvcs.git.filter_setup import filter_program
from anvcs.mounts import real_directory
from anvcs_tools.cli.output import print_json, print_table, say
from anvcs_tools.mounting.options import MountOptions, parse_options
from anvcs_tools.mounting.places import check_fuse, check_place, stale_view

if TYPE_CHECKING:
    from anvcs.config import MountConfig
    from anvcs.repository import Repository
    from anvcs.views import ViewInfo, ViewSpec
    from anvcs_tools.mounting.serving import Server


def mount(arguments: argparse.Namespace) -> int:
    """Mount a view; returns when it answers, or when it ends with ``--foreground``."""
    options = parse_options(arguments.options)
    place = real_directory(Path(arguments.dir))
    check_fuse(allow_other=options.flags.get("allow_other", False))
    if arguments.foreground:
        return _serve_here(arguments, options, place)
    from anvcs_tools.mounting.serving import Server

    # First of all: the child imports its libraries while we look at the repository.
    server = Server.start()
    try:
        spec = _mount_with(server, arguments, options, place)
    except BaseException:
        server.cancel()
        raise
    if arguments.json:
        print_json(_mounted(spec, server.pid))
    elif not arguments.quiet:
        _tell_what_to_try(spec)
    return 0


def _mount_with(server: "Server", arguments: argparse.Namespace, options: MountOptions, place: Path) -> "ViewSpec":
    from anvcs.repository import Repository

    repository = Repository.open(Path(arguments.repo))
    _sweep(repository)
    with repository.views.lock():
        spec = _prepare(repository, arguments, options, place)
        try:
            server.serve(spec)
        except BaseException:
            _clear_stale(place)  # it may have died after the kernel had mounted
            raise
    os.statvfs(place)  # never from the kernel's cache: the mount answers
    return spec


def _sweep(repository: "Repository") -> None:
    """Clear away what a killed merge has left mounted."""
    from anvcs import guard_places

    if any((repository.store.root / "views").glob(f"{guard_places.VIEW_PREFIX}*")):
        guard_places.sweep(repository)


def _serve_here(arguments: argparse.Namespace, options: MountOptions, place: Path) -> int:
    from anvcs.repository import Repository
    from anvcs_tools.mounting.serving import serve_here

    repository = Repository.open(Path(arguments.repo))
    with repository.views.lock():
        spec = _prepare(repository, arguments, options, place)
        # The lock ends here: it can't be held for as long as the view lives.
        repository.views.claim(spec.name)
    return serve_here(spec)


def _prepare(repository: "Repository", arguments: argparse.Namespace, options: MountOptions, place: Path) -> "ViewSpec":
    """Check the place and find or make the view that belongs there."""
    _wait_for_ending(repository, place)
    _clear_stale(place)
    check_place(place, repository.own_trees)
    given = options.values
    name = arguments.name or given.get("name", "")
    new = arguments.new_stream or given.get("new_stream", "")
    wanted = new or arguments.stream or given.get("stream", "")
    known = repository.view_for(place, name=name, stream=wanted)
    if new:
        repository.create_stream(new, arguments.start or given.get("from", ""))
    # A view that is mounted again shows what it showed, also after a `git switch` inside it.
    stream = wanted or (repository.stream_of(known) if known else repository.default_stream)
    repository.check_stream(stream)
    config = repository.config(stream)
    for warning in config.warnings:
        say(f"warning: {warning}")
    if config.blobs.track or config.blobs.max_git_size:
        repository.use_filter(filter_program(), config.blobs)
    old_agent, old_model = (known.agent, known.model) if known else ("", "")
    return repository.ensure_view(
        known,
        name=name,
        mountpoint=place,
        stream=stream,
        agent=arguments.agent or given.get("agent", "") or old_agent or config.agent.name,
        model=arguments.model or given.get("model", "") or old_model or config.agent.model,
        uid=os.getuid(),
        gid=os.getgid(),
        read_only=arguments.read_only or options.read_only,
        follow=arguments.follow or given.get("follow", "") or (known.follow if known else "live"),
        options=_flags(config.mount, options),
    )


def _flags(configured: "MountConfig", options: MountOptions) -> dict[str, bool]:
    flags = {
        name: getattr(configured, name) for name in ("allow_other", "default_permissions", "xattr")
    } | options.flags
    if flags["allow_other"]:
        check_fuse(allow_other=True)
    return flags


def _wait_for_ending(repository: "Repository", place: Path) -> None:
    """A view that was unmounted a moment ago may still be writing: its process owns the folder until it ends."""
    from anvcs.views import ViewState
    from anvcs_tools.mounting.unmounting import wait_for_end

    info = repository.views.at(place)
    # We hold the lock of mounting, so it isn't on its way up.
    if info is not None and info.process is not None and info.state is ViewState.STARTING:
        wait_for_end(info.process)


def _clear_stale(place: Path) -> None:
    if stale_view(place) is not None:
        from anvcs_tools.mounting.unmounting import detach

        detach(place)
        say(f"the view at {place} had lost its process: its mount is cleared away")


def _mounted(spec: "ViewSpec", pid: int) -> dict[str, Any]:
    return {
        "view": spec.name,
        "mountpoint": str(spec.mountpoint),
        "stream": spec.stream,
        "agent": spec.agent,
        "model": spec.model,
        "read_only": spec.read_only,
        "pid": pid,
    }


def _tell_what_to_try(spec: "ViewSpec") -> None:
    place = shlex.quote(str(spec.mountpoint))
    say(f"{spec.mountpoint} is the stream {spec.stream} (view {spec.name}). To try next:")
    if folder := _unknown_folder():
        say(f'  export PATH="{folder}:$PATH"      for the shell to find this ai-vcs')
    say(f"  cd {place}")
    say("  ls .anvcs .anvcs/refs/heads          every branch and commit is a directory")
    say('  ai-vcs status; ai-vcs commit -m "what I did"')
    say("  git status; git log                  Git works as ever")
    say(f"  ai-vcs umount {place}")


def _unknown_folder() -> Path | None:
    """Where this command lies, when the shell would find none of this name or another one."""
    own = Path(sys.argv[0]).absolute()
    if own.name != "ai-vcs" or not own.exists():  # `python -m`
        return None
    found = shutil.which("ai-vcs")
    return None if found is not None and Path(found).samefile(own) else own.parent


def umount(arguments: argparse.Namespace) -> int:
    """Unmount and wait until everything is on disk."""
    from anvcs_tools.mounting.unmounting import unmount

    place = real_directory(Path(arguments.dir))
    spec = unmount(place, lazy=arguments.lazy)
    if arguments.json:
        print_json({"view": spec.name if spec else None, "mountpoint": str(place)})
    elif not arguments.quiet:
        say(f"{place} is unmounted")
    return 0


def views(arguments: argparse.Namespace) -> int:
    """List the views."""
    from anvcs.repository import Repository

    repository = Repository.open(Path(arguments.repo))
    _sweep(repository)
    infos = repository.views.list()
    changed: dict[str, int] = {}
    for info in infos:
        stream = repository.stream_of(info.spec)
        if stream not in changed:
            changed[stream] = repository.changed_count(stream)
    described = [_described(info, repository.stream_of(info.spec), changed) for info in infos]
    if arguments.json:
        print_json({"views": described})
    elif infos:
        head = ("VIEW", "STREAM", "AGENT", "PID", "STATE", "CHANGED", "WHERE")
        print_table(head, map(_row, described))
    else:
        say("no views yet; `ai-vcs mount DIR` makes one")
    return 0


def _described(info: "ViewInfo", stream: str, changed: dict[str, int]) -> dict[str, Any]:
    return {
        "view": info.spec.name,
        "mountpoint": str(info.spec.mountpoint),
        "stream": stream,
        "agent": info.spec.agent,
        "model": info.spec.model,
        "read_only": info.spec.read_only,
        "pid": info.process.pid if info.process else None,
        "state": info.state.value,
        "changed": changed[stream],
    }


def _row(view: dict[str, Any]) -> tuple[object, ...]:
    names = ("view", "stream", "agent", "pid", "state", "changed", "mountpoint")
    return tuple("-" if view[name] in {None, ""} else view[name] for name in names)
