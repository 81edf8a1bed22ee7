"""One record of the op log: what it says, and its bytes.

A record tells the *result* of an op: which entries it put, which it dropped, what it
added to documents.  Reading a log is therefore a fold without any decision in it, so
that every process and every later version comes to the same state.
``docs/reference/formats/op-log.md`` is the specification.
"""

from typing import Any, NamedTuple
from zlib import crc32

import msgpack

from anvcs.errors import AnvcsError
from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Content, Entry
from anvcs.rooms.conflicts import ConflictPart, part_of

FORMAT = 2
"""Version of the payload; the first item of each."""
PLAIN = 1
"""The version without a last item, for what needs none: nearly every record."""

BYTES_CHANGED = 1
"""Flag of a history row: the op changed what the file contains."""
DROPPED = 2
"""Flag of a history row: the op took the file out of the room."""
FRESH = 4
"""Flag of a history row: the file's document starts there, in an epoch of its own."""
EPOCH_SHIFT = 8
"""The epoch of the document that the op wrote to is in the bits of the flags from here on."""


class MalformedRecord(AnvcsError):
    """A record's bytes can't be understood."""


class DocumentPart(NamedTuple):
    """What one record adds to one document."""

    id: FileId
    epoch: int
    fresh: bool
    """The document starts here: whatever was before belongs to another epoch."""
    prelude: tuple[bytes, ...]
    """CRDT updates that bring the document to what was shown before this op."""
    client: int
    """CRDT client id under which this op's author wrote."""
    updates: tuple[bytes, ...]


class Drop(NamedTuple):
    """An entry that left the room, and where it was last (``None``: nobody will ask)."""

    id: FileId
    path: bytes | None


class Payload(NamedTuple):
    """All that a record says beyond its row's columns."""

    path: bytes
    old_path: bytes | None
    added: int
    removed: int
    base: Oid | None
    """The new base commit; only ``base`` records set it, and ``rebased``."""
    rebased: bool
    puts: tuple[Entry, ...]
    drops: tuple[Drop, ...]
    docs: tuple[DocumentPart, ...]
    traces: tuple[tuple[bytes, FileId], ...]
    """Paths that a file has left: a file that appears there again is that file."""
    conflicts: tuple[ConflictPart, ...] = ()
    """Conflicts that this op found; its number and their place here are their names."""
    resolved: tuple[tuple[int, int], ...] = ()
    """Conflicts that this op resolved, as ``(seq, ordinal)``."""
    undone: tuple[tuple[FileId, Seq], ...] = ()
    """Which ops on which files this op took back."""


_MORE = ("conflicts", "resolved", "undone")
"""Names of the parts that the last item may have; those that are empty are left out."""


def encode(payload: Payload, seq: Seq) -> bytes:
    """Bytes of *payload* for record *seq*."""
    more = {key: value for key, value in zip(_MORE, payload[-len(_MORE) :], strict=True) if value}
    packed: bytes = msgpack.packb(
        (
            FORMAT if more else PLAIN,
            payload.path,
            payload.old_path,
            payload.added,
            payload.removed,
            payload.rebased,
            payload.base,
            [_entry_row(entry, seq) for entry in payload.puts],
            payload.drops,
            payload.docs,
            payload.traces,
            *([more] if more else []),
        )
    )
    return packed


def decode(data: bytes, seq: Seq) -> Payload:
    """The payload whose bytes are *data*; raises `MalformedRecord`."""
    try:
        items = msgpack.unpackb(data, use_list=False)
        if items[0] not in (PLAIN, FORMAT):
            raise MalformedRecord(f"record {seq} has payload format {items[0]!r}")
        more = items[11] if items[0] == FORMAT else {}
        if unknown := more.keys() - set(_MORE):  # it may change what follows: guessing is no reading
            raise MalformedRecord(f"record {seq} has parts that this program doesn't know: {sorted(unknown)}")
        _, path, old_path, added, removed, rebased, base, puts, drops, docs, traces = items[:11]
        return Payload(
            path,
            old_path,
            added,
            removed,
            base,
            rebased,
            tuple([_entry(row, seq) for row in puts]),
            tuple([Drop(*row) for row in drops]),
            tuple([DocumentPart(*row) for row in docs]),
            traces,
            tuple([part_of(row) for row in more.get("conflicts", ())]),
            tuple([(*key,) for key in more.get("resolved", ())]),
            tuple([(*key,) for key in more.get("undone", ())]),
        )
    except (ValueError, TypeError, IndexError, AttributeError, msgpack.UnpackException) as error:
        raise MalformedRecord(f"record {seq} can't be decoded: {error}") from error


def row_check(seq: int, time_ns: int, agent: str, model: str, view: str, kind: str, file: bytes, data: bytes) -> int:
    """CRC-32 over all columns of an op's row."""
    head: bytes = msgpack.packb((seq, time_ns, agent, model, view, kind, file))
    return crc32(data, crc32(head))


def entry_values(entry: Entry) -> tuple[Any, ...]:
    """*entry* as the columns of the table ``entries``, without its check."""
    return (
        entry.id,
        entry.path,
        entry.base_path,
        entry.mode,
        int(entry.content),
        entry.ref,
        entry.size,
        entry.mtime_ns,
        entry.seq,
        entry.content_seq,
    )


def values_check(values: tuple[Any, ...]) -> int:
    """CRC-32 over the columns of a state table's row."""
    packed: bytes = msgpack.packb(values)
    return crc32(packed)


_CONTENT = tuple(Content)


def entry_from_values(values: tuple[Any, ...]) -> Entry:
    """The entry whose columns are *values*."""
    return Entry(
        id=values[0],
        path=values[1],
        base_path=values[2],
        mode=values[3],
        content=_CONTENT[values[4]],
        ref=values[5],
        size=values[6],
        mtime_ns=values[7],
        seq=values[8],
        content_seq=values[9],
    )


def _entry_row(entry: Entry, seq: Seq) -> tuple[Any, ...]:
    values = entry_values(entry)
    # Nil says: this very record changes the bytes.
    return (*values[:8], None if entry.content_seq == seq else entry.content_seq)


def _entry(row: tuple[Any, ...], seq: Seq) -> Entry:
    return entry_from_values((*row[:8], seq, seq if row[8] is None else row[8]))
