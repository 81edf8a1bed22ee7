"""Notes on commits in ``refs/notes/anvcs``: written and merged as commits of their own, never forced.

The tree is what git notes reads: names are the hexadecimal ids of commits, split into folders.  We write
``ab/cd/<36 digits>`` and read any split, since git itself rewrites the tree when it adds a note.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from anvcs.errors import AnvcsError
from anvcs.git.commits import create_commit
from anvcs.git.history import Signature
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git
from anvcs.git.refs import RefMoved, Refs
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, REGULAR, Leaf

NOTES_REF = "refs/notes/anvcs"
NOTE_LIMIT = 4 << 20
"""Bytes of a note that we read; notes come from other people's repositories."""

_ATTEMPTS = 50  # each failure means that another writer succeeded
_HEX_LENGTH = 40
_DEPTH_LIMIT = 64  # levels of JSON that are merged field by field


class NotesBusy(AnvcsError):
    """Other writers moved the notes ref each time we tried."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"{ref} was moved by others {_ATTEMPTS} times while we tried to write to it")
        self.ref = ref


class NoteTooLarge(AnvcsError):
    """A note is larger than any we would write."""

    def __init__(self, commit: Oid, size: int) -> None:
        super().__init__(f"the note on {commit.hex()} has {size} bytes; the limit is {NOTE_LIMIT}")
        self.commit, self.size = commit, size


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesMerge:
    """What a merge of notes did."""

    before: Oid | None
    after: Oid | None
    combined: tuple[Oid, ...] = ()
    """Commits whose notes had been written on both sides and were merged."""

    @property
    def changed(self) -> bool:
        """Whether our notes moved."""
        return self.before != self.after


class Notes:
    """The notes of a repository; any thread or process may write at the same time."""

    def __init__(self, store: ObjectStore, refs: Refs, ref: str = NOTES_REF) -> None:
        self._store, self._refs, self.ref = store, refs, ref
        self._git = Git(store.common_dir)

    def read(self, commit: Oid) -> bytes | None:
        """The note on *commit*, or ``None``."""
        head = self._refs.get(self.ref)
        leaf = None if head is None else self._find(self._store.tree_of(head), commit)
        return None if leaf is None else self._load(commit, leaf[1])

    def items(self) -> Iterator[tuple[Oid, bytes]]:
        """Every commit with a note, and the note."""
        head = self._refs.get(self.ref)
        if head is not None:
            for path, _, blob in self._store.walk(self._store.tree_of(head)):
                commit = _commit_of(path)
                if commit is not None:
                    yield commit, self._load(commit, blob)

    def write(self, notes: Mapping[Oid, bytes], *, who: Signature, message: str = "notes: add") -> Oid | None:
        """Set the notes of some commits (empty bytes: remove) in one step; returns the notes ref's commit.

        Power loss within seconds may take them back.
        """
        blobs = {commit: self._store.write_blob(text) if text else None for commit, text in notes.items()}
        for _ in range(_ATTEMPTS):
            head = self._refs.get(self.ref)
            base = None if head is None else self._store.tree_of(head)
            tree = self._store.write_tree(base, self._changes(base, blobs))
            if tree == base or (head is None and not any(blobs.values())):
                return head
            new = self._commit(tree, (head,) if head else (), message, who)
            if self._moved(new, head, message, who, at_once=False):
                return new
        raise NotesBusy(self.ref)

    def merge(self, remote: Oid, *, who: Signature, message: str = "notes: merge") -> NotesMerge:
        """Bring the notes of another notes commit into ours: a fast-forward where possible, else a merge commit.

        A note that both sides wrote is merged field by field when both are JSON objects, else both texts
        are kept.  The result does not depend on which side merges.
        """
        for _ in range(_ATTEMPTS):
            local = self._refs.get(self.ref)
            new, combined = self._merged(local, remote, message, who)
            if new == local or self._moved(new, local, message, who):
                return NotesMerge(before=local, after=new, combined=combined)
        raise NotesBusy(self.ref)

    def _merged(self, local: Oid | None, remote: Oid, message: str, who: Signature) -> tuple[Oid, tuple[Oid, ...]]:
        if local is None:
            return remote, ()
        base = self._merge_base(local, remote)
        if base == remote:
            return local, ()
        if base == local:
            return remote, ()
        store = self._store
        base_tree = None if base is None else store.tree_of(base)
        ours = self._edits(base_tree, store.tree_of(local))
        theirs = self._edits(base_tree, store.tree_of(remote))
        local_tree = store.tree_of(local)
        blobs: dict[Oid, Oid | None] = {}
        combined = []
        for commit, blob in theirs.items():
            if commit not in ours:
                blobs[commit] = blob
            elif (other := ours[commit]) != blob:
                blobs[commit] = self._combine(commit, other, blob, self._base_note(base_tree, commit))
                combined.append(commit)
        tree = store.write_tree(local_tree, self._changes(local_tree, blobs))
        return self._commit(tree, (local, remote), message, who), tuple(combined)

    def _edits(self, old: Oid | None, new: Oid) -> dict[Oid, Oid | None]:
        """What changed between two notes trees, whatever folders the notes are in."""
        before: dict[Oid, Oid] = {}
        after: dict[Oid, Oid] = {}
        for change in self._store.diff(old, new):
            commit = _commit_of(change.path)
            if commit is not None:
                if change.old is not None:
                    before[commit] = change.old.oid
                if change.new is not None:
                    after[commit] = change.new.oid
        commits = dict.fromkeys(chain(before, after))
        return {commit: after.get(commit) for commit in commits if before.get(commit) != after.get(commit)}

    def _combine(self, commit: Oid, ours: Oid | None, theirs: Oid | None, base: Oid | None) -> Oid:
        """One note from two; a note that one side removed and the other changed is kept."""
        if ours is None or theirs is None:
            kept = ours or theirs
            assert kept is not None
            return kept
        before = b"" if base is None else self._load(commit, base)
        return self._store.write_blob(merge_texts(before, self._load(commit, ours), self._load(commit, theirs)))

    def _base_note(self, tree: Oid | None, commit: Oid) -> Oid | None:
        found = None if tree is None else self._find(tree, commit)
        return found[1] if found else None

    def _changes(self, base: Oid | None, blobs: Mapping[Oid, Oid | None]) -> dict[bytes, Leaf | None]:
        """Tree changes that put *blobs* in our folders and take them out of where else they are."""
        changes: dict[bytes, Leaf | None] = {}
        for commit, blob in blobs.items():
            present = None if base is None else self._find(base, commit)
            if present is not None:
                changes[present[0]] = None
            if blob is not None:
                changes[_path_of(commit)] = Leaf(REGULAR, blob)
        return changes

    def _find(self, tree: Oid, commit: Oid) -> tuple[bytes, Oid] | None:
        """Path and blob of a commit's note in a notes tree of any split."""
        path, rest = b"", commit.hex().encode()
        while rest:
            entries = {entry.name: entry for entry in self._store.tree(tree)}
            leaf = entries.get(rest)
            if leaf is not None and leaf.mode != DIRECTORY:
                return path + rest, leaf.oid
            folder = entries.get(rest[:2])
            if folder is None or folder.mode != DIRECTORY:
                return None
            path, rest, tree = path + rest[:2] + b"/", rest[2:], folder.oid
        return None

    def _load(self, commit: Oid, blob: Oid) -> bytes:
        size = self._store.header(blob)
        if size > NOTE_LIMIT:
            raise NoteTooLarge(commit, size)
        return self._store.blob(blob)

    def _merge_base(self, local: Oid, remote: Oid) -> Oid | None:
        if local == remote:
            return local
        found = self._git.run("merge-base", local.hex(), remote.hex(), allow=(1,)).out.decode().strip()
        return Oid(bytes.fromhex(found)) if found else None

    def _commit(self, tree: Oid, parents: tuple[Oid, ...], message: str, who: Signature) -> Oid:
        text = message.encode() + b"\n"
        return create_commit(self._store, tree=tree, parents=parents, message=text, author=who, committer=who)

    def _moved(self, new: Oid, old: Oid | None, message: str, who: Signature, *, at_once: bool = True) -> bool:
        try:
            self._refs.move(self.ref, new, old, message, who=who, at_once=at_once)
        except RefMoved:
            return False
        return True


def merge_texts(base: bytes, one: bytes, other: bytes) -> bytes:
    """Two versions of a note as one; the same whichever comes first."""
    if other in {one, base}:
        return one
    if one == base:
        return other
    first, second = _document(one), _document(other)
    if first is None or second is None:
        return _united_lines(one, other)
    merged = _merge_objects(_document(base) or {}, first, second, _DEPTH_LIMIT)
    return json.dumps(merged, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"


def _document(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # a person's text, or a hostile one: kept as lines
        return None
    return value if isinstance(value, dict) else None


def _united_lines(one: bytes, other: bytes) -> bytes:
    first, second = sorted((one, other))
    lines = dict.fromkeys(first.splitlines()) | dict.fromkeys(second.splitlines())
    return b"\n".join(lines) + b"\n"


def _merge_objects(base: dict[str, Any], one: dict[str, Any], other: dict[str, Any], depth: int) -> dict[str, Any]:
    """Fields of both; where both wrote different values the greater one stays, the other goes to ``alternatives``."""
    merged: dict[str, Any] = {}
    alternatives: dict[str, list[Any]] = {}
    for key in sorted(one.keys() | other.keys()):
        if key not in one or key not in other:
            merged[key] = one.get(key, other.get(key))
            continue
        mine, yours, before = one[key], other[key], base.get(key)
        if mine == yours or yours in (before, None):
            merged[key] = mine
        elif mine in (before, None):
            merged[key] = yours
        elif isinstance(mine, dict) and isinstance(yours, dict) and depth:
            merged[key] = _merge_objects(before if isinstance(before, dict) else {}, mine, yours, depth - 1)
        elif isinstance(mine, list) and isinstance(yours, list):
            merged[key] = _united(mine, yours)
        else:
            kept, lost = sorted((mine, yours), key=_canonical, reverse=True)
            merged[key] = kept
            alternatives[key] = [lost]
    for key, lost in alternatives.items():
        table = merged.setdefault("alternatives", {})
        if isinstance(table, dict):
            known = table.get(key, [])
            table[key] = _united(known if isinstance(known, list) else [known], lost)
    return merged


def _united(one: list[Any], other: list[Any]) -> list[Any]:
    first, second = sorted((one, other), key=_canonical)
    return list({_canonical(item): item for item in chain(first, second)}.values())


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _path_of(commit: Oid) -> bytes:
    name = commit.hex().encode()
    return b"/".join((name[:2], name[2:4], name[4:]))


def _commit_of(path: bytes) -> Oid | None:
    """The commit that a path in a notes tree is about; ``None`` for anything else somebody put there."""
    name = path.replace(b"/", b"")
    if len(name) != _HEX_LENGTH:
        return None
    try:
        return Oid(bytes.fromhex(name.decode("ascii")))
    except ValueError:
        return None
