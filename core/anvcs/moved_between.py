"""Edits that follow a definition into another file, in the merge of two trees.

Asked only about files with something to decide.  What is found is tried on the texts that were merged: the
side that moved the definition gets the other's edit in the new place, the other side loses it in the old one,
and both files are merged again.  It stands if that leaves less to decide; otherwise the conflict tells both places.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from anvcs.arrivals import Arrivals
from anvcs.git.objects import ObjectStore
from anvcs.merging.between import Departed, Placed, departed, replayed_at
from anvcs.merging.merge import Options
from anvcs.model.ids import Oid
from anvcs.model.merge import How, MergeResult
from anvcs.model.stream_merge import Dispute, FileResult, Stages, file_result
from anvcs.model.tree import REGULAR, Leaf

_MOST = 50
"""Definitions of one file that are followed."""
_SIDES = ("ours", "theirs")

_Texts = tuple[bytes | None, bytes | None, bytes | None]
_Edit = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a merge of two trees stands on."""

    objects: ObjectStore
    arrivals: Arrivals
    tree: Oid
    """As Git has merged it."""
    merge: Callable[[bytes, tuple[bytes, bytes, bytes]], MergeResult]
    may_follow: Callable[[bytes], bool]
    """Whether the structure of a path's file decides how it is merged."""
    options: Options
    deadline: float


@dataclass(slots=True)
class _File:
    """One file of the merged tree and what it is merged from."""

    stages: Stages
    texts: _Texts
    edits: dict[int, list[_Edit]] = field(default_factory=lambda: {0: [], 1: []})
    notes: list[str] = field(default_factory=list)

    def edited(self, more: Mapping[int, Sequence[_Edit]]) -> _Texts | None:
        """The three texts with all edits; ``None`` where two meet."""
        sides: list[bytes | None] = []
        for number in (0, 1):
            text, last = self.texts[number + 1], None
            for start, stop, new in sorted([*self.edits[number], *more.get(number, ())], reverse=True):
                if text is None or (last is not None and stop > last):
                    return None
                text, last = text[:start] + new + text[stop:], start
            sides.append(text)
        return self.texts[0], sides[0], sides[1]


class Follower:
    """Follows what was moved between the files of one merge."""

    def __init__(self, ground: Ground, files: Mapping[bytes, FileResult]) -> None:
        self._ground = ground
        self._files = dict(files)
        self._known: dict[bytes, _File] = {}
        self._arrivals = ground.arrivals
        self.changes: dict[bytes, Leaf | None] = {}
        """What the tree has instead of what it had."""
        self.results: dict[bytes, FileResult] = {}
        """Files that are merged otherwise, or about which more is to be said."""

    def run(self) -> None:
        """Look at every file with something to decide."""
        for path, file in list(self._files.items()):
            if file.disputes and self._ground.may_follow(path) and time.monotonic() < self._ground.deadline:
                self._look_at(path)

    def _look_at(self, path: bytes) -> None:
        file = self._file(path, None)
        base, left, right = file.texts if file is not None else (None, None, None)
        if base is None:
            return
        gone = departed(base, left, right, path)[:_MOST]
        if not gone:
            return
        # A deleted file stays deleted only if everything that was changed in it is found elsewhere.
        for group in [gone] if left is None or right is None else [[one] for one in gone]:
            for one, places in self._follow(path, group):
                self._mention(path, one, places)

    def _follow(self, path: bytes, group: Sequence[Departed]) -> list[tuple[Departed, list[tuple[bytes, Placed]]]]:
        """Make the edits of *group* elsewhere; else what wasn't sure, and where it may be."""
        edits: dict[bytes, dict[int, list[_Edit]]] = {path: {0: [], 1: []}}
        notes: dict[bytes, list[str]] = {path: []}
        unsure: list[tuple[Departed, list[tuple[bytes, Placed]]]] = []
        for one in group:
            found = self._places(path, one)
            target = self._target(found[0][0], one.taker) if len(found) == 1 else None
            new = self._replayed(path, one, found[0]) if target is not None else None
            if target is None or new is None:
                unsure.append((one, found))
                continue
            place = found[0][1]
            there = edits.setdefault(target, {0: [], 1: []})
            there[one.taker].append((place.start, place.stop, new))
            edits[path][1 - one.taker].append((one.changed.start, one.changed.stop, one.base.set_like(one.changed)))
            taker, changer = _SIDES[one.taker], _SIDES[1 - one.taker]
            notes[path].append(
                f"{one.base.label}: moved to {_text(target)} by {taker}; what {changer} changed in it was changed there"
            )
            notes.setdefault(target, []).append(
                f"{place.label}: moved here from {_text(path)} by {taker}, with what {changer} changed in it there"
            )
        if unsure or not self._accept(path, edits, notes):
            return unsure or [(one, self._places(path, one)) for one in group]
        return []

    # Where it went

    def _places(self, path: bytes, gone: Departed) -> list[tuple[bytes, Placed]]:
        """Where in the taker's files *gone* may stand now; nowhere else if it is still in its own file."""
        found = self._arrivals.places(path, gone.taker, gone.base)
        own = self._known[path].texts[gone.taker + 1]
        # There it was only renamed: the merge of that file has seen it.
        return [] if any(place.core.source.text == own for _, place in found) else found

    def _target(self, there: bytes, taker: int) -> bytes | None:
        """What the taker's file *there* is called in the merged tree, if its structure decides."""
        names = [there, *(new for new, old in self._arrivals.renames(1 - taker).items() if old == there)]
        path = next((name for name in names if self._ground.objects.find(self._ground.tree, name) is not None), None)
        if path is None or not self._ground.may_follow(path) or self._file(path, (there, taker)) is None:
            return None
        return path

    def _replayed(self, path: bytes, one: Departed, found: tuple[bytes, Placed]) -> bytes | None:
        there, place = found
        beside = path.rpartition(b"/")[0] == there.rpartition(b"/")[0]
        return replayed_at(place, one, there, same_folder=beside, options=self._ground.options)

    # The files of the merged tree

    def _file(self, path: bytes, of: tuple[bytes, int] | None) -> _File | None:
        """The merged tree's file *path*, which a side has under the name and with the number in *of*."""
        if path not in self._known:
            stages = self._stages(path, of)
            if stages is None:
                return None
            leaves = (stages.base, stages.ours, stages.theirs)
            base, ours, theirs = (self._arrivals.text_of(leaf) for leaf in leaves)
            if [text is None for text in (base, ours, theirs)] != [leaf is None for leaf in leaves]:
                return None
            self._known[path] = _File(stages, (base, ours, theirs))
        return self._known[path]

    def _stages(self, path: bytes, of: tuple[bytes, int] | None) -> Stages | None:
        file = self._files.get(path)
        if file is not None and file.stages is not None:
            return file.stages
        if file is not None and file.disputes:
            (dispute, *others) = file.disputes
            return dispute.stages if not others and dispute.reason == "modify/delete" else None
        if of is None:
            return None
        there, taker = of
        merged, taken = self._ground.objects.find(self._ground.tree, path), self._arrivals.leaf(taker + 1, there)
        before = self._arrivals.leaf(0, there) or self._arrivals.leaf(0, self._arrivals.renames(taker).get(there, b""))
        other = self._arrivals.leaf(2 - taker, path) or self._arrivals.leaf(2 - taker, there)
        if merged is None or taken is None or merged.oid != taken.oid or (other is None) != (before is None):
            return None
        if other is not None and before is not None and other.oid != before.oid:
            return None
        return Stages(before, taken, other) if taker == 0 else Stages(before, other, taken)

    # Whether it is better

    def _accept(
        self, path: bytes, edits: Mapping[bytes, Mapping[int, Sequence[_Edit]]], notes: Mapping[bytes, list[str]]
    ) -> bool:
        """Take the edits, if the file *path* has less to decide then, and the others no more."""
        made: dict[bytes, tuple[FileResult, bytes | None]] = {}
        for name, more in edits.items():
            result = self._merged(name, more)
            old = self._files.get(name)
            if result is None or _open(result[0]) > _open(old) or (name == path and _open(result[0]) == _open(old)):
                return False
            made[name] = result
        for name, (file, content) in made.items():
            known = self._known[name]
            for number, new in edits[name].items():
                known.edits[number] += new
            known.notes += notes.get(name, ())
            self._take(name, replace(file, notes=(*file.notes, *known.notes), moved=True), content)
        return True

    def _merged(self, path: bytes, more: Mapping[int, Sequence[_Edit]]) -> tuple[FileResult, bytes | None] | None:
        """The file merged with *more* edits, and its content; ``None`` where that can't be said."""
        known = self._known[path]
        texts = known.edited(more)
        if texts is None:
            return None
        base, left, right = texts
        if left is None or right is None:
            remains = right if left is None else left
            if base is not None and remains != base:
                return None
            return FileResult(path=path, how=How.AST.value, stages=known.stages), remains if base is None else None
        result = self._ground.merge(path, (base or b"", left, right))
        if result.how is How.OPAQUE:
            return None
        return file_result(path, replace(result, how=How.AST), known.stages), result.content

    def _take(self, path: bytes, file: FileResult, content: bytes | None) -> None:
        objects = self._ground.objects
        self._files[path] = self.results[path] = file
        if content is None:
            self.changes[path] = None
            return
        found = objects.find(self._ground.tree, path)
        self.changes[path] = Leaf(found.mode if found is not None else REGULAR, objects.write_blob(content))

    def _mention(self, path: bytes, gone: Departed, places: Sequence[tuple[bytes, Placed]]) -> None:
        """Say in the conflict about *gone* where it may have gone."""
        file = self._files[path]
        where = _listed(f"{_text(there)}, line {place.line}" for there, place in places[:3])
        if not where:
            return
        told = f"; {_SIDES[gone.taker]} may have moved {gone.base.label} to {where}"
        disputes = tuple(
            replace(one, detail=one.detail + told) if _is_about(one, gone) else one for one in file.disputes
        )
        self._files[path] = self.results[path] = replace(file, disputes=disputes)


def _is_about(dispute: Dispute, gone: Departed) -> bool:
    return dispute.stages is not None or gone.base.title[-1] in dispute.base + dispute.ours + dispute.theirs


def _open(file: FileResult | None) -> tuple[int, int, int]:
    """How much of a file is to be decided: as a whole, lines, places."""
    disputes = file.disputes if file is not None else ()
    lines = sum(one.ours.count(b"\n") + one.theirs.count(b"\n") for one in disputes)
    return sum(one.lines == (0, 0) for one in disputes), lines, len(disputes)


def _listed(places: Iterable[str]) -> str:
    return " or ".join(places)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
