"""A room: the live state of one stream, as a base commit plus the ops since.

`Room` is one process's window on one room's file.  Use it from one thread at a time;
any number of processes may have the same file open.  Every writing method is one
record of the log: it is there completely or not at all.
"""

from collections.abc import Callable, Iterable, Iterator
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self

from anvcs.linediff import line_hunks
from anvcs.model.blame import Shown
from anvcs.model.changes import Contribution, Overlay, PathChange
from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Author, Content, Entry, Moved, OpRecord
from anvcs.model.tree import SYMLINK, Leaf
from anvcs.model.unit import Step, Touch
from anvcs.rooms.basetree import Base, BaseTree
from anvcs.rooms.core import Broken, Change, Core, Settings
from anvcs.rooms.diffing import Hunks
from anvcs.rooms.errors import NoSuchPath
from anvcs.rooms.lookback import LookingBack
from anvcs.rooms.meeting import Meeting
from anvcs.rooms.moving import Mover
from anvcs.rooms.objects import ObjectFiles
from anvcs.rooms.oplog import START, OpLog
from anvcs.rooms.proposing import Proposing
from anvcs.rooms.quarrels import Quarrels
from anvcs.rooms.rebasing import Rebaser
from anvcs.rooms.saving import Attributes, Saver
from anvcs.rooms.snapshots import still_told
from anvcs.rooms.standing import Still
from anvcs.rooms.telling import changes, contributors, op_records
from anvcs.rooms.undoing import Undoer
from anvcs.rooms.units import Units, touched
from anvcs.rooms.verbs import TreeVerbs
from anvcs.rooms.versions import content_at
from anvcs.rooms.writing import Knowledge, Writes

TEXT_LIMIT = 4 << 20
DOCUMENT_BUDGET = 32 << 20
"""Bytes of documents kept in memory."""


_NOBODY = "~"
"""Who undoes in a copy: no line of it counts as anybody's."""


class Room(LookingBack, Quarrels, Proposing):
    """One process's window on one room."""

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._saver = Saver(core)
        self._mover = Mover(core, self._saver)
        meeting = Meeting(core, self._saver, self._mover)
        self._writes = Writes(core, self._saver, self._mover, meeting)
        self._tree = TreeVerbs(core, self._mover, meeting)
        self._rebaser = Rebaser(core, self._saver)
        self._undoer = Undoer(core, self._saver, self._mover)
        self._units = Units(core, self._saver, self._mover, self._rebaser, self._undoer)
        self._emptied = lambda directory: not core.base_shows_below(directory)
        self.name = name
        """The file's name without its suffix."""

    @classmethod
    def open(
        cls,
        file: Path,
        *,
        tree: BaseTree,
        objects: Path,
        author: Author,
        base: Oid | None = None,
        text_limit: int = TEXT_LIMIT,
        read_only: bool = False,
        hunks: Hunks = line_hunks,
        broken: Broken | None = None,
        budget: int = DOCUMENT_BUDGET,
        patient: bool = True,
    ) -> "Room":
        """Open the room in *file*; a missing one is created standing on *base*.

        *hunks* finds the lines that differ, *broken* the first line of a path's content that
        can't be parsed (see `Broken`), *budget* is the memory for documents in bytes.
        Without *patient* a method that would have to hash a large value raises `NotCompared`.
        """
        log = OpLog(file, base, read_only=read_only)
        try:
            settings = Settings(author, text_limit, hunks, broken)
            core = Core(log, Base(tree, None, patient=patient), ObjectFiles(objects), settings, budget)
        except BaseException:
            log.close()
            raise
        return cls(core, file.stem)

    def close(self) -> None:
        """Close the file.  What was appended stays; `sync` first for more than that."""
        self._core.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def file(self) -> Path:
        """The room's file."""
        return self._core.file

    @property
    def base(self) -> Oid | None:
        """The commit that the room stands on; ``None`` before the first one."""
        return self._shown.base.commit

    @property
    def seq(self) -> Seq:
        """The last op that this window has taken in."""
        return self._core.seq

    @property
    def told(self) -> Seq:
        """The last op up to which `catch_up` has told all that others did: what this window's user can know."""
        missed = self._core.missed
        return Seq(missed[0].seq - 1) if missed else self._core.seq

    @property
    def author(self) -> Author:
        """Who writes through this window."""
        return self._core.settings.author

    @property
    def _shown(self) -> Core | Still:
        return self._core.still or self._core

    # --- standing still

    @property
    def held(self) -> bool:
        """Whether this window stands still."""
        return self._core.still is not None

    def hold(self) -> None:
        """Stand still: what others do is not shown until `release`, what this window writes is.

        Reading the tree shows this moment and this window's own ops from now on, and
        `catch_up` tells nothing.  An op of this window that moves the base ends it.
        """
        self._core.still = Still(self._core)

    @property
    def stands_behind(self) -> bool:
        """Whether others have moved the base since `hold`."""
        return self.base != self._core.base.commit

    @property
    def held_back(self) -> int:
        """How many ops of others are not shown."""
        return len(self._core.missed) if self.held else 0

    def release(self) -> None:
        """Show everything again; `catch_up` tells what was held back."""
        self._core.still = None

    # --- reading

    def entry(self, path: bytes) -> Entry | None:
        """The room's own entry at *path*; ``None`` for what is as in the base, or deleted."""
        return self._shown.state.by_path.get(path)

    def entry_of(self, file: FileId) -> Entry | None:
        """The room's entry with this identity, deleted ones included."""
        return self._shown.state.by_id.get(file)

    def hides(self, path: bytes) -> bool:
        """Whether the base's file at *path* is deleted, moved away, or covered."""
        return path in self._shown.state.by_base

    def covering(self, path: bytes) -> Entry | None:
        """The entry that the base's file at *path* is now; ``None``: it is as in the base, or not its any more."""
        return self._core.state.by_base.get(path)

    def shown(self, path: bytes) -> Shown:
        """What this window shows at *path*, to be explained by another (`blame` of a `reader`)."""
        entry, base = self.entry(path), self.base
        return Shown(entry, None if entry is not None or self.hides(path) else base, base)

    def overlay(self, directory: bytes) -> Overlay | None:
        """What the room lays over *directory*, or ``None``: nothing.  Valid until the next change."""
        still = self._core.still
        return self._core.state.overlay(directory, self._emptied) if still is None else still.overlay(directory)

    def changed(self) -> Iterator[Entry]:
        """Everything that the room has, deletions too (their path is ``None``)."""
        return iter(list(self._shown.state.by_id.values()))

    def changes(self) -> list[PathChange]:
        """What differs from the base by path, sorted; explicit directories are not told."""
        return changes(self._core)

    def read(self, entry: Entry) -> bytes:
        """The bytes of *entry* as the view shows them; of an older one, as they were then."""
        now = self._core.state.by_id.get(entry.id)
        if entry.content is Content.TEXT and (now is None or now.content_seq != entry.content_seq):
            if not still_told(self._core.log, entry):
                raise NoSuchPath(entry.path or entry.base_path or b"")
            return self.text_at(entry.id, entry.content_seq)
        return self._core.read(entry)

    def version(self, path: bytes) -> Seq:
        """The version of the content at *path*, as `write` takes it for its ``base``."""
        entry = self._core.state.by_path.get(path)
        return self._core.seq if entry is None else entry.content_seq

    @property
    def has_cleared(self) -> bool:
        """Whether `cleared` has anything to say."""
        return bool(self._core.cleared)

    def cleared(self, path: bytes) -> Seq:
        """The op of this window that left no entry at *path*, if it is newer than `told`; else maybe 0."""
        return self._core.cleared.get(path, START)

    def all_told(self) -> None:
        """Its user knows all that `catch_up` has told: `cleared` need not remember what is older."""
        told = self.told
        self._core.cleared = {path: seq for path, seq in self._core.cleared.items() if seq > told}

    def text_at(self, file: FileId, seq: Seq) -> bytes:
        """What *file* contained after op *seq*, as it was shown."""
        entry = self._core.state.by_id.get(file)
        path = None if entry is None else entry.base_path or entry.path
        return content_at(self._core, file, seq, path).data

    def note_value(self, path: bytes, leaf: Leaf, sha256: bytes) -> None:
        """Remember that *leaf*, as shown at *path*, is the value with this hash: nobody need compare them."""
        self._core.base.note(leaf, path, sha256)

    def compare_at_once(self) -> None:
        """From now on nobody minds waiting for a large value to be hashed."""
        self._core.base.patient = True

    def object_path(self, entry: Entry) -> Path:
        """The file in ``objects/`` that holds an opaque entry's value."""
        return self._core.objects.path(entry.ref)

    def ops(self, after: Seq = START, limit: int | None = None) -> Iterator[OpRecord]:
        """What the log tells after op *after*."""
        return op_records(self._core, after, limit)

    def contributors(
        self, since: Seq = START, *, takes: Callable[[bytes], bool] = lambda _: True
    ) -> list[Contribution]:
        """Who did what is not committed yet, in ops after *since* and paths that *takes* accepts."""
        return contributors(self._core, since, takes)

    # --- writing contents

    def write(
        self,
        path: bytes,
        data: bytes,
        *,
        base: Seq | None = None,
        had: bytes | None = None,
        doubts: tuple[Seq, ...] = (),
        seen: Seq | None = None,
        fresh: bool = False,
        mode: int | None = None,
        mtime_ns: int | None = None,
        author: Author | None = None,
    ) -> Moved:
        """Save *data* as the content of *path*, by who saw version *base* (``None``: the current).

        *had* is what the writer saw when that is no version: its own last save, into which
        others' edits were merged.  *doubts* are other versions that it may have been: where
        they lead to different texts, the one that keeps the most is taken and a conflict says so.

        *seen* is the last op that the writer's picture of the tree had (`told`); ``None``
        stands for all.  Where others moved or deleted the file since, the save follows it.
        With *fresh* the writer saw nothing at *path*: what is there stays, and another
        content gets another name.
        """
        with (change := self._change(path, author)) as draft:
            knows = Knowledge(base=base, had=had, doubts=doubts, seen=seen, fresh=fresh)
            self._writes.save(draft, path, data, knows, Attributes(mode, mtime_ns))
        return change.moved

    def write_object(
        self,
        path: bytes,
        sha256: bytes,
        size: int,
        *,
        base: Seq | None = None,
        seen: Seq | None = None,
        fresh: bool = False,
        mode: int | None = None,
        mtime_ns: int | None = None,
        author: Author | None = None,
    ) -> Moved:
        """Give *path* an opaque value that `put_file` or `put_bytes` has stored.

        A content that others gave it since *base* stays as ``name~agent``; *seen* and *fresh* as in `write`.
        """
        with (change := self._change(path, author)) as draft:
            value = (Content.OPAQUE, sha256, size)
            knows = Knowledge(base=base, seen=seen, fresh=fresh)
            self._writes.put(draft, path, value, knows, Attributes(mode, mtime_ns))
        return change.moved

    def put_file(self, source: Path, *, move: bool = True) -> tuple[bytes, int]:
        """Store the file *source* as an object: its SHA-256 and size.  Any thread; not an op."""
        return self._core.objects.put_file(source, move=move)

    def put_bytes(self, data: bytes) -> bytes:
        """Store *data* as an object: its SHA-256.  Any thread; not an op."""
        return self._core.objects.put_bytes(data)

    def create_link(
        self,
        path: bytes,
        target: bytes,
        mtime_ns: int,
        *,
        base: Seq | None = None,
        seen: Seq | None = None,
        fresh: bool = False,
        author: Author | None = None,
    ) -> Moved:
        """Create the symlink *path*, or point it elsewhere; *base*, *seen* and *fresh* as in `write_object`."""
        with (change := self._change(path, author)) as draft:
            value = (Content.INLINE, target, len(target))
            knows = Knowledge(base=base, seen=seen, fresh=fresh)
            self._writes.put(draft, path, value, knows, Attributes(SYMLINK, mtime_ns))
        return change.moved

    def put_leaf(self, path: bytes, leaf: Leaf, size: int, mtime_ns: int, *, author: Author | None = None) -> Moved:
        """Let *path* show a Git object: a checkout or restore of another version, a submodule."""
        with (change := self._change(path, author)) as draft:
            self._saver.put_leaf(draft, path, leaf, size, mtime_ns)
        return change.moved

    # --- writing the tree

    def remove(
        self,
        path: bytes,
        *,
        keep_parent: bool = True,
        base: Seq | None = None,
        seen: Seq | None = None,
        author: Author | None = None,
    ) -> Moved:
        """Delete the file or link at *path*; with *keep_parent* its directory stays, empty.

        What others did to the file after op *seen*, its deleter did not know: it stays then.
        Where it is an editor's backup, this ends a save by who saw version *base*.
        """
        with (change := self._change(path, author)) as draft:
            self._tree.remove(draft, path, seen, keep_parent=keep_parent, base=base)
        return change.moved

    def mkdir(self, path: bytes, mtime_ns: int, *, seen: Seq | None = None, author: Author | None = None) -> Moved:
        """Create an empty directory, which is shared and never committed."""
        with (change := self._change(path, author)) as draft:
            self._tree.mkdir(draft, path, mtime_ns, seen)
        return change.moved

    def rmdir(self, path: bytes, *, seen: Seq | None = None, author: Author | None = None) -> Moved:
        """Remove an empty directory."""
        with (change := self._change(path, author)) as draft:
            self._tree.rmdir(draft, path, seen)
        return change.moved

    def rename(
        self,
        old: bytes,
        new: bytes,
        *,
        base: Seq | None = None,
        seen: Seq | None = None,
        author: Author | None = None,
    ) -> Moved:
        """Move the file at *old* to *new*, over what is there.

        A file that the base lacks, moved over another, is a save of that one by who saw *base*.
        What others did to either name after op *seen* is kept, under another name if need be.
        """
        with (change := self._change(new, author)) as draft:
            self._tree.rename(draft, old, new, Knowledge(base=base, seen=seen))
        return change.moved

    def rename_tree(
        self, old_dir: bytes, new_dir: bytes, *, seen: Seq | None = None, author: Author | None = None
    ) -> Moved:
        """Move a directory with all that it shows; the target is missing or empty."""
        with (change := self._change(new_dir, author)) as draft:
            self._tree.rename_tree(draft, old_dir, new_dir, seen)
        return change.moved

    def exchange(self, a: bytes, b: bytes, *, author: Author | None = None) -> Moved:
        """Let two files or directories change places."""
        with (change := self._change(b, author)) as draft:
            self._mover.exchange(draft, a, b)
        return change.moved

    def set_mode(self, path: bytes, mode: int, *, seen: Seq | None = None, author: Author | None = None) -> Moved:
        """Give the file at *path* another Git mode."""
        with (change := self._change(path, author)) as draft:
            self._tree.set_mode(draft, path, mode, seen)
        return change.moved

    def touch(self, path: bytes, mtime_ns: int, *, author: Author | None = None) -> Moved:
        """Record a modification time; one of an untouched base file is not logged."""
        if path not in self._core.state.by_path:
            return Moved(seq=self.seq, paths=(), base=self.base)
        with (change := self._change(path, author)) as draft:
            self._mover.touch(draft, path, mtime_ns)
        return change.moved

    def restore(self, paths: Iterable[bytes], *, author: Author | None = None) -> Moved:
        """Drop this room's changes of *paths*: they are as in the base again."""
        with (change := self._change(b"", author)) as draft:
            self._rebaser.restore(draft, paths)
        return change.moved

    def advance_base(self, old: Oid | None, new: Oid | None, *, keep: bool) -> Moved:
        """`move_base`, unless the room doesn't stand on *old* any more: then somebody has brought it further."""
        with (change := self._change(b"", None)) as draft:
            if self._core.base.commit == old:
                self._rebaser.move(draft, new, keep=keep)
        return change.moved

    def move_base(self, new: Oid | None, *, keep: bool, author: Author | None = None) -> Moved:
        """Stand on another commit.

        With *keep* every path shows what it showed, and only what counts as changed is
        recomputed.  Without, untouched paths follow and what both changed is merged.
        The returned paths include all whose bytes, times or modes may look different.
        """
        with (change := self._change(b"", author)) as draft:
            self._rebaser.move(draft, new, keep=keep)
        return change.moved

    # --- what whole commands do

    def take(self, steps: Iterable[Step], *, base: Oid | None = None) -> Moved:
        """Take what a command did as one op: each path shows what its step says, merged with others' work.

        With *base* the room then stands on that commit.
        """
        with (change := self._change(b"", None)) as draft:
            self._units.take(draft, steps, base, self.author)
        return change.moved

    def discard(self, paths: Iterable[bytes], *, author: Author | None = None) -> Moved:
        """Take back what *author* did to *paths* and did not commit; what others did stays."""
        with (change := self._change(b"", author)) as draft:
            self._units.discard(draft, paths, author or self.author)
        return change.moved

    def keep_only(self, author: Author) -> None:
        """Undo everything uncommitted that is not *author*'s: one op for each other agent; for a copy of a room."""
        for wanted in self._units.others(author):
            self.undo(wanted, author=Author(agent=_NOBODY))

    def touched(self, after: Seq) -> Iterator[Touch]:
        """The ops after *after* and the paths that they were about."""
        return touched(self._core, after)

    def write_as(self, author: Author) -> None:
        """From now on *author* writes through this window."""
        self._core.settings = self._core.settings._replace(author=author)

    # --- with other processes and the disk

    def catch_up(self) -> list[Moved]:
        """What other processes appended since the last call, writes of this one in between included."""
        return self.catch_up_until(inf)[0]

    def catch_up_until(self, moment: float) -> tuple[list[Moved], bool]:
        """As `catch_up`, but stop soon after *moment* (`time.monotonic`); whether nothing is left."""
        complete = self._core.catch_up(moment)
        if self.held:
            return [], complete
        missed, self._core.missed = self._core.missed, []
        return missed, complete

    def on_append(self, tell: Callable[[], None]) -> None:
        """Call *tell*, which must not raise, after each op of this process that the log has taken."""
        self._core.appended = tell

    def wait_writable(self, timeout: float = 5) -> None:
        """Return when nobody is inside an append; for a thread.  Raises `RoomBusy` at the end."""
        self._core.log.wait_writable(timeout)

    def sync(self) -> None:
        """Make everything appended so far survive a power loss; for any thread."""
        # Objects first: a record must not survive without the value that it names.
        self._core.objects.sync()
        self._core.log.sync()

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file; for a background thread, now and then."""
        self._core.log.checkpoint()

    def drop_unused(self) -> None:
        """Drop documents from memory that were not touched since the last call."""
        self._core.docs.drop_unused()

    def compact(self, budget: int | None = None) -> None:
        """Write snapshots of much-edited documents, and keep *budget* bytes of documents in memory."""
        self._core.compact(budget)

    def _change(self, path: bytes, author: Author | None) -> Change:
        return self._core.change(path, author)
