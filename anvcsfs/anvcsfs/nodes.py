"""Inodes in memory: what the kernel holds references to.

A `Dir` keeps its children as cheap *sources* (a Git tree entry, a room entry, a
marker) until somebody looks one up; only then does a `Node` exist.  State is keyed
by inode, never by path, so handles and inode numbers survive renames.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from anvcs.model.ids import Oid, Seq
from anvcs.model.room import Entry
from anvcs.model.tree import TreeEntry

if TYPE_CHECKING:
    from anvcsfs.past import PastTree
    from anvcsfs.pins import Pin
    from anvcsfs.working import Working


class Place(IntEnum):
    """Which side of the view a node belongs to."""

    SHARED = 0
    """In the room: tracked or to be tracked."""
    LOCAL = 1
    """Ignored by Git: on the real disk, private to the view."""
    PENDING = 2
    """New and not ignored: on the real disk until it is published to the room."""
    HISTORY = 3
    """A commit's tree: immutable."""
    CONTROL = 4
    """Made by us: ``.anvcs`` and ``.git``."""


class Marker(IntEnum):
    """Sources of children that need no more than their class to become a node."""

    SHARED_DIR = 0
    """A directory that exists because the room has something below it."""
    LOCAL = 1
    """Something on the real disk that Git ignores."""
    PENDING = 2
    """Something on the real disk that is to be published."""
    LOCAL_DIR = 3
    """A directory on the real disk that Git ignores."""


class HistorySource(NamedTuple):
    """A name inside a tree of the past, a commit's or a room's, with that moment's date for times."""

    entry: TreeEntry | Entry
    time_ns: int


class Node:
    """One inode.  ``nlookup`` counts what the kernel owes us in FORGETs."""

    fleeting = False
    """Whether a control node was made for one use."""

    __slots__ = (
        "atime_ns",
        "ctime_ns",
        "gid",
        "ino",
        "mode",
        "mtime_ns",
        "name",
        "nlookup",
        "opens",
        "parent",
        "place",
        "reply",
        "source",
        "uid",
    )

    def __init__(self, ino: int, parent: "Dir | None", name: bytes, place: Place, mode: int) -> None:
        self.ino = ino
        self.parent = parent
        self.name = name
        self.place = place
        self.mode = mode
        self.uid = 0
        self.gid = 0
        self.mtime_ns = 0
        self.ctime_ns = 0
        self.atime_ns = 0
        self.nlookup = 0
        self.opens = 0
        self.reply: Any = None
        """The answer to GETATTR in whatever form the adapter wants it; ``None`` when it must be made anew."""
        self.source: object = None

    @property
    def path(self) -> bytes:
        """Path from the top of the view, computed from the parents."""
        parts = []
        node: Node = self
        while node.parent is not None:
            parts.append(node.name)
            node = node.parent
        parts.reverse()
        return b"/".join(parts)

    @property
    def on_disk(self) -> bool:
        """Whether the bytes and attributes are those of a file on the real disk."""
        return self.place is Place.LOCAL or self.place is Place.PENDING


class Dir(Node):
    """A directory.  ``children`` is ``None`` until the directory is loaded."""

    __slots__ = ("children", "live", "nlink", "overrides", "past", "removed", "tree")

    def __init__(self, ino: int, parent: "Dir | None", name: bytes, place: Place, mode: int) -> None:
        super().__init__(ino, parent, name, place, mode)
        self.children: dict[bytes, object] | None = None
        self.tree: Oid | None = None
        """The base tree's object here, when the directory is shared or history."""
        self.nlink = 2
        self.removed = False
        self.live = 0
        """How many of the children are nodes and not mere sources."""
        self.past: PastTree | None = None
        """Where the children come from in a room of the past."""
        self.overrides = False
        """Whether the attribute store has rows for names here."""


class File(Node):
    """A regular file, symlink or special file."""

    __slots__ = (
        "data",
        "fetched",
        "group",
        "links",
        "opened",
        "pinned",
        "rdev",
        "size",
        "taken",
        "unasked",
        "unlinked",
        "work",
        "writers",
    )

    def __init__(self, ino: int, parent: Dir | None, name: bytes, place: Place, mode: int) -> None:
        super().__init__(ino, parent, name, place, mode)
        self.size = -1
        """Bytes; -1 while not known (then asked of the object header at the first stat)."""
        self.rdev = 0
        self.work: Working | None = None
        """Unsaved or shared-by-handles content of a file that is being written."""
        self.pinned: Pin | None = None
        """What readers still get, although `source` is newer already."""
        self.data: bytes | None = None
        """Content that must outlive its name (unlinked while open)."""
        self.unlinked = False
        self.writers = 0
        """Handles open for writing."""
        self.links: list[tuple[Dir, bytes]] | None = None
        """Further names of a hard link that are in memory."""
        self.group: bytes | None = None
        """Under which id the attribute store lists all names of a shared hard link."""
        self.opened = 0
        """The newest version that was opened for reading."""
        self.fetched = 0
        """The newest version of which the kernel was given bytes."""
        self.taken: Seq | None = None
        """Somebody else took the name away: the last op that still had it.  What is saved then comes back."""
        self.unasked: Seq | None = None
        """Somebody else changed the content after this op, and nobody here has asked about the file since."""
