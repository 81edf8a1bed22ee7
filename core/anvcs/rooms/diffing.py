"""From two texts to few, meaningful edits: common ends, line hunks, tokens in a hunk.

All offsets are bytes and never fall inside a UTF-8 character.  Pure character diffs
were rejected: they leave islands of equal letters that turn to gibberish when two
such edits meet.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from anvcs.linediff import line_hunks, sequence_hunks, split_lines

Hunks = Callable[[bytes, bytes], Sequence[tuple[int, int, int, int]]]
"""``(old_first, old_end, new_first, new_end)`` in lines, half open, ascending: what differs."""

_CHUNK = 1 << 16
_MAX_TOKENS = 4000
_MAX_ISLAND = 2

# Words keep two-byte letters (Latin, Greek, Cyrillic, combining marks) together;
# longer characters (CJK, emoji) are tokens of their own.
_TOKEN = re.compile(rb"(?:[A-Za-z0-9_]|[\xc2-\xdf][\x80-\xbf])+|[\xe0-\xf4][\x80-\xbf]+|[ \t]+|[\x00-\x7f]", re.DOTALL)
_WORDY = re.compile(rb"[A-Za-z0-9_\x80-\xff\n]")


class Splice(NamedTuple):
    """Replace the bytes ``start`` to ``stop`` of the old text."""

    start: int
    stop: int
    text: bytes


class Difference(NamedTuple):
    """How to get from one text to another, and how a reader would count it."""

    splices: tuple[Splice, ...]
    added: int
    """Lines added."""
    removed: int
    """Lines removed."""


_NOTHING = Difference((), 0, 0)


def diff(old: bytes, new: bytes, hunks: Hunks = line_hunks) -> Difference:
    """The edits that turn *old* into *new*; both are valid UTF-8."""
    if old == new:
        return _NOTHING
    start = common_prefix(old, new)
    while start and _inside(old, new, start):
        start -= 1
    end = common_suffix(old, new, start)
    while end and _inside_end(old, new, end):
        end -= 1
    stop, new_stop = len(old) - end, len(new) - end
    if start in (stop, new_stop):
        back = _to_line_start(old, new, start, stop, new_stop)
        return _single(old, new, start - back, stop - back, new_stop - back)
    if stop - start <= _MAX_ISLAND or new_stop - start <= _MAX_ISLAND:  # nothing to find in it
        return _single(old, new, start, stop, new_stop)
    return _by_lines(old, new, start, end, hunks)


def count_lines(text: bytes) -> int:
    """Lines in *text*; the last may lack its newline."""
    return text.count(b"\n") + (1 if text and not text.endswith(b"\n") else 0)


def common_prefix(a: bytes, b: bytes) -> int:
    """How many bytes *a* and *b* share at the front."""
    limit = min(len(a), len(b))
    if b.startswith(a) or a.startswith(b):
        return limit
    at = 0
    while at + _CHUNK <= limit and b.startswith(a[at : at + _CHUNK], at):
        at += _CHUNK
    low, high = at, min(limit, at + _CHUNK)
    while low < high:  # largest n with a[:n] == b[:n]
        middle = (low + high + 1) // 2
        if b.startswith(a[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(a: bytes, b: bytes, taken: int = 0) -> int:
    """How many bytes *a* and *b* share at the end, not counting the first *taken*."""
    limit = min(len(a), len(b)) - taken
    length_a, length_b = len(a), len(b)
    at = 0
    while at + _CHUNK <= limit and b.endswith(a[length_a - at - _CHUNK : length_a - at], 0, length_b - at):
        at += _CHUNK
    low, high = at, min(limit, at + _CHUNK)
    while low < high:
        middle = (low + high + 1) // 2
        if b.endswith(a[length_a - middle : length_a - low], 0, length_b - low):
            low = middle
        else:
            high = middle - 1
    return low


def _inside(old: bytes, new: bytes, at: int) -> bool:
    """Whether *at* falls inside a character of either text."""
    return (at < len(old) and old[at] & 0xC0 == 0x80) or (at < len(new) and new[at] & 0xC0 == 0x80)


def _inside_end(old: bytes, new: bytes, end: int) -> bool:
    # What both share at the end must start with a whole character.
    return old[len(old) - end] & 0xC0 == 0x80 or new[len(new) - end] & 0xC0 == 0x80


def _to_line_start(old: bytes, new: bytes, start: int, stop: int, new_stop: int) -> int:
    """How many bytes further to the front what was inserted or deleted is whole lines; 0 if it isn't.

    A line put before one that begins alike would else split that line, and who deletes or
    changes it meanwhile would take a part of the new one along.
    """
    moved = old[start:stop] or new[start:new_stop]
    back = start - (old.rfind(b"\n", 0, start) + 1)
    if 0 < back < len(moved) and moved.endswith(old[start - back : start]) and moved[-back - 1 : -back] == b"\n":
        return back
    return 0


def _single(old: bytes, new: bytes, start: int, stop: int, new_stop: int) -> Difference:
    inserted = new[start:new_stop]
    added, removed = inserted.count(b"\n"), old.count(b"\n", start, stop)
    at_line_start = start == 0 or old[start - 1 : start] == b"\n"
    whole_lines = at_line_start and (old[start:stop].endswith(b"\n") or inserted.endswith(b"\n") or stop == len(old))
    if not whole_lines:  # a line that stays in part is one removed and one added
        added, removed = added + 1, removed + 1
    elif stop == len(old):
        added, removed = count_lines(inserted), count_lines(old[start:stop])
    return Difference((Splice(start, stop, inserted),), added, removed)


def _by_lines(old: bytes, new: bytes, start: int, end: int, hunks: Hunks) -> Difference:
    start = old.rfind(b"\n", 0, start) + 1
    stop, new_stop = len(old) - end, len(new) - end
    if (end and old[stop - 1 : stop] != b"\n") or new[new_stop - 1 : new_stop] != b"\n":
        newline = old.find(b"\n", stop)
        extra = (len(old) if newline < 0 else newline + 1) - stop
        stop, new_stop = stop + extra, new_stop + extra
    a, b = old[start:stop], new[start:new_stop]
    a_lines, b_lines = split_lines(a), split_lines(b)
    splices: list[Splice] = []
    added = removed = 0
    a_at = a_line = 0
    for a0, a1, b0, b1 in hunks(a, b):
        a_at += sum(map(len, a_lines[a_line:a0]))
        left, right = b"".join(a_lines[a0:a1]), b"".join(b_lines[b0:b1])
        splices += _tokens(left, right, start + a_at)
        a_at, a_line = a_at + len(left), a1
        added, removed = added + b1 - b0, removed + a1 - a0
    return Difference(tuple(splices), added, removed)


def _tokens(old: bytes, new: bytes, offset: int) -> list[Splice]:
    """Edits inside one hunk."""
    if not old or not new:
        return [Splice(offset, offset + len(old), new)]
    a, b = _TOKEN.findall(old), _TOKEN.findall(new)
    if len(a) + len(b) > _MAX_TOKENS:
        return [Splice(offset, offset + len(old), new)]
    splices: list[Splice] = []
    at = token = 0
    for a0, a1, b0, b1 in sequence_hunks(a, b):
        at += sum(map(len, a[token:a0]))
        size = sum(map(len, a[a0:a1]))
        _add(splices, Splice(at, at + size, b"".join(b[b0:b1])), old)
        at, token = at + size, a1
    return [Splice(start + offset, stop + offset, text) for start, stop, text in splices]


def _add(splices: list[Splice], splice: Splice, old: bytes) -> None:
    """Append *splice*, joined with the one before it over a gap that says nothing."""
    if splices:
        last = splices[-1]
        gap = old[last.stop : splice.start]
        if len(gap) <= _MAX_ISLAND and not _WORDY.search(gap):
            splices[-1] = Splice(last.start, splice.stop, last.text + gap + splice.text)
            return
    splices.append(splice)
