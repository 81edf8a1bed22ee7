"""Values of a merge of two streams: what Git left open, how each file came about, what is to be decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anvcs.model.ids import Oid
from anvcs.model.merge import EXPLAINED, Conflict, How, MergeResult
from anvcs.model.tree import Leaf

BASE, OURS, THEIRS = 1, 2, 3
"""Git's numbers of the three sides of a path that it could not merge."""

SIDES = ("ours", "theirs", "union")
"""Ways in which a conflict is decided without an editor."""
BOTH = "both"
"""One more, for files that stand beside each other: both stay; of lines it is ``union``."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The sides of one path; a side is ``None`` where that path isn't."""

    base: Leaf | None = None
    ours: Leaf | None = None
    theirs: Leaf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing that Git says about a merge."""

    kind: str
    """Git's own short words, such as ``Auto-merging`` or ``CONFLICT (modify/delete)``."""
    paths: tuple[bytes, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeMerge:
    """Two trees merged by Git: lines, renames, modes."""

    tree: Oid
    """With Git's markers in files that it could not merge."""
    unmerged: Mapping[bytes, Stages]
    told: tuple[Told, ...]

    @property
    def both_changed(self) -> tuple[bytes, ...]:
        """Files whose content was changed on both sides, and merged by lines without a conflict."""
        paths = (path for one in self.told if one.kind == "Auto-merging" for path in one.paths)
        return tuple(path for path in dict.fromkeys(paths) if path not in self.unmerged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One thing that the merge could not decide; what a conflict record of the proposal is made from."""

    path: bytes
    reason: str
    """``both-changed``, ``modify/delete``, …"""
    entity: str = ""
    """Where in the file, such as ``def parse``, after what that is in."""
    detail: str = ""
    lines: tuple[int, int] = (0, 0)
    """Of the marked block in the file, from 1, markers included; zeros when the whole file is meant."""
    ours: bytes = b""
    theirs: bytes = b""
    base: bytes = b""
    stages: Stages | None = None
    """The sides of the file, when it is to be decided as a whole."""
    beside: bytes = b""
    """Where theirs is meanwhile, when ours is at `path`."""

    @property
    def sentence(self) -> str:
        """For people."""
        where = f" in {self.entity}" if self.entity else ""
        return f"{self.reason}{where}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of a merged content, because who merged it has looked."""

    oid: Oid
    """The content."""
    broken_line: int = 0
    """The first line that can't be parsed, and could on both sides; 0: none."""
    torn: tuple[str, ...] = ()
    """Sentences about names that nothing in the file defines any more."""
    lost: frozenset[str] = frozenset()
    """Names that the base gave others to use, and that are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """How one file of the merged tree came about."""

    path: bytes
    how: str
    """``identical`` (one side's version), ``line``, ``ast``, ``llm``, ``manual``; of lock files ``regenerated``, ``ours``."""
    disputes: tuple[Dispute, ...] = ()
    notes: tuple[str, ...] = ()
    stages: Stages | None = None
    """The versions that it was made from, where one looked into them."""
    checked: Checked | None = None
    moved: bool = False
    """Whether an edit of something in it followed that to or from another file; the notes say which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The merge of two commits: a tree, how each file came about, and what is open."""

    ours: Oid
    theirs: Oid
    bases: tuple[Oid, ...]
    tree: Oid
    files: tuple[FileResult, ...]
    leaves: Mapping[bytes, Leaf | None] = field(default_factory=dict)
    """What differs from our tree."""
    remarks: tuple[str, ...] = ()
    """What Git says about moved directories and the like."""

    @property
    def disputes(self) -> tuple[Dispute, ...]:
        """Everything that is open, by file."""
        return tuple(dispute for file in self.files for dispute in file.disputes)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """How one guard ended."""

    name: str
    ok: bool
    seconds: float
    output: str = ""
    """Its last lines; bounded."""
    timed_out: bool = False

    def document(self) -> dict[str, Any]:
        """As metadata and ``--json`` have it."""
        told: dict[str, Any] = {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 3)}
        if self.timed_out:
            told["timed_out"] = True
        return {**told, "output": self.output}


_SIDES = {"base": "the base", "left": "ours", "right": "theirs"}


def file_result(path: bytes, result: MergeResult, stages: Stages) -> FileResult:
    """What the merge of one file's text is in the merge of a tree."""
    disputes = tuple(
        Dispute(
            path=path,
            reason=str(one.reason),
            entity=one.entity,
            detail=_detail(one),
            lines=(one.first_line, one.last_line),
            ours=one.left,
            theirs=one.right,
            base=one.base,
        )
        for one in result.conflicts
    )
    how = "line" if result.how is How.OPAQUE else str(result.how)
    return FileResult(path=path, how=how, disputes=disputes, notes=result.notes, stages=stages)


def _detail(conflict: Conflict) -> str:
    """What it is about, in words."""
    places = "".join(f"; see {_SIDES[place.side]}, line {place.first_line}" for place in conflict.related)
    return EXPLAINED[conflict.reason] + (f" ({conflict.detail})" if conflict.detail else "") + places
