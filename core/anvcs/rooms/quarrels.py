"""What a room knows of conflicts: records until somebody resolves them, and merges that nobody has parsed yet."""

from typing import TYPE_CHECKING

from anvcs.model.conflict import Conflict, parse_conflict_id
from anvcs.model.room import Author, Moved
from anvcs.rooms.core import Change, Core, Unchecked
from anvcs.rooms.errors import NoSuchConflict
from anvcs.rooms.parsechecks import judge, note
from anvcs.rooms.settling import lines_now


class Quarrels:
    """The part of `Room` that is about conflicts."""

    _core: Core

    if TYPE_CHECKING:

        def _change(self, path: bytes, author: Author | None) -> Change: ...

    def conflicts(self, *, resolved: bool = False) -> list[Conflict]:
        """The open conflict records, oldest first; with *resolved* those that are no longer open too."""
        return list(self._core.log.conflicts(resolved=resolved))

    def conflict(self, name: str) -> Conflict:
        """The conflict record called *name* (``123-0``); raises `NoSuchConflict`."""
        try:
            found = self._core.log.conflict(parse_conflict_id(name))
        except ValueError as error:
            raise NoSuchConflict(name) from error
        if found is None:
            raise NoSuchConflict(name)
        return found

    def conflict_lines(self, record: Conflict) -> tuple[int, int]:
        """Where the lines of *record* are by now, first and last from 1; zeros when they are gone."""
        return lines_now(self._core, record)

    @property
    def has_unchecked(self) -> bool:
        """Whether `unchecked` has something."""
        return bool(self._core.unchecked)

    def unchecked(self) -> list[Unchecked]:
        """Merges since the last call whose result nobody has parsed; see `judge` and `note_broken`."""
        found, self._core.unchecked = self._core.unchecked, []
        return found

    def is_current(self, merge: Unchecked) -> bool:
        """Whether *merge* is still what its file contains, as far as this window knows."""
        entry = self._core.state.by_id.get(merge.file)
        return entry is not None and entry.path is not None and entry.content_seq == merge.seq

    def judge(self, merge: Unchecked) -> int | None:
        """The first line at which *merge* stopped parsing, 0: all is well; ``None``: nothing to say.  Any thread."""
        return judge(self._core.settings, merge)

    def note_broken(self, merge: Unchecked, line: int, *, author: Author | None = None) -> Moved:
        """Record what `judge` said, unless the file was edited since."""
        with (change := self._change(merge.path, author)) as draft:
            note(self._core, draft, merge, line)
        return change.moved

    def check_merges(self) -> None:
        """Parse what was merged since the last call, and record what doesn't parse any more."""
        for merge in self.unchecked():
            line = self.judge(merge)
            if line is not None:
                self.note_broken(merge, line)

    def open_conflicts(self) -> int:
        """How many conflicts are open; costs nothing."""
        return len(self._core.conflicts)

    def resolve(self, *names: str, author: Author | None = None) -> Moved:
        """Mark the conflict records *names* as resolved, all or none; those that are already stay so."""
        found = [self.conflict(name) for name in names]
        with (change := self._change(found[0].path if found else b"", author)) as draft:
            draft.kind = "resolve"
            for one in found:
                key = parse_conflict_id(one.id)
                if key in self._core.conflicts:
                    draft.resolved[key] = None
                    draft.file = one.file
        return change.moved
