"""What a Git tree says about a name, and what differs between two trees."""

from typing import NamedTuple

from anvcs.model.ids import Oid

REGULAR = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
DIRECTORY = 0o040000
GITLINK = 0o160000


class TreeEntry(NamedTuple):
    """One name in one tree."""

    name: bytes
    mode: int
    oid: Oid


class Leaf(NamedTuple):
    """What a tree holds at a full path that is not a directory."""

    mode: int
    oid: Oid


class TreeChange(NamedTuple):
    """A path (never a directory) whose leaf differs between two trees."""

    path: bytes
    old: Leaf | None
    new: Leaf | None
