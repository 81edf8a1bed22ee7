"""What a three-way merge of one file gives: content, how it came about, and what is left to decide."""

from dataclasses import dataclass, field
from enum import StrEnum


class How(StrEnum):
    """By which method the content of a merged file was made."""

    IDENTICAL = "identical"
    """Both sides have the same content, or only one has changed it."""
    LINE = "line"
    AST = "ast"
    """By the file's structure: syntax, cells, rows or entries."""
    OPAQUE = "opaque"
    """As a whole: bytes that nobody looks into."""


class Reason(StrEnum):
    """Why nobody but a person can decide."""

    BOTH_CHANGED = "both-changed"
    BOTH_ADDED = "both-added"
    """The same place got something from each side, and their order matters."""
    SAME_KEY = "same-key"
    """Both sides added, or made, something of the same name, with different contents."""
    DELETED_CHANGED = "deleted-changed"
    LOST_NAME = "lost-name"
    """One side uses what the other has deleted or renamed."""
    DOUBLED = "doubled"
    """Both sides added the same, in different places."""
    BROKEN = "broken"
    """Each side parses and both together don't."""
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Place:
    """Some lines of one of the three inputs."""

    side: str
    """``base``, ``left`` or ``right``."""
    first_line: int
    last_line: int
    """From 1 and inclusive; less than `first_line` when there are none, but a position before it."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing that was not decided."""

    reason: Reason
    first_line: int
    last_line: int
    """Of the marked block in the merged content, from 1, markers included; 0 where there is no text."""
    base: bytes
    left: bytes
    right: bytes
    entity: str = ""
    """What it is in, outermost first, such as ``class Parser`` and ``def parse`` with an angle between; empty at the top of a file or when nobody knows."""
    detail: str = ""
    """What a person wants to know beside the reason, such as the name that both gave."""
    related: tuple[Place, ...] = ()
    """Other places that have to do with it."""


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A merged file; with conflicts its content has markers, except where it is opaque."""

    content: bytes
    how: How
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """Why a better method was not used, for people."""

    @property
    def clean(self) -> bool:
        """Whether nothing is left to decide."""
        return not self.conflicts
