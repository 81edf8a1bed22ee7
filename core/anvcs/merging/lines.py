"""The merge of lines: diff3, clean exactly where Git's is.

Changes of both sides that touch, with no unchanged line between them, are a clash, as
Git counts it, unless they are the same change.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from anvcs.linediff import Hunk, split_lines
from anvcs.merging.histogram import histogram_hunks
from anvcs.merging.pieces import Clash, Piece

Hunks = Callable[[bytes, bytes], Sequence[Hunk]]
"""What differs between two texts, in lines: ``(old_first, old_end, new_first, new_end)``, ascending."""


class Chunk(NamedTuple):
    """A part of the base that one side or both changed, with the lines that it has on each side."""

    base: tuple[int, int]
    left: tuple[int, int]
    right: tuple[int, int]
    by_left: bool
    by_right: bool


@dataclass(frozen=True, slots=True)
class LineMerge:
    """Three texts in lines, and where they differ."""

    base: Sequence[bytes]
    left: Sequence[bytes]
    right: Sequence[bytes]
    chunks: Sequence[Chunk]

    def piece(self, chunk: Chunk) -> Piece:
        """What the merge makes of *chunk*."""
        base, left, right = self.texts(chunk)
        if not chunk.by_right or left == right:
            return left
        return right if not chunk.by_left else Clash(base, left, right)

    def texts(self, chunk: Chunk) -> tuple[bytes, bytes, bytes]:
        """The base's, left's and right's lines of *chunk*."""
        base, left, right = (
            b"".join(lines[span[0] : span[1]])
            for lines, span in zip((self.base, self.left, self.right), chunk[:3], strict=True)
        )
        return base, left, right

    def pieces(self) -> list[Piece]:
        """The whole merged text."""
        out: list[Piece] = []
        at = 0
        for chunk in self.chunks:
            out += (b"".join(self.base[at : chunk.base[0]]), self.piece(chunk))
            at = chunk.base[1]
        out.append(b"".join(self.base[at:]))
        return [piece for piece in out if piece]


def line_merge(base: bytes, left: bytes, right: bytes, hunks: Hunks = histogram_hunks) -> LineMerge:
    """Merge texts; those whose last line has no newline are best given one first."""
    lines = [split_lines(text) for text in (base, left, right)]
    return LineMerge(lines[0], lines[1], lines[2], list(_chunks(hunks(base, left), hunks(base, right))))


def merge_lines(base: bytes, left: bytes, right: bytes, hunks: Hunks = histogram_hunks) -> list[Piece]:
    """The pieces of `line_merge`."""
    return line_merge(base, left, right, hunks).pieces()


def _chunks(left: Sequence[Hunk], right: Sequence[Hunk]) -> Iterator[Chunk]:
    for start, stop, ours, theirs in touching(left, right):
        yield Chunk(
            (start, stop),
            on_side(start, stop, left, ours),
            on_side(start, stop, right, theirs),
            by_left=bool(ours),
            by_right=bool(theirs),
        )


def refined(clash: Clash, hunks: Hunks = histogram_hunks) -> list[Piece]:
    """Two texts without a base as what they share and clashes of the rest, as Git shows them.

    Few shared lines between two clashes stay in them: what somebody has to look at is easier to read whole.
    """
    left, right = split_lines(clash.left), split_lines(clash.right)
    out: list[Piece] = []
    at = other = 0
    for a0, a1, b0, b1 in hunks(clash.left, clash.right):
        shared = left[at:a0]
        before = out[-1] if out else None
        if isinstance(before, Clash) and len(shared) <= _FEW:
            mine, theirs = b"".join(left[at:a1]), b"".join(right[other:b1])
            out[-1] = replace(before, left=before.left + mine, right=before.right + theirs)
        else:
            out += (b"".join(shared), replace(clash, left=b"".join(left[a0:a1]), right=b"".join(right[b0:b1])))
        at, other = a1, b1
    out.append(b"".join(left[at:]))
    return [piece for piece in out if piece]


_FEW = 3


def touching(left: Sequence[Hunk], right: Sequence[Hunk]) -> Iterator[tuple[int, int, range, range]]:
    """Hunks of both sides in the base's order, as start, end and indices; those that touch together."""
    at, other = 0, 0
    while at < len(left) or other < len(right):
        first, second = at, other
        if other == len(right) or (at < len(left) and left[at][:2] <= right[other][:2]):
            start, stop = left[at][:2]
            at += 1
        else:
            start, stop = right[other][:2]
            other += 1
        while True:
            if at < len(left) and left[at][0] <= stop:
                stop = max(stop, left[at][1])
                at += 1
            elif other < len(right) and right[other][0] <= stop:
                stop = max(stop, right[other][1])
                other += 1
            else:
                break
        yield start, stop, range(first, at), range(second, other)


def on_side(start: int, stop: int, hunks: Sequence[Hunk], chosen: range) -> tuple[int, int]:
    """Where the base's part *start* to *stop* is on the side that *hunks* lead to."""
    if chosen:
        first, last = hunks[chosen[0]], hunks[chosen[-1]]
        return first[2] - (first[0] - start), last[3] + (stop - last[1])
    shift = 0 if not chosen.start else hunks[chosen.start - 1][3] - hunks[chosen.start - 1][1]
    return start + shift, stop + shift
