"""Differing lines as Git's merges find them, so that a clean merge is the same here and there.

The histogram method: the longest run of equal lines around the rarest one stays, and what
is before and after it is compared in turn.  Stretches in which every line is frequent go to
the method of Myers.  Then each change moves down as far as its lines allow, or to where it
meets a change of the other text, since the same change can be written in several ways.
"""

from collections.abc import Callable, Sequence

from anvcs.linediff import Hunk, sequence_hunks, split_lines

_TOO_FREQUENT = 64
"""Occurrences above which a line is no place to begin."""

_MOST_WORK = 500_000
"""Lines to look at before what is left goes to a quicker method: each run that is kept means a look at all around it."""


def histogram_hunks(old: bytes, new: bytes) -> list[Hunk]:
    """What differs between two texts, in lines that end at newlines only."""
    return compared(split_lines(old), split_lines(new))


def compared(a: Sequence[bytes], b: Sequence[bytes]) -> list[Hunk]:
    """``(a_first, a_end, b_first, b_end)`` of all parts that differ, ascending."""
    in_a, in_b = bytearray(len(a)), bytearray(len(b))
    pending = [(0, len(a), 0, len(b))]
    work = 0
    while pending:
        a0, a1, b0, b1 = pending.pop()
        work += a1 - a0 + b1 - b0
        if a0 == a1 or b0 == b1:
            _mark(in_a, a0, a1)
            _mark(in_b, b0, b1)
            continue
        run = _best_run(a, b, (a0, a1, b0, b1)) if work < _MOST_WORK else None
        if run is None:
            for x0, x1, y0, y1 in sequence_hunks(a[a0:a1], b[b0:b1]):
                _mark(in_a, a0 + x0, a0 + x1)
                _mark(in_b, b0 + y0, b0 + y1)
            continue
        x0, x1, y0, y1 = run
        if x0 == x1:
            _mark(in_a, a0, a1)
            _mark(in_b, b0, b1)
            continue
        pending += ((a0, x0, b0, y0), (x1, a1, y1, b1))
    _compact(a, in_a, in_b)
    _compact(b, in_b, in_a)
    return _hunks(in_a, in_b)


def _mark(changed: bytearray, start: int, stop: int) -> None:
    changed[start:stop] = b"\1" * (stop - start)


def _best_run(a: Sequence[bytes], b: Sequence[bytes], area: Hunk) -> Hunk | None:
    """The equal lines to keep, empty if there are none; ``None``: all that are equal are too frequent."""
    a0, a1, b0, b1 = area
    places: dict[bytes, list[int]] = {}
    for at in range(a0, a1):
        places.setdefault(a[at], []).append(at)
    best = (a0, a0, b0, b0)
    rarest = _TOO_FREQUENT + 1
    any_equal = False
    y = b0
    while y < b1:
        following = y + 1
        found = places.get(b[y])
        if found is not None:
            any_equal = True
            if len(found) <= rarest:
                best, rarest, following = _longest_around(a, b, area, places, y, best, rarest)
        y = following
    return None if any_equal and rarest > _TOO_FREQUENT else best


def _longest_around(
    a: Sequence[bytes], b: Sequence[bytes], area: Hunk, places: dict[bytes, list[int]], y: int, best: Hunk, rarest: int
) -> tuple[Hunk, int, int]:
    """Look at each place of one line of *b*; the best run, its rarest line's count, and where to go on."""
    a0, a1, b0, b1 = area
    found = places[b[y]]
    following, passed = y + 1, -1
    for place in found:
        if place <= passed:
            continue
        x0, y0, count = place, y, len(found)
        while a0 < x0 and b0 < y0 and a[x0 - 1] == b[y0 - 1]:
            x0, y0 = x0 - 1, y0 - 1
            if count > 1:
                count = min(count, len(places[a[x0]]))
        x1, y1 = place + 1, y + 1
        while x1 < a1 and y1 < b1 and a[x1] == b[y1]:
            if count > 1:
                count = min(count, len(places[a[x1]]))
            x1, y1 = x1 + 1, y1 + 1
        following = max(following, y1)
        if best[1] - best[0] < x1 - x0 or count < rarest:
            best, rarest = (x0, x1, y0, y1), count
        passed = x1 - 1
    return best, rarest, following


# --- where a change stands


def _compact(lines: Sequence[bytes], changed: bytearray, other: bytearray) -> None:
    """Move each change of *lines* down as far as it goes, or to a change of the other text if it can meet one."""
    kept = [at for at, flag in enumerate(other) if not flag]  # of the other text

    def has_other(number: int) -> bool:
        """Whether the other text has a change before its unchanged line *number*."""
        start = kept[number - 1] + 1 if number else 0
        return (kept[number] if number < len(kept) else len(other)) > start

    start = changed.find(1)
    number = start  # of unchanged lines before the change
    while start >= 0:
        stop = _end(changed, start)
        start, stop, number = _moved(lines, changed, has_other, (start, stop, number))
        following = changed.find(1, stop)
        number += following - stop
        start = following


def _moved(
    lines: Sequence[bytes], changed: bytearray, has_other: Callable[[int], bool], group: tuple[int, int, int]
) -> tuple[int, int, int]:
    start, stop, number = group
    while True:
        size = stop - start
        while start > 0 and lines[start - 1] == lines[stop - 1]:
            start, stop, number = start - 1, stop - 1, number - 1
            changed[start], changed[stop] = 1, 0
            while start > 0 and changed[start - 1]:
                start -= 1
        earliest = stop
        meets = stop if has_other(number) else -1
        while stop < len(lines) and lines[start] == lines[stop]:
            changed[start], changed[stop] = 0, 1
            start, stop, number = start + 1, _end(changed, stop), number + 1
            if has_other(number):
                meets = stop
        if stop - start == size:
            break
    if meets >= 0 and stop != earliest:
        while not has_other(number):
            start, stop, number = start - 1, stop - 1, number - 1
            changed[start], changed[stop] = 1, 0
            while start > 0 and changed[start - 1]:
                start -= 1
    return start, stop, number


def _end(changed: bytearray, at: int) -> int:
    end = changed.find(0, at)
    return len(changed) if end < 0 else end


def _hunks(in_a: bytearray, in_b: bytearray) -> list[Hunk]:
    hunks: list[Hunk] = []
    x = y = 0
    while True:
        next_x, next_y = in_a.find(1, x), in_b.find(1, y)
        if next_x < 0 and next_y < 0:
            return hunks
        steps = min(at - start for at, start in ((next_x, x), (next_y, y)) if at >= 0)
        x, y = x + steps, y + steps
        end_x, end_y = _end(in_a, x), _end(in_b, y)
        hunks.append((x, end_x, y, end_y))
        x, y = end_x, end_y
