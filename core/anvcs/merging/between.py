"""Definitions that one side moved to another file, and edits by the other side that follow them there.

What left a file on one side and was changed there on the other is looked for among what arrived in the
other files of the first side.  Found in exactly one place, its edit is made there: a merge of that file
from the version before the move, as if it had stood in the new place all along.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from anvcs.linediff import line_hunks, split_lines
from anvcs.merging.accepting import keeps_words, new_doubles
from anvcs.merging.aligning import likeness
from anvcs.merging.indenting import kept_lines, reindented
from anvcs.merging.merge import Options, merge_file
from anvcs.merging.moving import indent_of
from anvcs.merging.profiles import Profile, profile_for
from anvcs.merging.trees import Node, Source, Unsplittable, end_of_line, label_of, split, start_of_line

_LARGEST = 2 << 20
_ALIKE: Final = 0.7
"""Share of words in common from which what has the same name elsewhere is the same thing, and edited."""
_VERY_ALIKE: Final = 0.85
"""The same where it is in something else: constructors of two classes may be much alike."""
_WORTH_COMPARING = 16
"""Words from which two texts can be alike without being equal."""
_TELLING = 60
"""Bytes from which the same text under another name, or in something else, is hardly a coincidence."""
_SHORTEST = 8
_WORD = re.compile(rb"[^\W\d][\w$]*")
_DEFINING = frozenset({"definition", "name"})
_LABELS_OF_DATA = frozenset({"", "key"})


@dataclass(frozen=True)
class Placed:
    """One definition where it stands, with the comments above it."""

    title: tuple[bytes, ...]
    """Its name, behind those of what it is in."""
    kind: str
    label: str
    core: Node
    start: int
    stop: int

    @cached_property
    def text(self) -> bytes:
        """Its bytes."""
        return self.core.source.text[self.start : self.stop]

    @property
    def line(self) -> int:
        """Where it starts, from 1."""
        return self.core.source.text.count(b"\n", 0, self.start) + 1

    @cached_property
    def words(self) -> list[bytes]:
        """Its text without white space."""
        return self.text.split()

    @property
    def nameless(self) -> list[bytes]:
        """Its words without its own name, to compare it with one of another name."""
        return re.sub(rb"\b%b\b" % re.escape(_own_word(self.title[-1])), b"", self.text).split()

    def set_like(self, there: "Placed") -> bytes:
        """Its text with the indentation that *there* has."""
        kept = kept_lines(self.core)
        above = self.core.source.text.count(b"\n", self.start, self.core.start)
        return reindented(self.text, indent_of(self.core), indent_of(there.core), {line + above for line in kept})


class Departed(NamedTuple):
    """A definition that one side took out of a file, and that the other changed there."""

    taker: int
    """0: left took it away, 1: right."""
    base: Placed
    changed: Placed


def departed(base: bytes, left: bytes | None, right: bytes | None, path: bytes) -> list[Departed]:
    """What was taken away on one side of the file *path* and changed on the other; ``None`` is a deleted file."""
    profile = profile_for(path)
    sides = left, right
    if profile is None or not _may_have_gone(profile, base, sides):
        return []
    before = arrivals(None, base, path)
    tables = [{} if side is None else _by_title(arrivals(None, side, path)) for side in sides]
    unique = _by_title(before)
    found: list[Departed] = []
    for taker in (0, 1):
        seen: set[tuple[bytes, ...]] = set()
        for one in before:
            inside = any(one.title[:length] in seen for length in range(1, len(one.title)))
            if inside or one.title not in unique or one.title in tables[taker]:
                continue
            seen.add(one.title)
            changed = tables[1 - taker].get(one.title)
            if changed is not None and changed.words != one.words and len(one.text) >= _SHORTEST:
                found.append(Departed(taker, one, changed))
    return found


def _may_have_gone(profile: Profile, base: bytes, sides: Sequence[bytes | None]) -> bool:
    """A look at the lines: whether a side lacks a name that the base gives."""
    if profile.defines is None or profile.language() is None:
        return False
    names, *others = (_defined(profile.defines, text) for text in (base, *(side or b"" for side in sides)))
    return any(names - other for other in others)


def _defined(pattern: re.Pattern[bytes], text: bytes) -> set[bytes]:
    return {name.strip() for found in pattern.finditer(text) for name in found.groups() if name}


def arrivals(before: bytes | None, after: bytes, path: bytes) -> list[Placed]:
    """What *after* defines and *before* didn't, in order; nothing for a text that can't be parsed."""
    profile = profile_for(path)
    if profile is None or len(after) > _LARGEST or profile.language() is None:
        return []
    source = Source(after, profile)
    if source.has_error:
        return []
    known = {one.title for one in arrivals(None, before, path)} if before is not None else set()
    found = [one for one in _placed(source) if one.title not in known]
    return sorted(found, key=lambda one: (one.start, -one.stop))


def _placed(source: Source) -> Iterator[Placed]:
    waiting: list[tuple[Node, tuple[bytes, ...]]] = [(source.root, ())]
    while waiting:
        node, around = waiting.pop()
        named: dict[int, tuple[bytes, ...]] = {}
        for one in _of_list(node, around):
            named[id(one.core)] = one.title
            yield one
        waiting += [(kid, named.get(id(kid), around)) for kid in node.kids if kid.named]


def _of_list(node: Node, around: tuple[bytes, ...]) -> Iterator[Placed]:
    listing = node.listing()
    if listing is None:
        return
    try:
        items = split(node, listing).items
    except Unsplittable:
        return
    for item in items:
        member, core = item.member, item.core
        if member is None or not member.key or not item.key or not isinstance(core, Node):
            continue
        if member.group not in _DEFINING and member.label in _LABELS_OF_DATA:
            continue
        above = len(item.lead.lstrip())
        stop = core.start + len(core.text.rstrip())
        label = label_of(member, item.key) or item.key.decode("utf-8", "replace")
        yield Placed((*around, item.key), f"{member.group} {member.label}", label, core, core.start - above, stop)


def _by_title(found: Iterable[Placed]) -> dict[tuple[bytes, ...], Placed]:
    """Those that have a title for themselves."""
    every: defaultdict[tuple[bytes, ...], list[Placed]] = defaultdict(list)
    for one in found:
        every[one.title].append(one)
    return {title: placed[0] for title, placed in every.items() if len(placed) == 1}


def may_hold(text: bytes, gone: Placed) -> bool:
    """A quick look: whether *gone* may stand in *text*, also under another name."""
    if _own_word(gone.title[-1]) in text:
        return True
    longest = max((line.strip() for line in gone.text.split(b"\n")[1:]), key=len, default=b"")
    return bool(longest) and longest in text


def found_again(gone: Placed, places: Sequence[Placed]) -> list[Placed]:
    """Which of *places* may be *gone*: the same name and the same or much the same text, else the same text renamed."""
    alike = [place for place in places if place.kind == gone.kind]
    named = [place for place in alike if place.title[-1] == gone.title[-1] and _is_alike(gone, place)]
    if named:
        return named
    if len(gone.text) < _TELLING:
        return []
    nameless = gone.nameless
    return [place for place in alike if len(place.title) == len(gone.title) and place.nameless == nameless]


def _is_alike(gone: Placed, place: Placed) -> bool:
    elsewhere = gone.title[:-1] != place.title[:-1]
    if len(gone.text) < _TELLING and elsewhere:
        return False  # such as an attribute that another class has, too
    if gone.words == place.words:
        return True
    least = _VERY_ALIKE if elsewhere else _ALIKE
    return len(gone.words) >= _WORTH_COMPARING and likeness(gone.text, place.text) >= least


def replayed_at(place: Placed, gone: Departed, path: bytes, *, same_folder: bool, options: Options) -> bytes | None:
    """What stands in *place*, with the other side's edit made in it; ``None`` where that isn't sure.

    *same_folder* is whether the definition only went to another file beside its own.
    """
    source = place.core.source
    profile, text = source.profile, source.text
    before, behind = text[: place.start], text[place.stop :]
    base, changed = (before + one.set_like(place) + behind for one in (gone.base, gone.changed))
    if _lacks_names(gone, source, shared=same_folder and profile.folder_wide):
        return None
    result = merge_file(base, text, changed, path, options)
    merged = result.content
    if not result.clean or not (merged.startswith(before) and merged.endswith(behind)):
        return None
    whole = Source(merged, profile)
    words = set(_WORD.findall(gone.changed.text))
    if whole.has_error or not keeps_words(base, text, changed, merged) or new_doubles(whole, [source], words):
        return None
    return merged[len(before) : len(merged) - len(behind)]


def _lacks_names(gone: Departed, there: Source, *, shared: bool) -> bool:
    """Whether the edit uses what its own file gives and the new one doesn't have."""
    new = Counter(_WORD.findall(gone.changed.text)) - Counter(_WORD.findall(gone.base.text))
    added = new.keys() - set(_WORD.findall(there.text))
    if not added:
        return False
    home = gone.changed.core.source
    above = 1 if shared else 0
    given = {word for one in _placed(home) if len(one.title) > above for word in _WORD.findall(one.title[-1])}
    return bool(added & (given | _imported(home)))


def _imported(source: Source) -> set[bytes]:
    found: set[bytes] = set()
    waiting = [source.root]
    while waiting:
        node = waiting.pop()
        if node.type in source.profile.imports:
            found |= set(_WORD.findall(node.text))
        else:
            waiting += [kid for kid in node.kids if kid.named and kid.kids]
    return found


def _own_word(key: bytes) -> bytes:
    """The word in a key that people write to use what has it."""
    words: list[bytes] = _WORD.findall(key.split(b"\0")[0])
    return words[-1] if words else key


class Uprooted(NamedTuple):
    """A definition whose lines both sides took out of where they were."""

    base: Placed
    kept: tuple[bool, bool]
    """Whether the left side, and the right side, has it elsewhere in the same file."""


def uprooted(base: bytes, left: bytes, right: bytes, path: bytes) -> list[Uprooted]:
    """What both sides took out of the base of the file *path*, and at most one has elsewhere in it; empty text: deleted."""
    profile = profile_for(path)
    if profile is None or profile.defines is None:
        return []
    if not any(_lost_names(profile.defines, base, side) for side in (left, right)):
        return []  # a quick look, for this is asked of all files that both changed
    lines = _taken_out(base, left) & _taken_out(base, right)
    if not lines or not _defined(profile.defines, b"\n".join(lines)):
        return []
    tables = [{one.title for one in arrivals(None, side, path)} for side in (left, right)]
    found: list[Uprooted] = []
    seen: set[tuple[bytes, ...]] = set()
    for one in _by_title(arrivals(None, base, path)).values():
        kept = one.title in tables[0], one.title in tables[1]
        inside = any(one.title[:length] in seen for length in range(1, len(one.title)))
        if all(kept) or inside or len(one.text) < _SHORTEST or not lines & {*one.text.splitlines()}:
            continue
        seen.add(one.title)
        found.append(Uprooted(one, kept))
    return found


def _lost_names(pattern: re.Pattern[bytes], base: bytes, side: bytes) -> set[bytes]:
    """Names that lines give which only the base has, and no line that only *side* has."""
    before, after = set(base.splitlines()), set(side.splitlines())
    gone = _defined(pattern, b"\n".join(before - after))
    return gone and gone - _defined(pattern, b"\n".join(after - before))


def _taken_out(base: bytes, side: bytes) -> set[bytes]:
    """Lines of the base that a diff takes out."""
    lines = split_lines(base)
    return {line.rstrip(b"\r\n") for a0, a1, _, _ in line_hunks(base, side) for line in lines[a0:a1]}


def lines_of(text: bytes, place: Placed, path: bytes) -> tuple[int, int] | None:
    """Where in *text* the lines begin and end that what *place* defines stands on alone; ``None``: nowhere."""
    found = _by_title(arrivals(None, text, path)).get(place.title)
    if found is None or found.kind != place.kind:
        return None
    start = start_of_line(text, found.start)
    stop = end_of_line(text, found.stop)
    alone = (not start or text[start - 1 : start] == b"\n") and (stop == len(text) or text[stop - 1 : stop] == b"\n")
    return (start, stop) if alone else None
