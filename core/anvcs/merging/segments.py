"""The parts of a cleanly merged text in which something was changed, cut where one can parse them alone.

A place to cut is a line that can only begin a definition (`Profile.begins`), so nothing around it is a bracket.
If each changed part can be parsed alone, no change has opened anything that goes on behind it; so what
stands between, which is as it was in the base, still means what it meant there.
"""

import threading
from collections.abc import Iterator
from typing import NamedTuple

from anvcs.merging.lines import LineMerge
from anvcs.merging.parsing import has_error
from anvcs.merging.profiles import Profile


class Segment(NamedTuple):
    """Some whole lines of a merged text."""

    text: bytes
    """With a line before it that makes indented lines well-formed."""
    by_left: bool
    by_right: bool


class _Last(threading.local):
    merged = b""
    segments: tuple[Segment, ...] | None = None


_last = _Last()


def well_formed_segments(merged: bytes, lines: LineMerge | None, profile: Profile) -> tuple[Segment, ...] | None:
    """The changed parts of the clean merge *merged* by *lines*, if they tell that it can be parsed.

    Each thread remembers the last answer, which may then be had without *lines*.
    """
    if merged and _last.merged == merged:
        return _last.segments
    if lines is None or profile.begins is None:
        return None
    segments = tuple(_segments(_Cutter(lines, profile)))
    _last.merged = merged
    _last.segments = None if any(has_error(one.text, profile) for one in segments) else segments
    return _last.segments


def _segments(cutter: "_Cutter") -> Iterator[Segment]:
    found: list[tuple[int, int, bool, bool]] = []
    for first, last, by_left, by_right in cutter.spans:
        start, end = cutter.around(first, last)
        while found and found[-1][1] > start:  # one part, with all that both are in
            before = found.pop()
            start, end = cutter.around(min(start, before[0]), max(end, before[1]), widen=False)
            by_left, by_right = by_left or before[2], by_right or before[3]  # noqa: PLW2901  # it grows
        found.append((start, end, by_left, by_right))
    for start, end, by_left, by_right in found:
        yield Segment(cutter.text(start, end), by_left, by_right)


class _Cutter:
    """The merged lines, and which of them each chunk is."""

    def __init__(self, lines: LineMerge, profile: Profile) -> None:
        self._pattern = profile.begins
        self._around = profile.around
        self.lines: list[bytes] = []
        self.spans: list[tuple[int, int, bool, bool]] = []
        at = 0
        for chunk in lines.chunks:
            self.lines += lines.base[at : chunk.base[0]]
            of, span = (lines.left, chunk.left) if chunk.by_left else (lines.right, chunk.right)
            here = len(self.lines)
            self.spans.append((here, here + span[1] - span[0], chunk.by_left, chunk.by_right))
            self.lines += of[span[0] : span[1]]
            at = chunk.base[1]
        self.lines += lines.base[at:]

    def around(self, first: int, last: int, *, widen: bool = True) -> tuple[int, int]:
        """The smallest part with the rows *first* to *last*, and the ones beside them, that can stand alone."""
        row = max(first - widen, 0)
        depth = len(self.lines[row]) if row < len(self.lines) else 0
        while True:
            start, depth = self._cut_before(row, depth)
            end = self._cut_after(last + widen, depth)
            if not depth or all(_depth(line) >= depth for line in self.lines[start:end] if not line.isspace()):
                return self._with_decorators(start), end
            row, depth = start - 1, depth - 1

    def text(self, start: int, end: int) -> bytes:
        """The rows as a text of its own."""
        text = b"".join(self.lines[start:end])
        return self._around + text if start and _depth(self.lines[start]) else text

    def _cut_before(self, row: int, most: int) -> tuple[int, int]:
        """The last place to cut, up to *row*, that is indented by *most* at most, and by how much it is."""
        for at in range(min(row, len(self.lines) - 1), 0, -1):
            line = self.lines[at]
            if self._is_cut(line) and (depth := _depth(line)) <= most:
                return at, depth
        return 0, 0

    def _cut_after(self, row: int, most: int) -> int:
        for at in range(row, len(self.lines)):
            line = self.lines[at]
            if self._is_cut(line) and _depth(line) <= most:
                return self._with_decorators(at, row)
        return len(self.lines)

    def _is_cut(self, line: bytes) -> bool:
        return (
            self._pattern is not None
            and self._pattern.match(line) is not None
            and bool(self._around or _depth(line) == 0)
        )

    def _with_decorators(self, at: int, least: int = 0) -> int:
        depth = _depth(self.lines[at]) if at < len(self.lines) else 0
        while at > least and self.lines[at - 1][depth : depth + 1] == b"@":
            at -= 1
        return at


def _depth(line: bytes) -> int:
    return len(line) - len(line.lstrip(b" \t"))
