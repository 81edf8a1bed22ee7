"""What the parts of a room share, and the transaction that every change runs in."""

import secrets
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from anvcs.model.conflict import Side
from anvcs.model.ids import FileId, Oid, Seq, base_file_id
from anvcs.model.room import Author, Content, Entry, Moved
from anvcs.model.tree import GITLINK, Leaf
from anvcs.rooms.basetree import Base, hash_of
from anvcs.rooms.conflicts import OpenConflicts, end_with_file, read_open
from anvcs.rooms.diffing import Hunks
from anvcs.rooms.draft import Draft, note_shown
from anvcs.rooms.objects import ObjectFiles
from anvcs.rooms.oplog import Op, OpLog
from anvcs.rooms.recent import RecentTexts
from anvcs.rooms.standing import Still
from anvcs.rooms.texts import Documents
from anvcs.rooms.tree import TreeState

Broken = Callable[[bytes, bytes], int | None]
"""Of a path and its content: the first line that can't be parsed, 0 when all can; ``None``: nobody knows."""


class Unchecked(NamedTuple):
    """A merge whose result has not been parsed yet."""

    file: FileId
    path: bytes
    seq: Seq
    now: bytes
    new: bytes
    merged: bytes
    sides: tuple[Side, Side]


class Settings(NamedTuple):
    """What the opener of a room decides."""

    author: Author
    text_limit: int
    hunks: Hunks
    broken: Broken | None = None


class Core:
    """One process's window on one room: the log, the state after op ``seq``, and the base."""

    def __init__(self, log: OpLog, base: Base, objects: ObjectFiles, settings: Settings, budget: int) -> None:
        self.log = log
        self.base = base
        self.objects = objects
        self.settings = settings
        self.docs = Documents(log, budget)
        self.recent = RecentTexts()
        self.state = TreeState(())
        self.conflicts = OpenConflicts(())
        self.seq = Seq(0)
        self.missed: list[Moved] = []
        """What other processes did, or ops of this one met, and `Room.catch_up` has not told yet."""
        self.cleared: dict[bytes, Seq] = {}
        """Paths at which an op of this process left no entry, while ops before it are in `missed`."""
        self.unchecked: list[Unchecked] = []
        """Merges that nobody has looked at yet; see `ParseChecks`."""
        self.still: Still | None = None
        """What is shown meanwhile, while the window stands still."""
        self.appended: Callable[[], None] = lambda: None
        """Called after each op of this process that the log has taken."""
        self.reload()

    @property
    def file(self) -> Path:
        """The room's file."""
        return self.log.file

    def reload(self) -> None:
        """Read everything from disk again."""
        while True:
            seq = self.log.last_seq()
            entries = list(self.log.entries())
            conflicts = read_open(self.log)
            if self.log.last_seq() == seq:  # nobody appended between the two reads
                break
        self.state = TreeState(entries)
        self.conflicts = conflicts
        self.seq = seq
        self.base.move(self.log.base_at(seq))
        self.docs.forget_all()
        self.recent.clear()

    def catch_up(self, until: float = inf) -> bool:
        """Take in what other processes appended; whether that was all when `time.monotonic` passed *until*."""
        if self.log.last_seq() != self.seq:
            if self.seq < self.log.floor():
                self._jump()
            for op in self.log.ops(self.seq):
                self._absorb(op)
                if time.monotonic() > until:
                    return self.log.last_seq() == self.seq
        return True

    def compact(self, budget: int | None) -> None:
        """Write document snapshots where that is worth it, and shrink what is in memory."""
        if not self.log.read_only and self.docs.needs_snapshots():
            self.log.begin()
            try:
                self.catch_up()
                self.docs.write_snapshots()
                self.log.commit()
            except BaseException:
                self.log.rollback()
                raise
        self.docs.shrink(budget)
        if budget is not None:
            self.recent.clear()

    def change(self, path: bytes, author: Author | None = None) -> "Change":
        """A transaction whose record is about *path*."""
        return Change(self, path, author or self.settings.author)

    # --- what is shown

    def visible_leaf(self, path: bytes) -> Leaf | None:
        """What the base shows at *path*, unless the room hides or covers it."""
        if path in self.state.by_base or path in self.state.by_path:
            return None
        leaf = self.base.leaf(path)
        if leaf is None or any(
            (entry := self.state.by_path.get(above)) and not is_dir(entry) for above in _above(path)
        ):
            return None
        return leaf

    def base_shows_below(self, directory: bytes) -> bool:
        """Whether something of the base is still shown below *directory*."""
        node = self.state.node(directory)
        return self.base.has_more_than(directory, node.gone if node else 0)

    def shows_below(self, directory: bytes) -> bool:
        """Whether *directory* shows anything."""
        node = self.state.node(directory)
        return bool(node and node.live) or self.base_shows_below(directory)

    def is_shown_directory(self, path: bytes) -> bool:
        """Whether *path* is a directory now, explicit or because of what is below."""
        return is_dir(self.state.by_path.get(path)) or self.shows_below(path)

    def base_entry(self, path: bytes, leaf: Leaf, commit: Oid | None = None) -> Entry:
        """The file of the base (or of *commit*) at *path* as an entry that changes nothing yet."""
        return self.traced_entry(path, leaf, self.log.trace(path), commit)

    def traced_entry(self, path: bytes, leaf: Leaf, file: FileId | None, commit: Oid | None = None) -> Entry:
        """As `base_entry`, where the log says that *file* was the last to leave *path*."""
        if file is None or file in self.state.by_id:
            file = base_file_id(commit or self.base.commit, path)
        if file in self.state.by_id:  # the base went away from this commit and came back
            file = FileId(secrets.token_bytes(16))
        return self.entry_of_leaf(file, path, leaf)

    def entry_of_leaf(self, file: FileId, path: bytes, leaf: Leaf) -> Entry:
        """*leaf* of the base at *path* as the entry of *file*."""
        seq = self.seq
        return Entry(
            id=file,
            path=path,
            base_path=path,
            mode=leaf.mode,
            content=Content.NONE if leaf.mode == GITLINK else Content.GIT,
            ref=leaf.oid,
            size=self.base.size(leaf, path),
            mtime_ns=0,
            seq=seq,
            content_seq=seq,
        )

    def is_clean(self, entry: Entry) -> bool:
        """Whether *entry* says no more than the base does at its path."""
        if entry.path is None or entry.path != entry.base_path:
            return False
        leaf = self.base.leaf(entry.path)
        if leaf is None or leaf.mode != entry.mode:
            return False
        return self.same_content(entry, leaf)

    def same_content(self, entry: Entry, leaf: Leaf) -> bool:
        """Whether *entry* shows what *leaf* would show at the same path."""
        if entry.content in (Content.GIT, Content.NONE):
            return entry.ref == leaf.oid
        if leaf.mode == GITLINK:
            return False
        path = entry.path or entry.base_path or b""
        if self.base.size(leaf, path) != entry.size:
            return False
        value = entry.ref if entry.content is Content.OPAQUE else hash_of(self.read(entry))
        return self.base.shows(leaf, path, value)

    def read(self, entry: Entry) -> bytes:
        """What *entry*, a current one, shows."""
        if entry.content is Content.TEXT:
            version = self.docs.head(entry.id, self.seq)
            text = version.read() if version else b""
            shown = to_crlf(text) if entry.ref else text
            if version is not None and max(entry.content_seq, version.seq) <= self.seq:  # no record in the making
                self.recent.put(entry.id, entry.content_seq, shown)
            return shown
        if entry.content is Content.GIT:
            return self.base.tree.show(Oid(entry.ref), entry.base_path or entry.path or b"")
        if entry.content is Content.OPAQUE:
            return self.objects.read(entry.ref)
        return entry.ref if entry.content is Content.INLINE else b""

    # --- inside

    def _jump(self) -> None:
        """Take in what can't be read op by op any more: it was pruned before this window saw it."""
        before, base = self.state, self.base.commit
        self.reload()
        shown: dict[bytes, None] = {}
        for file in before.by_id.keys() | self.state.by_id.keys():
            was, now = before.by_id.get(file), self.state.by_id.get(file)
            if was != now:
                note_shown(shown, was, now)
        for change in self.base.tree.diff(base, self.base.commit):
            shown[change.path] = None
        self.missed.append(Moved(seq=self.seq, paths=tuple(shown), base=self.base.commit))

    def _absorb(self, op: Op) -> None:
        shown: dict[bytes, None] = {}
        payload = op.payload
        for entry in payload.puts:
            note_shown(shown, self.state.put(entry), entry)
        left = [previous for drop in payload.drops if (previous := self.state.drop(drop.id)) is not None]
        for previous in left:
            note_shown(shown, previous, None)
        self.docs.absorb(op)
        told = self.conflicts.take(op)
        if payload.rebased:
            for change in self.base.tree.diff(self.base.commit, payload.base):
                shown[change.path] = None
            self.base.move(payload.base)
            self.state.forget_overlays()
        self.seq = op.seq
        self.missed.append(
            Moved(
                seq=op.seq,
                paths=tuple(shown),
                base=self.base.commit,
                conflicts=told,
                left=tuple(left),
                renamed=(payload.old_path, payload.path) if payload.old_path is not None else None,
                exchanged=op.kind == "exchange",
            )
        )


class Change:
    """A transaction: takes the lock, catches up, and records what its draft says.

    When anything fails, the state in memory is again what is on disk.
    """

    def __init__(self, core: Core, path: bytes, author: Author) -> None:
        self._core = core
        self._path = path
        self._author = author
        self._draft: Draft | None = None
        self._base = core.base.commit
        self.moved = Moved(seq=core.seq, paths=(), base=core.base.commit)

    def __enter__(self) -> Draft:
        core = self._core
        core.catch_up()  # what can be read without the lock keeps nobody waiting
        core.log.begin()
        try:
            core.catch_up()
        except BaseException:
            core.log.rollback()
            raise
        self._base = core.base.commit
        self._draft = Draft(core.state, Seq(core.seq + 1), self._path, self._author)
        return self._draft

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        draft, core = self._draft, self._core
        assert draft is not None  # __enter__ succeeded
        if error is None and draft.is_empty():
            core.log.rollback()
            self.moved = Moved(seq=core.seq, paths=(), base=core.base.commit, at=draft.at, kept=draft.kept)
            return
        try:
            if error is None:
                self._record(draft)
        except BaseException:
            self._take_back(draft)
            raise
        if error is not None:
            self._take_back(draft)

    def _record(self, draft: Draft) -> None:
        core, author = self._core, self._author
        end_with_file(draft, core.conflicts)
        op = Op(
            draft.seq,
            time.time_ns(),
            author.agent,
            author.model,
            author.view,
            draft.kind,
            draft.file,
            draft.payload(),
        )
        core.log.append(op)
        core.log.commit()
        core.seq = draft.seq
        if draft.rebased:
            core.still = None  # this window has moved on
        elif core.still is not None:
            core.still.take(op.payload)
        told = core.conflicts.take(op)
        self.moved = Moved(
            seq=core.seq,
            paths=tuple(draft.shown),
            base=core.base.commit,
            conflicts=told,
            at=draft.at,
            kept=draft.kept,
        )
        if draft.conflicts and core.still is None:
            core.missed.append(self.moved)  # it may have touched more names than were asked for
        if core.missed:
            core.cleared.update((path, core.seq) for path in draft.shown if path not in core.state.by_path)
        core.appended()

    def _take_back(self, draft: Draft) -> None:
        draft.undo()
        if draft.rebased:
            self._core.base.move(self._base)
            self._core.state.forget_overlays()
        for file in draft.edited:
            self._core.docs.forget(file)
        self._core.unchecked = [one for one in self._core.unchecked if one.seq != draft.seq]
        self._core.log.rollback()


def is_dir(entry: Entry | None) -> bool:
    """Whether *entry* is an explicit directory."""
    return entry is not None and entry.mode == 0o040000


def to_crlf(text: bytes) -> bytes:
    """*text* with CRLF line ends; those that are so already stay."""
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    return text.replace(b"\n", b"\r\n")


def _above(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:end]) for end in range(1, len(parts))]
