"""Which item of one version is which of another: by key, then by text, then by likeness."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from anvcs.linediff import sequence_hunks
from anvcs.merging.trees import Item, Unsplittable

_WORD = re.compile(rb"\w+")
_HEAD = re.compile(rb"(?:^|(?<=\0))[^(\0]+")
"""The parts of a key, each up to its parameters."""
_ALIKE = 0.6
"""Share of words in common from which two items of one type are versions of one."""
ALIKE_IN_PLACE = 0.4
"""The same where both stand at the same place among their neighbours."""
_MOST_PAIRS = 4000
_MOST_ITEMS = 6000
"""Items of both versions, without those that are the same at both ends, up to which they are looked at one by one."""
_WORTH_FOLLOWING = 24
"""Bytes from which a text that stands elsewhere is taken for the same one moved."""


def align(base: Sequence[Item], side: Sequence[Item]) -> list[int | None]:
    """For each item of *side* the index of its version in *base*; raises `Unsplittable` for far too many."""
    olds, news = [item.core.text for item in base], [item.core.text for item in side]
    most = min(len(olds), len(news))
    head = next((at for at in range(most) if olds[at] != news[at]), most)
    most -= head
    tail = next((at for at in range(most) if olds[-1 - at] != news[-1 - at]), most)
    if len(olds) + len(news) - 2 * (head + tail) > _MOST_ITEMS:
        raise Unsplittable
    inner = _align(base[head : len(base) - tail], side[head : len(side) - tail])
    found: list[int | None] = [*range(head)]
    found += [match + head if match is not None else None for match in inner]
    return [*found, *range(len(base) - tail, len(base))]


def _align(base: Sequence[Item], side: Sequence[Item]) -> list[int | None]:
    tokens, others = _tokens(base, side)
    found: list[int | None] = [None] * len(side)
    free: set[int] = set(range(len(base)))
    hunks = sequence_hunks(tokens, others)
    at = other = 0
    for a0, a1, b0, b1 in [*hunks, (len(base), len(base), len(side), len(side))]:
        for index, there in zip(range(at, a0), range(other, b0), strict=True):
            found[there] = index
            free.discard(index)
        at, other = a1, b1
    _follow_moves(tokens, others, found, free)
    for a0, a1, b0, b1 in hunks:
        _pair_alike(base, side, [x for x in range(a0, a1) if x in free], list(range(b0, b1)), found, free)
    _follow_renames(base, side, found, free)
    return found


def twins(
    left: Sequence[Item], right: Sequence[Item], new_left: Sequence[int], new_right: Sequence[int]
) -> dict[int, int]:
    """New items of *right* that *left* has, too: by key, or, of those without, by text."""
    fresh = [*(left[at] for at in new_left), *(right[at] for at in new_right)]
    joining = any(item.member is not None and item.member.joins for item in fresh)
    apart = joining and (_said_apart(left) or _said_apart(right))

    def name(item: Item) -> tuple[str, bytes]:
        if not item.key or (apart and item.member is not None and item.member.joins):
            return "text", item.core.text
        return item.group, item.key

    by_name = {name(left[index]): index for index in reversed(new_left)}
    found: dict[int, int] = {}
    for index in new_right:
        twin = by_name.pop(name(right[index]), None)
        if twin is not None:
            found[index] = twin
    return found


def _said_apart(items: Sequence[Item]) -> bool:
    """Whether members that could be joined stand one by one here, as imports do in some houses."""
    keys = Counter(item.key for item in items if item.member is not None and item.member.joins)
    return any(count > 1 for count in keys.values())


def likeness(one: bytes, other: bytes) -> float:
    """How many of the words of two texts are common to both, 0 to 1."""
    first, second = Counter(_WORD.findall(one)), Counter(_WORD.findall(other))
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else float(one == other)


def _tokens(base: Sequence[Item], side: Sequence[Item]) -> tuple[list[bytes], list[bytes]]:
    """One token an item: its key, key and type, or these without parameters, if unique in both versions; else its text."""
    named = [[item for item in items if item.key] for items in (base, side)]
    counts = [Counter(_names(items)) for items in named]

    def token(item: Item) -> bytes:
        for name in _names([item]) if item.key else ():
            if counts[0][name] == counts[1][name] == 1:
                return b"\0".join((b"key", *name))
        return item.core.text

    return [token(item) for item in base], [token(item) for item in side]


def _names(items: Iterable[Item]) -> Iterator[tuple[bytes, ...]]:
    for item in items:
        yield item.group.encode(), item.key
        yield item.group.encode(), item.key, item.core.type.encode()
        if b"(" in item.key:
            yield item.group.encode(), b"\0".join(_HEAD.findall(item.key)), item.core.type.encode()


def _follow_moves(tokens: Sequence[bytes], others: Sequence[bytes], found: list[int | None], free: set[int]) -> None:
    """Pair what is unique and stands elsewhere."""
    left = Counter(tokens[index] for index in free)
    places = {tokens[index]: index for index in free}
    right = Counter(others[index] for index, match in enumerate(found) if match is None)
    for index, match in enumerate(found):
        token = others[index]
        if (
            match is None
            and left[token] == right[token] == 1
            and (token.startswith(b"key\0") or len(token) >= _WORTH_FOLLOWING)
        ):
            found[index] = places[token]
            free.discard(places[token])


def _pair_alike(
    base: Sequence[Item],
    side: Sequence[Item],
    olds: list[int],
    news: list[int],
    found: list[int | None],
    free: set[int],
) -> None:
    """Pair what was changed in place, in order, most alike first where there is a choice."""
    news = [index for index in news if found[index] is None]
    if not olds or not news or len(olds) * len(news) > _MOST_PAIRS:
        return
    in_place = len(olds) == len(news)
    alone = len(olds) == len(news) == 1  # then it is another version, however unlike
    scores: list[tuple[float, int, int]] = []
    for x, old in enumerate(olds):
        for y, new in enumerate(news):
            if base[old].core.type != side[new].core.type or (_is_named(base[old]) and _is_named(side[new])):
                continue
            score = likeness(base[old].core.text, side[new].core.text)
            if alone or score >= (ALIKE_IN_PLACE if in_place and x == y else _ALIKE):
                scores.append((score, x, y))
    taken: list[tuple[int, int]] = []
    for _, x, y in sorted(scores, key=lambda each: (-each[0], each[1:])):
        if all((x < other_x and y < other_y) or (x > other_x and y > other_y) for other_x, other_y in taken):
            taken.append((x, y))
            found[news[y]] = olds[x]
            free.discard(olds[x])


def _is_named(item: Item) -> bool:
    """Whether it has a name that is less than all of it."""
    return bool(item.key) and item.member is not None and bool(item.member.key)


def _follow_renames(base: Sequence[Item], side: Sequence[Item], found: list[int | None], free: set[int]) -> None:
    """Pair members whose key is another and whose content is alike, where there is no second candidate."""
    olds = [index for index in sorted(free) if _is_named(base[index])]
    news = [index for index, match in enumerate(found) if match is None and _is_named(side[index])]
    if not olds or not news or len(olds) * len(news) > _MOST_PAIRS:
        return
    alike = [
        (old, new)
        for old in olds
        for new in news
        if base[old].core.type == side[new].core.type
        and base[old].group == side[new].group
        and len(base[old].core.text) >= _WORTH_FOLLOWING
        and likeness(base[old].core.text, side[new].core.text) >= _ALIKE
    ]
    by_old, by_new = Counter(old for old, _ in alike), Counter(new for _, new in alike)
    for old, new in alike:
        if by_old[old] == by_new[new] == 1:
            found[new] = old
            free.discard(old)
