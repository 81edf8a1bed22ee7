"""What an undo did, or would do."""

from dataclasses import dataclass

from anvcs.model.ids import Seq


@dataclass(frozen=True, slots=True, kw_only=True)
class UndonePath:
    """One file that an undo changed."""

    path: bytes
    """Where the file is after it; where it was, for one that is removed."""
    what: tuple[str, ...]
    """Any of ``text``, ``content``, ``removed``, ``restored``, ``renamed``, ``mode``; empty: only `kept`."""
    old_path: bytes | None = None
    """Where a renamed or restored file was before."""
    kept: tuple[tuple[int, int], ...] = ()
    """Lines, from 1, that stay because others have written there since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What one undo did."""

    agent: str
    """Whose ops it reversed."""
    seq: Seq | None
    """The op that it is; ``None`` when there was nothing to do, or it was only asked what it would do."""
    ops: tuple[Seq, ...]
    """The ops that it reverses."""
    paths: tuple[UndonePath, ...]
    shown: tuple[bytes, ...] = ()
    """Paths that look different, for invalidation."""
