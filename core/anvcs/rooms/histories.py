"""What happened to one file since it was last as in the base, op by op."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from anvcs.model.ids import FileId, Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import Leaf
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.oplog import Op
from anvcs.rooms.records import DROPPED


def taken_back(ops: Sequence[Op], file: FileId) -> set[Seq]:
    """Those of *ops*, which are about *file*, that a later one of them has reversed."""
    gone: set[Seq] = set()
    for op in reversed(ops):
        if op.seq not in gone:  # an undo that was itself undone takes nothing back
            gone.update(seq for each, seq in op.payload.undone if each == file)
    return gone


@dataclass(frozen=True, slots=True)
class History:
    """One file's uncommitted ops and its states between them."""

    start: Seq
    """The op before the first of them."""
    first: Entry
    """As it is without any of them; its path is ``None`` for a file that the base lacks."""
    leaf: Leaf | None
    """What the base has for it."""
    ops: tuple[Op, ...]
    states: tuple[Entry, ...]
    """The file after each op."""
    now: Entry
    was_dropped: bool
    """It has left the room."""
    rebased: bool
    """The base has moved since."""

    @property
    def crlf(self) -> bool:
        """Whether its text is shown with CRLF."""
        return self.now.content is Content.TEXT and bool(self.now.ref)

    def paths(self) -> set[bytes]:
        """Everywhere it was."""
        return {entry.path for entry in (self.first, *self.states, self.now) if entry.path is not None}

    def edits(self, op: Op) -> bool:
        """Whether *op* changed its bytes."""
        if any(part.id == self.now.id for part in op.payload.docs):
            return True
        return any(entry.id == self.now.id and entry.content_seq == op.seq for entry in op.payload.puts)

    def without(self, undone: Collection[Seq], name: str) -> Any:
        """The property *name* as if the ops *undone* had not been."""
        found = self._last_kept(undone, lambda entry: getattr(entry, name))
        return getattr(self.now if found is None else found, name)

    def crlf_without(self, undone: Collection[Seq], line_ends: Callable[[Entry], bool | None]) -> bool:
        """Whether its text would be shown with CRLF as if the ops *undone* had not been; *line_ends* tells of each."""
        found = self._last_kept(undone, line_ends)
        known = None if found is None else line_ends(found)
        return self.crlf if known is None else known

    def content_without(self, undone: Collection[Seq]) -> tuple[Entry | None, Leaf | None]:
        """Whose whole content comes back: an earlier state's or the base's; neither: nothing changes."""
        found = self._last_kept(undone, _content)
        if found is None:
            return None, None
        return (None, self.leaf) if found is self.first else (found, None)

    def _last_kept(self, undone: Collection[Seq], value: Callable[[Entry], Any]) -> Entry | None:
        """The state with the value that counts without *undone*; ``None``: the present one does."""
        kept, reversed_last = self.first, False
        known = [(value(self.first), kept, reversed_last)]
        for op, state in zip(self.ops, self.states, strict=True):
            what = value(state)
            if what != known[-1][0]:
                reversed_last = op.seq in undone
                if op.takes_back and not reversed_last:
                    # It decided nothing itself: who had set this value before has set it.
                    earlier = [(was, mine) for seen, was, mine in known if seen == what]
                    kept, reversed_last = earlier[-1] if earlier else (state, False)
                elif not reversed_last:
                    kept = state
            known.append((what, kept, reversed_last))
        committed = self.rebased and value(self.now) == value(self.first)
        return kept if reversed_last and not committed else None


def file_history(core: Core, file: FileId, wanted: Callable[[Op], bool]) -> History | None:
    """The history of *file*; ``None`` when nothing of it is uncommitted.

    A file that has left the room has one when an op that is *wanted* made it leave.
    """
    touches = core.log.touches(file)
    drops = [seq for seq, flags in touches if flags & DROPPED]
    now = core.state.by_id.get(file)
    if now is None:
        if not drops or core.log.base_moved(drops[-1], core.seq) or not wanted(core.log.op(drops[-1])):
            return None
        drops.pop()
    after = drops[-1] if drops else Seq(0)
    ops = tuple(core.log.touching(file, after, core.seq))
    if not ops:
        return None
    start = Seq(ops[0].seq - 1)
    present = now or _left(core, file, ops)
    if present is None:
        return None
    first, leaf = _first(core, present, ops)
    return History(
        start=start,
        first=first,
        leaf=leaf,
        ops=ops,
        states=tuple(_states(file, ops, present)),
        now=present,
        was_dropped=now is None,
        rebased=core.log.base_moved(start, core.seq),
    )


def _content(entry: Entry) -> tuple[Content, bytes, int]:
    version = entry.content_seq if entry.content is Content.TEXT else 0
    return entry.content, entry.ref, version


def _left(core: Core, file: FileId, ops: tuple[Op, ...]) -> Entry | None:
    """A file that is no entry any more, as one: deleted, or as in the base."""
    last = None
    for op in ops:
        last = next((entry for entry in op.payload.puts if entry.id == file), last)
    at = next((drop.path for drop in ops[-1].payload.drops if drop.id == file), None)
    if last is None or (at is None and not is_dir(last)):
        return None
    if at is None or last.base_path is None:
        return replace(last, path=None)
    leaf = core.visible_leaf(at)
    return None if leaf is None else replace(core.base_entry(at, leaf), id=file)


def _first(core: Core, now: Entry, ops: tuple[Op, ...]) -> tuple[Entry, Leaf | None]:
    leaf = None if now.base_path is None else core.base.leaf(now.base_path)
    if leaf is None or now.base_path is None:
        born = next((entry for entry in ops[0].payload.puts if entry.id == now.id), now)
        nothing = replace(born, path=None, base_path=None, content=Content.NONE, ref=b"", size=0)
        return replace(nothing, content_seq=Seq(0)), None
    return replace(core.base_entry(now.base_path, leaf), id=now.id, content_seq=Seq(0)), leaf


def _states(file: FileId, ops: tuple[Op, ...], now: Entry) -> Iterator[Entry]:
    for op in ops[:-1]:
        # Only the last op can have dropped it, and each touches it.
        now_then = next((entry for entry in op.payload.puts if entry.id == file), None)
        if now_then is not None:
            yield now_then
        else:
            yield now
    yield now
