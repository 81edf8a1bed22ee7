"""Merges that are not concluded: one ref for each, ``refs/anvcs/merges/<proposal>``.

The ref names a commit whose parents are the two sides and whose tree has ``merge.json`` and, below
``tree``, the merged files with their markers.  So the state of a merge appears and changes in one step,
nothing that it needs is collected, and the proposal's branch and room can be made from it at any time.
The branch stands where the target stood; its room has what the merge would bring.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anvcs.errors import AnvcsError
from anvcs.git import commits
from anvcs.git.objects import EMPTY_TREE
from anvcs.model.conflict import shortened
from anvcs.model.ids import Oid
from anvcs.model.room import Author, Content, Entry
from anvcs.model.stream_merge import Dispute, FileResult, Stages
from anvcs.model.tree import DIRECTORY, EXECUTABLE, GITLINK, REGULAR, Leaf, TreeEntry
from anvcs.model.unit import Step
from anvcs.repository import OpenRoom, Repository

PREFIX = "refs/anvcs/merges/"
_HEADS = "refs/heads/"
_FORMAT = 1
IDENTICAL = "identical"
"""How most files of a merge come about: nobody wants to read that of each."""


class NoSuchProposal(AnvcsError):
    """No merge of this name waits to be concluded."""

    def __init__(self, name: str, known: list[str]) -> None:
        listed = f"; there are: {', '.join(known)}" if known else ""
        super().__init__(f"no merge {name} waits to be concluded{listed}" if name else f"no merge is under way{listed}")
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One merge that waits for somebody."""

    name: str
    """Of its branch."""
    source: str
    target: str
    ours: Oid
    """Where the target stood."""
    theirs: Oid
    bases: tuple[Oid, ...] = ()
    why: str
    """``conflicts``, ``guards``, ``policy``, or ``asked`` for (``--no-commit``)."""
    message: str
    agent: str = ""
    model: str = ""
    strategy: str = ""
    files: tuple[FileResult, ...] = ()
    guards: tuple[Mapping[str, Any], ...] = ()
    reviews: tuple[Mapping[str, Any], ...] = ()
    """Who approved, and why."""
    assistant: tuple[Mapping[str, Any], ...] = ()
    """What an assistant has decided."""
    tree: Oid
    decided: Oid | None = None
    """What an earlier attempt had come to, when the target moved; its files are below ``decided`` in the ref's tree."""

    @property
    def disputes(self) -> tuple[Dispute, ...]:
        """Everything that was open when the merge was made."""
        return tuple(dispute for file in self.files for dispute in file.disputes)


@dataclass(frozen=True, slots=True)
class Stored:
    """A proposal, and the commit that says so: what a change of it compares and swaps."""

    proposal: Proposal
    at: Oid
    repository: Repository = field(repr=False)

    def changed(self, **fields: Any) -> "Stored":
        """Store the proposal with other *fields*."""
        return store(self.repository, replace(self.proposal, **fields), self.at)


def store(repository: Repository, proposal: Proposal, old: Oid | None) -> Stored:
    """Write *proposal* in place of what is stored at *old*; raises `RefMoved`."""
    objects = repository.objects
    entries = [
        TreeEntry(b"merge.json", REGULAR, objects.write_blob(json.dumps(_document(proposal), indent=1).encode()))
    ]
    if proposal.tree != EMPTY_TREE:
        entries.append(TreeEntry(b"tree", DIRECTORY, proposal.tree))
    if proposal.decided is not None and proposal.decided != EMPTY_TREE:
        entries.append(TreeEntry(b"decided", DIRECTORY, proposal.decided))
    who = commits.agent_signature(proposal.agent or "anvcs")
    commit = commits.create_commit(
        objects,
        tree=objects.write_entries(entries),
        parents=(proposal.ours, proposal.theirs),
        message=f"{proposal.name}: a merge that waits\n".encode("utf-8", "surrogateescape"),
        author=who,
        committer=who,
    )
    repository.refs.move(PREFIX + proposal.name, commit, old, "anvcs: merge")
    return Stored(proposal, commit, repository)


def proposals(repository: Repository) -> list[Stored]:
    """All merges that wait, by name."""
    return [Stored(_read(repository, commit), commit, repository) for commit in repository.refs.list(PREFIX).values()]


def proposal(repository: Repository, name: str) -> Stored:
    """The merge called *name*; empty: the only one.  Raises `NoSuchProposal`."""
    found = proposals(repository)
    wanted = [one for one in found if name in ("", one.proposal.name)]
    if len(wanted) != 1:
        raise NoSuchProposal(name, [one.proposal.name for one in found])
    return wanted[0]


def forget(stored: Stored) -> None:
    """The merge is concluded or given up; its branch and room are left to the caller."""
    stored.repository.refs.delete(PREFIX + stored.proposal.name, stored.at)


def ensure_open(stored: Stored) -> None:
    """Make the proposal's branch and fill its room, as far as that hasn't been done."""
    repository, wanted = stored.repository, stored.proposal
    if repository.refs.get(_HEADS + wanted.name) is None:
        repository.refs.move(_HEADS + wanted.name, wanted.ours, None, f"branch: Created for a merge of {wanted.source}")
    with repository.room(wanted.name, Author(agent=wanted.agent, model=wanted.model)) as opened:
        if opened.room.seq == 0:
            _fill(opened, stored)
            opened.room.sync()


def _fill(opened: OpenRoom, stored: Stored) -> None:
    repository, wanted = stored.repository, stored.proposal
    marked = {dispute.path for dispute in wanted.disputes if dispute.lines != (0, 0)}
    steps, texts = [], set()
    for change in repository.objects.diff(repository.objects.tree_of(wanted.ours), wanted.tree):
        text = _text(opened, repository, change.path, change.new) if change.path in marked else None
        if text is not None:
            texts.add(change.path)
        steps.append(_step(change.path, change.new, text))
    disputes = [dispute if dispute.path in texts else replace(dispute, lines=(0, 0)) for dispute in wanted.disputes]
    opened.room.propose(steps, disputes, (wanted.target, wanted.source))


def _text(opened: OpenRoom, repository: Repository, path: bytes, leaf: Leaf | None) -> bytes | None:
    """What a view shows of a marked file, if that is a text whose lines are those of the blob."""
    from anvcs.base_tree import GitBaseTree

    if leaf is None or leaf.mode not in (REGULAR, EXECUTABLE):
        return None
    shown = GitBaseTree(repository.objects, opened.skeleton).show(leaf.oid, path)
    try:
        shown.decode("utf-8")
    except UnicodeDecodeError:
        return None
    same_lines = shown.count(b"\n") == repository.objects.blob(leaf.oid).count(b"\n")
    return shown if same_lines else None


def _step(path: bytes, leaf: Leaf | None, text: bytes | None) -> Step:
    if leaf is None:
        return Step(path=path)
    if text is not None:
        return Step(path=path, entry=_entry(path, leaf.mode, Content.TEXT, b"", len(text)), data=lambda: text)
    if leaf.mode == GITLINK:
        return Step(path=path, entry=_entry(path, GITLINK, Content.NONE, leaf.oid, 0))
    return Step(path=path, leaf=leaf)


def _entry(path: bytes, mode: int, content: Content, ref: bytes, size: int) -> Entry:
    import time

    from anvcs.model.ids import FileId, Seq

    now = time.time_ns()
    return Entry(
        id=FileId(b""), path=path, base_path=None, mode=mode, content=content, ref=ref, size=size, mtime_ns=now,
        seq=Seq(0), content_seq=Seq(0),
    )  # fmt: skip


def side_step(path: bytes, leaf: Leaf | None) -> Step:
    """What gives *path* one side's version."""
    return _step(path, leaf, None)


# The document


def _document(one: Proposal) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "name": _text_of(one.name.encode("utf-8", "surrogateescape")),
        "source": one.source,
        "target": one.target,
        "ours": one.ours.hex(),
        "theirs": one.theirs.hex(),
        "bases": [base.hex() for base in one.bases],
        "why": one.why,
        "message": one.message,
        "agent": one.agent,
        "model": one.model,
        "strategy": one.strategy,
        "files": [_file_document(file) for file in one.files if file.how != IDENTICAL or file.disputes],
        "guards": [dict(guard) for guard in one.guards],
        "reviews": [dict(review) for review in one.reviews],
        "assistant": [dict(told) for told in one.assistant],
    }


def _file_document(file: FileResult) -> dict[str, Any]:
    told: dict[str, Any] = {"path": _text_of(file.path), "how": file.how}
    if file.notes:
        told["notes"] = list(file.notes)
    if file.disputes:
        told["disputes"] = [_dispute_document(dispute) for dispute in file.disputes]
    return told


def _dispute_document(one: Dispute) -> dict[str, Any]:
    told: dict[str, Any] = {
        "reason": one.reason,
        "entity": one.entity,
        "detail": one.detail,
        "lines": list(one.lines),
        "ours": _text_of(shortened(one.ours)),
        "theirs": _text_of(shortened(one.theirs)),
        "base": _text_of(shortened(one.base)),
    }
    if one.stages is not None:
        sides = (one.stages.base, one.stages.ours, one.stages.theirs)
        told["stages"] = [None if side is None else [side.mode, side.oid.hex()] for side in sides]
    if one.beside:
        told["beside"] = _text_of(one.beside)
    return told


def _read(repository: Repository, commit: Oid) -> Proposal:
    objects = repository.objects
    top = objects.tree_of(commit)
    entry, tree = objects.find(top, b"merge.json"), objects.find(top, b"tree")
    decided = objects.find(top, b"decided")
    told = json.loads(objects.blob(entry.oid)) if entry is not None else {}
    return Proposal(
        name=told["name"],
        source=told["source"],
        target=told["target"],
        ours=Oid(bytes.fromhex(told["ours"])),
        theirs=Oid(bytes.fromhex(told["theirs"])),
        bases=tuple(Oid(bytes.fromhex(base)) for base in told["bases"]),
        why=told["why"],
        message=told["message"],
        agent=told["agent"],
        model=told["model"],
        strategy=told["strategy"],
        files=tuple(_files(told["files"])),
        guards=tuple(told["guards"]),
        reviews=tuple(told["reviews"]),
        assistant=tuple(told["assistant"]),
        tree=EMPTY_TREE if tree is None else tree.oid,
        decided=None if decided is None else decided.oid,
    )


def _files(told: list[dict[str, Any]]) -> Iterator[FileResult]:
    for file in told:
        path = _bytes_of(file["path"])
        disputes = tuple(_dispute(path, one) for one in file.get("disputes", ()))
        yield FileResult(path=path, how=file["how"], disputes=disputes, notes=tuple(file.get("notes", ())))


def _dispute(path: bytes, told: dict[str, Any]) -> Dispute:
    stages = None
    if "stages" in told:
        sides = [None if side is None else Leaf(side[0], Oid(bytes.fromhex(side[1]))) for side in told["stages"]]
        stages = Stages(*sides)
    first, last = told["lines"]
    return Dispute(
        path=path,
        reason=told["reason"],
        entity=told["entity"],
        detail=told["detail"],
        lines=(first, last),
        ours=_bytes_of(told["ours"]),
        theirs=_bytes_of(told["theirs"]),
        base=_bytes_of(told["base"]),
        stages=stages,
        beside=_bytes_of(told.get("beside", "")),
    )


def _text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
