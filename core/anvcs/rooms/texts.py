"""The room's documents: a few live in memory, the others are loaded from the log.

A version of a document is named by an op's number: it is what was there *after* that op.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from anvcs.model.ids import FileId, Seq
from anvcs.rooms.documents import Document, seed
from anvcs.rooms.oplog import Op, OpLog, Snapshot
from anvcs.rooms.records import DocumentPart

_UPDATES_BEFORE_SNAPSHOT = 64
_UPDATES_BEFORE_START = 24
_STARTS = 64
_OVERHEAD = 4096
_SNAPSHOTS = 4
"""Kept of a document; from older ops it is replayed from where its epoch begins."""
_GROWTH = 2
_SLACK = 16 << 10
"""A document whose state is larger than `_GROWTH` times its text and this starts again."""


@dataclass(slots=True)
class Version:
    """A document at one version; only the live ones are kept and grow."""

    document: Document
    epoch: int
    seq: Seq
    """The last op that is in it."""
    updates: int = 0
    """Updates applied since the last snapshot."""
    text: bytes | None = field(default=None, repr=False)
    """The document's text, when it is known."""
    weight: int = 0
    """What it counted for when it was last used."""

    def read(self) -> bytes:
        """The document's text."""
        if self.text is None:
            self.text = self.document.text()
        return self.text

    def take(self, part: DocumentPart, seq: Seq) -> None:
        """Apply what op *seq* adds."""
        if part.fresh:
            self.document, self.updates = Document(), 0
        self.epoch = part.epoch
        self.document.apply(part.prelude)
        self.document.apply(part.updates)
        self.updates += len(part.prelude) + len(part.updates)
        self.seq, self.text = seq, None


class Documents:
    """Documents of one room by file id, the least recently used dropped first."""

    def __init__(self, log: OpLog, budget: int) -> None:
        self._log = log
        self._budget = budget
        self._live: OrderedDict[FileId, Version] = OrderedDict()
        self._weight = 0
        self._starts: OrderedDict[FileId, Snapshot] = OrderedDict()
        self._used: set[FileId] = set()
        """Asked for since the last `drop_unused`."""

    def head(self, file: FileId, seq: Seq) -> Version | None:
        """The live document of *file*, up to op *seq*, the log's end; ``None``: it has none."""
        live = self._live.get(file)
        if live is None:
            live = self._load(file, seq)
            if live is None:
                return None
            self.keep(file, live)
        self._live.move_to_end(file)
        self._used.add(file)
        return live

    def keep(self, file: FileId, version: Version) -> None:
        """Make *version* the live one and drop what is too much."""
        previous = self._live.get(file)
        self._weight -= previous.weight if previous is not None else 0
        version.weight = _weight(version)
        self._weight += version.weight
        self._live[file] = version
        self._live.move_to_end(file)
        self._used.add(file)
        if self._weight > self._budget:
            self.shrink(kept=file)

    def absorb(self, op: Op) -> None:
        """Bring live documents up to *op*, which another process wrote."""
        for part in op.payload.docs:
            live = self._live.get(part.id)
            if live is not None:
                live.take(part, op.seq)

    def forget(self, file: FileId) -> None:
        """Throw the live document away: it holds something that isn't in the log."""
        live = self._live.pop(file, None)
        self._weight -= live.weight if live is not None else 0

    def drop_unused(self) -> None:
        """Drop what nobody here has asked for since the last call, whatever others wrote in it."""
        for file in self._live.keys() - self._used:
            self.forget(file)
        self._starts.clear()
        self._used.clear()

    def forget_all(self) -> None:
        """Throw all live documents away."""
        self._live.clear()
        self._starts.clear()
        self._weight = 0

    def after(self, file: FileId, seq: Seq) -> Version | None:
        """A document of its own as it was after op *seq*."""
        return self._load(file, seq)

    def renewed(self, file: FileId, live: Version, text: bytes) -> Version | None:
        """A new epoch of a much-edited document that shows *text*, when that is worth it.

        Inside a transaction of the log.  Else it may write a snapshot, so that nobody
        ever has to replay many updates.
        """
        if live.updates < _UPDATES_BEFORE_SNAPSHOT:
            return None
        state = live.document.state()
        if len(state) <= _GROWTH * len(text) + _SLACK:
            self._put_snapshot(file, live, state)
            return None
        fresh = Version(Document(), live.epoch + 1, live.seq, text=text)
        fresh.document.apply((seed(text),) if text else ())
        return fresh

    def _put_snapshot(self, file: FileId, live: Version, state: bytes) -> None:
        self._log.put_snapshot(file, Snapshot(live.seq, live.epoch, state))
        self._log.thin_snapshots(file, _SNAPSHOTS)
        live.updates = 0

    def write_snapshots(self) -> None:
        """Write the state of documents with many updates, inside a transaction of the log."""
        for file, live in self._live.items():
            if live.updates >= _UPDATES_BEFORE_SNAPSHOT:
                self._put_snapshot(file, live, live.document.state())

    def shrink(self, budget: int | None = None, kept: FileId | None = None) -> None:
        """Keep only *budget* bytes of documents (``None``: the usual), and *kept* anyway."""
        limit = self._budget if budget is None else budget
        if budget is not None:
            self._starts.clear()
        for file in list(self._live):
            if self._weight <= limit:
                return
            if file != kept:
                self.forget(file)

    def needs_snapshots(self) -> bool:
        """Whether `write_snapshots` has something to write."""
        return any(live.updates >= _UPDATES_BEFORE_SNAPSHOT for live in self._live.values())

    def _load(self, file: FileId, until: Seq) -> Version | None:
        version: Version | None = None
        start = self._start(file, until)
        if start is not None:
            version = Version(Document(), start.epoch, start.seq)
            version.document.apply([start.state])
        for op in self._log.edits(file, start.seq if start else self._log.epoch_start(file, until), until):
            for part in op.payload.docs:
                if part.id == file:
                    version = version or Version(Document(), part.epoch, op.seq)
                    version.take(part, op.seq)
        if version is not None and version.updates > _UPDATES_BEFORE_START:
            # The next save from a stale read has a base near this one.
            state = version.document.state()
            self._starts[file] = Snapshot(version.seq, version.epoch, state)
            if len(self._starts) > _STARTS:
                self._starts.popitem(last=False)
        return version

    def _start(self, file: FileId, until: Seq) -> Snapshot | None:
        kept, written = self._starts.get(file), self._log.snapshot(file, until)
        if kept is None or kept.seq > until or (written is not None and written.seq >= kept.seq):
            return written
        return kept


def _weight(live: Version) -> int:
    # The CRDT holds the text once more, with items for each edit.
    return _OVERHEAD + 2 * len(live.text or b"") + 100 * live.updates
