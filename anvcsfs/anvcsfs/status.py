"""What ``stat`` answers."""

from typing import NamedTuple

FOREVER_S = 1e9
"""Cache lifetime of what only we can change; every such change invalidates exactly."""


class Status(NamedTuple):
    """One inode's attributes, in the units of ``struct stat`` (times in ns)."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    lifetime_s: float
    """How long the kernel may keep these attributes."""


class AttributeChange(NamedTuple):
    """What a SETATTR asks for; ``None`` leaves a field alone."""

    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
