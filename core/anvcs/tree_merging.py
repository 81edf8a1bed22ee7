"""Two commits become one tree: Git merges names and modes, and who understands a file its content.

Git's answer is the start (`anvcs.git.treemerge`).  A file that both sides changed is then merged again
by its strategy (`anvcs.merging.strategies`), also where Git's lines met without a conflict: both may have
added the same name.  What is left is a `Dispute` for each block, or for the file as a whole.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from anvcs.arrivals import Arrivals
from anvcs.git.mergeattributes import merge_attributes
from anvcs.git.objects import ObjectStore, object_id
from anvcs.git.treemerge import UnrelatedHistories, merge_bases, merge_trees, renames
from anvcs.merging.marking import Marking
from anvcs.merging.merge import Options
from anvcs.merging.strategies import DEFAULT, Chooser, strategy
from anvcs.model.ids import Oid
from anvcs.model.merge import Conflict, How, MergeResult, Reason
from anvcs.model.pointer import MAGIC
from anvcs.model.stream_merge import Dispute, FileResult, Merged, Stages, TreeMerge, file_result
from anvcs.model.tree import DIRECTORY, EXECUTABLE, REGULAR, Leaf
from anvcs.moved_apart import Apart
from anvcs.moved_between import Follower, Ground

_FILES = (REGULAR, EXECUTABLE)
_LARGEST = 4 << 20
"""Bytes of a file that is looked into."""
_CONTENT_KINDS = frozenset({"CONFLICT (contents)", "CONFLICT (binary)"})
_PATIENCE_S = 30.0
"""For looking again at files that Git has merged; after that its lines stand."""
_AS_A_WHOLE = (b"unset", b"binary")
"""Values of the attribute ``merge`` of files that nobody is to look into."""
_POINTERS = (MAGIC, b"version https://git-lfs")
"""How texts begin that stand for something else: two of them don't make a third."""
_TOLD = ("Path updated", "CONFLICT (directory rename")


@dataclass(frozen=True, slots=True)
class Names:
    """What the two sides are called in markers and sentences."""

    ours: str
    theirs: str


class TreeMerger:
    """Merges commits of one repository."""

    def __init__(self, objects: ObjectStore, chooser: Chooser) -> None:
        self._objects = objects
        self._chooser = chooser

    def merge(self, ours: Oid, theirs: Oid, names: Names) -> Merged:
        """The two commits as one tree; writes objects and moves nothing.

        Raises:
            UnrelatedHistories: they have no common ancestor.
        """
        bases = merge_bases(self._objects, ours, theirs)
        if not bases:
            raise UnrelatedHistories(names.ours, names.theirs)
        by_git = merge_trees(self._objects, ours, theirs, (names.ours, names.theirs))
        work = _Work(self._objects, self._chooser, by_git, names, (ours, theirs, bases))
        files = {file.path: file for file in work.files()}
        files |= work.followed(files)
        tree = self._objects.write_tree(by_git.tree, work.changes) if work.changes else by_git.tree
        leaves = {change.path: change.new for change in self._objects.diff(self._objects.tree_of(ours), tree)}
        for path in leaves:
            files.setdefault(path, FileResult(path=path, how="identical"))
        return Merged(
            ours=ours,
            theirs=theirs,
            bases=bases,
            tree=tree,
            files=tuple(files[path] for path in sorted(files)),
            leaves=leaves,
            remarks=tuple(one.text for one in by_git.told if one.kind.startswith(_TOLD)),
        )


class _Work:
    """One merge of trees under way."""

    def __init__(
        self,
        objects: ObjectStore,
        chooser: Chooser,
        by_git: TreeMerge,
        names: Names,
        commits: tuple[Oid, Oid, tuple[Oid, ...]],
    ) -> None:
        self._objects = objects
        self._chooser = chooser
        self._by_git = by_git
        self._options = Options(marking=Marking(left=names.ours, right=names.theirs))
        self._commits = commits
        looked_at = self._looked_at = {*by_git.unmerged, *by_git.both_changed}
        self._attributes = merge_attributes(objects, commits[0], looked_at) if looked_at else {}
        self._deadline = time.monotonic() + _PATIENCE_S
        self.changes: dict[bytes, Leaf | None] = {}
        """What the tree has instead of what Git put there."""

    def files(self) -> Iterator[FileResult]:
        """Every file that is not simply one side's."""
        by_git = self._by_git
        kinds: dict[bytes, list[str]] = {}
        for one in by_git.told:
            if one.kind.startswith("CONFLICT"):
                for path in one.paths:
                    kinds.setdefault(path, []).append(one.kind)
        for path, stages in by_git.unmerged.items():
            if set(kinds.get(path, ())) <= _CONTENT_KINDS and self._has_text(stages):
                yield self._content(path, stages)
            else:
                yield self._whole(path, stages)
        known = {*by_git.unmerged}
        for one in by_git.told:
            if one.kind.startswith("CONFLICT") and not known & {*one.paths}:
                yield self._only_told(one.paths[0], one.kind, one.text)  # Git's tree is not to be trusted alone
                known.add(one.paths[0])
        yield from self._again([path for path in by_git.both_changed if path not in known])

    def followed(self, files: dict[bytes, FileResult]) -> dict[bytes, FileResult]:
        """Those of *files* that come out otherwise because definitions moved from one to another, and those they moved to."""
        ours, theirs, bases = self._commits
        if len(bases) > 1:
            return {}
        arrivals = Arrivals(self._objects, (bases[0], ours, theirs))
        ground = Ground(
            self._objects,
            arrivals,
            self._by_git.tree,
            self._by_strategy,
            self._may_follow,
            self._options,
            self._deadline,
        )
        follower = Follower(ground, files)
        follower.run()
        self.changes |= follower.changes
        apart = Apart(self._objects, arrivals, self._by_git.tree, self._options.marking, self._may_follow)
        results = follower.results
        results |= {file.path: file for file in apart.results(files | results, self.changes)}
        self.changes |= apart.changes
        return results

    def _may_follow(self, path: bytes) -> bool:
        """Whether the structure decides about *path*, and no attribute says otherwise."""
        if path not in self._looked_at:
            self._looked_at.add(path)
            self._attributes |= merge_attributes(self._objects, self._commits[0], [path])
        return path not in self._attributes and self._chooser(path) is strategy(DEFAULT)

    # What Git could not merge

    def _has_text(self, stages: Stages) -> bool:
        sides = [side for side in (stages.base, stages.ours, stages.theirs) if side is not None]
        both = stages.ours is not None and stages.theirs is not None
        return both and all(side.mode in _FILES and self._objects.header(side.oid) <= _LARGEST for side in sides)

    def _content(self, path: bytes, stages: Stages) -> FileResult:
        result = self._merged(path, stages)
        if result.conflicts and result.how is How.OPAQUE:
            return self._whole(path, stages, "both-changed", result.notes)
        found = self._objects.find(self._by_git.tree, path)
        mode = found.mode if found is not None else REGULAR
        self.changes[path] = Leaf(mode, self._objects.write_blob(result.content))
        return file_result(path, result, stages)

    def _merged(self, path: bytes, stages: Stages) -> MergeResult:
        base, left, right = (
            b"" if side is None else self._objects.blob(side.oid) for side in (stages.base, stages.ours, stages.theirs)
        )
        return self._by_strategy(path, (base, left, right))

    def _by_strategy(self, path: bytes, texts: tuple[bytes, bytes, bytes]) -> MergeResult:
        base, left, right = texts
        value = self._attributes.get(path)
        whole = value in _AS_A_WHOLE or any(text.startswith(_POINTERS) for text in texts)
        if whole and left != right and base not in (left, right):
            return MergeResult(left, How.OPAQUE, (Conflict(Reason.OPAQUE, 0, 0, base, left, right),))
        return self._chooser(path, "union" if value == b"union" else "")(base, left, right, path, self._options)

    def _whole(self, path: bytes, stages: Stages, reason: str = "", notes: tuple[str, ...] = ()) -> FileResult:
        told = [one for one in self._by_git.told if one.kind.startswith("CONFLICT") and path in one.paths]
        reason = reason or (_bare(told[0].kind) if told else "both-changed")
        detail = "; ".join(one.text.partition("): ")[2] or one.text for one in told)
        dispute = Dispute(path=path, reason=reason, detail=detail, stages=stages)
        return FileResult(path=path, how="line", disputes=(dispute,), notes=notes)

    def _only_told(self, path: bytes, kind: str, text: str) -> FileResult:
        return FileResult(path=path, how="line", disputes=(Dispute(path=path, reason=_bare(kind), detail=text),))

    # What Git merged by lines

    def _again(self, paths: list[bytes]) -> Iterator[FileResult]:
        ours, theirs, bases = self._commits
        if len(bases) > 1 or not paths:  # the version that lines were merged from is in no tree
            yield from (FileResult(path=path, how="line") for path in paths)
            return
        finder = _Finder(self._objects, bases[0], ours, theirs)
        for path in paths:
            merged = self._objects.find(self._by_git.tree, path)
            stages = finder.stages(path)
            if merged is None or stages.base is None or not self._has_text(stages):
                yield FileResult(path=path, how="line")
            elif time.monotonic() > self._deadline:
                yield FileResult(path=path, how="line", notes=("there was no time to look at its structure",))
            else:
                yield self._checked(path, stages, Leaf(merged.mode, merged.oid))

    def _checked(self, path: bytes, stages: Stages, by_git: Leaf) -> FileResult:
        result = self._merged(path, stages)
        if result.how is How.OPAQUE:  # git, which doesn't know, has merged its lines
            self.changes[path] = stages.ours
            return self._whole(path, stages, "both-changed")
        if object_id("blob", result.content) != by_git.oid:
            self.changes[path] = Leaf(by_git.mode, self._objects.write_blob(result.content))
        return file_result(path, result, stages)


class _Finder:
    """Where the three versions of a merged file are, through renames."""

    def __init__(self, objects: ObjectStore, base: Oid, ours: Oid, theirs: Oid) -> None:
        self._objects = objects
        self._trees = [objects.tree_of(commit) for commit in (base, ours, theirs)]
        self._renames: list[dict[bytes, bytes]] | None = None
        self._commits = base, ours, theirs

    def stages(self, path: bytes) -> Stages:
        """The sides of the file that is at *path* in the merged tree."""
        base, ours, theirs = (self._leaf(tree, path) for tree in self._trees)
        if base is not None and ours is not None and theirs is not None:
            return Stages(base, ours, theirs)
        if self._renames is None:
            start, *sides = self._commits
            self._renames = [renames(self._objects, start, side) for side in sides]
        source = next((found[path] for found in self._renames if path in found), None)
        if source is None:
            return Stages()
        before = self._leaf(self._trees[0], source)
        return Stages(before, ours or self._leaf(self._trees[1], source), theirs or self._leaf(self._trees[2], source))

    def _leaf(self, tree: Oid, path: bytes) -> Leaf | None:
        found = self._objects.find(tree, path)
        return None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)


def _bare(kind: str) -> str:
    return kind.removeprefix("CONFLICT (").removesuffix(")")
