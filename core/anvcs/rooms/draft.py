"""One record in the making: changes the tree in memory, and can take everything back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from anvcs.model.conflict import KINDS, Side, shortened
from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Author, Entry
from anvcs.rooms.conflicts import ConflictPart, Key
from anvcs.rooms.records import DocumentPart, Drop, Payload
from anvcs.rooms.tree import TreeState


class Draft:
    """What one record is going to say.  Lives between the lock and the commit."""

    def __init__(self, state: TreeState, seq: Seq, path: bytes, author: Author | None = None) -> None:
        self.state = state
        self.author = author or Author(agent="")
        self.seq = seq
        """The number that this record gets."""
        self.kind = "edit"
        self.path = path
        self.old_path: bytes | None = None
        self.at: bytes | None = None
        """Where the file is by now, when that is not the path that was asked for."""
        self.kept = False
        """Whether a deletion yielded to what its author had not seen."""
        self.file: bytes = b""
        self.added = 0
        self.removed = 0
        self.rebased = False
        self.base: Oid | None = None
        self.shown: dict[bytes, None] = {}
        """Paths that look different after this record."""
        self.docs: list[DocumentPart] = []
        self.edited: set[FileId] = set()
        """Live documents that hold edits of this record."""
        self.conflicts: list[ConflictPart] = []
        self.undone: list[tuple[FileId, Seq]] = []
        """Which ops on which files this record takes back."""
        self.resolved: dict[Key, None] = {}
        """Conflicts that this record resolves."""
        self._before: dict[FileId, Entry | None] = {}
        self._puts: dict[FileId, Entry] = {}
        self._drops: dict[FileId, Drop] = {}
        self._traces: dict[bytes, FileId] = {}

    def put(self, entry: Entry) -> None:
        """Add or replace an entry."""
        previous = self.state.put(entry)
        self._before.setdefault(entry.id, previous)
        self._drops.pop(entry.id, None)
        self._puts[entry.id] = entry
        note_shown(self.shown, previous, entry)

    def change(self, entry: Entry, **fields: Any) -> Entry:
        """Put *entry* with other *fields*, as touched by this record; the new entry."""
        changed = replace(entry, seq=self.seq, **fields)
        self.put(changed)
        return changed

    def drop(self, file: FileId, at: bytes | None) -> None:
        """Take an entry out of the room; a file that appears *at* this path later is this file."""
        previous = self.state.drop(file)
        if previous is None:
            return
        self._before.setdefault(file, previous)
        self._puts.pop(file, None)
        self._drops[file] = Drop(file, at)
        self._traces = {path: other for path, other in self._traces.items() if other != file}
        note_shown(self.shown, previous, None)

    def trace(self, path: bytes, file: FileId) -> None:
        """Remember that *file* was at *path* and left."""
        self._traces[path] = file

    def conflict(
        self,
        kind: str,
        file: FileId,
        path: bytes,
        sides: Sequence[Side],
        note: str,
        *,
        lines: tuple[int, int] = (0, 0),
    ) -> None:
        """Write a conflict into this record: what met at *path*, and what each side said.

        *lines* are the first and the last, from 1, in the text after this record.
        """
        if kind not in KINDS:
            raise ValueError(f"no conflict is of kind {kind!r}")
        said = tuple((side.agent, side.model, shortened(side.text)) for side in sides)
        self.conflicts.append(ConflictPart(kind, file, path, *lines, said, note))

    def gone(self) -> list[FileId]:
        """Files that this record deletes or takes out of the room."""
        return [*self._drops, *(file for file, entry in self._puts.items() if entry.path is None)]

    def undo(self) -> None:
        """Give the tree back as it was; documents are the caller's."""
        for file, entry in reversed(self._before.items()):
            self.state.drop(file)
            if entry is not None:
                self.state.put(entry)

    def is_empty(self) -> bool:
        """Whether there is nothing to record."""
        drops = any(self._before[file] is not None for file in self._drops)
        return not (self._puts or drops or self.docs or self.rebased or self.conflicts or self.resolved)

    def payload(self) -> Payload:
        """The record."""
        return Payload(
            path=self.path,
            old_path=self.old_path,
            added=self.added,
            removed=self.removed,
            base=self.base,
            rebased=self.rebased,
            puts=tuple(self._puts.values()),
            drops=tuple(self._drops.values()),
            docs=tuple(self.docs),
            traces=tuple(self._traces.items()),
            conflicts=tuple(self.conflicts),
            resolved=tuple(self.resolved),
            undone=tuple(self.undone),
        )


def note_shown(shown: dict[bytes, None], before: Entry | None, after: Entry | None) -> None:
    """Add the paths that may look different when *after* takes the place of *before*."""
    for entry, other in ((before, after), (after, before)):
        if entry is None:
            continue
        if entry.path is not None:
            shown[entry.path] = None
        hidden = entry.base_path
        if hidden is not None and (other is None or other.base_path != hidden):
            shown[hidden] = None
