"""What the kernel says is mounted where.

Read from ``/proc/self/mountinfo`` only: asking the mount itself would block on a
file server that hangs, our own included.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
SUBTYPE = "anvcsfs"
"""Views appear in the table of mounts as ``fuse.anvcsfs``."""

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table of mounts."""

    path: Path
    kind: str
    """File system type, such as ``ext4`` or ``fuse.anvcsfs``."""
    source: str
    number: int = 0
    """The minor part of its device number: by this the kernel knows a mount of FUSE."""

    @property
    def is_view(self) -> bool:
        """Whether this is a view of ours, answering or not."""
        return self.kind == f"fuse.{SUBTYPE}"


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def mounts(table: Path = MOUNTINFO) -> Iterator[Mount]:
    """Everything mounted, oldest first: of two at one place the later one is seen."""
    for line in os.fsdecode(table.read_bytes()).split("\n"):
        if not line:
            continue
        before, _, after = line.partition(" - ")
        kind, source, *_ = after.split(" ")
        fields = before.split(" ")
        yield Mount(Path(_unescaped(fields[4])), kind, _unescaped(source), int(fields[2].partition(":")[2]))


def mount_at(path: Path) -> Mount | None:
    """The mount whose root is exactly *path* (absolute, without symlinks), or None."""
    found = None
    for mount in mounts():
        if mount.path == path:
            found = mount
    return found


def mount_of(path: Path) -> Mount | None:
    """The mount that holds *path* (absolute, without symlinks), found without touching it."""
    found: Mount | None = None
    for mount in mounts():
        holds = mount.path == path or mount.path in path.parents
        if holds and (found is None or len(mount.path.parts) >= len(found.path.parts)):
            found = mount
    return found


def real_directory(path: Path) -> Path:
    """*path* absolute and without symlinks, found without touching a view that is mounted there.

    A stale view fails every call, and one whose process is stopped hangs them.
    """
    parent, name = os.path.split(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow the last component
    place = Path(os.path.realpath(parent), name)
    mount = mount_at(place)
    return place if mount is not None and mount.is_view else Path(os.path.realpath(place))
