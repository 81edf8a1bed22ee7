"""What may be wrong with a merge of lines that is clean.

Lines know nothing of names.  Both sides may have added one key, each its own; one may use
what the other has deleted or renamed; both may have put the same block in different
places.  A quick look at the changed lines alone says whether there is reason to parse.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from anvcs.merging.accepting import definitions, new_doubles
from anvcs.merging.lines import Chunk, LineMerge
from anvcs.merging.pieces import Clash, Piece
from anvcs.merging.profiles import Profile
from anvcs.merging.segments import well_formed_segments
from anvcs.merging.trees import Source, entity_at, shown
from anvcs.model.merge import Place, Reason

_WORD = re.compile(rb"[^\W\d][\w$]*")
_BLOCK_LINES = 3
"""Lines with something on them from which the same text on both sides is hardly a coincidence."""
_BLOCK_BYTES = 60


@dataclass(frozen=True, slots=True)
class Doubt:
    """What doesn't go together: a chunk that only one side changed, and why it can't just be taken."""

    chunk: Chunk
    reason: Reason
    detail: str = ""
    related: tuple[Place, ...] = ()


@dataclass(slots=True)
class _Side:
    """What one side did, in lines."""

    name: str
    text: bytes
    chunks: list[Chunk] = field(default_factory=list)
    added: bytes = b""
    removed: bytes = b""


def doubts(lines: LineMerge, profile: Profile | None) -> list[Doubt]:
    """What to doubt in a clean merge of lines."""
    sides = _sides(lines)
    if not all(side.chunks for side in sides):
        return []  # one change, or the same on both sides
    if profile is None or profile.language() is None:
        return []
    merged = b"".join(piece for piece in lines.pieces() if isinstance(piece, bytes))
    whole = _Parsed(lines, merged, profile)
    found = whole.doubled_blocks(*sides)
    found += whole.doubles(sides, given_by_both(lines, profile))
    found += whole.all_lost(sides)
    if not found and whole.is_broken():
        found.append(Doubt(sides[1].chunks[0], Reason.BROKEN))
    return found


def lost_names(lines: LineMerge, profile: Profile, merged: bytes) -> list[str]:
    """Names that *merged* uses because of one side and that the other has deleted or renamed."""
    sides = _sides(lines, of_both=True)
    return [doubt.detail for doubt in _Parsed(lines, merged, profile).all_lost(sides)]


def contested(lines: LineMerge, found: Sequence[Doubt], profile: Profile | None) -> list[Piece]:
    """The merge of lines with each doubtful chunk as something to decide."""
    sources: dict[bool, Source] = {}

    def entity(chunk: Chunk) -> str:
        if profile is None or profile.language() is None:
            return ""
        of_left, span = chunk.by_left, chunk.left if chunk.by_left else chunk.right
        texts = lines.left if of_left else lines.right
        if of_left not in sources:
            sources[of_left] = Source(b"".join(texts), profile)
        return entity_of_lines(sources[of_left], texts, span)

    out: list[Piece] = []
    at = 0
    doubtful = {id(doubt.chunk): doubt for doubt in reversed(found)}
    for chunk in lines.chunks:
        piece = lines.piece(chunk)
        doubt = doubtful.get(id(chunk))
        if doubt is not None:
            piece = Clash(*lines.texts(chunk), doubt.reason, entity(chunk), doubt.detail, doubt.related)
        out += (b"".join(lines.base[at : chunk.base[0]]), piece)
        at = chunk.base[1]
    out.append(b"".join(lines.base[at:]))
    return [piece for piece in out if piece]


def entity_of_lines(source: Source, lines: Sequence[bytes], span: tuple[int, int]) -> str:
    """What some lines lie in; blank ones at their beginning don't count."""
    start = sum(map(len, lines[: span[0]]))
    while start < len(source.text) - 1 and source.text[start] in b" \t\r\n":
        start += 1
    return entity_at(source, start)


def _sides(lines: LineMerge, *, of_both: bool = False) -> tuple[_Side, _Side]:
    """What each side did alone, or with *of_both* at all."""
    left, right = _Side("left", b"".join(lines.left)), _Side("right", b"".join(lines.right))
    for chunk in lines.chunks:
        base, ours, theirs = lines.texts(chunk)
        for side, text, mine, others in (
            (left, ours, chunk.by_left, chunk.by_right),
            (right, theirs, chunk.by_right, chunk.by_left),
        ):
            if mine and (of_both or not others):
                side.chunks.append(chunk)
                side.added += text
                side.removed += base
    return left, right


def _is_block(text: bytes) -> bool:
    """Whether this is too much for a coincidence, and not a text for people."""
    lines = [line.strip() for line in text.split(b"\n") if line.strip()]
    return len(text) >= _BLOCK_BYTES and sum(not line.startswith(_COMMENTS) for line in lines) >= _BLOCK_LINES


_COMMENTS = (b"#", b"//", b"*", b"/*", b"--", b";")


def given_by_both(lines: LineMerge, profile: Profile) -> set[bytes]:
    """Names that something may have got from both sides, by the looks of the lines that each changed."""
    if profile.defines is None:
        return set()
    left = b"".join(lines.texts(chunk)[1] for chunk in lines.chunks if chunk.by_left)
    right = b"".join(lines.texts(chunk)[2] for chunk in lines.chunks if chunk.by_right)
    return _named(profile.defines, left) & _named(profile.defines, right)


def _named(pattern: re.Pattern[bytes], text: bytes) -> set[bytes]:
    return {name.strip() for found in pattern.finditer(text) for name in found.groups() if name}


def _may_be_lost(taker: _Side, user: _Side) -> list[bytes]:
    """Words that one side has nothing left of and the other uses more often than before."""
    gone = set(_WORD.findall(taker.removed)) - set(_WORD.findall(taker.added))
    if not gone:
        return []
    more = Counter(_WORD.findall(user.added)) - Counter(_WORD.findall(user.removed))
    candidates = gone & more.keys()
    if not candidates:
        return []
    left_over = set(_WORD.findall(taker.text))
    return sorted(candidates - left_over)


class _Parsed:
    """The merged text and the inputs, parsed when somebody asks."""

    def __init__(self, lines: LineMerge, merged: bytes, profile: Profile) -> None:
        self._lines = lines
        self._profile = profile
        self._texts = {
            "merged": merged,
            "base": b"".join(lines.base),
            "left": b"".join(lines.left),
            "right": b"".join(lines.right),
        }
        self._sources: dict[str, Source] = {}

    def source(self, name: str) -> Source:
        if name not in self._sources:
            self._sources[name] = Source(self._texts[name], self._profile)
        return self._sources[name]

    def is_broken(self) -> bool:
        """Whether both sides parse and both together don't."""
        merged = self._texts["merged"]
        if "merged" not in self._sources and well_formed_segments(merged, self._lines, self._profile) is not None:
            return False
        return self.source("merged").has_error and not any(self.source(name).has_error for name in _INPUTS)

    def doubles(self, sides: tuple[_Side, _Side], words: set[bytes]) -> list[Doubt]:
        """Names that both sides gave to something."""
        if not words or any(self.source(name).has_error for name in _INPUTS):  # no telling what belongs to what
            return []
        found: list[Doubt] = []
        for name in new_doubles(self.source("merged"), [self.source(name) for name in _INPUTS], words):
            chunk = self._chunk_with(name[-1], sides[1])
            if chunk is not None:
                there = self._chunk_with(name[-1], sides[0])
                related = () if there is None else (Place("left", there.left[0] + 1, there.left[1]),)
                found.append(Doubt(chunk, Reason.SAME_KEY, shown(name[-1]), related))
        return found

    def _chunk_with(self, key: bytes, side: _Side) -> Chunk | None:
        word = key.split(b"\0")[-1] if key.split(b"\0")[0] in _MARKS else key.split(b"\0")[0]
        number = 1 if side.name == "left" else 2
        return next((chunk for chunk in side.chunks if word in self._lines.texts(chunk)[number]), None)

    def doubled_blocks(self, left: _Side, right: _Side) -> list[Doubt]:
        """The same lines put in by both, at different places of one thing."""
        texts = self._lines.texts
        blocks = {texts(chunk)[1].strip(): chunk for chunk in left.chunks if chunk.base[0] == chunk.base[1]}
        found: list[Doubt] = []
        for chunk in right.chunks:
            text = texts(chunk)[2].strip()
            twin = blocks.get(text) if chunk.base[0] == chunk.base[1] and _is_block(text) else None
            if twin is not None and self._entity("left", twin.left) == self._entity("right", chunk.right):
                found.append(Doubt(chunk, Reason.DOUBLED, related=(Place("left", twin.left[0] + 1, twin.left[1]),)))
        return found

    def _entity(self, name: str, span: tuple[int, int]) -> str:
        lines = self._lines.left if name == "left" else self._lines.right
        return entity_of_lines(self.source(name), lines, span)

    def all_lost(self, sides: tuple[_Side, _Side]) -> list[Doubt]:
        """Uses on one side of what the other took away."""
        found: list[Doubt] = []
        for taker, user in (sides, sides[::-1]):
            for name in _may_be_lost(taker, user):
                found += self.lost(name, taker, user)
        return found

    def lost(self, name: bytes, taker: _Side, user: _Side) -> list[Doubt]:
        """Uses of a name that nothing gives any more."""
        place = self._bound_in_base(name)
        if place is None:
            return []
        is_member, line, is_imported = place
        chunks = set()
        for leaf, parent in self._mentions("merged", name):
            kind = _kind_of(leaf, parent, self._profile)
            if kind == "bound":
                return []
            if is_imported and self._is_in_import(leaf):
                continue  # a part of a path, which needs no import
            if kind == ("member" if is_member else "use") or (
                is_member and self._profile.implicit_self and kind == "use"
            ):
                chunks.add(leaf.start_point[0])
        chunk = next((chunk for chunk in user.chunks if self._is_used_in(chunk, user, name)), None)
        if not chunks or chunk is None:
            return []
        gone = next((each for each in taker.chunks if name in self._lines.texts(each)[0]), None)
        related = [Place("base", line, line)]
        if gone is not None:
            span = gone.left if taker.name == "left" else gone.right
            related.append(Place(taker.name, span[0] + 1, span[1]))
        return [Doubt(chunk, Reason.LOST_NAME, shown(name), tuple(related))]

    def _is_used_in(self, chunk: Chunk, side: _Side, name: bytes) -> bool:
        text = self._lines.texts(chunk)[1 if side.name == "left" else 2]
        return name in _WORD.findall(text)

    def _bound_in_base(self, name: bytes) -> tuple[bool, int, bool] | None:
        """Whether *name* is a member of something, the line that gives it, whether by import; ``None``: it isn't a name."""
        top = member = False
        for path in definitions(self.source("base"), [name]):
            if path[-2] in _DEFINING and name in _own_names(path[-1]):
                top, member = top or len(path) == _TOP, member or len(path) > _TOP
        for leaf, _ in self._mentions("base", name):
            imported = self._is_in_import(leaf)
            if imported or top or member:
                return not imported and not top, int(leaf.start_point[0]) + 1, imported
        return None

    def _is_in_import(self, leaf: Any) -> bool:
        around = leaf
        while around is not None and around.type not in self._profile.imports:
            around = around.parent
        return around is not None

    def _mentions(self, name: str, word: bytes) -> Iterator[tuple[Any, Any]]:
        source = self.source(name)
        root = source.root.ts
        for found in re.finditer(rb"(?<![\w$])" + re.escape(word) + rb"(?![\w$])", source.text):
            leaf = root.descendant_for_byte_range(found.start(), found.end())
            if leaf is not None and leaf.start_byte == found.start() and leaf.end_byte == found.end():
                yield leaf, leaf.parent


_INPUTS = ("base", "left", "right")
_TOP = 2
_DEFINING = frozenset({b"definition", b"name"})
"""Groups of members that others may mention by their name."""
_MARKS = frozenset({b"get", b"set", b"static"})


def _kind_of(leaf: Any, parent: Any, profile: Profile) -> str:
    """``bound`` where a name is given, ``member`` of the object itself, ``use``, or nothing of these."""
    place = f"{parent.type}.{_field(leaf, parent)}" if parent is not None else ""
    if place in profile.accesses and parent.children[0].id != leaf.id:
        return "member" if parent.children[0].text in _OWN else ""
    if leaf.type not in profile.identifiers or place in profile.mentions:
        return ""
    if place in profile.binders or (parent is not None and f"{parent.type}." in profile.binders):
        return "bound"
    return "use" if not profile.uses or place in profile.uses else ""


def _own_names(key: bytes) -> list[bytes]:
    """The parts of a key that are names; of a declarator the one before its parameters."""
    heads = [part.partition(b"(")[0].split()[-1:] for part in key.split(b"\0")]
    return [head[0].lstrip(b"*&") for head in heads if head]


_OWN = frozenset({b"self", b"cls", b"this", b"$this", b"static"})


def _field(leaf: Any, parent: Any) -> str:
    for index, child in enumerate(parent.children):
        if child.id == leaf.id:
            return parent.field_name_for_child(index) or ""
    return ""
