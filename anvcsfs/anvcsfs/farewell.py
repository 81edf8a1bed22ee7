"""Another room is going to be shown: what files in memory have of the one that is left.

A version of a text is named by its file and an op's number, and each room numbers its own.
What is open stays readable as it was, until the kernel has been told what it is now or as long
as it is open, so its bytes are taken along; and no version of the room that was left may be
taken for one of the next that has the same number.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from anvcs.model.ids import Seq
from anvcs.model.room import Content, Entry
from anvcs.rooms.oplog import START
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import File, Place
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View


class Farewells:
    """Takes along what files in memory have of a room."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles) -> None:
        self._view = view
        self._inodes = inodes
        self._files = files
        self._numbers = count(1)

    def prepare(self, since: Seq = START) -> Callable[[], None]:
        """Read what is open; what is returned is to be called once the view stands on the other room.

        Both rooms have the ops up to *since*.
        """
        kept = [(node, *self._taken_along(node, since)) for node in self._nodes(since)]

        def leave() -> None:
            for node, source, pinned in kept:
                node.source = source
                if node.pinned is not None and pinned is not None:
                    node.pinned.source = pinned

        return leave

    def _nodes(self, since: Seq) -> Iterator[File]:
        for entry in self._view.room.changed():
            node = None if entry.path is None else self._inodes.find_loaded(entry.path)
            if isinstance(node, File) and node.place is Place.SHARED and self._is_text(node.source, since):
                yield node

    def _taken_along(self, node: File, since: Seq) -> tuple[Entry, Entry | None]:
        pinned = None if node.pinned is None else node.pinned.source
        source = node.source
        assert isinstance(source, Entry)  # `_nodes` has looked
        old = self._with_bytes(node, pinned) if isinstance(pinned, Entry) and self._is_text(pinned, since) else None
        if node.opens:
            return self._with_bytes(node, source), old
        return replace(source, content_seq=self._number()), old

    def _with_bytes(self, node: File, source: Entry) -> Entry:
        data = self._files.content_of(node, source)
        return replace(source, content=Content.INLINE, ref=data, size=len(data), content_seq=self._number())

    def _number(self) -> Seq:
        """No room has it."""
        return Seq(-next(self._numbers))

    def _is_text(self, source: object, since: Seq) -> bool:
        return isinstance(source, Entry) and source.content is Content.TEXT and source.content_seq > since
