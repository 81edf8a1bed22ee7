"""From a room's state to a Git commit with provenance.

Three steps, because a room belongs to one thread and Git is slow: `Committer.prepare`
reads the room, `Committer.execute` writes to Git in any thread, `Committer.finish`
moves the room's base.  A crash between any two leaves the old state or the new one:
objects without a ref are harmless, and a room whose stream has moved follows it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from anvcs.commit_artifacts import CommitArtifacts, Wanted
from anvcs.errors import AnvcsError
from anvcs.git import admin, checkouts, commits
from anvcs.git.config import Configuration
from anvcs.git.history import Signature
from anvcs.git.hooks import Hooks
from anvcs.git.messages import add_trailers, clean_message
from anvcs.git.notes import Notes
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git
from anvcs.git.refs import RefMoved, Refs
from anvcs.git.skeleton import Skeleton
from anvcs.model.changes import PathChange
from anvcs.model.ids import Oid, Seq
from anvcs.model.metadata import Contributor, Metadata
from anvcs.model.pin import Pin
from anvcs.model.request import UPLOAD_LATER, CommitRequest
from anvcs.model.room import Content
from anvcs.model.tree import EXECUTABLE, REGULAR, SYMLINK, Leaf
from anvcs.note_queue import NoteQueue
from anvcs.pinning import Pinning
from anvcs.rooms.room import Room

_MOST_CREDITS = 50
"""How many commits are looked at for one that took an agent's work along."""
_START = Seq(0)


class NothingToCommit(AnvcsError):
    """Nothing differs from the stream's head (or nothing of what the request names)."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"nothing to commit{scope}; allow_empty (--allow-empty) commits all the same")


class StreamMoved(AnvcsError):
    """The branch isn't where the room's base is any more."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"the stream {stream} moved meanwhile")
        self.stream = stream


class StreamGone(AnvcsError):
    """The branch was deleted while its room was open."""

    def __init__(self, stream: str, base: Oid) -> None:
        super().__init__(f"the stream {stream} was deleted: `git branch {stream} {base.hex()[:12]}` brings it back")
        self.stream = stream


class StreamBusy(AnvcsError):
    """The branch moved at every attempt."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"the stream {stream} kept moving: try again")


@dataclass(frozen=True, slots=True)
class _Input:
    """One path that the commit changes; exactly one source of content, or none for a deletion."""

    path: bytes
    mode: int
    old: Leaf | None = None
    """What the base has there: a file committed with CRLF keeps it under ``text=auto``."""
    data: bytes | None = None
    file: Path | None = None
    value: bytes | None = None
    """SHA-256 of the bytes in *file*."""
    mtime_ns: int = 0
    oid: Oid | None = None
    gone: bool = False

    @property
    def wanted(self) -> Wanted:
        """The file, as artifacts see it."""
        digest = self.value.hex() if self.value is not None else ""
        return Wanted(self.path, self.mode, self.old, self.data, self.file, digest, self.mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePart:
    """What makes a commit a merge."""

    parents: tuple[Oid, ...]
    """What comes after the stream's own commit."""
    document: Mapping[str, object]
    """What the metadata says about it."""
    tree: Oid | None = None
    """The merged tree; ``None``: the base with the inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything `Committer.execute` needs, read from the room at one moment."""

    request: CommitRequest
    stream: str
    detached: bool
    base: Oid | None
    inputs: tuple[_Input, ...]
    contributors: tuple[Contributor, ...]
    agent: str
    model: str
    started_s: float
    merge: MergePart | None = None
    awaited: Callable[[], bool] | None = None
    """Whether whoever asked still waits: if not, nothing more is uploaded and nothing is committed."""

    def with_contributors(self, contributors: tuple[Contributor, ...]) -> "Plan":
        """The same commit, by others."""
        return replace(self, contributors=contributors)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitResult:
    """A commit that the stream now points to."""

    commit: Oid
    base: Oid | None
    stream: str
    subject: str
    paths: tuple[bytes, ...]
    leaves: Mapping[bytes, Leaf | None]
    values: Mapping[bytes, bytes]
    """SHA-256 of the large files among them that Git stores as they are shown."""
    contributors: tuple[Contributor, ...]
    duration_s: float
    remarks: tuple[str, ...] = ()


class Committer:
    """Makes commits for one view (or, with no view, for the command line)."""

    def __init__(
        self,
        *,
        git: ObjectStore,
        refs: Refs,
        skeleton: Skeleton,
        queue: NoteQueue,
        mirror: Path | None,
        admin_dir: Path,
        work_dir: Path | None,
        agent: str,
        model: str,
        pinning: Pinning | None = None,
    ) -> None:
        self._git = git
        self.artifacts = None if pinning is None else CommitArtifacts(git, pinning)
        self._refs = refs
        self._notes = Notes(git, refs)
        self._skeleton = skeleton
        self._queue = queue
        self._mirror = mirror
        self._admin_dir = admin_dir
        self._work_dir = work_dir
        self._agent = agent
        self._model = model
        self._large: dict[bytes, Oid] = {}
        """By the SHA-256 of their bytes: the blobs of large files."""

    # Reading the room

    def prepare(
        self, room: Room, request: CommitRequest, *, stream: str, detached: bool = False, since: Seq = _START
    ) -> Plan:
        """What the commit will take, as the room is now; its contributors are those of ops after *since*."""
        contributors = tuple(
            Contributor(agent=one.agent, model=one.model, added=one.added, removed=one.removed, paths=len(one.paths))
            for one in room.contributors(since, takes=lambda path: _wanted(path, request.paths))
        )
        return self.plan(room, request, contributors, stream=stream, detached=detached)

    def prepare_apart(self, room: Room, request: CommitRequest, *, stream: str, detached: bool = False) -> Plan:
        """As `prepare`, through another window on the room; for a thread, while the room is in use."""
        with room.reader() as reader:
            return self.prepare(reader, request, stream=stream, detached=detached)

    def plan(
        self,
        room: Room,
        request: CommitRequest,
        contributors: tuple[Contributor, ...] = (),
        *,
        stream: str,
        detached: bool = False,
    ) -> Plan:
        """As `prepare`, by *contributors*."""
        changes = [change for change in room.changes() if _wanted(change.path, request.paths)]
        inputs = tuple(self._input(room, change) for change in changes)
        return Plan(
            request=request,
            stream=stream,
            detached=detached,
            base=room.base,
            inputs=inputs,
            contributors=contributors,
            agent=request.agent or self._agent,
            model=request.model or self._model,
            started_s=time.monotonic(),
        )

    def _input(self, room: Room, change: PathChange) -> _Input:
        entry, path, old = change.entry, change.path, change.old
        if change.status == "D" or entry is None:
            return _Input(path, 0, gone=True)
        if entry.content is Content.GIT or entry.content is Content.NONE:
            return _Input(path, entry.mode, oid=Oid(entry.ref))
        if entry.content is Content.OPAQUE:
            return _Input(path, entry.mode, old, file=room.object_path(entry), value=entry.ref, mtime_ns=entry.mtime_ns)
        return _Input(path, entry.mode, old, data=room.read(entry), mtime_ns=entry.mtime_ns)

    def find_credit(self, agent: str, head: Oid, since: Oid | None) -> Oid | None:
        """The newest commit up to *head* and after *since* that took along what *agent* had done."""
        if not agent:
            return None
        line = f"Co-authored-by: {_credit(commits.agent_signature(agent))}".encode("utf-8", "surrogateescape")
        at: Oid | None = head
        for _ in range(_MOST_CREDITS):
            if at is None or at == since:
                break
            info = self._git.commit_info(at)
            if line in info.message.splitlines():
                return at
            at = info.parents[0] if info.parents else None
        return None

    def plan_merge(self, request: CommitRequest, *, stream: str, base: Oid, merge: MergePart) -> Plan:
        """A merge that is ready: no room has a part in it."""
        return Plan(
            request=request,
            stream=stream,
            detached=False,
            base=base,
            inputs=(),
            contributors=(),
            agent=request.agent or self._agent,
            model=request.model or self._model,
            started_s=time.monotonic(),
            merge=merge,
        )

    # Writing to Git

    def tree(self, plan: Plan, pins: Mapping[bytes, Pin]) -> tuple[Oid | None, Oid, dict[bytes, Leaf | None]]:
        """The base's tree, the commit's tree, and the leaves that make the difference; *pins* are its artifacts."""
        before = None if plan.base is None else self._git.tree_of(plan.base)
        if plan.merge is not None and plan.merge.tree is not None:
            tree = plan.merge.tree
            return before, tree, {change.path: change.new for change in self._git.diff(before, tree)}
        leaves = {item.path: self._leaf(item, pins.get(item.path)) for item in plan.inputs}
        return before, self._git.write_tree(before, leaves), leaves

    def _leaf(self, item: _Input, pin: Pin | None) -> Leaf | None:
        if item.gone:
            return None
        if pin is not None and self.artifacts is not None:
            return self.artifacts.leaf(item.mode, pin)
        if item.oid is not None:
            return Leaf(item.mode, item.oid)
        if item.file is not None:
            if self._skeleton.conversion(item.path) is None:
                return Leaf(item.mode, self._stored(item.file, item.value))
            return Leaf(item.mode, self._skeleton.clean_file(item.path, item.file))
        data = item.data or b""
        if item.mode != SYMLINK and self._skeleton.conversion(item.path) is not None:
            known = item.old is not None and item.old.mode in (REGULAR, EXECUTABLE)
            previous = self._git.blob(item.old.oid) if known and item.old is not None else None
            data = self._skeleton.clean(item.path, data, previous)
        return Leaf(item.mode, self._git.write_blob(data))

    def _stored(self, file: Path, value: bytes | None) -> Oid:
        """The blob of a large file, which takes Git long; what was stored once and is still there isn't again."""
        known = None if value is None else self._large.get(value)
        if known is not None and self._git.has(known):
            return known
        oid = self._git.write_blob_file(file)
        if value is not None:
            self._large[value] = oid
        return oid

    def _values(self, plan: Plan) -> dict[bytes, bytes]:
        unconverted = (item for item in plan.inputs if self._skeleton.conversion(item.path) is None)
        return {item.path: item.value for item in unconverted if item.value is not None}

    def execute(self, plan: Plan) -> CommitResult:
        """Objects, hooks, commit, ref, note: in this order.

        Raises:
            NothingToCommit, StreamMoved, CheckoutInTheWay, HookFailed and what Git raises.
        """
        request = plan.request
        pins = self.pins(plan)
        before, tree, leaves = self.tree(plan, pins)
        if not (request.allow_empty or plan.merge) and (tree == before or (plan.base is None and not leaves)):
            raise NothingToCommit(" in these paths" if request.paths else "")
        config = Configuration(self._admin_dir, self._git.common_dir).still()
        author, committer = commits.identity(config, plan.agent or None)
        hooks = Hooks(self._admin_dir, self._work_dir, config)
        if not request.no_verify:
            hook = "pre-merge-commit" if plan.merge else "pre-commit"
            tree = hooks.run_pre_commit(tree, author=author, index=self._admin_dir / "index", hook=hook)
        message = self._message(plan, config, hooks, author)
        commit = commits.create_commit(
            self._git,
            tree=tree,
            parents=(*([] if plan.base is None else [plan.base]), *(plan.merge.parents if plan.merge else ())),
            message=message,
            author=author,
            committer=committer,
            sign=commits.signer_for(config, self._admin_dir),
            encoding=config.get("i18n.commitEncoding") or "",
        )
        artifacts = () if self.artifacts is None else self.artifacts.committed(pins, leaves)
        note = self._metadata(plan, commit, artifacts).encode()
        self._queue.add(commit, plan.stream, note)
        remarks = self._move(plan, commit, message, committer)
        self._publish_note(commit, note, committer)
        if plan.merge is None:
            hooks.run_post_commit(author=author)
        else:
            hooks.run_post_merge(author=author)
        commits.maintain(self._git)
        return CommitResult(
            commit=commit,
            base=plan.base,
            stream=plan.stream,
            subject=message.split(b"\n", 1)[0].decode("utf-8", "replace"),
            paths=tuple(sorted(leaves)),
            leaves=leaves,
            values=self._values(plan),
            contributors=plan.contributors,
            duration_s=time.monotonic() - plan.started_s,
            remarks=(*remarks, *([hooks.output] if hooks.output else [])),
        )

    def _message(self, plan: Plan, config: Configuration, hooks: Hooks, author: Signature) -> bytes:
        request = plan.request
        message = request.full_message().encode("utf-8", "surrogateescape")
        others = [one.agent for one in plan.contributors if one.agent and one.agent != plan.agent]
        trailers = [("Co-authored-by", _credit(commits.agent_signature(name))) for name in others]
        if trailers:
            message = add_trailers(message, trailers)
        message = hooks.run_prepare_commit_msg(message, author=author, source="merge" if plan.merge else "message")
        if not request.no_verify:
            message = hooks.run_commit_msg(message, author=author)
        return clean_message(message, *commits.message_rules(config))

    def pins(self, plan: Plan) -> dict[bytes, Pin]:
        """Have the artifacts among what the commit takes in their store (or queued for it)."""
        if self.artifacts is None:
            return {}
        return self.artifacts.pins(files_of(plan), later=UPLOAD_LATER[plan.request.upload], awaited=plan.awaited)

    def _metadata(self, plan: Plan, commit: Oid, artifacts: tuple[Mapping[str, object], ...]) -> Metadata:
        request = plan.request
        return Metadata(
            id=commit.hex(),
            stream=plan.stream,
            agent_id=plan.agent,
            model=plan.model,
            prompt=request.prompt,
            tests_passed=request.tests_passed,
            test_report_ref=request.test_report,
            coverage=request.coverage,
            env=request.env,
            artifacts=artifacts,
            contributors=plan.contributors,
            merge=plan.merge.document if plan.merge else None,
        )

    def _move(self, plan: Plan, commit: Oid, message: bytes, who: Signature) -> list[str]:
        """Point the stream at *commit*, and let ordinary checkouts of it follow; what to tell about those."""
        subject = message.split(b"\n", 1)[0].decode("utf-8", "surrogateescape")
        if plan.detached:
            admin.set_head(self._admin_dir, admin.Detached(commit), f"commit: {subject}")
            return []
        kind = "commit (initial)" if plan.base is None else "commit (merge)" if plan.merge else "commit"
        ref, told = f"refs/heads/{plan.stream}", f"{kind}: {subject}"
        if plan.base is not None and self._refs.get(ref) is None:
            raise StreamGone(plan.stream, plan.base)
        try:
            followed = checkouts.advance(self._git, self._refs, ref, commit, plan.base, message=told, who=who)
        except RefMoved:
            raise StreamMoved(plan.stream) from None
        if plan.merge is None:  # one is made from outside of every view, and checkouts log for themselves
            admin.log_head_move(self._admin_dir, plan.base, commit, told, who)
        return [f"{each.checkout.work_tree} could not follow: {each.problem}" for each in followed if each.problem]

    def _publish_note(self, commit: Oid, note: bytes, who: Signature) -> None:
        self._notes.write({commit: note}, who=who)
        if self._mirror is not None:
            self._mirror.mkdir(parents=True, exist_ok=True)
            (self._mirror / f"{commit.hex()}.json").write_bytes(note)
        self._queue.done(commit)

    def complete_notes(self) -> None:
        """Write the notes that a crash kept from being written; drop those of commits that never came to be."""
        for commit, stream, note in self._queue.waiting():
            head = self._refs.get(f"refs/heads/{stream}")
            if head is not None and self._reaches(head, commit):
                config = Configuration(self._admin_dir, self._git.common_dir)
                self._publish_note(commit, note, commits.identity(config, self._agent or None)[1])
            else:
                self._queue.done(commit)

    def _reaches(self, head: Oid, commit: Oid) -> bool:
        git = Git(self._git.common_dir)
        return git.run("merge-base", "--is-ancestor", commit.hex(), head.hex(), allow=(1, 128)).code == 0


def files_of(plan: Plan) -> Iterator[Wanted]:
    """What the commit takes that is content."""
    return (item.wanted for item in plan.inputs if item.data is not None or item.file is not None)


def _credit(who: Signature) -> str:
    return f"{who.name} <{who.email}>"


def _wanted(path: bytes, scope: tuple[bytes, ...]) -> bool:
    return not scope or any(top in (b"", path) or path.startswith(top + b"/") for top in scope)
