"""Edits that follow what they edit to another place.

One side took something out of a list, the other changed it.  If the text stands in exactly
one place on the first side, perhaps deeper indented, it was moved or wrapped, and the
change is made there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from anvcs.merging.indenting import kept_lines, reindented
from anvcs.merging.trees import Node, start_of_line

_WORTH_FOLLOWING = 16
"""Bytes from which a text is taken for the same one in another place."""
_MOST = 50
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$")


class Gone(NamedTuple):
    """What is no longer where it was on one side, and was changed there on the other."""

    taker: int
    """0: left took it away, 1: right."""
    base: Node
    changed: Node


@dataclass(slots=True)
class Moves:
    """What a merge of trees found gone, and what it needn't look for."""

    followed: frozenset[int] = frozenset()
    """Where in the base those begin whose changes were made elsewhere."""
    found: list[Gone] = field(default_factory=list)


def replayed(texts: Sequence[bytes], gone: Sequence[Gone]) -> tuple[list[bytes], frozenset[int]] | None:
    """*texts* (base, left, right) with changes made where things went, and which; ``None``: there are none."""
    edits: dict[int, list[tuple[int, int, bytes]]] = {0: [], 1: []}
    followed: set[int] = set()
    for each in gone[:_MOST]:
        there = list(_places(texts[each.taker + 1], each.base))
        if len(there) == 1 and len(list(_places(texts[0], each.base))) == 1:
            start, stop, indent = there[0]
            new = reindented(each.changed.text, indent_of(each.changed), indent, kept_lines(each.changed))
            edits[each.taker].append((start, stop, new))
            followed.add(each.base.start)
    if not followed:
        return None
    out = [texts[0]]
    for taker in (0, 1):
        text, last = texts[taker + 1], len(texts[taker + 1])
        for start, stop, new in sorted(edits[taker], reverse=True):
            if stop > last:
                return None  # one inside of another
            text, last = text[:start] + new + text[stop:], start
        out.append(text)
    return out, frozenset(followed)


def indent_of(node: Node) -> bytes:
    """The white space before a node that is the first on its line."""
    text = node.source.text
    return text[start_of_line(text, node.start) : node.start]


def _places(text: bytes, node: Node) -> Iterator[tuple[int, int, bytes]]:
    """Where *node* stands in *text*, and with which indentation."""
    wanted, indent, kept = node.text, indent_of(node), kept_lines(node)
    if len(wanted.strip()) < _WORTH_FOLLOWING:
        return
    first = wanted.partition(b"\n")[0]
    at = text.find(first)
    while at >= 0:
        here = text[start_of_line(text, at) : at]
        there = reindented(wanted, indent, here, kept)
        stop = at + len(there)
        if text[at:stop] == there and not _goes_on(text, at, stop):
            yield at, stop, here
        at = text.find(first, at + 1)


def _goes_on(text: bytes, start: int, stop: int) -> bool:
    """Whether a word goes on before or behind."""
    before, behind = text[start - 1 : start], text[stop : stop + 1]
    return bool(
        (before and before[0] in _WORD and text[start] in _WORD)
        or (behind and behind[0] in _WORD and text[stop - 1] in _WORD)
    )
