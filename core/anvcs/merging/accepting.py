"""Whether a merge by structure may be believed.

It may if it parses, if no word that a side put in is lost or doubled, and if nothing is
defined once more than before.
"""

import json
import re
import tomllib
import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from anvcs.linediff import line_hunks, split_lines
from anvcs.merging.profiles import Profile
from anvcs.merging.trees import Node, Source, Unsplittable, split

_WORD = re.compile(rb"\w+|[^\w\s,;(){}\[\]]")


def keeps_words(base: bytes, left: bytes, right: bytes, merged: bytes) -> bool:
    """Whether *merged* has what each side put in and not what each took out; the same from both counts once or twice."""
    ours, theirs = _changes(base, left), _changes(base, right)
    before, after = Counter(_WORD.findall(base)), Counter(_WORD.findall(merged))
    for word in {*ours[0], *ours[1], *theirs[0], *theirs[1], *after}:
        put = ours[0][word], theirs[0][word]
        taken = ours[1][word], theirs[1][word]
        now = after[word] - before[word]
        if not max(put) - sum(taken) <= now <= sum(put) - max(taken):
            return False
    return True


def _changes(old: bytes, new: bytes) -> tuple[Counter[bytes], Counter[bytes]]:
    """Words put in and words taken out, by stretches of changed lines."""
    before, after = split_lines(old), split_lines(new)
    put: Counter[bytes] = Counter()
    taken: Counter[bytes] = Counter()
    for a0, a1, b0, b1 in line_hunks(old, new):
        here, there = (Counter(_WORD.findall(b"".join(lines))) for lines in (before[a0:a1], after[b0:b1]))
        put += there - here
        taken += here - there
    return put, taken


def still_parses(text: bytes, profile: Profile, inputs: Sequence[Source]) -> Source | None:
    """*text* parsed, if it is as well-formed as *inputs* are."""
    if any(source.has_error for source in inputs):
        return None
    merged = Source(text, profile)
    if merged.has_error:
        return None
    if _standard(profile.standard, text) or not all(_standard(profile.standard, source.text) for source in inputs):
        return merged
    return None


def _standard(name: str, text: bytes) -> bool:
    """Whether the standard library's parser takes *text*, if there is one."""
    try:
        match name:
            case "python":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    compile(text, "merged", "exec", dont_inherit=True, flags=_ONLY_AST)
            case "json":
                json.loads(text)
            case "toml":
                tomllib.loads(text.decode())
            case _:
                return True
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_ONLY_AST = 0x400
"""``ast.PyCF_ONLY_AST``, without importing `ast`."""


def definitions(source: Source, words: Collection[bytes], least: int = 1) -> Counter[tuple[bytes, ...]]:
    """How often one list gives a name that has one of *words* in it, the names around that list before it.

    Only where at least so many of *words* stand is looked at.
    """
    most: Counter[tuple[bytes, ...]] = Counter()
    if not words:
        return most
    pattern = re.compile(b"|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))
    places = [found.start() for found in pattern.finditer(source.text)]
    waiting: list[tuple[Node, tuple[bytes, ...]]] = [(source.root, ())]
    while waiting:
        node, around = waiting.pop()
        cores = dict(_named_items(node, around))
        for name, count in Counter(cores.values()).items():
            most[name] = max(most[name], count)
        waiting += [
            (kid, cores.get(kid.start, around))
            for kid in node.kids
            if kid.named and bisect_left(places, kid.end) - bisect_left(places, kid.start) >= least
        ]
    return most


def new_doubles(merged: Source, inputs: Sequence[Source], words: Collection[bytes]) -> list[tuple[bytes, ...]]:
    """Names with one of *words* that a list of *merged* gives more often than once and than any list of an input."""
    found = {name: count for name, count in definitions(merged, words, 2).items() if count > 1}
    if not found:
        return []
    known = [definitions(source, words) for source in inputs]
    return [name for name, count in found.items() if all(count > each[name] for each in known)]


def _named_items(node: Node, around: tuple[bytes, ...]) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Where the items of a list begin that have a name of their own, and the name."""
    listing = node.listing()
    if listing is None or not listing.commutes:
        return
    groups = {group for mixed in listing.commutes for group in mixed.split()}
    try:
        items = split(node, listing).items
    except Unsplittable:
        return
    for item in items:
        member = item.member
        named = item.key and item.group in groups and member is not None and member.key and not member.joins
        if named and isinstance(item.core, Node):
            yield item.core.start, (*around, item.group.encode(), item.key)
