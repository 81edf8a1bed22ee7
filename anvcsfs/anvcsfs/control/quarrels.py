"""``.anvcs/conflicts/``: a readable file for each open conflict."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from anvcs.conflict_reports import conflict_page
from anvcs.rooms.errors import NoSuchConflict
from anvcsfs.control_nodes import ControlDir, ControlFile
from anvcsfs.nodes import Dir, Node

if TYPE_CHECKING:
    from anvcsfs.table import Table

_SUFFIX = b".md"
_KEPT = 256


class Quarrels:
    """The directory and its files; resolved records can still be read by name."""

    def __init__(self, table: "Table", number: Callable[[], int], take: Callable[[Node], None]) -> None:
        self._table = table
        self._number = number
        self._take = take
        self._nodes: dict[bytes, Node] = {}

    def directory(self, top: Dir) -> ControlDir:
        """The directory."""
        return ControlDir(self._number(), top, b"conflicts", self._find, self._names)

    def _names(self) -> list[bytes]:
        return [record.id.encode() + _SUFFIX for record in self._table.view.room.conflicts()]

    def _find(self, parent: ControlDir, name: bytes) -> Node | None:
        if not name.endswith(_SUFFIX):
            return None
        ident = name.removesuffix(_SUFFIX).decode("ascii", "replace")
        room = self._table.view.room
        try:
            if room.conflict(ident).id != ident:
                return None
        except NoSuchConflict:
            return None
        known = self._nodes.get(name)
        if known is not None and self._table.inodes.has(known):
            return known
        node = ControlFile(self._number(), parent, name, lambda: self._page(ident))
        self._take(node)
        if len(self._nodes) >= _KEPT:
            self._nodes = {each: kept for each, kept in self._nodes.items() if self._table.inodes.has(kept)}
        self._nodes[name] = node
        return node

    def _page(self, ident: str) -> bytes:
        room = self._table.view.room
        try:
            return conflict_page(room, room.conflict(ident))
        except NoSuchConflict:  # the view shows another stream by now
            return b""
