"""What a room tells about itself: what a directory shows, what differs, who did it."""

from collections.abc import Mapping
from dataclasses import dataclass

from anvcs.model.room import Entry
from anvcs.model.tree import Leaf


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a room lays over one directory of its base.

    A name can be in more than one part: the entries are looked at first, then
    ``dirs``, then ``hidden``; what is in none of them is as in the base.
    """

    entries: Mapping[bytes, Entry]
    """Files, links and explicit directories directly here, by name."""
    dirs: frozenset[bytes]
    """Names that are directories because something of the room lives below."""
    hidden: frozenset[bytes]
    """Names of the base that are not shown: moved, deleted, or emptied directories."""


@dataclass(frozen=True, slots=True)
class PathChange:
    """How one path differs from the base, as a commit or a status tells it."""

    path: bytes
    status: str
    """``A`` added, ``M`` modified, ``D`` deleted, ``T`` of another type."""
    entry: Entry | None
    """What is there now; ``None`` for a deletion."""
    old: Leaf | None
    """What the base has there; ``None`` for an addition."""
    renamed_from: bytes | None = None
    """The base path whose file this is, when it is another one."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one agent did to the files that are not committed yet."""

    agent: str
    model: str
    added: int
    """Lines added."""
    removed: int
    """Lines removed."""
    paths: tuple[bytes, ...]
