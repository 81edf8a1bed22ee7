"""What a window shows that stands still: the room as it was at one moment, and its own ops since.

The log can only be appended to from its end, so the window's state follows the log all the
time; this is a second picture beside it.  An op of this window is put into both: what it
says is the result, so a file that others have changed meanwhile shows the merged content
from then on, and everything else stays as it was.
"""

from typing import TYPE_CHECKING

from anvcs.model.changes import Overlay
from anvcs.model.room import Entry
from anvcs.rooms.basetree import Base
from anvcs.rooms.tree import TreeState

if TYPE_CHECKING:
    from anvcs.rooms.core import Core
    from anvcs.rooms.records import Payload


class Still:
    """The picture of a window that stands still."""

    def __init__(self, core: "Core") -> None:
        self.state = TreeState(core.state.by_id.values())
        self.base = Base(core.base.tree, core.base.commit)

    def overlay(self, directory: bytes) -> Overlay | None:
        """What is laid over *directory* of the base of that moment."""
        return self.state.overlay(directory, self._emptied)

    def take(self, payload: "Payload") -> None:
        """An op of this window."""
        for drop in payload.drops:
            self.state.drop(drop.id)
        for entry in payload.puts:
            self._make_room(entry)
            self.state.put(entry)

    def _make_room(self, entry: Entry) -> None:
        """Others may have taken away what this picture still has in the entry's place."""
        for other in (self.state.by_path.get(entry.path or b""), self.state.by_base.get(entry.base_path or b"")):
            if other is not None and other.id != entry.id:
                self.state.drop(other.id)

    def _emptied(self, directory: bytes) -> bool:
        node = self.state.node(directory)
        return not self.base.has_more_than(directory, node.gone if node else 0)
