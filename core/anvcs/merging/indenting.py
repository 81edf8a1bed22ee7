"""Giving text another indentation, and leaving alone the lines inside of strings."""

from collections.abc import Collection

from anvcs.merging.trees import Floating, Node


def reindented(text: bytes, old: bytes, new: bytes, kept: Collection[int] = ()) -> bytes:
    """*text* with the white space *new* where its lines, but for those *kept*, begin with *old*."""
    lines = text.split(b"\n")
    for at, line in enumerate(lines):
        if at and at not in kept and line.startswith(old) and line.strip():
            lines[at] = new + line[len(old) :]
    return b"\n".join(lines)


def kept_lines(core: Node | Floating) -> set[int]:
    """Lines of an item, from 0, that begin inside of something where white space means something."""
    if isinstance(core, Floating):
        return set()
    kept: set[int] = set()
    text, verbatim = core.source.text, core.source.profile.verbatim
    waiting = [core]
    while waiting:
        node = waiting.pop()
        if node.type in verbatim:
            first = text.count(b"\n", core.start, node.start)
            kept |= set(range(first + 1, first + 1 + text.count(b"\n", node.start, node.end)))
        else:
            waiting += node.kids
    return kept
