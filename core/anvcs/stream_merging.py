"""Merging one stream into another: a commit with both parents, or a proposal that waits for somebody.

The target moves in one step, and only to a merge without anything open that has passed the guards.
Everything else becomes a proposal (`anvcs.proposals`): a stream of its own, so that nobody's view is
touched by a merge that isn't decided.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from anvcs.assisting import assist, assistant
from anvcs.auditing import audit
from anvcs.commit_policy import CommitAgainstPolicy, check_policy
from anvcs.committing import CommitResult, MergePart, StreamBusy, StreamMoved
from anvcs.config import Config
from anvcs.errors import AnvcsError
from anvcs.file_merging import Names
from anvcs.following_rooms import let_room_follow
from anvcs.git import checkouts, commits
from anvcs.git.config import Configuration
from anvcs.git.objects import NoSuchCommit
from anvcs.git.program import redacted
from anvcs.git.refs import BadRefName, RefMoved, check_name
from anvcs.git.treemerge import merge_bases
from anvcs.guard_places import sweep
from anvcs.guarding import Guards
from anvcs.lock_files import regenerated
from anvcs.merge_ways import Ways
from anvcs.model.ids import Oid
from anvcs.model.merge_request import MergeRequest
from anvcs.model.request import BadRequest, CommitRequest
from anvcs.model.room import Author
from anvcs.model.stream_merge import GuardResult, Merged
from anvcs.offline import committer_for
from anvcs.proposals import PREFIX, Proposal, ensure_open, proposals, store
from anvcs.repository import NoSuchStream, NothingCommitted, Repository
from anvcs.tree_merging import TreeMerger
from anvcs.trusting import ASSISTANT, GUARD, LOCK, commands_of, require_trust

_HEADS = "refs/heads/"
_ATTEMPTS = 25


class MergeUnderWay(AnvcsError):
    """The same merge waits already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"this merge waits in the stream {name} already: decide it there, or give it up with"
            f" ai-vcs merge --abort --stream {name}"
        )
        self.name = name


class SameStream(AnvcsError):
    """A stream can't be merged into itself."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} can't be merged into itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a request to merge."""

    outcome: str
    """``up-to-date``, ``fast-forward``, ``merged``, ``proposal`` or ``dry-run``."""
    source: str
    target: str
    commit: Oid | None = None
    before: Oid | None = None
    merged: Merged | None = None
    guards: tuple[GuardResult, ...] = ()
    proposal: str = ""
    why: str = ""
    remarks: tuple[str, ...] = ()
    duration_s: float = 0.0

    def document(self) -> dict[str, Any]:
        """The answer of ``.anvcs/merge`` and of ``--json`` (``docs/reference/json.md``)."""
        merged = self.merged
        files = [] if merged is None else [
            {"path": _text(file.path), "how": file.how, **({"notes": list(file.notes)} if file.notes else {})}
            for file in merged.files
        ]  # fmt: skip
        disputes = () if merged is None else merged.disputes
        return {
            "ok": True,
            "outcome": self.outcome,
            "source": self.source,
            "target": self.target,
            "before": self.before.hex() if self.before else None,
            "commit": self.commit.hex() if self.commit else None,
            "files": files,
            "conflicts": [
                {"path": _text(one.path), "reason": one.reason, "entity": one.entity, "detail": one.detail,
                 "lines": list(one.lines) if one.lines != (0, 0) else None}
                for one in disputes
            ],
            "guards": [guard.document() for guard in self.guards],
            "proposal": self.proposal or None,
            "why": self.why or None,
            "notes": list(self.remarks),
            "duration_ms": round(self.duration_s * 1000, 1),
        }  # fmt: skip


@dataclass(slots=True)
class _Sides:
    """The two commits of one attempt."""

    ours: Oid
    theirs: Oid
    bases: tuple[Oid, ...] = field(default=())


def merge_streams(repository: Repository, request: MergeRequest) -> Outcome:
    """Merge as *request* says; with conflicts or failed guards the outcome is a proposal."""
    return StreamMerger(repository, request).run()


class StreamMerger:
    """One request to merge."""

    def __init__(self, repository: Repository, request: MergeRequest) -> None:
        self._repository = repository
        self._target = repository.check_stream(request.into or repository.default_stream)
        self._request = request
        self._started = time.monotonic()
        self._config: Config = repository.config(self._target)
        self._author = Author(
            agent=request.agent or self._config.agent.name, model=request.model or self._config.agent.model
        )
        self._guards = Guards(repository.objects, self._config.merge)
        self._strategy = request.strategy or self._config.merge.strategy
        self._merger = TreeMerger(repository.objects, ways_of(self._strategy, self._config))
        self._remarks: list[str] = []
        self._told: tuple[dict[str, str], ...] = ()

    def run(self) -> Outcome:
        """Merge, again whenever the target has moved meanwhile."""
        if self._request.source == self._target:
            raise SameStream(self._target)
        if self._request.test_check:
            self._guards.require()
        if self._guards.commands or self._config.merge.locks:
            sweep(self._repository)
        for _ in range(_ATTEMPTS):
            sides = self._look()
            self._remarks = self._warnings()
            if sides.theirs in sides.bases:
                return self._outcome("up-to-date", sides, commit=sides.ours)
            self._refuse_second()
            self._require_trust()
            try:
                return self._fast_forward(sides) if sides.ours in sides.bases else self._merge(sides)
            except (StreamMoved, RefMoved):
                continue
        raise StreamBusy(self._target)

    def _look(self) -> _Sides:
        repository, source = self._repository, self._request.source
        ours = repository.refs.get(_HEADS + self._target)
        if ours is None:
            raise NothingCommitted
        theirs = repository.refs.get(_HEADS + source)
        if theirs is None:
            try:
                theirs = repository.objects.resolve(source)
            except NoSuchCommit:
                raise NoSuchStream(source) from None
        return _Sides(ours, theirs, merge_bases(repository.objects, ours, theirs))

    def _warnings(self) -> list[str]:
        source = self._request.source
        if self._repository.refs.get(_HEADS + source) is None:
            return []
        count = self._repository.changed_count(source)
        return [f"{source} has uncommitted work in {count} files, which is not merged"] if count else []

    def _refuse_second(self) -> None:
        for stored in proposals(self._repository):
            same = stored.proposal.source == self._request.source and stored.proposal.target == self._target
            if same and not self._request.dry_run:
                raise MergeUnderWay(stored.proposal.name)

    def _require_trust(self) -> None:
        """Before any work, and before anything is run."""
        if self._request.dry_run or self._request.no_commit:
            return
        kinds = {GUARD, LOCK, ASSISTANT} if self._request.auto else {GUARD, LOCK}
        wanted = [one for one in commands_of(self._config.merge) if one.kind in kinds]
        require_trust(self._repository, self._target, wanted)

    # Fast-forward

    def _fast_forward(self, sides: _Sides) -> Outcome:
        objects = self._repository.objects
        tree = objects.tree_of(sides.theirs)
        leaves = {one.path: one.new for one in objects.diff(objects.tree_of(sides.ours), tree)}
        merged = Merged(ours=sides.ours, theirs=sides.theirs, bases=sides.bases, tree=tree, files=(), leaves=leaves)
        if self._request.dry_run:
            return self._outcome("dry-run", sides, merged=merged, why="fast-forward")
        if self._request.no_commit:
            return self._propose(sides, merged, "asked", ())
        guards, failed = self._guarded(merged)
        if failed:
            return self._propose(sides, merged, failed, guards)
        _, who = commits.identity(self._git_config(), self._author.agent or None)
        told = f"merge {self._request.source}: Fast-forward"
        ref = _HEADS + self._target
        followed = checkouts.advance(
            objects, self._repository.refs, ref, sides.theirs, sides.ours, message=told, who=who
        )
        self._remarks += [
            f"{one.checkout.work_tree} could not follow: {one.problem}" for one in followed if one.problem
        ]
        self._remarks += let_room_follow(self._repository, self._target, sides.ours, sides.theirs)
        return self._outcome("fast-forward", sides, commit=sides.theirs, merged=merged, guards=guards)

    # A real merge

    def _merge(self, sides: _Sides) -> Outcome:
        names = Names(self._target, self._request.source)
        checks = () if self._request.dry_run else self._guards.built_in
        merged = self._merger.merge(sides.ours, sides.theirs, names, checks)
        self._remarks += merged.remarks
        if self._request.dry_run:
            return self._outcome("dry-run", sides, merged=merged, why="conflicts" if merged.disputes else "clean")
        undecided = merged
        if merged.disputes and self._request.auto:
            merged = self._assisted(merged)
        if not self._request.no_commit:
            merged, notes = regenerated(self._repository.objects, self._config.merge, merged)
            self._remarks += notes
        if merged.disputes:
            return self._propose(sides, merged, "conflicts", ())
        if self._request.no_commit:
            return self._propose(sides, merged, "asked", ())
        guards, failed = self._guarded(merged)
        if failed and self._told:  # what an assistant says counts only if it passes
            self._remarks.append("what the assistant decided doesn't pass the guards, and was not taken")
            self._told = ()
            return self._propose(sides, undecided, "conflicts", guards)
        if failed:
            return self._propose(sides, merged, failed, guards)
        result = self._commit(sides, merged, guards)
        self._remarks += result.remarks
        self._remarks += let_room_follow(self._repository, self._target, sides.ours, result.commit)
        return self._outcome("merged", sides, commit=result.commit, merged=merged, guards=guards)

    def _assisted(self, merged: Merged) -> Merged:
        """*merged* with what the configured assistant could decide."""
        ask = assistant(self._config.merge)
        if ask is None:
            self._remarks.append("no assistant is configured (merge.assistant)")
            return merged
        who = self._config.merge.assistant_model or self._config.merge.assistant
        done = assist(self._repository.objects, merged, ask, redacted(who))
        self._remarks += done.notes
        self._told = done.told
        audit(self._repository, "assistant", {"theirs": merged.theirs.hex(), "target": self._target}, done.told)
        return done.merged if done.told else merged

    def _guarded(self, merged: Merged) -> tuple[tuple[GuardResult, ...], str]:
        """How the guards ended, and why the merge must wait: nothing, ``guards`` or ``policy``."""
        guards, remarks = self._guards.run(merged)
        self._remarks += remarks
        if not all(guard.ok for guard in guards):
            return guards, "guards"
        try:
            check_policy(self._config.agent.commit_policy, self._commit_request(guards))
        except CommitAgainstPolicy:
            return guards, "policy"
        return guards, ""

    def _commit_request(self, guards: tuple[GuardResult, ...]) -> CommitRequest:
        return merge_commit_request(
            self._message(), self._author, guards, self._guards.commands, no_verify=self._request.no_verify
        )

    def _message(self) -> str:
        return self._request.message or default_message(self._repository, self._request.source, self._target)

    def _commit(self, sides: _Sides, merged: Merged, guards: tuple[GuardResult, ...]) -> CommitResult:
        more = {"assistant": [dict(one) for one in self._told]} if self._told else {}
        document = merge_document(self._request.source, self._strategy, merged, guards, **more)
        part = MergePart(parents=(sides.theirs,), document=document, tree=merged.tree)
        with self._repository.room(self._target, self._author) as opened:
            committer = committer_for(self._repository, opened, self._author)
            committer.complete_notes()
            plan = committer.plan_merge(self._commit_request(guards), stream=self._target, base=sides.ours, merge=part)
            return committer.execute(plan)

    # What has to wait

    def _propose(self, sides: _Sides, merged: Merged, why: str, guards: tuple[GuardResult, ...]) -> Outcome:
        waiting = Proposal(
            name=free_name(self._repository, self._request.source, self._target),
            source=self._request.source,
            target=self._target,
            ours=sides.ours,
            theirs=sides.theirs,
            bases=sides.bases,
            why=why,
            message=self._message(),
            agent=self._author.agent,
            model=self._author.model,
            strategy=self._strategy,
            files=merged.files,
            guards=tuple(guard.document() for guard in guards),
            assistant=self._told,
            tree=merged.tree,
        )
        stored = store(self._repository, waiting, None)
        ensure_open(stored)
        return self._outcome("proposal", sides, merged=merged, guards=guards, proposal=waiting.name, why=why)

    def _outcome(self, outcome: str, sides: _Sides, **fields: Any) -> Outcome:
        return Outcome(
            outcome=outcome,
            source=self._request.source,
            target=self._target,
            before=sides.ours,
            remarks=tuple(self._remarks),
            duration_s=time.monotonic() - self._started,
            **fields,
        )

    def _git_config(self) -> Configuration:
        return Configuration(self._repository.info.git_dir, self._repository.info.common_dir)


def ways_of(general: str, config: Config) -> Ways:
    """Which strategy each path gets: that of the configuration, else the *general* one."""
    return Ways(general, config.merge.strategies)


def free_name(repository: Repository, source: str, target: str) -> str:
    """The branch of a new proposal."""
    wanted = f"merge/{source.replace('~', '-').replace('^', '-').replace(':', '-')}-into-{target}"
    try:
        check_name(_HEADS + wanted)
    except BadRefName:
        wanted = f"merge/into-{target}"
    for number in range(1, 1000):
        name = wanted if number == 1 else f"{wanted}-{number}"
        if repository.refs.get(_HEADS + name) is None and repository.refs.get(PREFIX + name) is None:
            return name
    raise BadRequest(f"there are too many branches called {wanted}")


def default_message(repository: Repository, source: str, target: str) -> str:
    """The subject as Git would write it."""
    if repository.refs.get(_HEADS + source) is not None:
        what = f"branch '{source}'"
    elif repository.refs.get(f"refs/remotes/{source}") is not None:
        what = f"remote-tracking branch '{source}'"
    elif repository.refs.get(f"refs/tags/{source}") is not None:
        what = f"tag '{source}'"
    else:
        what = f"commit '{source}'"
    into = "" if target in {"main", "master"} else f" into {target}"
    return f"Merge {what}{into}"


def merge_commit_request(
    message: str, author: Author, guards: tuple[GuardResult, ...], commands: list[str], *, no_verify: bool = False
) -> CommitRequest:
    """The request to commit that a merge amounts to; it says that tests passed when commands were run and did."""
    ran = {guard.name: guard.ok for guard in guards if guard.name in commands}
    return CommitRequest(
        message=message,
        agent=author.agent,
        model=author.model,
        tests_passed=all(ran.values()) if ran else None,
        no_verify=no_verify,
    )


def merge_document(
    source: str, strategy: str, merged: Merged, guards: tuple[GuardResult, ...], **more: object
) -> dict[str, object]:
    """What the metadata of a merge says (``docs/reference/formats/metadata.md``)."""
    told = [file for file in merged.files if file.how != "identical"]
    return {
        "source": source,
        "commit": merged.theirs.hex(),
        "bases": [base.hex() for base in merged.bases],
        "strategy": strategy,
        "files": {_text(file.path): file.how for file in told[:_FILES_TOLD]},
        "identical": len(merged.files) - len(told),
        "guards": [guard.document() for guard in guards],
        **more,
    }


_FILES_TOLD = 5000


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
