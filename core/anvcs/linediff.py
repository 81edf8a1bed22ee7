"""Differences of two sequences: patience first, Myers' greedy algorithm between its anchors.

Used for lines where no other function is injected, and for the tokens of a hunk.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence

Hunk = tuple[int, int, int, int]

_MAX_COST = 400
"""Differences that Myers follows before the rest counts as replaced."""


def line_hunks(old: bytes, new: bytes) -> list[Hunk]:
    """What differs between two texts, in lines that end at newlines only."""
    return sequence_hunks(split_lines(old), split_lines(new))


def sequence_hunks(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[Hunk]:
    """``(a_first, a_end, b_first, b_end)`` of all parts that differ, ascending."""
    hunks: list[Hunk] = []
    _patience(a, b, (0, len(a), 0, len(b)), hunks)
    return _joined(hunks)


def split_lines(text: bytes) -> list[bytes]:
    """Lines with their newline, which is the only thing that ends one."""
    lines = text.split(b"\n")
    last = lines.pop()
    lines = [line + b"\n" for line in lines]
    return [*lines, last] if last else lines


def _patience(a: Sequence[Hashable], b: Sequence[Hashable], area: Hunk, hunks: list[Hunk]) -> None:
    pending = [area]
    while pending:
        a0, a1, b0, b1 = pending.pop()
        while a0 < a1 and b0 < b1 and a[a0] == b[b0]:
            a0, b0 = a0 + 1, b0 + 1
        while a0 < a1 and b0 < b1 and a[a1 - 1] == b[b1 - 1]:
            a1, b1 = a1 - 1, b1 - 1
        if a0 == a1 or b0 == b1:
            if a0 < a1 or b0 < b1:
                hunks.append((a0, a1, b0, b1))
            continue
        anchors = _anchors(a, b, (a0, a1, b0, b1))
        if not anchors:
            hunks += _myers(a, b, (a0, a1, b0, b1))
            continue
        parts = []
        for x, y in anchors:
            parts.append((a0, x, b0, y))
            a0, b0 = x + 1, y + 1
        parts.append((a0, a1, b0, b1))
        pending += reversed(parts)


def _anchors(a: Sequence[Hashable], b: Sequence[Hashable], area: Hunk) -> list[tuple[int, int]]:
    """Items that are unique on both sides, in the longest order both agree on."""
    a0, a1, b0, b1 = area
    in_a, in_b = Counter(a[a0:a1]), Counter(b[b0:b1])
    place = {b[y]: y for y in range(b0, b1) if in_b[b[y]] == 1}
    pairs = [(x, place[a[x]]) for x in range(a0, a1) if in_a[a[x]] == 1 and a[x] in place]
    tops: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, (_, y) in enumerate(pairs):
        pile = bisect_left(tops, y)
        before.append(ends[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(y)
            ends.append(index)
        else:
            tops[pile], ends[pile] = y, index
    chain: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]


def _myers(a: Sequence[Hashable], b: Sequence[Hashable], area: Hunk) -> list[Hunk]:
    """Shortest edit of *area*, or all of it as replaced when that costs too much."""
    a0, a1, b0, b1 = area
    n, m = a1 - a0, b1 - b0
    reach = {1: 0}
    rounds: list[dict[int, int]] = []
    for cost in range(min(n + m, _MAX_COST) + 1):
        rounds.append(dict(reach))
        for k in range(-cost, cost + 1, 2):
            down = k == -cost or (k != cost and reach[k - 1] < reach[k + 1])
            x = reach[k + 1] if down else reach[k - 1] + 1
            y = x - k
            while x < n and y < m and a[a0 + x] == b[b0 + y]:
                x, y = x + 1, y + 1
            reach[k] = x
            if x >= n and y >= m:
                return _trace(rounds, area)
    return [area]


def _trace(rounds: list[dict[int, int]], area: Hunk) -> list[Hunk]:
    """Walk back from the end; each step is one item inserted or removed."""
    a0, a1, b0, b1 = area
    x, y = a1 - a0, b1 - b0
    hunks: list[Hunk] = []
    for cost in range(len(rounds) - 1, 0, -1):
        reach, k = rounds[cost], x - y
        down = k == -cost or (k != cost and reach[k - 1] < reach[k + 1])
        before = k + 1 if down else k - 1
        old_x = reach[before]
        old_y = old_x - before
        if down:
            hunks.append((a0 + old_x, a0 + old_x, b0 + old_y, b0 + old_y + 1))
        else:
            hunks.append((a0 + old_x, a0 + old_x + 1, b0 + old_y, b0 + old_y))
        x, y = old_x, old_y
    return hunks[::-1]


def _joined(hunks: list[Hunk]) -> list[Hunk]:
    """Neighbours that touch, as one."""
    joined: list[Hunk] = []
    for a0, a1, b0, b1 in sorted(hunks):
        if joined and joined[-1][1] == a0 and joined[-1][3] == b0:
            joined[-1] = (joined[-1][0], a1, joined[-1][2], b1)
        else:
            joined.append((a0, a1, b0, b1))
    return joined
