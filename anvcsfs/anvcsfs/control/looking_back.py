"""``.anvcs/at`` and ``.anvcs/blame``: what the room was, and who wrote what it is."""

import stat as st
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from anvcs.attribution import Attribution, NoText, NothingAt, blame_text
from anvcs.model.ids import Seq
from anvcs.model.moment import BadMoment, Moment, parse_moment
from anvcs.rooms.room import Room
from anvcs.rooms.snapshots import Past, Snapshot
from anvcsfs.attributes import join
from anvcsfs.control_nodes import ControlDir, ControlFile
from anvcsfs.errnos import errno_of
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, Node, Place
from anvcsfs.past import PastTree

if TYPE_CHECKING:
    from anvcsfs.table import Table

_LISTED = 20
"""How many of the last ops ``at/`` lists; any other moment can still be entered."""
_KEPT = 64
"""Directories of moments and texts of blame that are kept."""
_SNAPSHOTS = 8
"""Rooms of the past that are kept: each knows all that was changed then."""


class BlameFile(ControlFile):
    """Who wrote each line of one file; made when somebody asks, dropped after it."""

    __slots__ = ()
    fleeting = True


class BlameDir(ControlDir):
    """A directory of the view, of whose files somebody asks who wrote them."""

    __slots__ = ()
    fleeting = True


class LookingBack:
    """Makes the two directories.  What takes time runs on a window of its own, in a thread."""

    def __init__(self, table: "Table", number: Callable[[], int]) -> None:
        self._table = table
        self._view = table.view
        self._number = number
        self._attribution = Attribution(table.view.git, table.view.refs)
        self._snapshots: dict[tuple[Path, Seq], Snapshot] = {}
        self._roots: dict[tuple[Path, Seq, bytes], Dir] = {}
        self._blames: dict[bytes, tuple[object, bytes | OSError]] = {}
        self._nodes: dict[bytes, Node] = {}

    # at

    def at(self, top: Dir) -> ControlDir:
        """``at/``: the room at any moment that its log still holds."""
        return ControlDir(self._number(), top, b"at", self._moment, self._recent)

    def _recent(self) -> list[bytes]:
        last = self._view.room.seq
        return [b"%d" % seq for seq in range(max(self._view.room.floor, last - _LISTED + 1), last + 1)]

    def _moment(self, parent: ControlDir, name: bytes) -> Node | None:
        room = self._view.room
        try:
            seq = room.seq_at(parse_moment(name.decode("ascii")))
        except (BadMoment, UnicodeDecodeError):
            return None
        if seq is None:
            return None
        key = (room.file, seq, name)
        known = self._roots.get(key)
        if known is not None and self._table.inodes.has(known):
            return known
        node = Dir(self._number() | (1 << 32), parent, name, Place.HISTORY, st.S_IFDIR | 0o755)
        node.past = PastTree(lambda: self._snapshot(room, seq))
        self._own(node, room.time_of(seq) or self._view.epoch_ns)
        _make_room(self._roots)
        self._roots[key] = node
        return node

    def _snapshot(self, room: Room, seq: Seq) -> Snapshot:
        """The room right after op *seq*.

        Raises:
            Later: the log has to be read first.
        """
        key = (room.file, seq)
        known = self._snapshots.get(key)
        if known is not None:
            return known

        def read() -> None:
            with room.reader() as reader:
                past = reader.past(Moment(seq, None))
            _make_room(self._snapshots, _SNAPSHOTS)
            self._snapshots[key] = room.snapshot(past or Past(seq, 0, None, ()))

        raise Later(read)

    # blame

    def blame(self, top: Dir) -> ControlDir:
        """``blame/``: the view's tree, with who wrote each line in the place of the files."""
        return ControlDir(
            self._number(), top, b"blame", lambda here, name: self._blamed(here, b"", name), self._names(b"")
        )

    def _names(self, path: bytes) -> Callable[[], list[bytes]]:
        def names() -> list[bytes]:
            inodes = self._table.inodes
            directory = inodes.walk(path)
            if directory is None:
                return []
            found = [name for name in inodes.names(directory) if path or name not in inodes.fixed]
            inodes.drop_if_unused(directory)
            return found

        return names

    def _blamed(self, parent: ControlDir, directory: bytes, name: bytes) -> Node | None:
        inodes, path = self._table.inodes, join(directory, name)
        home = inodes.walk(directory)
        if home is None or (not directory and name in inodes.fixed):
            return None
        target = inodes.child(home, name)
        if target is None:
            return None
        inodes.drop_if_unused(target)  # only looked at: the kernel may never ask for it
        known, is_dir = self._nodes.get(path), isinstance(target, Dir)
        if known is not None and inodes.has(known) and isinstance(known, BlameDir) == is_dir:
            return known
        node: Node
        if is_dir:
            node = BlameDir(
                self._number(), parent, name, lambda here, below: self._blamed(here, path, below), self._names(path)
            )
        else:
            node = BlameFile(self._number(), parent, name, lambda: self._text(path))
        self._own(node, self._view.epoch_ns)
        for old in (
            [old for old, kept in self._nodes.items() if not inodes.has(kept)] if len(self._nodes) > _KEPT else ()
        ):
            del self._nodes[old]
        self._nodes[path] = node
        return node

    def size(self, node: BlameFile) -> int:
        """Bytes of what was last read; 0 before: to know it, all of history has to be asked."""
        kept = self._blames.get(node.path.removeprefix(b".anvcs/blame/"))
        return len(kept[1]) if kept is not None and isinstance(kept[1], bytes) else 0

    def _text(self, path: bytes) -> bytes:
        room = self._view.room
        shown = room.shown(path)
        entry = shown.entry
        version = None if entry is None else (entry.id, entry.content_seq, entry.base_path)
        key = (room.file, version, shown.below, shown.base)
        kept = self._blames.get(path)
        if kept is not None and kept[0] == key:
            if isinstance(kept[1], OSError):
                raise OSError(*kept[1].args)
            return kept[1]

        def read() -> None:
            found: bytes | OSError
            try:
                with room.reader() as reader:
                    found = blame_text(self._attribution.live(reader, path, shown))
            except (NoText, NothingAt) as error:
                found = OSError(errno_of(error), str(error))
            _make_room(self._blames)
            self._blames[path] = (key, found)

        raise Later(read)

    def _own(self, node: Node, time_ns: int) -> None:
        node.uid, node.gid = self._view.uid, self._view.gid
        node.mtime_ns = node.ctime_ns = node.atime_ns = time_ns
        self._table.inodes.add(node)


def _make_room(kept: dict, most: int = _KEPT) -> None:  # type: ignore[type-arg]  # of anything
    while len(kept) >= most:
        del kept[next(iter(kept))]
