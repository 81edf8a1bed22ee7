"""A text without some of its ops: their insertions go, their deletions come back.

What others wrote since stays.  Where it touches what would change, both can't be had:
the text then stays as it is shown, and the caller is told which lines.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from anvcs.model.ids import Seq
from anvcs.rooms.diffing import Hunks, diff
from anvcs.rooms.weaving import Piece, Weave


class Unwoven(NamedTuple):
    """A text without some ops."""

    text: bytes
    kept: tuple[tuple[int, int], ...]
    """Lines of it, from 1, where those ops could not be taken out."""


class _Part(NamedTuple):
    """A piece and what becomes of it."""

    text: bytes
    now: bool
    """It is shown."""
    after: bool
    """It is shown without the ops."""
    peers: bool
    """Others wrote it, or deleted it from what the ops wrote, since the first of them."""


def unwoven(weave: Weave, undone: Collection[Seq], base: bytes | None, hunks: Hunks) -> Unwoven:
    """The text of *weave* as if the ops *undone* had not been.

    Where *base* is given, parts of the text that are as in it stay: they are committed.
    """
    first = min(undone, default=0)
    parts = [part for piece in weave.pieces() if (part := _part(piece, undone, first)) is not None]
    free = None if base is None else diff(weave.text(), base, hunks).splices
    return _Result(free).read(parts)


def _part(piece: Piece, undone: Collection[Seq], first: int) -> _Part | None:
    now, mine = piece.gone is None, piece.by in undone
    after = piece.shown_without(undone)
    by_peers = now and after and piece.by > first
    from_mine = mine and not now and piece.gone not in undone
    if not (now or after or from_mine):
        return None
    return _Part(piece.text, now, after, by_peers or from_mine)


class _Result:
    """The text as it is put together, cell by cell.

    A cell is what lies between two stretches that stay as they are and that nobody
    wrote since; whole lines of others are such stretches too.
    """

    def __init__(self, free: Sequence[tuple[int, int, bytes]] | None) -> None:
        self._free = free
        self._out: list[bytes] = []
        self._line = 1
        self._at = 0
        """Offset in the text that is shown now."""
        self._kept: list[tuple[int, int]] = []

    def read(self, parts: Sequence[_Part]) -> Unwoven:
        """Put the result together."""
        for stable, cell in _cells(parts):
            text = b"".join(part.text for part in cell if part.now)
            if stable or not any(part.now != part.after for part in cell) or self._is_committed(len(text)):
                self._emit(text)
            elif any(part.peers for part in cell):
                self._both(cell, text)
            else:
                self._emit(b"".join(part.text for part in cell if part.after))
            self._at += len(text)
        return Unwoven(b"".join(self._out), tuple(self._kept))

    def _is_committed(self, length: int) -> bool:
        if self._free is None:
            return False
        start, stop = self._at, self._at + length
        return not any(first <= stop and last >= start for first, last, _ in self._free)

    def _both(self, cell: Sequence[_Part], text: bytes) -> None:
        """A cell where others' work meets what would change."""
        if any(part.after and not part.now for part in cell):
            self._keep(text)
            return
        for line in _lines(part for part in cell if part.now):
            shown = b"".join(part.text for part in line)
            if any(part.after for part in line):
                self._keep(shown)

    def _keep(self, text: bytes) -> None:
        if text:
            first = self._line
            self._emit(text)
            self._kept.append((first, max(first, self._line - text.endswith(b"\n"))))
        else:
            self._kept.append((self._line, self._line))

    def _emit(self, text: bytes) -> None:
        self._out.append(text)
        self._line += text.count(b"\n")


def _cells(parts: Sequence[_Part]) -> Iterator[tuple[bool, list[_Part]]]:
    """Runs of parts, and whether each is a stretch that stays."""
    cell: list[_Part] = []
    now_ends = after_ends = True  # at the start of a line
    for part in parts:
        stays = part.now and part.after
        whole = now_ends and after_ends and part.text.endswith(b"\n")
        if stays and (whole or not part.peers):
            if cell:
                yield False, cell
                cell = []
            yield True, [part]
        else:
            cell.append(part)
        if part.now:
            now_ends = part.text.endswith(b"\n")
        if part.after:
            after_ends = part.text.endswith(b"\n")
    if cell:
        yield False, cell


def _lines(parts: Iterator[_Part]) -> Iterator[list[_Part]]:
    """*parts* cut at the ends of lines."""
    line: list[_Part] = []
    for part in parts:
        rest = part.text
        while rest:
            end = rest.find(b"\n") + 1 or len(rest)
            line.append(part._replace(text=rest[:end]))
            rest = rest[end:]
            if line[-1].text.endswith(b"\n"):
                yield line
                line = []
    if line:
        yield line
