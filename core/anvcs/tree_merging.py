"""Two commits become one tree: Git merges names and modes, and who understands a file its content.

Git's answer is the start (`anvcs.git.treemerge`).  A file that both sides changed is then merged again
by its strategy (`anvcs.merging.strategies`), also where Git's lines met without a conflict: both may have
added the same name.  What is left is a `Dispute` for each block, or for the file as a whole.
"""

import time
from collections.abc import Collection, Iterator
from itertools import count

from anvcs.arrivals import Arrivals
from anvcs.file_merging import FileMerge, Names, Task
from anvcs.git.mergeattributes import merge_attributes
from anvcs.git.objects import ObjectStore
from anvcs.git.treemerge import UnrelatedHistories, merge_bases, merge_trees, renames, virtual_base
from anvcs.merge_ways import Ways
from anvcs.merge_workers import Plan, merge_files
from anvcs.merging.strategies import DEFAULT, strategy
from anvcs.model.ids import Oid
from anvcs.model.stream_merge import Dispute, FileResult, Merged, Stages, TreeMerge
from anvcs.model.tree import DIRECTORY, EXECUTABLE, REGULAR, SYMLINK, Leaf
from anvcs.moved_apart import Apart
from anvcs.moved_between import Follower, Ground

_FILES = (REGULAR, EXECUTABLE)
_LONGEST_NAME = 255
_CONTENT_KINDS = frozenset({"CONFLICT (contents)", "CONFLICT (binary)"})
_PATIENCE_S, _PATIENCE_PER_FILE_S = 30.0, 0.05
"""For looking again at files that Git has merged; after that its lines stand."""
_TOLD = ("Path updated", "CONFLICT (directory rename")


class TreeMerger:
    """Merges commits of one repository."""

    def __init__(self, objects: ObjectStore, ways: Ways) -> None:
        self._objects = objects
        self._ways = ways
        ways.chooser()  # says now what is wrong with it

    def merge(self, ours: Oid, theirs: Oid, names: Names, checks: Collection[str] = ()) -> Merged:
        """The two commits as one tree; writes objects and moves nothing.

        What *checks* say (`anvcs.file_merging`) is looked at in passing, for guards.

        Raises:
            UnrelatedHistories: they have no common ancestor.
        """
        objects = self._objects
        bases = merge_bases(objects, ours, theirs)
        if not bases:
            raise UnrelatedHistories(names.ours, names.theirs)
        by_git = merge_trees(objects, ours, theirs, (names.ours, names.theirs))
        plan = Plan(objects.common_dir, self._ways, names, frozenset(checks))
        work = _Work(objects, plan, by_git, (ours, theirs, bases))
        files = {file.path: file for file in work.files()}
        files |= work.followed(files)
        tree = objects.write_tree(by_git.tree, work.changes) if work.changes else by_git.tree
        leaves = {change.path: change.new for change in objects.diff(objects.tree_of(ours), tree)}
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
        self, objects: ObjectStore, plan: Plan, by_git: TreeMerge, commits: tuple[Oid, Oid, tuple[Oid, ...]]
    ) -> None:
        self._objects = objects
        self._plan = plan
        self._by_git = by_git
        self._commits = commits
        looked_at = self._looked_at = {*by_git.unmerged, *by_git.both_changed}
        self._attributes = merge_attributes(objects, commits[0], looked_at) if looked_at else {}
        self._merger = plan.merger(objects)
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
        tasks = []
        for path, stages in by_git.unmerged.items():
            if set(kinds.get(path, ())) <= _CONTENT_KINDS and _is_of_files(stages):
                tasks.append(self._task(path, stages))
            else:
                yield self._whole(path, stages)
        yield from self._merged(tasks)
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
            lambda path, texts: self._merger.by_strategy(path, texts, self._attributes.get(path)),
            self._may_follow,
            self._merger.options,
            self._deadline,
        )
        follower = Follower(ground, files)
        follower.run()
        self.changes |= follower.changes
        apart = Apart(self._objects, arrivals, self._by_git.tree, self._merger.options.marking, self._may_follow)
        results = follower.results
        results |= {file.path: file for file in apart.results(files | results, self.changes)}
        self.changes |= apart.changes
        return results

    def _may_follow(self, path: bytes) -> bool:
        """Whether the structure decides about *path*, and no attribute says otherwise."""
        if path not in self._looked_at:
            self._looked_at.add(path)
            self._attributes |= merge_attributes(self._objects, self._commits[0], [path])
        return path not in self._attributes and self._merger.chooser(path) is strategy(DEFAULT)

    # What Git could not merge

    def _task(self, path: bytes, stages: Stages) -> Task:
        found = self._objects.find(self._by_git.tree, path)
        return Task(path, stages, found.mode if found is not None else REGULAR, self._attributes.get(path), None)

    def _merged(self, tasks: list[Task]) -> Iterator[FileResult]:
        done = merge_files(self._objects, self._plan, tasks)
        yield from (self._taken(task, done[task.path]) for task in tasks)

    def _taken(self, task: Task, merged: FileMerge) -> FileResult:
        if merged.is_opaque:
            return self._whole(task.path, task.stages, "both-changed", merged.file.notes)
        if merged.leaf is not None:
            self.changes[task.path] = merged.leaf
        return merged.file

    def _whole(self, path: bytes, stages: Stages, reason: str = "", notes: tuple[str, ...] = ()) -> FileResult:
        told = [one for one in self._by_git.told if one.kind.startswith("CONFLICT") and path in one.paths]
        reason = reason or (_bare(told[0].kind) if told else "both-changed")
        details = [one.text.partition("): ")[2] or one.text for one in told]
        beside = self._beside(path, stages)
        if beside:
            # What Git puts there may have its markers, which nobody can read in such a file.
            self.changes[path], self.changes[beside] = stages.ours, stages.theirs
            details = [f"ours is in {_text(path)}, theirs in {_text(beside)}"]
        dispute = Dispute(path=path, reason=reason, detail="; ".join(details), stages=stages, beside=beside)
        return FileResult(path=path, how="line", disputes=(dispute,), notes=notes)

    def _beside(self, path: bytes, stages: Stages) -> bytes:
        """A free name for theirs beside ours, for two files that nobody can make one; empty where it isn't so."""
        sides = stages.ours, stages.theirs
        if any(side is None or side.mode not in (*_FILES, SYMLINK) for side in sides):
            return b""
        folder, slash, name = path.rpartition(b"/")
        stem, dot, suffix = name.rpartition(b".")
        if not stem:
            stem, dot, suffix = name, b"", b""
        # The suffix stays, because it says what the file is, also to patterns.
        theirs = self._plan.names.theirs.replace("/", "_").encode("utf-8", "surrogateescape")
        for number in count():
            end = b"~" + theirs[-100:] + (b"_%d" % number if number else b"") + dot + suffix
            found = folder + slash + stem[: _LONGEST_NAME - len(end)] + end
            if found not in self.changes and self._objects.find(self._by_git.tree, found) is None:
                return found
        raise AssertionError  # it counts on for ever

    def _only_told(self, path: bytes, kind: str, text: str) -> FileResult:
        return FileResult(path=path, how="line", disputes=(Dispute(path=path, reason=_bare(kind), detail=text),))

    # What Git merged by lines

    def _again(self, paths: list[bytes]) -> Iterator[FileResult]:
        if not paths:
            return
        objects, (ours, theirs, bases) = self._objects, self._commits
        versions = _Versions(objects, virtual_base(objects, bases), ours, theirs)
        merged = {one.path: one.new for one in objects.diff(objects.tree_of(ours), self._by_git.tree)}
        tasks = []
        for path in paths:
            stages = versions.stages(path)
            leaf = merged.get(path, stages.ours)
            if leaf is None or stages.base is None or not _is_of_files(stages):
                yield FileResult(path=path, how="line")
            else:
                tasks.append(Task(path, stages, leaf.mode, self._attributes.get(path), leaf.oid))
        done = merge_files(objects, self._plan, tasks, _PATIENCE_S + _PATIENCE_PER_FILE_S * len(tasks))
        for task in tasks:
            if task.path not in done:
                late = ("there was no time to look at its structure",)
                yield FileResult(path=task.path, how="line", notes=late)
                continue
            yield self._taken(task, done[task.path])


class _Versions:
    """Where the three versions of a merged file are, through renames."""

    def __init__(self, objects: ObjectStore, base: Oid, ours: Oid, theirs: Oid) -> None:
        self._objects = objects
        self._commits = base, ours, theirs
        self._trees = [objects.tree_of(commit) for commit in self._commits]
        start, *sides = self._trees
        self._changes = [{one.path: one for one in objects.diff(start, side)} for side in sides]
        self._renames: list[dict[bytes, bytes]] | None = None

    def stages(self, path: bytes) -> Stages:
        """The sides of the file that is at *path* in the merged tree."""
        ours, theirs = (changes.get(path) for changes in self._changes)
        if ours is not None and theirs is not None and None not in (ours.old, ours.new, theirs.new):
            return Stages(ours.old, ours.new, theirs.new)
        base, *sides = (self._leaf(tree, path) for tree in self._trees)
        if base is not None and None not in sides:
            return Stages(base, *sides)
        if self._renames is None:
            start, *others = self._commits
            self._renames = [renames(self._objects, start, side) for side in others]
        source = next((found[path] for found in self._renames if path in found), None)
        if source is None:
            return Stages()
        before, *moved = (self._leaf(tree, source) for tree in self._trees)
        return Stages(before, sides[0] or moved[0], sides[1] or moved[1])

    def _leaf(self, tree: Oid, path: bytes) -> Leaf | None:
        found = self._objects.find(tree, path)
        return None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)


def _is_of_files(stages: Stages) -> bool:
    """Whether both sides have a file, and the base one or nothing."""
    sides = [side for side in (stages.base, stages.ours, stages.theirs) if side is not None]
    return stages.ours is not None and stages.theirs is not None and all(side.mode in _FILES for side in sides)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _bare(kind: str) -> str:
    return kind.removeprefix("CONFLICT (").removesuffix(")")
