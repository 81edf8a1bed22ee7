"""Values of a room: its entries and its recorded ops."""

from dataclasses import dataclass
from enum import IntEnum

from anvcs.model.ids import FileId, Oid, Seq


class Content(IntEnum):
    """Where the bytes of an entry are.  Numbers are part of the on-disk format."""

    GIT = 0
    """A Git blob; ``ref`` is its 20-byte id.  Shown as ``git checkout`` would write it."""
    TEXT = 1
    """A CRDT document of the room; ``ref`` is empty, or CRLF for a file whose lines all end so."""
    OPAQUE = 2
    """A whole value in the store's ``objects/``; ``ref`` is its 32-byte SHA-256."""
    INLINE = 3
    """The bytes themselves (symlink targets); ``ref`` is the content."""
    NONE = 4
    """Nothing to read: directories and submodules (``ref``: the pinned commit or empty)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One changed path of a room.  ``mode`` is a Git mode, sizes are bytes as the view shows them."""

    id: FileId
    path: bytes | None
    """Where the file is now; ``None`` says it is deleted."""
    base_path: bytes | None
    """Which path of the base tree this entry covers; ``None`` for a file the base lacks."""
    mode: int
    content: Content
    ref: bytes
    size: int
    mtime_ns: int
    seq: Seq
    """The last op that changed this entry."""
    content_seq: Seq
    """The last op that changed its bytes: names a version of the content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who writes: recorded with each op and in provenance."""

    agent: str
    model: str = ""
    view: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRecord:
    """One op as the log tells it to a reader (``.anvcs/ops``)."""

    seq: Seq
    time_ns: int
    agent: str
    view: str
    kind: str
    """``edit`` ``put`` ``create`` ``delete`` ``rename`` ``exchange`` ``mode`` ``touch`` ``mkdir`` ``rmdir`` ``base`` …"""
    path: bytes
    old_path: bytes | None = None
    added: int = 0
    """Lines added."""
    removed: int = 0
    """Lines removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What one catch-up or one write changed in the effective tree, for invalidation."""

    seq: Seq
    paths: tuple[bytes, ...]
    """Paths whose existence, attributes or content changed, both ends of a rename included."""
    base: Oid | None
    conflicts: bool = False
    """Whether conflicts were found or resolved."""
    at: bytes | None = None
    """Where the written, made or renamed file is, when another name than the asked one was due."""
    kept: bool = False
    """Whether a deletion yielded to work that its author had not seen."""
    left: tuple[Entry, ...] = ()
    """Entries that another process's op took out of the room, as they were."""
    renamed: tuple[bytes, bytes] | None = None
    """Old and new path, when another process renamed a file or directory."""
    exchanged: bool = False
    """Whether what was at the new path is at the old one now."""
