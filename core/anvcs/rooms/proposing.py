"""A merge that isn't decided, as one op of a room: its files, and a record for each thing that is open."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from anvcs.model.conflict import Side
from anvcs.model.ids import FileId
from anvcs.model.room import Author, Moved
from anvcs.model.stream_merge import Dispute
from anvcs.model.unit import Step
from anvcs.rooms.core import Core
from anvcs.rooms.draft import Draft

if TYPE_CHECKING:
    from anvcs.rooms.units import Units

KIND = "merge"
"""The kind of such an op, and of its records."""


class Proposing:
    """The part of `Room` that is about merges."""

    _core: Core
    _units: "Units"

    def propose(
        self,
        steps: Iterable[Step],
        disputes: Iterable[Dispute],
        names: tuple[str, str],
        *,
        author: Author | None = None,
    ) -> Moved:
        """Let each path show what its step says, and record *disputes* between the sides called *names*."""
        who = author or self._core.settings.author
        with (change := self._core.change(b"", author)) as draft:
            self._units.take(draft, steps, None, who)
            for dispute in disputes:
                _record(self._core, draft, dispute, names)
            draft.kind = KIND
        return change.moved


def _record(core: Core, draft: Draft, dispute: Dispute, names: tuple[str, str]) -> None:
    entry = core.state.by_path.get(dispute.path)
    sides = [Side(agent=name, text=text) for name, text in zip(names, (dispute.ours, dispute.theirs), strict=True)]
    lines = dispute.lines if entry is not None else (0, 0)
    draft.conflict(KIND, FileId(b"") if entry is None else entry.id, dispute.path, sides, dispute.sentence, lines=lines)
