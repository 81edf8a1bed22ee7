"""Definitions that both sides moved out of one file, each to another: lines merge without a conflict, and have them twice.

Each of the two places becomes a marked block, so that deciding for one side leaves the definition where that
side has put it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from anvcs.arrivals import Arrivals
from anvcs.git.objects import ObjectStore
from anvcs.merging.between import Placed, Uprooted, lines_of, uprooted
from anvcs.merging.marking import Marking, finished
from anvcs.merging.pieces import Clash, Piece
from anvcs.merging.profiles import profile_for
from anvcs.model.ids import Oid
from anvcs.model.merge import EXPLAINED, How, Reason
from anvcs.model.stream_merge import Dispute, FileResult, Stages, file_result
from anvcs.model.tree import Leaf

_SIDES = ("ours", "theirs")


@dataclass(frozen=True, slots=True)
class _Put:
    """One definition in one of the two places."""

    place: Placed
    side: int
    other: bytes
    """The file in which the other side has it."""

    def clash(self, text: bytes) -> Clash:
        """Its lines, which the other side doesn't have here."""
        left, right = (text, b"") if self.side == 0 else (b"", text)
        return Clash(b"", left, right, Reason.DOUBLED, self.place.label, self.detail)

    @property
    def detail(self) -> str:
        """Where it is."""
        mine, others = _SIDES[self.side], _SIDES[1 - self.side]
        return f"{mine} moved {self.place.label} here, {others} to {self.other.decode('utf-8', 'backslashreplace')}"


class Apart:
    """Looks for them in one merge of two trees."""

    def __init__(
        self, objects: ObjectStore, arrivals: Arrivals, tree: Oid, marking: Marking, may_look: Callable[[bytes], bool]
    ) -> None:
        self._objects = objects
        self._arrivals = arrivals
        self._tree = tree
        self._marking = marking
        self._may_look = may_look
        self.changes: dict[bytes, Leaf | None] = {}
        """What the tree has instead of what it had."""

    def results(self, files: Mapping[bytes, FileResult], changes: Mapping[bytes, Leaf | None]) -> Iterator[FileResult]:
        """Those of *files* that have such a definition, now as a conflict; *changes* are those made to the tree before."""
        puts: defaultdict[bytes, list[_Put]] = defaultdict(list)
        for path, leaves in self._arrivals.both_changed().items():
            for target, put in self._moved_from(path, leaves, changes):
                puts[target].append(put)
        for path, found in puts.items():
            leaf = self._leaf(path, changes)
            content = self._arrivals.text_of(leaf)
            if leaf is not None and content is not None:
                yield self._marked(path, files.get(path), leaf, content, found)

    def _leaf(self, path: bytes, changes: Mapping[bytes, Leaf | None]) -> Leaf | None:
        """What is in the merged tree."""
        if path in changes:
            return changes[path]
        found = self._objects.find(self._tree, path)
        return None if found is None else Leaf(found.mode, found.oid)

    def _moved_from(
        self, path: bytes, leaves: tuple[Leaf | None, Leaf | None, Leaf | None], changes: Mapping[bytes, Leaf | None]
    ) -> Iterator[tuple[bytes, _Put]]:
        if profile_for(path) is None:
            return
        base, left, right = (self._arrivals.text_of(leaf) or b"" for leaf in leaves)
        found = uprooted(base, left, right, path)
        for gone in found if found and self._may_look(path) else ():
            ours, theirs = (self._targets(path, gone, side, changes) for side in (0, 1))
            if not ours or not theirs or {name for name, _ in ours} & {name for name, _ in theirs}:
                continue
            yield from ((name, _Put(place, 0, theirs[0][0])) for name, place in ours)
            yield from ((name, _Put(place, 1, ours[0][0])) for name, place in theirs)

    def _targets(
        self, path: bytes, gone: Uprooted, side: int, changes: Mapping[bytes, Leaf | None]
    ) -> list[tuple[bytes, Placed]]:
        """Where in the merged tree a side has put what it took out of *path*."""
        if not gone.kept[side]:
            places = self._arrivals.places(path, side, gone.base)
            return [(name, place) for there, place in places if (name := self._arrivals.merged_name(there, side))]
        content = self._arrivals.text_of(self._leaf(path, changes))
        still = content is not None and lines_of(content, gone.base, path) is not None
        return [(path, gone.base)] if still else []

    def _marked(self, path: bytes, file: FileResult | None, leaf: Leaf, content: bytes, puts: list[_Put]) -> FileResult:
        trees = (self._arrivals.leaf(tree, path) for tree in range(3))
        stages = file.stages if file is not None and file.stages is not None else Stages(*trees)
        if file is not None and file.disputes:
            first, *others = file.disputes
            told = "; ".join((first.detail, *(put.detail for put in puts)))
            return replace(file, disputes=(replace(first, detail=told), *others))
        spans = [(lines_of(content, put.place, path), put) for put in puts]
        known = sorted(((span, put) for span, put in spans if span is not None), key=lambda pair: pair[0])
        if len(known) < len(spans):
            detail = f"{EXPLAINED[Reason.DOUBLED]} ({puts[0].detail})"
            dispute = Dispute(path=path, reason=str(Reason.DOUBLED), detail=detail, stages=stages)
            return FileResult(path=path, how=How.LINE.value, disputes=(dispute,), stages=stages)
        pieces: list[Piece] = []
        at = 0
        for (start, stop), put in known:
            pieces += [content[at:start], put.clash(content[start:stop])]
            at = stop
        result = finished([*pieces, content[at:]], How.AST, self._marking, (), drop_last_newline=False)
        self.changes[path] = Leaf(leaf.mode, self._objects.write_blob(result.content))
        return file_result(path, result, stages)
