"""What a room tells of its past, and what it takes back or lets go of it."""

from typing import TYPE_CHECKING, Self

from anvcs.model.blame import LiveLine, Shown
from anvcs.model.ids import Seq
from anvcs.model.moment import Moment
from anvcs.model.room import Author
from anvcs.model.undone import Undone
from anvcs.rooms.basetree import Base
from anvcs.rooms.blaming import blame
from anvcs.rooms.core import Core
from anvcs.rooms.moving import Mover
from anvcs.rooms.oplog import OpLog
from anvcs.rooms.pruning import Horizon, Limits, horizon, prune
from anvcs.rooms.snapshots import Past, Snapshot, past_of, seq_of
from anvcs.rooms.undoing import Undoer, Wanted, undo

_READER_BUDGET = 8 << 20
"""Bytes of documents that a reader keeps."""


class LookingBack:
    """The part of `Room` that is about earlier ops."""

    _core: Core
    _mover: Mover
    _undoer: Undoer
    name: str

    if TYPE_CHECKING:

        def __init__(self, core: Core, name: str) -> None: ...

    def undo(self, wanted: Wanted, *, dry_run: bool = False, author: Author | None = None) -> Undone:
        """Reverse the uncommitted ops that are *wanted*; with *dry_run* only say what that would do."""
        self._core.catch_up()
        change = self._core.change(b"", author)
        return undo(change, self._undoer, wanted, dry_run=dry_run)

    def blame(self, path: bytes, shown: Shown | None = None) -> list[LiveLine] | None:
        """Who wrote each line of what is shown at *path*, by default here; ``None``: no text is."""
        core = self._core
        if shown is None:
            hidden = path in core.state.by_base
            shown = Shown(core.state.by_path.get(path), None if hidden else core.base.commit, core.base.commit)
        if shown.entry is None and shown.below is None:
            return None
        return blame(core, path, shown.entry, shown.base)

    @property
    def floor(self) -> Seq:
        """The oldest moment that the log still tells: 0, or the op into which older ones were folded."""
        return self._core.log.floor()

    def seq_at(self, moment: Moment) -> Seq | None:
        """The op that *moment* is right after; ``None``: the log doesn't tell of it (any more, or yet)."""
        return seq_of(self._core, moment)

    def time_of(self, seq: Seq) -> int:
        """When op *seq* was written; 0 if the log doesn't tell."""
        return self._core.log.time_of(seq)

    def horizon(self, limits: Limits) -> Horizon:
        """How far `prune` would go."""
        self._core.catch_up()
        return horizon(self._core, limits)

    def prune(self, limits: Limits) -> Horizon:
        """Replace old ops by what they amount to; what is shown stays."""
        return prune(self._core, limits)

    @property
    def log_bytes(self) -> int:
        """Bytes of the room's file that are in use."""
        return self._core.log.size()

    def give_back(self) -> bool:
        """Return what pruning has emptied to the disk, when that is much; whether it was done."""
        return self._core.log.give_back()

    @property
    def uncommitted(self) -> tuple[int, int]:
        """How many files the room has changed, and how many ops there were since the base: the price of a commit."""
        core = self._core
        return len(core.state.by_id), core.seq - core.log.base_since()

    def past(self, moment: Moment) -> Past | None:
        """The room as it was at *moment*; ``None``: the log doesn't tell of it (any more, or yet)."""
        seq = seq_of(self._core, moment)
        return None if seq is None else past_of(self._core, seq)

    def snapshot(self, past: Past) -> Snapshot:
        """The tree that *past* is."""
        return Snapshot(self._core.base.tree, past)

    def reader(self) -> Self:
        """Another window on the same room that only reads, for another thread; close it."""
        core = self._core
        log = OpLog(core.file, None, read_only=True)
        try:
            base = Base(core.base.tree, None)
            return type(self)(Core(log, base, core.objects, core.settings, _READER_BUDGET), self.name)
        except BaseException:
            log.close()
            raise
