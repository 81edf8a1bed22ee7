"""Ending a view: unmount, wait for its process, and say who is in the way."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.mounts import mount_at
from anvcs.store import Store
from anvcs.views import Process, Views, ViewSpec, view_of
from anvcs_tools.waiting import is_readable

_PATIENCE_S = 60.0
_LISTED = 8


class NotMounted(AnvcsError):
    """No view is mounted at the directory."""

    def __init__(self, place: Path) -> None:
        super().__init__(f"no view is mounted at {place}")
        self.place = place


class ViewBusy(AnvcsError):
    """Programs are in the view."""

    def __init__(self, place: Path, holders: list["Holder"]) -> None:
        shown = ", ".join(f"{holder.pid} ({holder.name})" for holder in holders[:_LISTED])
        more = f" and {len(holders) - _LISTED} more" if len(holders) > _LISTED else ""
        who = f"in use by process {shown}{more}" if holders else "in use (by a process that you can't see)"
        super().__init__(f"{place} is {who}; leave it, or use --lazy")
        self.place, self.holders = place, holders


class UnmountFailed(AnvcsError):
    """fusermount3 refused for another reason than use."""

    def __init__(self, place: Path, complaint: str) -> None:
        super().__init__(f"can't unmount {place}: {complaint}")
        self.place = place


class ServerLingers(AnvcsError):
    """The view is unmounted and its process has not ended in time."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"unmounted, but process {pid} has not ended after {_PATIENCE_S:.0f} s")
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that uses a view."""

    pid: int
    name: str


def unmount(place: Path, *, lazy: bool = False) -> ViewSpec | None:
    """Unmount the view at *place* and wait until its process has ended; returns which view it was."""
    mount = mount_at(place)
    if mount is None or not mount.is_view:
        raise NotMounted(place)
    spec = view_of(mount)
    process = Views(Store(spec.common_dir)).process(spec.name) if spec else None
    # A stale mount is always detached lazily: who still stands in it gets ENOTCONN either way.
    _fusermount(place, lazy=lazy or (spec is not None and process is None))
    if process is not None and not lazy:
        wait_for_end(process)
    return spec


def detach(place: Path) -> None:
    """Take a dead view's mount away."""
    _fusermount(place, lazy=True)


def wait_for_end(process: Process) -> None:
    """Wait until *process* has ended: by then everything is on disk."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # The number may be somebody else's by now: then ours has ended.
        if process.alive and not is_readable(descriptor, _PATIENCE_S):
            raise ServerLingers(process.pid)
    finally:
        os.close(descriptor)


def _fusermount(place: Path, *, lazy: bool) -> None:
    done = subprocess.run(
        ["fusermount3", "-uz" if lazy else "-u", str(place)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
        cwd="/",
        check=False,
    )
    if done.returncode == 0:
        return
    complaint = done.stderr.strip()
    if "busy" in complaint.lower():
        raise ViewBusy(place, list(holders(place)))
    raise UnmountFailed(place, complaint.removeprefix("fusermount3: ") or f"fusermount3 exited {done.returncode}")


def holders(place: Path) -> Iterator[Holder]:
    """Processes with a directory, file or program in the view, as far as we may look.

    Only links in /proc are read: the view itself is not asked.
    """
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid() and _uses(folder, str(place)):
            try:
                name = (folder / "comm").read_text(errors="replace").strip()
            except OSError:  # it has just ended
                continue
            yield Holder(int(folder.name), name)


def _uses(folder: Path, place: str) -> bool:
    links = [folder / name for name in ("cwd", "root", "exe")]
    try:
        links += (folder / "fd").iterdir()
    except OSError:  # another user's process, or one that has just ended
        pass
    for link in links:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target == place or target.startswith(place + "/"):
            return True
    try:
        return f" {place}/" in (folder / "maps").read_text(errors="surrogateescape")
    except OSError:
        return False
