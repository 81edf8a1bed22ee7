"""Conflict records: where concurrent work met, and what each side said."""

from dataclasses import dataclass

from anvcs.model.ids import FileId, Seq

KINDS = (
    "lines",
    "parse",
    "base-unsure",
    "same-name",
    "rename-rename",
    "rename-edit",
    "delete-edit",
    "directory",
    "case",
    "opaque",
    "merge",
)
"""Every kind of record; the words are part of the on-disk format."""

TEXT_LIMIT = 16 << 10
"""Bytes of a side's text that a record keeps."""

_CUT = b"\n[cut]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One agent's part in a conflict."""

    agent: str
    model: str = ""
    text: bytes = b""
    """What this side says: lines, a name, or empty for a deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One record.  Everything but `resolved` is as it was when the op was written."""

    id: str
    """The op's number and an ordinal in it: ``123-0``."""
    seq: Seq
    time_ns: int
    file: FileId
    path: bytes
    kind: str
    """One of `KINDS`."""
    first_line: int = 0
    """From 1, in the text right after op `seq`; 0 when the record is not about lines."""
    last_line: int = 0
    sides: tuple[Side, ...] = ()
    note: str = ""
    """One sentence for people."""
    resolved: bool = False


def conflict_id(seq: int, ordinal: int) -> str:
    """The name of the record number *ordinal* of op *seq*."""
    return f"{seq}-{ordinal}"


def parse_conflict_id(text: str) -> tuple[int, int]:
    """What `conflict_id` made *text* from; raises `ValueError`."""
    seq, dash, ordinal = text.partition("-")
    if not dash or not (seq.isascii() and seq.isdigit() and ordinal.isascii() and ordinal.isdigit()):
        raise ValueError(f"{text!r} is not the id of a conflict record, which looks like 123-0")
    return int(seq), int(ordinal)


def shortened(text: bytes) -> bytes:
    """*text*, cut to what a record keeps."""
    if len(text) <= TEXT_LIMIT:
        return text
    return text[: TEXT_LIMIT - len(_CUT)] + _CUT
