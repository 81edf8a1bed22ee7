"""Syntax trees as merging wants them: nodes over the bytes of one text, looked at only where needed.

Two things differ from tree-sitter's trees.  A block without brackets is as many whole
lines as it stands on, with the comments at its start, and so is what it ends.  And the
children that a profile lists as ``type.field`` become a node of that type.
"""

import re
from collections.abc import Sequence
from typing import Any

from anvcs.merging.parsing import syntax_tree
from anvcs.merging.profiles import Listing, Member, Profile

_OPEN = frozenset({"{", "(", "[", "{|", "#(", "${"})
_CLOSE = frozenset({"}", ")", "]", "|}"})
_BLANK = b" \t\r"
_SPACE = b" \t\r\n\f"


class Source:
    """One text and its tree."""

    __slots__ = ("has_error", "profile", "root", "text")

    def __init__(self, text: bytes, profile: Profile) -> None:
        tree = syntax_tree(text, profile)
        self.text = text
        self.profile = profile
        self.has_error: bool = tree.root_node.has_error
        self.root = Node(self, tree.root_node, "", 0, len(text))


class Node:
    """A part of a text that the grammar gives a type."""

    __slots__ = ("_kids", "end", "field", "named", "parent", "source", "start", "ts", "type")

    def __init__(self, source: Source, ts: Any, field: str, start: int, end: int) -> None:
        self.source = source
        self.ts = ts
        self.type: str = ts.type if ts is not None else ""
        self.named: bool = ts is None or ts.is_named
        self.field = field
        self.start, self.end = start, end
        self.parent: Node | None = None
        self._kids: list[Node] | None = None

    @property
    def text(self) -> bytes:
        """Its bytes."""
        return self.source.text[self.start : self.end]

    @property
    def kids(self) -> "list[Node]":
        """Its children, punctuation included."""
        if self._kids is None:
            self._kids = [] if self.ts is None else _children(self)
            for kid in self._kids:
                kid.parent = self
        return self._kids

    @property
    def line(self) -> int:
        """The line it starts on, from 1."""
        return self.source.text.count(b"\n", 0, self.start) + 1

    def kid(self, name: str) -> "Node | None":
        """The first child of this field, or of this type; for a key in quotes its value."""
        if name.startswith('"'):
            pairs = (kid for kid in self.kids if (key := kid.kid("key")) is not None and key.text == name.encode())
            return next((pair.kid("value") for pair in pairs), None)
        found = next((kid for kid in self.kids if kid.field == name), None)
        return found or next((kid for kid in self.kids if kid.type == name), None)

    def shape(self) -> tuple[str, ...]:
        """The types of this node and all below it, lists left out."""
        out: list[str] = []
        waiting = [self]
        while waiting:
            node = waiting.pop()
            out.append(node.type)
            if node.listing() is None:
                waiting += node.kids
        return tuple(out)

    def listing(self) -> Listing | None:
        """How this is split into items, if it is a list."""
        for each in self.source.profile.by_node.get(self.type, ()):
            if each.of and (self.parent is None or self.parent.type not in each.of):
                continue
            if each.after and not _ends_with(each.after, self.source.text, self.start):
                continue
            return each
        return None


def _ends_with(pattern: re.Pattern[bytes], text: bytes, at: int) -> bool:
    first = text.rfind(b"\n", 0, at) + 1
    return any(found.end() == at - first for found in pattern.finditer(text[first:at]))


def _children(node: Node) -> list[Node]:
    source, profile = node.source, node.source.profile
    kids: list[Node] = []
    cursor = node.ts.walk()  # which field a child has would else be looked for from the first child on
    more = cursor.goto_first_child()
    while more:
        ts, field = cursor.node, cursor.field_name or ""
        more = cursor.goto_next_sibling()
        if not source.text[ts.start_byte : ts.end_byte].strip():  # a missing token, the end of a line
            continue
        kid = Node(source, ts, field, ts.start_byte, _end(source, ts))
        if _starts_with_lines(ts, profile):
            _adopt(kid, kids)
        kids.append(kid)
    for listing in profile.listings:
        for name in listing.nodes:
            kind, dot, field = name.partition(".")
            if dot and kind == node.type:
                kids = _grouped(kids, name, field)
    return kids


def _end(source: Source, ts: Any) -> int:
    """Where a node ends: with its line, if what it ends with is a list of whole lines; never with other white space."""
    last, whole_lines = ts, source.profile.whole_lines
    while whole_lines and last.type not in whole_lines and last.child_count:
        inner = last.children[-1]
        if inner.end_byte != ts.end_byte:
            break
        last = inner
    if last.type in whole_lines:
        return end_of_line(source.text, ts.end_byte)
    end = int(ts.end_byte)
    while source.text[end - 1] in _SPACE:
        end -= 1
    return end


def _starts_with_lines(ts: Any, profile: Profile) -> bool:
    """Whether a node is, or begins with, a list of whole lines."""
    while profile.whole_lines and ts.type not in profile.whole_lines and ts.child_count:
        inner = ts.children[0]
        if inner.start_byte != ts.start_byte:
            return False
        ts = inner
    return ts.type in profile.whole_lines


def end_of_line(text: bytes, at: int) -> int:
    """After the newline, if nothing but blanks comes before it; else *at*."""
    newline = text.find(b"\n", at)
    return newline + 1 if newline >= 0 and not text[at:newline].strip(_BLANK) else at


def start_of_line(text: bytes, at: int) -> int:
    """Where the line starts, if nothing but blanks comes before *at*; else *at*."""
    start = text.rfind(b"\n", 0, at) + 1
    return at if text[start:at].strip(_BLANK) else start


def _adopt(block: Node, before: list[Node]) -> None:
    """Make *block* begin with its line, or with the comments that stand on lines between its head and it."""
    text = block.source.text
    start = start_of_line(text, block.start)
    own: list[Node] = []
    lists = block.source.profile.whole_lines
    while block.type in lists and start != block.start and before and before[-1].type in block.source.profile.comments:
        comment = start_of_line(text, before[-1].start)
        if comment == before[-1].start and comment and text[comment - 1 : comment] != b"\n":
            break
        own.insert(0, before.pop())
        start = comment
    if start == block.start:
        return
    block.start = start
    if own:
        block._kids = [*own, *_children(block)]  # noqa: SLF001  # of this module
        for kid in block._kids:  # noqa: SLF001  # as above
            kid.parent = block


def _grouped(kids: list[Node], name: str, field: str) -> list[Node]:
    """*kids* with those of *field*, and the brackets around them, as one node."""
    places = [at for at, kid in enumerate(kids) if field in (kid.field, kid.type)]
    if not places:
        return kids
    first, last = places[0], places[-1]
    while last + 1 < len(kids) and (kids[last + 1].type in _CLOSE or kids[last + 1].type == ","):
        last += 1
    while last > places[-1] and kids[last].type in kids[first].source.profile.comments:
        last -= 1
    if first and kids[first - 1].type in _OPEN:
        first -= 1
    else:
        last = max(at for at in range(places[-1], last + 1) if kids[at].type not in _CLOSE)
    group = Node(kids[first].source, None, field, kids[first].start, kids[last].end)
    group.type = name
    group._kids = kids[first : last + 1]  # noqa: SLF001  # of this module
    for kid in group._kids:  # noqa: SLF001  # as above
        kid.parent = group
    return [*kids[:first], group, *kids[last + 1 :]]


# --- who a member is


def member_of(node: Node, listing_node: Node) -> tuple[Member | None, bytes]:
    """What a profile says of an item in the list *listing_node*, and its key; no key: ``b""``."""
    profile = node.source.profile
    named = node
    while named.type in profile.through:
        inner = [kid for kid in named.kids if kid.named and kid.type not in profile.comments]
        if not inner or any(kid.type == inner[-1].type for kid in inner[:-1]):
            break
        named = inner[-1]
    around = {listing_node.type, listing_node.parent.type if listing_node.parent else ""}
    for member in profile.member_of.get(named.type, ()):
        if member.of and not around & set(member.of):
            continue
        if member.looks and not member.looks.match(named.text):
            continue
        key = _key(member, node, named)
        if not member.names or key.decode("utf-8", "replace") in member.names:
            return member, key
    return None, b""


def _key(member: Member, node: Node, named: Node) -> bytes:
    if not member.key:
        return named.text
    before = node.source.text[node.start : named.start]
    if member.unkeyed and member.unkeyed.search(before):
        return b""
    parts = [kid.text for kid in named.kids if kid.type in member.marks] if member.marks else []
    for path in member.key:
        found: Node | None = named
        for step in path.split("."):
            found = found.kid(step) if found is not None else None
        if found is None:
            continue
        parts.append(b" ".join(found.text.split()))
    if not parts:
        return b""
    if member.extend and (more := member.extend.search(before)):
        parts.append(more[0])
    return b"\0".join(parts)


INSIDE = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
"""Between the names of an entity, outermost first."""
_LONGEST_NAME = 60


def label_of(member: Member | None, key: bytes) -> str:
    """What people call a member, such as ``def parse``; empty if they don't."""
    return f"{member.label} {shown(key)}" if member is not None and member.label else ""


def shown(key: bytes) -> str:
    """A key for people, on one line."""
    text = " ".join(key.decode("utf-8", "replace").replace("\0", " ").split())
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def entity_at(source: Source, offset: int) -> str:
    """What an offset lies in, such as ``class Parser`` and ``def parse``."""
    labels: list[str] = []
    node = source.root
    while True:
        inner = next((kid for kid in node.kids if kid.start <= offset < kid.end), None)
        if inner is None:
            return INSIDE.join(labels)
        label = label_of(*member_of(inner, node)) if node.listing() is not None else ""
        labels += [label] if label else []
        node = inner


# --- lists as items


class Unsplittable(Exception):
    """A list that is written in a way that items can't be cut from."""


class Item:
    """One item with what belongs to it: ``lead core gap separator tail``, which are all of its bytes."""

    __slots__ = ("_inside", "_named", "core", "gap", "lead", "separator", "tail")

    def __init__(self, lead: bytes, core: "Node | Floating", inside: Node | None = None, key: bytes = b"") -> None:
        self.lead = lead
        self.core = core
        self.gap = self.separator = self.tail = b""
        self._inside = inside
        self._named: tuple[Member | None, bytes] | None = None if inside is not None else (None, key)

    def _name(self) -> "tuple[Member | None, bytes]":
        # Only asked for where versions differ: most items of most lists are the same in all.
        if self._named is None:
            assert self._inside is not None
            self._named = member_of(self.core, self._inside) if isinstance(self.core, Node) else (None, b"")
        return self._named

    @property
    def member(self) -> Member | None:
        """What the profile says of it."""
        return self._name()[0]

    @property
    def key(self) -> bytes:
        """What tells it from others; ``b""``: nothing."""
        return self._name()[1]

    @property
    def group(self) -> str:
        """What it may change places with."""
        member = self.member
        return member.group if member is not None else ""

    @property
    def text(self) -> bytes:
        """All of its bytes."""
        return self.lead + self.core.text + self.gap + self.separator + self.tail


class Floating:
    """Comments that stand for themselves, with a blank line before what follows."""

    __slots__ = ("source", "text", "type")

    def __init__(self, source: Source, start: int, end: int) -> None:
        self.source = source
        self.text = source.text[start:end]
        self.type = "comments"


class Parts:
    """A list split up: ``head prefix items suffix foot`` are all of its bytes."""

    __slots__ = ("foot", "head", "items", "node", "prefix", "suffix")

    def __init__(self, node: Node, prefix: bytes, items: list[Item], suffix: bytes) -> None:
        self.node = node
        self.head: Node | None = None
        self.prefix = prefix
        self.items = items
        self.suffix = suffix
        self.foot: Node | None = None


def split(node: Node, listing: Listing) -> Parts:
    """Cut a list into its items; raises `Unsplittable`."""
    cutter = _Cutter(node, listing)
    for kid in cutter.inner:
        cutter.take(kid)
    return cutter.parts()


class _Cutter:
    """Walks over a list's children and cuts items."""

    def __init__(self, node: Node, listing: Listing) -> None:
        self.node, self.listing = node, listing
        self.text = node.source.text
        self.profile = node.source.profile
        kids = node.kids
        opens = bool(kids) and (kids[0].type in _OPEN or kids[0].type in listing.fence)
        closes = bool(kids) and (kids[-1].type in _CLOSE or kids[-1].type in listing.fence) and len(kids) > opens
        self.head = kids[0] if opens and kids[0].kids else None
        self.foot = kids[-1] if closes and kids[-1].kids else None
        self.inner: Sequence[Node] = kids[opens : len(kids) - closes]
        self.stop = kids[-1].start if closes else node.end
        self.first = self._after_head(kids[0].end) if opens else node.start
        self.at = self.first
        self.items: list[Item] = []
        self.pending: list[Node] = []

    def _after_head(self, at: int) -> int:
        """Past the rest of the opening line, with the comment on it."""
        while (
            self.inner
            and self.inner[0].type in self.profile.comments
            and b"\n" not in self.text[at : self.inner[0].start]
        ):
            at = self.inner[0].end
            self.inner = self.inner[1:]
        return min(end_of_line(self.text, at), max(self.stop, at))

    def take(self, kid: Node) -> None:
        """One more child."""
        if kid.type in {",", ";"} and not kid.named:
            self._separate(kid)
        elif kid.type in self.profile.comments:
            if self._on_last_line(kid):
                self.items[-1].tail += self.text[self.at : kid.end]
                self.at = kid.end
                self._end_line()
            else:
                self._loosen(kid.start)
                self.pending.append(kid)
        elif kid.type in self.profile.attached:
            self.pending.append(kid)
        else:
            self._loosen(kid.start)
            self.pending.clear()
            self._add(Item(self.text[self.at : kid.start], kid, self.node), kid.end)

    def _add(self, item: Item, end: int) -> None:
        self.items.append(item)
        self.at = end
        self._end_line()

    def _end_line(self) -> None:
        """The rest of the line, if nothing else is on it."""
        end = min(end_of_line(self.text, self.at), self.stop)
        if end > self.at:
            self.items[-1].tail += self.text[self.at : end]
            self.at = end

    def _separate(self, kid: Node) -> None:
        if not self.items or self.pending:
            raise Unsplittable
        item = self.items[-1]
        between = item.tail + self.text[self.at : kid.start]
        if item.separator or between.strip():
            raise Unsplittable
        item.gap, item.separator, item.tail = between, kid.text, b""
        self.at = kid.end
        self._end_line()

    def _on_last_line(self, kid: Node) -> bool:
        """Whether a comment stands behind the last item, on its line."""
        return (
            not self.pending
            and bool(self.items)
            and not self.items[-1].tail.endswith(b"\n")
            and b"\n" not in self.text[self.at : kid.start]
        )

    def _loosen(self, start: int) -> None:
        """Comments before a blank line belong to nothing that comes after it."""
        if not self.pending or self.text.count(b"\n", self.pending[-1].end, start) < 2:  # as it says
            return
        if any(kid.type in self.profile.attached for kid in self.pending):
            return
        first, last = self.pending[0], self.pending[-1]
        self.pending.clear()
        self._add(Item(self.text[self.at : first.start], Floating(self.node.source, first.start, last.end)), last.end)

    def parts(self) -> Parts:
        """What came of it."""
        if self.pending:
            first, last = self.pending[0], self.pending[-1]
            self._add(
                Item(self.text[self.at : first.start], Floating(self.node.source, first.start, last.end)), last.end
            )
        text = self.text
        start = self.head.end if self.head else self.node.start
        stop = self.foot.start if self.foot else self.node.end
        found = Parts(self.node, text[start : self.first], self.items, text[self.at : stop])
        found.head, found.foot = self.head, self.foot
        return found


def spread(node: Node) -> Parts:
    """Any other node as its children, each with the white space before it."""
    items: list[Item] = []
    at = node.start
    text = node.source.text
    for kid in node.kids:
        items.append(Item(text[at : kid.start], kid, key=(kid.field or kid.type).encode()))
        at = kid.end
    return Parts(node, b"", items, text[at : node.end])
