"""What two versions of a file differ in, by what its language calls things: moved, renamed, signature changed."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from anvcs.linediff import line_hunks
from anvcs.merging.profiles import profile_for
from anvcs.merging.trees import Item, Node, Source, Unsplittable, split

_LARGEST = 2 << 20
_ALIKE: Final = 0.6
"""Of the lines of two definitions, from which on one is the other under a new name."""
_WORD = re.compile(rb"\w+|[^\w\s]")
_KEY: Final = "key"
SEPARATOR: Final = " \u203a "


@dataclass(frozen=True, slots=True)
class Entity:
    """One named thing of a file."""

    label: str
    name: str
    around: tuple[str, ...]
    """What it is in, from outside."""
    first_line: int
    last_line: int
    head: bytes
    """Its signature: what comes before its body."""
    text: bytes

    @property
    def title(self) -> str:
        """As people call it, with what it is in."""
        return SEPARATOR.join((*self.around, f"{self.label} {self.name}".strip()))


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, by entity."""

    what: str
    """``added``, ``removed``, ``moved``, ``renamed``, ``signature changed``, ``body changed``; of keys in data
    ``key added``, ``key removed``, ``value changed``."""
    entity: str
    was: str = ""
    """What it was called or where it was, for ``renamed`` and ``moved``."""
    path: bytes = b""
    """Where it came from, when that is another file."""
    line: int = 0


def entities(path: bytes, text: bytes) -> list[Entity] | None:
    """The named things of a file in their order; ``None``: nobody can read it."""
    profile = profile_for(path)
    if profile is None or len(text) > _LARGEST or profile.language() is None:
        return None
    source = Source(text if not text or text.endswith(b"\n") else text + b"\n", profile)
    return None if source.has_error else sorted(_found(source.root), key=lambda one: (one.first_line, -one.last_line))


def entity_lines(path: bytes, text: bytes) -> Callable[[int], str]:
    """A function that tells which entity a line, from 1, is in; empty where none is."""
    found = entities(path, text) or []

    def at(line: int) -> str:
        inside = [one for one in found if one.first_line <= line <= one.last_line]
        return inside[-1].title if inside else ""

    return at


def _found(root: Node) -> Iterator[Entity]:
    waiting: list[tuple[Node, tuple[str, ...]]] = [(root, ())]
    while waiting:
        node, around = waiting.pop()
        named: dict[int, tuple[str, ...]] = {}
        for item in _items(node):
            entity = _entity(item, around)
            if entity is not None:
                named[id(item.core)] = (*around, f"{entity.label} {entity.name}".strip())
                yield entity
        waiting += [(kid, named.get(id(kid), around)) for kid in node.kids if kid.named]


def _items(node: Node) -> list[Item]:
    listing = node.listing()
    if listing is None:
        return []
    try:
        return split(node, listing).items
    except Unsplittable:
        return []


def _entity(item: Item, around: tuple[str, ...]) -> Entity | None:
    member, core = item.member, item.core
    if member is None or not member.label or not item.key or not isinstance(core, Node):
        return None  # without a label it isn't worth telling
    text = core.text
    first = core.line
    body = _body(core)
    head = text[: body.start - core.start] if body is not None else b""
    name = item.key.decode("utf-8", "replace").replace("\0", " ").strip().strip("\"'")
    last = first + text.rstrip(b"\n").count(b"\n")
    return Entity(member.label, name, around, first, last, head, text)


def _body(node: Node) -> Node | None:
    """The body of a definition, also within its decorators."""
    for _ in range(3):
        found = node.kid("body") or node.kid("value")
        if found is not None:
            return found
        inner = node.kid("definition") or node.kid("declaration")
        if inner is None:
            return None
        node = inner
    return None


def changes(old: list[Entity], new: list[Entity]) -> list[Change]:
    """What became of *old* in *new*, in the order of *new*; what is gone comes last."""
    before, after = _by_title(old), _by_title(new)
    gone = [one for title, one in before.items() if title not in after]
    come = [one for title, one in after.items() if title not in before]
    found = [*_renamed(gone, come)]
    kept = [title for title in after if title in before]
    for title in kept:
        found += _kept((before[title], _own_words(before[title], old)), (after[title], _own_words(after[title], new)))
    found += [Change(_what(one, "added"), one.title, line=one.first_line) for one in come if not _inside(one, come)]
    found += _reordered([title for title in before if title in after], kept, after)
    found.sort(key=lambda change: change.line)
    found += [Change(_what(one, "removed"), one.title) for one in gone if not _inside(one, gone)]
    return found


def _by_title(found: list[Entity]) -> dict[str, Entity]:
    counts: Counter[str] = Counter()
    titled = {}
    for one in found:
        counts[one.title] += 1
        titled[one.title if counts[one.title] == 1 else f"{one.title} #{counts[one.title]}"] = one
    return titled


def _inside(one: Entity, others: list[Entity]) -> bool:
    """Whether *one* came or went only because what it is in did."""
    return bool(one.around) and any(other.title == SEPARATOR.join(one.around) for other in others)


def _renamed(gone: list[Entity], come: list[Entity]) -> Iterator[Change]:
    """Pairs of one that is gone and one that is new and like it; takes them out of the lists."""
    pairs = [
        (_likeness(one, other), one, other)
        for one in gone
        for other in come
        if one.label == other.label and (one.around == other.around or one.name == other.name)
    ]
    for likeness, one, other in sorted(pairs, key=lambda pair: -pair[0]):
        if likeness < _ALIKE or one not in gone or other not in come:
            continue
        gone.remove(one)
        come.remove(other)
        what = "moved" if one.name == other.name else "renamed"
        yield Change(what, other.title, was=one.title, line=other.first_line)
        _take_along(gone, come, one, other)


def _take_along(gone: list[Entity], come: list[Entity], one: Entity, other: Entity) -> None:
    """What was in *one* is in *other* now: that is no news."""
    for inner in [each for each in gone if each.around[: len(one.around) + 1] == (*one.around, _own(one))]:
        tail = inner.around[len(one.around) + 1 :]
        moved = next(
            (each for each in come if each.name == inner.name and each.around == (*other.around, _own(other), *tail)),
            None,
        )
        if moved is not None:
            gone.remove(inner)
            come.remove(moved)


def _own(one: Entity) -> str:
    return f"{one.label} {one.name}".strip()


def _likeness(one: Entity, other: Entity) -> float:
    """How much of two definitions is the same, their names apart; from 0 to 1."""
    left, right = ([word for word in _words(each.text) if word != each.name.encode()] for each in (one, other))
    if not left or not right:
        return 0.0
    same = sum((Counter(left) & Counter(right)).values())
    return 2 * same / (len(left) + len(right))


def _words(text: bytes) -> list[bytes]:
    return _WORD.findall(text)


def _what(one: Entity, verb: str) -> str:
    return f"key {verb}" if one.label == _KEY else verb


def _kept(before: tuple[Entity, list[bytes]], after: tuple[Entity, list[bytes]]) -> Iterator[Change]:
    """What changed in one that has its name and place; each with its own words, without those of what is in it."""
    one, other = before[0], after[0]
    if one.head.split() != other.head.split():
        yield Change("signature changed", other.title, line=other.first_line)
    elif before[1] != after[1]:
        yield Change("value changed" if other.label == _KEY else "body changed", other.title, line=other.first_line)


def _own_words(one: Entity, everything: list[Entity]) -> list[bytes]:
    """The words of *one* that belong to nothing in it that has a name."""
    text, path = one.text, (*one.around, _own(one))
    for inner in everything:
        if inner.around == path:
            text = text.replace(inner.text.strip(), b"", 1)
    return [word for word in _words(text) if word != b","]


def _reordered(old: list[str], new: list[str], after: dict[str, Entity]) -> Iterator[Change]:
    """Which of those that stayed stand elsewhere among each other: the fewest that explain it."""
    for _, _, b0, b1 in line_hunks(_as_lines(old), _as_lines(new)):
        for title in new[b0:b1]:
            yield Change("moved", title, line=after[title].first_line)


def _as_lines(titles: list[str]) -> bytes:
    return b"".join(title.encode("utf-8", "replace").replace(b"\n", b" ") + b"\n" for title in titles)
