"""Two changes of one text made into one, as ``git merge-file`` does where that is clean.

Where it is not, nothing is dropped: edits of different words of a line are both done,
and of lines that both sides changed in the same place both versions stay, the one that
was there first first.  What met is told, so that somebody can look at it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from anvcs.linediff import line_hunks, sequence_hunks, split_lines
from anvcs.rooms.diffing import Hunks, Splice, common_prefix, common_suffix, diff

_Hunk = tuple[int, int, int, int]


class Clash(NamedTuple):
    """Lines that both sides changed."""

    first_line: int
    """In the merged text, from 1."""
    last_line: int
    base: bytes
    now: bytes
    new: bytes


class Merged(NamedTuple):
    """What became of both changes."""

    text: bytes
    clashes: tuple[Clash, ...] = ()


class _Chunk(NamedTuple):
    """A part of the base that one side or both changed, in lines of the base."""

    start: int
    stop: int
    now: tuple[_Hunk, ...]
    new: tuple[_Hunk, ...]


def merge(seen: bytes, now: bytes, new: bytes, hunks: Hunks = line_hunks) -> Merged:
    """What turned *seen* into *new*, done to *now*."""
    if new in (seen, now):
        return Merged(now)
    if now == seen:
        return Merged(new)
    if not (seen.endswith(b"\n") and now.endswith(b"\n") and new.endswith(b"\n")):
        return _merge_open_ended(seen, now, new, hunks)
    return _merge_ended(seen, now, new, hunks)


def _merge_open_ended(seen: bytes, now: bytes, new: bytes, hunks: Hunks) -> Merged:
    """Texts of which some lack the newline at the end: merged as if all had it."""
    open_ended = [bool(text) and not text.endswith(b"\n") for text in (seen, now, new)]
    ended = [text + b"\n" if lacks else text for text, lacks in zip((seen, now, new), open_ended, strict=True)]
    found = _merge_ended(ended[0], ended[1], ended[2], hunks)
    lacks = open_ended[1] if open_ended[2] == open_ended[0] else open_ended[2]
    return found._replace(text=found.text.removesuffix(b"\n")) if lacks else found


def _merge_ended(seen: bytes, now: bytes, new: bytes, hunks: Hunks) -> Merged:
    head, tail = _shared_ends(seen, now, new)
    inner = [text[head : len(text) - tail] for text in (seen, now, new)]
    found = _merge_lines(inner[0], inner[1], inner[2], hunks)
    shift = seen.count(b"\n", 0, head)
    clashes = [each._replace(first_line=each.first_line + shift, last_line=each.last_line + shift) for each in found[1]]
    return Merged(seen[:head] + found[0] + seen[len(seen) - tail :], tuple(clashes))


def changed_lines(old: bytes, new: bytes, hunks: Hunks = line_hunks) -> list[_Hunk]:
    """``(old_first, old_end, new_first, new_end)`` in lines from 0 of what differs."""
    if old == new:
        return []
    head, tail = _shared_ends(old, new)
    shift = old.count(b"\n", 0, head)
    found = hunks(old[head : len(old) - tail], new[head : len(new) - tail])
    return [(a0 + shift, a1 + shift, b0 + shift, b1 + shift) for a0, a1, b0, b1 in found]


def _shared_ends(first: bytes, *others: bytes) -> tuple[int, int]:
    """Bytes of whole lines that all texts share at the front and at the end."""
    head = min(common_prefix(first, other) for other in others)
    head = first.rfind(b"\n", 0, head) + 1
    tail = min(common_suffix(first, other, head) for other in others)
    if tail:
        start = len(first) - tail
        whole = all(
            len(text) == tail or text[len(text) - tail - 1 : len(text) - tail] == b"\n" for text in (first, *others)
        )
        if not whole:
            newline = first.find(b"\n", start)
            tail = 0 if newline < 0 else len(first) - newline - 1
    return head, tail


def _merge_lines(seen: bytes, now: bytes, new: bytes, hunks: Hunks) -> tuple[bytes, list[Clash]]:
    base, ours, theirs = split_lines(seen), split_lines(now), split_lines(new)
    out: list[bytes] = []
    clashes: list[Clash] = []
    line = at = 0
    for chunk in _chunks(hunks(seen, now), hunks(seen, new)):
        out += base[at : chunk.start]
        line += chunk.start - at
        at = chunk.stop
        left = _side(base, ours, chunk.start, chunk.stop, chunk.now)
        right = _side(base, theirs, chunk.start, chunk.stop, chunk.new)
        if not chunk.new or left == right:
            merged = left
        elif not chunk.now:
            merged = right
        else:
            before = b"".join(base[chunk.start : chunk.stop])
            merged = _merge_words(before, left, right)
            size = merged.count(b"\n") + (not merged.endswith(b"\n"))
            clashes.append(Clash(line + 1, line + max(size, 1), before, left, right))
        if merged:
            if out and not out[-1].endswith(b"\n"):
                out.append(b"\n")
                line += 1
            out.append(merged)
            line += merged.count(b"\n")
    out += base[at:]
    return b"".join(out), clashes


def _chunks(now: Sequence[_Hunk], new: Sequence[_Hunk]) -> Iterator[_Chunk]:
    """Hunks of both sides in the base's order; those that touch, as Git counts it, together."""
    waiting = sorted([(*hunk[:2], 0, hunk) for hunk in now] + [(*hunk[:2], 1, hunk) for hunk in new])
    at = 0
    while at < len(waiting):
        start, stop = waiting[at][:2]
        sides: tuple[list[_Hunk], list[_Hunk]] = ([], [])
        while at < len(waiting) and (waiting[at][0] <= stop or not (sides[0] or sides[1])):
            stop = max(stop, waiting[at][1])
            sides[waiting[at][2]].append(waiting[at][3])
            at += 1
        yield _Chunk(start, stop, tuple(sides[0]), tuple(sides[1]))


def _side(base: list[bytes], lines: list[bytes], start: int, stop: int, hunks: tuple[_Hunk, ...]) -> bytes:
    """What one side makes of the base's lines *start* to *stop*."""
    if not hunks:
        return b"".join(base[start:stop])
    first, last = hunks[0], hunks[-1]
    return b"".join(lines[first[2] - (first[0] - start) : last[3] + (stop - last[1])])


# --- inside lines that both changed


def _merge_words(base: bytes, now: bytes, new: bytes) -> bytes:
    """Both sides' edits of words; whole lines of both where those meet."""
    if not base:
        return _union(now, new)
    ours, edits = _edits(base, now), _edits(base, new)
    same = set(ours)
    theirs = [splice for splice in edits if splice not in same]
    out: list[bytes] = []
    at = 0
    for start, stop, left, right in _groups(base, ours, theirs):
        out.append(base[at:start])
        at = stop
        if not right:
            out.append(_spliced(base, start, stop, left))
        elif not left:
            out.append(_spliced(base, start, stop, right))
        else:
            sides = [(start, stop, left, []), (start, stop, [], right)]
            blank = [_is_blank(base, side) for side in sides]
            if any(blank):  # white space yields to words
                out.append(_spliced(base, start, stop, right if blank[0] else left))
                continue
            alone = [splice for splice in edits if start <= splice.start and splice.stop <= stop]
            out.append(_union(_spliced(base, start, stop, left), _spliced(base, start, stop, alone)))
    out.append(base[at:])
    return b"".join(out)


def _edits(base: bytes, side: bytes) -> list[Splice]:
    """The edits of words that made *side* out of *base*.

    Lines are paired without their white space first, or who indents a file anew would
    have edited all of it in one piece.
    """
    old, new = split_lines(base), split_lines(side)
    edits: list[Splice] = []
    at = first = other = 0
    pairs = sequence_hunks([b"".join(line.split()) for line in old], [b"".join(line.split()) for line in new])
    for a0, a1, b0, b1 in (*pairs, (len(old), len(old), len(new), len(new))):
        for before, after in zip(old[first:a0], new[other:b0], strict=True):
            edits += _moved(diff(before, after).splices, at)
            at += len(before)
        left, right = b"".join(old[a0:a1]), b"".join(new[b0:b1])
        edits += _moved(_by_line(left, diff(left, right).splices), at)
        at, first, other = at + len(left), a1, b1
    return edits


def _by_line(text: bytes, splices: Sequence[Splice]) -> list[Splice]:
    """*splices* with deletions cut into lines: only the lines that somebody edits are to come back."""
    cut: list[Splice] = []
    for start, stop, inserted in splices:
        at = start
        while not inserted and (newline := text.find(b"\n", at, stop - 1)) >= 0:
            cut.append(Splice(at, newline + 1, b""))
            at = newline + 1
        cut.append(Splice(at, stop, inserted))
    return cut


def _moved(splices: Sequence[Splice], by: int) -> list[Splice]:
    return [Splice(start + by, stop + by, text) for start, stop, text in splices]


_Group = tuple[int, int, list[Splice], list[Splice]]


def _groups(base: bytes, ours: Sequence[Splice], theirs: Sequence[Splice]) -> list[_Group]:
    """Splices of both sides in order; those that meet are one group, of whole lines."""
    groups: list[_Group] = [(each.start, each.stop, [each], []) for each in ours]
    groups += [(each.start, each.stop, [], [each]) for each in theirs]
    while True:
        groups.sort(key=lambda group: group[:2])
        joined: list[_Group] = []
        for group in groups:
            if joined and _meet(base, joined[-1], group):
                joined[-1] = _together(base, joined[-1], group)
            else:
                joined.append(group)
        if len(joined) == len(groups):
            return joined
        groups = joined


def _meet(base: bytes, one: _Group, other: _Group) -> bool:
    """Whether *other*, which doesn't start before *one*, has to do with it."""
    if other[0] != one[1]:
        return other[0] < one[1]
    if not ((one[2] and other[3]) or (one[3] and other[2])):  # of one side, in its own order
        return False
    if one[0] == other[1]:  # two insertions
        return True
    if _is_blank(base, one) or _is_blank(base, other):  # an indentation beside a word
        return False
    if _at_line(base, other[0]):
        return not _is_closed(base, one)
    return one[0] == one[1] or other[0] == other[1]


def _is_closed(base: bytes, group: _Group) -> bool:
    """Whether the line after *group* doesn't become a part of its last one."""
    for start, stop, text in (*group[2], *group[3]):
        if stop == group[1] and not (text.endswith(b"\n") or (not text and _at_line(base, start))):
            return False
    return True


def _is_blank(base: bytes, group: _Group) -> bool:
    """Whether *group* changes no more than white space inside lines."""
    return all(not (splice.text + base[splice.start : splice.stop]).strip(b" \t") for splice in (*group[2], *group[3]))


def _together(base: bytes, one: _Group, other: _Group) -> _Group:
    start, stop = min(one[0], other[0]), max(one[1], other[1])
    found = start, stop, [*one[2], *other[2]], [*one[3], *other[3]]
    if not (found[2] and found[3]):
        return found
    whole = _at_line(base, stop) and _is_closed(base, found)
    start = base.rfind(b"\n", 0, start) + 1
    if not whole:
        newline = base.find(b"\n", stop)
        stop = len(base) if newline < 0 else newline + 1
    return start, stop, found[2], found[3]


def _at_line(base: bytes, at: int) -> bool:
    return at == 0 or base[at - 1 : at] == b"\n"


def _spliced(base: bytes, start: int, stop: int, splices: Sequence[Splice]) -> bytes:
    """The base's bytes *start* to *stop* with *splices* done."""
    out: list[bytes] = []
    for splice in sorted(splices, key=lambda each: each[:2]):
        out += (base[start : splice.start], splice.text)
        start = splice.stop
    out.append(base[start:stop])
    return b"".join(out)


def _union(now: bytes, new: bytes) -> bytes:
    """The lines of both, *now*'s first; once when one side has all of the other's."""
    # Common parts of two blocks stay twice: a function without its last lines helps nobody.
    if not new or _has_lines(now, new):
        return now
    if not now or _has_lines(new, now):
        return new
    return now + (b"" if now.endswith(b"\n") else b"\n") + new


def _has_lines(text: bytes, part: bytes) -> bool:
    return (b"\n" + text + b"\n").find(b"\n" + part.removesuffix(b"\n") + b"\n") >= 0
