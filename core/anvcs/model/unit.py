"""What one command did to several files, to be taken into a room as one step."""

from collections.abc import Callable
from dataclasses import dataclass

from anvcs.model.ids import Seq
from anvcs.model.room import Entry
from anvcs.model.tree import Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one path shows after the command; without ``entry`` and ``leaf`` nothing is there."""

    path: bytes
    entry: Entry | None = None
    """The file as another room has it."""
    leaf: Leaf | None = None
    """The file of a commit."""
    data: Callable[[], bytes] = bytes
    """Its content as the view shows it."""
    base: Seq | None = None
    """The version that the command saw, when the room has it in its log."""
    seen: Callable[[], bytes] | None = None
    """The content that the command saw, when the log can't tell."""
    discards: bool = False
    """The command throws changes away: what the agent did goes, what others did stays."""

    @property
    def mode(self) -> int:
        """The Git mode of what is there; 0 for nothing."""
        found = self.entry or self.leaf
        return 0 if found is None else found.mode


@dataclass(frozen=True, slots=True)
class Touch:
    """One op and the paths that it was about."""

    seq: Seq
    kind: str
    view: str
    paths: tuple[bytes, ...]
