"""One file of a merge of trees: its content by a strategy, and whether the built-in guards would pass it.

Every file is merged for itself, so it can be done by another process (`anvcs.merge_workers`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from anvcs.errors import AnvcsError
from anvcs.git.linehunks import line_hunks
from anvcs.git.objects import ObjectStore, object_id
from anvcs.linediff import Hunk
from anvcs.merging.marking import Marking
from anvcs.merging.merge import Options
from anvcs.merging.names import lost_names, torn_inside
from anvcs.merging.strategies import Chooser
from anvcs.merging.wellformed import broken_by_merging
from anvcs.model.ids import Oid
from anvcs.model.merge import Conflict, How, MergeResult, Reason
from anvcs.model.pointer import LIMIT, MAGIC, decode_pointer, is_pointer
from anvcs.model.stream_merge import Checked, FileResult, Stages, file_result
from anvcs.model.tree import Leaf

SYNTAX, NAMES = "syntax", "names"
"""What can be looked at while a file is merged."""
_LARGEST = 4 << 20
"""Bytes of a file that is looked into."""
_AS_A_WHOLE = (b"unset", b"binary")
"""Values of the attribute ``merge`` of files that nobody is to look into."""
_POINTERS = (MAGIC, b"version https://git-lfs")
"""How texts begin that stand for something else: two of them don't make a third."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the two sides are called in markers and sentences."""

    ours: str
    theirs: str


class Task(NamedTuple):
    """One file to be merged."""

    path: bytes
    stages: Stages
    mode: int
    attribute: bytes | None
    """The value of ``merge`` in ``.gitattributes``."""
    by_git: bytes | None
    """The content that Git has made of it without a conflict."""


class FileMerge(NamedTuple):
    """What became of it."""

    file: FileResult
    leaf: Leaf | None
    """What the merged tree gets; ``None``: what Git has put there."""
    is_opaque: bool = False
    """Nobody could look into it, and both sides changed it."""


class FileMerger:
    """Merges files of one repository."""

    def __init__(self, objects: ObjectStore, chooser: Chooser, names: Names, checks: Collection[str]) -> None:
        self._objects = objects
        self.chooser = chooser
        self.options = Options(marking=Marking(left=names.ours, right=names.theirs))
        self._known: dict[tuple[bytes, bytes], Sequence[Hunk]] = {}
        self._quick = replace(self.options, hunks=self._hunks)
        self._checks = checks

    def merge(self, task: Task) -> FileMerge:
        """Write what *task* comes to."""
        if any(side is not None and self._objects.header(side.oid) > _LARGEST for side in _sides(task.stages)):
            file = FileResult(path=task.path, how="line")
            return FileMerge(file, None, is_opaque=task.by_git is None)
        self._known.clear()
        texts = self._texts(task.stages)
        result = self._result(task, texts)
        if result.conflicts and result.how is How.OPAQUE:
            return FileMerge(FileResult(path=task.path, how="line", notes=result.notes), None, is_opaque=True)
        file = file_result(task.path, result, task.stages)
        oid = object_id("blob", result.content)
        if not file.disputes:
            file = replace(file, checked=self._checked(task.path, result.content, oid, texts))
        if oid == task.by_git:
            return FileMerge(file, None)
        return FileMerge(file, Leaf(task.mode, self._objects.write_blob(result.content)))

    def _hunks(self, old: bytes, new: bytes) -> Sequence[Hunk]:
        """Differing lines; who asks whether the merged file parses needs the same again."""
        found = self._known.get((old, new))
        if found is None:
            found = self._known[old, new] = line_hunks(old, new)
        return found

    def _texts(self, stages: Stages) -> tuple[bytes, bytes, bytes]:
        base, left, right = (b"" if side is None else self._objects.blob(side.oid) for side in _sides(stages))
        return base, left, right

    def _result(self, task: Task, texts: tuple[bytes, bytes, bytes]) -> MergeResult:
        if task.by_git is not None:
            # Any differences that lead to the same text as Git's explain it as well.
            result = self.by_strategy(task.path, texts, task.attribute, self._quick)
            if result.how is How.LINE and result.clean and object_id("blob", result.content) == task.by_git:
                return result
        return self.by_strategy(task.path, texts, task.attribute)

    def by_strategy(
        self, path: bytes, texts: tuple[bytes, bytes, bytes], attribute: bytes | None, options: Options | None = None
    ) -> MergeResult:
        """The content of *path* from base, left and right, by the strategy that is chosen for it."""
        base, left, right = texts
        if _same_artifact(left, right):
            return MergeResult(left, How.IDENTICAL)
        whole = attribute in _AS_A_WHOLE or any(text.startswith(_POINTERS) for text in texts)
        if whole and left != right and base not in (left, right):
            return MergeResult(left, How.OPAQUE, (Conflict(Reason.OPAQUE, 0, 0, base, left, right),))
        merge = self.chooser(path, "union" if attribute == b"union" else "")
        return merge(base, left, right, path, options or self.options)

    def _checked(self, path: bytes, merged: bytes, oid: bytes, texts: tuple[bytes, bytes, bytes]) -> Checked | None:
        if not self._checks:
            return None
        base, *sides = texts
        python = NAMES in self._checks and path.endswith(b".py")
        return Checked(
            oid=Oid(oid),
            broken_line=broken_by_merging(path, merged, base, sides, self._hunks) if SYNTAX in self._checks else 0,
            torn=tuple(one.sentence for one in torn_inside(path, merged, base, tuple(sides))) if python else (),
            lost=frozenset(lost_names(base, merged)) if python else frozenset(),
        )


def _sides(stages: Stages) -> tuple[Leaf | None, ...]:
    return stages.base, stages.ours, stages.theirs


def _same_artifact(left: bytes, right: bytes) -> bool:
    """Whether both are pointers to one content, which two may have pinned at different times or places."""
    if not (is_pointer(left) and is_pointer(right)) or max(len(left), len(right)) >= LIMIT:
        return False
    try:
        return decode_pointer(left).sha256 == decode_pointer(right).sha256
    except AnvcsError:
        return False  # a damaged one is nobody's
