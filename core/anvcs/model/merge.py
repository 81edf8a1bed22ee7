"""What a three-way merge of one file gives: content, how it came about, and what is left to decide."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


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
    """Why nobody but a person can decide; `EXPLAINED` says it in words."""

    BOTH_CHANGED = "both-changed"
    BOTH_ADDED = "both-added"
    SAME_KEY = "same-key"
    DELETED_CHANGED = "deleted-changed"
    LOST_NAME = "lost-name"
    DOUBLED = "doubled"
    BROKEN = "broken"
    OPAQUE = "opaque"


EXPLAINED: Final[dict[Reason, str]] = {
    Reason.BOTH_CHANGED: "both sides changed the same place",
    Reason.BOTH_ADDED: "both sides added something in the same place, and its order matters",
    Reason.SAME_KEY: "both sides added something of the same name, and it isn't the same",
    Reason.DELETED_CHANGED: "one side deleted what the other changed",
    Reason.LOST_NAME: "one side uses what the other deleted or renamed",
    Reason.DOUBLED: "both sides added the same, in different places",
    Reason.BROKEN: "each side is well-formed and both together are not",
    Reason.OPAQUE: "both sides changed a file that is not text",
}


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
