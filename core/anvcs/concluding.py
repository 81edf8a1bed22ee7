"""How a merge that waits ends: concluded by a commit on its target, or given up.

The commit moves the target; that is the moment at which the merge is concluded.  What is left of the
proposal after it, its state and its stream, is cleared away, now or by the next command that finds it.
"""

import time
from dataclasses import replace
from typing import Any

from anvcs.auditing import audit, now
from anvcs.committing import CommitResult, Committer, MergePart, Plan, StreamBusy, StreamMoved
from anvcs.deciding import marked_paths
from anvcs.errors import AnvcsError
from anvcs.file_merging import Names
from anvcs.following_rooms import let_room_follow
from anvcs.git import commits
from anvcs.git.program import Git
from anvcs.guarding import Guards
from anvcs.lock_files import regenerated
from anvcs.model.ids import Oid, Seq
from anvcs.model.request import CommitRequest
from anvcs.model.room import Author
from anvcs.model.stream_merge import Dispute, FileResult, GuardResult, Merged
from anvcs.offline import committer_for
from anvcs.proposals import PREFIX, NoSuchProposal, Proposal, Stored, ensure_open, forget, proposal, proposals, store
from anvcs.renewing import with_decisions
from anvcs.repository import NoSuchStream, Repository
from anvcs.rooms.proposing import KIND
from anvcs.rooms.room import Room
from anvcs.stream_merging import Outcome, free_name, merge_commit_request, merge_document, ways_of
from anvcs.streams import StreamInUse, delete_stream
from anvcs.tree_merging import TreeMerger
from anvcs.trusting import GUARD, LOCK, commands_of, require_trust
from anvcs.views import ViewState

_HEADS = "refs/heads/"
_ATTEMPTS = 25
GIVEN_UP = "refs/anvcs/given-up/"
"""What was decided in merges that were given up, by the name of their stream."""


class StillOpen(AnvcsError):
    """Conflicts of the merge are not decided."""

    def __init__(self, name: str, count: int, paths: list[bytes]) -> None:
        listed = ", ".join(path.decode("utf-8", "backslashreplace") for path in paths[:5])
        what = (
            ("1 conflict is open" if count == 1 else f"{count} conflicts are open")
            if count
            else f"conflict markers are left in {listed}"
        )
        super().__init__(f"{what} in the stream {name}: ai-vcs conflicts list --stream {name}")
        self.name = name


class GuardsFailed(AnvcsError):
    """The merge would move its target to something that the guards refuse."""

    def __init__(self, name: str, guards: tuple[GuardResult, ...]) -> None:
        failed = [guard for guard in guards if not guard.ok]
        said = "; ".join(f"{one.name}: {_end_of(one.output) or 'failed'}" for one in failed)
        super().__init__(
            f"the merge {name} doesn't pass: {said}. Fix it in that stream, or let somebody decide:"
            f" ai-vcs review approve {name} --why TEXT"
        )
        self.guards = guards


class _TargetClashes(Exception):
    """The target has moved, and what it has now clashes with what was decided."""

    def __init__(self, head: Oid, decided: Oid) -> None:
        super().__init__()
        self.head, self.decided = head, decided


def conclude(repository: Repository, stored: Stored, *, author: Author, message: str = "") -> Outcome:
    """Commit the merge on its target.

    If that has moved and clashes with what was decided, the merge is made anew, with all decisions that fit; the
    outcome is a proposal then, unless everything fits.

    Raises:
        StillOpen, GuardsFailed, CommandsNotTrusted: nothing has changed then.
    """
    started = time.monotonic()
    for _ in range(_ATTEMPTS):
        _require_open(repository, stored)
        ensure_open(stored)
        try:
            result, merged, guards, remarks = _attempt(repository, stored, author, message)
        except StreamMoved:
            continue
        except _TargetClashes as clash:
            renewed = _renew(repository, stored, clash)
            if renewed.merged is not None and renewed.merged.disputes:
                return renewed
            stored = proposal(repository, renewed.proposal)
            continue
        waiting = stored.proposal
        remarks += let_room_follow(repository, waiting.target, result.base, result.commit)
        remarks += _clear(repository, stored, result.commit)
        return Outcome(
            outcome="merged", source=waiting.source, target=waiting.target, commit=result.commit, before=result.base,
            merged=merged, guards=guards, remarks=(*result.remarks, *remarks), duration_s=time.monotonic() - started,
        )  # fmt: skip
    raise StreamBusy(stored.proposal.target)


def _require_open(repository: Repository, stored: Stored) -> None:
    """Raise `NoSuchProposal` when another process has concluded the merge meanwhile."""
    waiting = stored.proposal
    head = repository.refs.get(_HEADS + waiting.target)
    if head is not None and _reaches(repository, head, waiting.theirs):
        _clear(repository, stored, head)
        raise NoSuchProposal(waiting.name, [])


def _attempt(
    repository: Repository, stored: Stored, author: Author, message: str
) -> tuple[CommitResult, Merged, tuple[GuardResult, ...], list[str]]:
    waiting = stored.proposal
    head = repository.refs.get(_HEADS + waiting.target)
    if head is None:
        raise NoSuchStream(waiting.target)
    config = repository.config(waiting.target)
    with repository.room(waiting.name, author) as opened:
        room = opened.room
        marked = marked_paths(room, waiting.disputes)
        if room.open_conflicts() or marked:
            raise StillOpen(waiting.name, room.open_conflicts(), marked)
        committer = committer_for(repository, opened, author)
        committer.complete_notes()
        plan, tree = _decided(committer, room, waiting)
        tree = _upon(repository, waiting, tree, head)
        merged = _as_merged(repository, waiting, tree, head)
        require_trust(repository, waiting.target, (one for one in commands_of(config.merge) if one.kind == LOCK))
        merged, notes = regenerated(repository.objects, config.merge, merged)
        guards, remarks = _guard(repository, stored, merged)
        remarks += notes
        request = merge_commit_request(
            message or waiting.message, author, guards, Guards(repository.objects, config.merge).commands
        )
        more = {
            name: [dict(one) for one in told]
            for name, told in (("reviews", waiting.reviews), ("assistant", waiting.assistant))
            if told
        }
        document = merge_document(waiting.source, waiting.strategy, merged, guards, **more)
        part = MergePart(parents=(waiting.theirs,), document=document, tree=merged.tree)
        final = replace(plan, request=request, base=head, inputs=(), merge=part)
        return committer.execute(final), merged, guards, remarks


def _decided(committer: Committer, room: Room, waiting: Proposal) -> tuple[Plan, Oid]:
    """Who did what in the room, and the tree that it shows: what it says against its own base is the merge."""
    made = next((op.seq for op in room.ops() if op.kind == KIND), Seq(0))
    plan = committer.prepare(room, CommitRequest(message="merge"), stream=waiting.target, since=made)
    return plan, committer.tree(plan, committer.pins(plan))[1]


def _upon(repository: Repository, waiting: Proposal, tree: Oid, head: Oid) -> Oid:
    """*tree*, which was decided where the target stood, where the target stands now."""
    if head == waiting.ours:
        return tree
    who = commits.agent_signature("anvcs")
    decided = commits.create_commit(
        repository.objects, tree=tree, parents=(waiting.ours,), message=b"decided\n", author=who, committer=who
    )
    merger = TreeMerger(repository.objects, ways_of(waiting.strategy, repository.config(waiting.target)))
    merged = merger.merge(head, decided, Names(waiting.target, waiting.name))
    if merged.disputes:
        raise _TargetClashes(head, tree)
    return merged.tree


def _renew(repository: Repository, stored: Stored, clash: _TargetClashes) -> Outcome:
    """The same merge from where the target is now, as a proposal in place of the one that is *stored*."""
    waiting = stored.proposal
    merger = TreeMerger(repository.objects, ways_of(waiting.strategy, repository.config(waiting.target)))
    fresh = merger.merge(clash.head, waiting.theirs, Names(waiting.target, waiting.source))
    renewed = with_decisions(repository.objects, waiting, clash.decided, fresh)
    name = free_name(repository, waiting.source, waiting.target)
    ref = f"{PREFIX}{name}:decided/"
    files = tuple(
        replace(file, disputes=tuple(_told_before(one, ref) for one in file.disputes))
        if file.path in renewed.again
        else file
        for file in renewed.merged.files
    )
    merged = replace(renewed.merged, files=files)
    new = replace(
        waiting, name=name, ours=clash.head, bases=fresh.bases, why="conflicts" if merged.disputes else "asked",
        files=files, guards=(), reviews=(), tree=merged.tree, decided=clash.decided,
    )  # fmt: skip
    ensure_open(store(repository, new, None))
    remarks = [
        f"{waiting.target} has moved: {waiting.name} was made anew as {name}, with what was decided as far as it fits"
    ]
    remarks += [
        f"{_text(path)} is to be decided again; what was decided is in {ref}{_text(path)}" for path in renewed.again
    ]
    remarks += _clear(repository, stored, clash.head)
    return Outcome(
        outcome="proposal", source=waiting.source, target=waiting.target, before=clash.head, merged=merged,
        proposal=name, why=new.why, remarks=tuple(remarks),
    )  # fmt: skip


def _told_before(one: Dispute, ref: str) -> Dispute:
    said = f"decided before as in {ref}{_text(one.path)}"
    return replace(one, detail=f"{one.detail}; {said}" if one.detail else said)


def _as_merged(repository: Repository, waiting: Proposal, tree: Oid, head: Oid) -> Merged:
    """How each file came about: as the merge made it, or by hand."""
    objects = repository.objects
    made = {path: (mode, oid) for path, mode, oid in _leaves_of(repository, waiting)}
    known = {file.path: file for file in waiting.files}
    theirs = objects.tree_of(waiting.theirs)
    files = {path: replace(file, how="manual", disputes=()) if file.disputes else file for path, file in known.items()}
    leaves = {one.path: one.new for one in objects.diff(objects.tree_of(head), tree)}
    for path, leaf in leaves.items():
        if path in known:
            continue
        found = objects.find(theirs, path)
        same = (None if found is None else (found.mode, found.oid)) == (None if leaf is None else tuple(leaf))
        files[path] = FileResult(path=path, how="identical" if same else "manual")
    for path, file in files.items():
        leaf = leaves.get(path)
        if file.how in ("line", "ast") and leaf is not None and made.get(path) != tuple(leaf):
            files[path] = replace(file, how="manual")
    return Merged(
        ours=head, theirs=waiting.theirs, bases=waiting.bases, tree=tree,
        files=tuple(files[path] for path in sorted(files)), leaves=leaves,
    )  # fmt: skip


def _leaves_of(repository: Repository, waiting: Proposal) -> list[tuple[bytes, int, Oid]]:
    """What the merge itself had put where it merged."""
    found = []
    for file in waiting.files:
        entry = repository.objects.find(waiting.tree, file.path)
        if entry is not None:
            found.append((file.path, entry.mode, entry.oid))
    return found


def _guard(repository: Repository, stored: Stored, merged: Merged) -> tuple[tuple[GuardResult, ...], list[str]]:
    """Run the guards; somebody's approval of this merge stands above them."""
    target = stored.proposal.target
    config = repository.config(target).merge
    require_trust(repository, target, (one for one in commands_of(config) if one.kind == GUARD))
    guards, remarks = Guards(repository.objects, config).run(merged)
    approved = any(review.get("verdict") == "approved" for review in stored.proposal.reviews)
    if not approved and not all(guard.ok for guard in guards):
        if stored.proposal.guards != (told := tuple(guard.document() for guard in guards)):
            stored.changed(why="guards", guards=told)
        raise GuardsFailed(stored.proposal.name, guards)
    return guards, list(remarks)


def give_up(repository: Repository, stored: Stored) -> tuple[Oid | None, str]:
    """Forget the merge and delete its stream; raises `StreamInUse` while a view shows it.

    Returns where the stream was, and the ref that keeps what was decided, if anything was.
    """
    name = stored.proposal.name
    mounted = _mounted(repository, name)
    if mounted:
        raise StreamInUse(name, mounted, mounted=True)
    kept = _kept(repository, stored)
    forget(stored)
    return _delete(repository, name), kept


def _kept(repository: Repository, stored: Stored) -> str:
    """The ref of a commit with the files as they are now, which no gc takes; empty when nobody has done anything."""
    waiting = stored.proposal
    if not repository.store.room_file(waiting.name).exists():
        return ""
    author = Author(agent=waiting.agent, model=waiting.model)
    with repository.room(waiting.name, author) as opened:
        tree = _decided(committer_for(repository, opened, author), opened.room, waiting)[1]
    if tree == waiting.tree:
        return ""
    ref = GIVEN_UP + waiting.name
    who = commits.agent_signature(waiting.agent or "anvcs")
    before = repository.refs.get(ref)
    commit = commits.create_commit(
        repository.objects, tree=tree, parents=tuple(filter(None, (waiting.ours, waiting.theirs, before))),
        message=f"{waiting.name}: given up\n".encode("utf-8", "surrogateescape"), author=who, committer=who,
    )  # fmt: skip
    repository.refs.move(ref, commit, before, "anvcs: merge given up")
    return ref


def clear_concluded(repository: Repository) -> None:
    """Clear away merges that were concluded by a process that died right after."""
    for stored in proposals(repository):
        head = repository.refs.get(_HEADS + stored.proposal.target)
        if head is not None and _reaches(repository, head, stored.proposal.theirs):
            _clear(repository, stored, head)


def _reaches(repository: Repository, head: Oid, commit: Oid) -> bool:
    git = Git(repository.info.common_dir)
    return git.run("merge-base", "--is-ancestor", commit.hex(), head.hex(), allow=(1, 128)).code == 0


def _clear(repository: Repository, stored: Stored, commit: Oid) -> list[str]:
    """What the merge leaves behind goes, but for a stream that a view shows: that is at *commit* then."""
    name = stored.proposal.name
    current = next((one for one in proposals(repository) if one.proposal.name == name), None)
    if current is not None:
        forget(current)
    mounted = _mounted(repository, name)
    if not mounted:
        _delete(repository, name)
        return []
    before = repository.refs.get(_HEADS + name)
    repository.refs.move(_HEADS + name, commit, before, "merge: concluded")
    return [f"{', '.join(mounted)} still shows {name}: switch it, then delete that stream"]


def _delete(repository: Repository, name: str) -> Oid | None:
    try:
        return delete_stream(repository, name, force=True)
    except NoSuchStream:
        return None


def _mounted(repository: Repository, stream: str) -> list[str]:
    return [
        info.spec.name
        for info in repository.views.list()
        if info.state is not ViewState.UNMOUNTED and repository.stream_of(info.spec) == stream
    ]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


# Reviews


def review_document(stored: Stored) -> dict[str, Any]:
    """A merge that guards or policy refused, as ``--json`` and ``.anvcs/reviews`` tell it."""
    waiting = stored.proposal
    return {
        "review": waiting.name,
        "source": waiting.source,
        "target": waiting.target,
        "ours": waiting.ours.hex(),
        "theirs": waiting.theirs.hex(),
        "why": waiting.why,
        "message": waiting.message,
        "agent": waiting.agent,
        "guards": [dict(guard) for guard in waiting.guards],
        "reviews": [dict(review) for review in waiting.reviews],
    }


def awaiting_review(repository: Repository) -> list[Stored]:
    """Merges that guards or policy refused, and that nobody has decided."""
    return [stored for stored in proposals(repository) if stored.proposal.why in ("guards", "policy")]


def judged(stored: Stored, verdict: str, *, who: str, why: str) -> Stored:
    """Record what somebody said about the merge: in its state, and in the store's audit."""
    review = {"verdict": verdict, "by": who, "why": why, "time": now()}
    waiting = stored.proposal
    about = {"review": waiting.name, "theirs": waiting.theirs.hex(), "target": waiting.target}
    audit(stored.repository, "reviews", about, [review])
    return stored.changed(reviews=(*stored.proposal.reviews, review))


def _end_of(text: str) -> str:
    return text.strip().rpartition("\n")[2][-300:]


def review_page(stored: Stored) -> str:
    """A merge that waits, for people: ``.anvcs/reviews/<name>.md``."""
    told = review_document(stored)
    lines = [
        f"# {told['review']}: {told['source']} into {told['target']}",
        "",
        f"* refused by: {told['why']}",
        f"* asked for by: {told['agent'] or 'nobody named'}",
        f"* message: {told['message'].splitlines()[0]}",
    ]
    for guard in told["guards"]:
        lines += ["", f"## {guard['name']}: {'passed' if guard['ok'] else 'failed'} in {guard['seconds']} s", ""]
        lines += [f"    {line}" for line in guard["output"].splitlines()]
    for one in told["reviews"]:
        lines += ["", f"{one['verdict']} by {one['by']} at {one['time']}: {one['why']}"]
    lines += ["", f"ai-vcs review approve {told['review']} --why TEXT (or reject)"]
    return "\n".join(lines) + "\n"
