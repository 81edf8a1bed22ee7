"""The merge of trees: into nodes that both sides changed, and no deeper than they did.

All output is made of slices of the inputs.  A list is split into items, the items of the
three versions are paired, their order is merged as lines are, and pairs that both sides
changed are merged in turn.
"""

import time
from dataclasses import replace

from anvcs.merging.aligning import ALIKE_IN_PLACE, likeness
from anvcs.merging.lines import Hunks, merge_lines
from anvcs.merging.moving import Moves
from anvcs.merging.ordering import Clashing, Unsure, Version, merged_order
from anvcs.merging.pieces import Clash, Piece, is_clean, size_of
from anvcs.merging.profiles import Listing
from anvcs.merging.setting import Setting
from anvcs.merging.trees import INSIDE, Item, Node, Parts, Source, Unsplittable, label_of, shown, split, spread
from anvcs.model.merge import Reason

_STEPS = 256
"""Items between two looks at the clock."""


class TooSlow(Exception):
    """The deadline has passed."""


class TreeMerge:
    """One merge of three trees of one language."""

    def __init__(
        self,
        sources: tuple[Source, Source, Source],
        deadline: float,
        hunks: Hunks,
        followed: frozenset[int] = frozenset(),
    ) -> None:
        self.base, self.left, self.right = sources
        self.profile = self.base.profile
        self._deadline = deadline
        self._hunks = hunks
        self._entities: list[str] = []
        self.moves = Moves(followed)
        self._yielded: list[tuple[int, int, bytes]] = []

    def pieces(self) -> list[Piece]:
        """The merged text; raises `TooSlow`."""
        return self.node(self.base.root, self.left.root, self.right.root)

    def _look_at_the_clock(self) -> None:
        if time.thread_time() > self._deadline:
            raise TooSlow

    def right_as_taken(self) -> bytes:
        """Right's text with left's in those places where that was taken without asking."""
        text = self.right.text
        for start, stop, instead in sorted(self._yielded, reverse=True):
            text = text[:start] + instead + text[stop:]
        return text

    def node(self, base: Node, left: Node, right: Node) -> list[Piece]:
        """Three versions of one node as one."""
        self._look_at_the_clock()
        texts = base.text, left.text, right.text
        settled = unequal(*texts)
        if settled is not None:
            return [settled]
        if not base.type == left.type == right.type or not base.kids:
            return self._leaf(base, *texts)
        if base.type in self.profile.atomic:
            return self._atom(base, left, right)
        if self._is_another(base, left, right):
            return self.whole(*texts)
        listing = base.listing()
        try:
            if listing is None:
                if _is_swapped(base, left) or _is_swapped(base, right):
                    return self.whole(*texts)
                pieces = self._parts(spread(base), spread(left), spread(right), None)
            else:
                parts = split(base, listing), split(left, listing), split(right, listing)
                pieces = self._parts(*parts, listing)
        except (Unsure, Unsplittable):
            return self.whole(*texts)
        return self._smaller(pieces, texts)

    def _leaf(self, node: Node, *texts: bytes) -> list[Piece]:
        return self._prose(*texts) if _is_prose(node) else self.whole(*texts)

    def _atom(self, base: Node, left: Node, right: Node) -> list[Piece]:
        """An expression that has to be judged as a whole, unless all that changed is inside of one part of it."""
        texts = base.text, left.text, right.text
        if not len(base.kids) == len(left.kids) == len(right.kids):
            return self._leaf(base, *texts)
        parts = list(zip(base.kids, left.kids, right.kids, strict=True))
        changed = [at for at, kids in enumerate(parts) if len({kid.text for kid in kids}) > 1]
        if len(changed) != 1 or any(not kid.kids for kid in parts[changed[0]]):
            return self._leaf(base, *texts)
        ends = [
            (node.text[: kid.start - node.start], node.text[kid.end - node.start :])
            for node, kid in zip((base, left, right), parts[changed[0]], strict=True)
        ]
        if len(set(ends)) > 1:
            return self._leaf(base, *texts)
        return [ends[0][0], *self.node(*parts[changed[0]]), ends[0][1]]

    def _prose(self, base: bytes, left: bytes, right: bytes) -> list[Piece]:
        """Text for people: lines that stand side by side have nothing to do with each other there."""
        out: list[Piece] = []
        for piece in self.whole(base, left, right):
            by_line = _line_by_line(piece.base, piece.left, piece.right) if isinstance(piece, Clash) else None
            out.append(piece if by_line is None else by_line)
        return out

    def _is_another(self, *versions: Node) -> bool:
        """Whether what a node is about, such as what is called, is built in another way: then nothing can be paired."""
        for path in self.profile.same_shape:
            kind, _, field = path.partition(".")
            if versions[0].type == kind:
                kids = [node.kid(field) for node in versions]
                shapes = {kid.shape() if kid is not None else () for kid in kids}
                if len(shapes) > 1:
                    return True
        return False

    def whole(self, base: bytes, left: bytes, right: bytes) -> list[Piece]:
        """Texts that nothing is known of: as lines where there are several."""
        if b"\n" in left.strip() or b"\n" in right.strip():
            pieces = merge_lines(base, left, right, self._hunks)
            return [self._named(piece) if isinstance(piece, Clash) else piece for piece in pieces]
        return [self._named(Clash(base, left, right))]

    def _named(self, clash: Clash) -> Clash:
        return clash if clash.entity else replace(clash, entity=self.entity)

    @property
    def entity(self) -> str:
        """What is being merged now, for people."""
        return INSIDE.join(self._entities)

    def _smaller(self, pieces: list[Piece], texts: tuple[bytes, bytes, bytes]) -> list[Piece]:
        """*pieces*, or the lines' merge of the same where that leaves less to decide."""
        clashes = [piece for piece in pieces if isinstance(piece, Clash)]
        if not clashes or any(clash.firm for clash in clashes):
            return pieces
        lines = self.whole(*texts)
        return lines if size_of(lines) < size_of(pieces) else pieces

    # --- lists of items

    def _parts(self, base: Parts, left: Parts, right: Parts, listing: Listing | None) -> list[Piece]:
        order = merged_order(base, left, right, listing, self.moves)
        self._look_at_the_clock()
        setting = Setting(base, left, right, listing)
        if setting.is_mixed() and unequal(base.prefix, left.prefix, right.prefix) is None:
            raise Unsure  # each side has set it in another way
        out = self._ends(base.head, left.head, right.head) + self._text(base.prefix, left.prefix, right.prefix)
        last = len(order) - 1
        for at, entry in enumerate(order):
            if at % _STEPS == 0:
                self._look_at_the_clock()
            if isinstance(entry, Clashing):
                out.append(self._named(Clash(*setting.clash_texts(entry, is_last=at == last), entry.reason)))
            else:
                out += self._item(entry, setting, at == 0, at == last)
        out += self._text(base.suffix, left.suffix, right.suffix)
        return out + self._ends(base.foot, left.foot, right.foot)

    def _ends(self, base: Node | None, left: Node | None, right: Node | None) -> list[Piece]:
        """What opens or closes a list, where that is more than a bracket."""
        if base is not None and left is not None and right is not None:
            return self.node(base, left, right)
        return self._text(*(node.text if node is not None else b"" for node in (base, left, right)))

    def _item(self, version: Version, setting: Setting, is_first: bool, is_last: bool) -> list[Piece]:
        base, left, right, _ = version
        if version.contested:
            texts = setting.version_texts(version, is_last=is_last)
            key = next(item for item in version[:3] if item is not None).key
            return [self._named(Clash(*texts, Reason.DELETED_CHANGED, detail=shown(key)))]
        out = self._text(*setting.leads(version, is_first))
        out += self._core(base, left, right, setting)
        out += self._text(*setting.separators(version, is_last))
        return out + self._text(*setting.tails(version, is_last))

    def _core(self, base: Item | None, left: Item | None, right: Item | None, setting: Setting) -> list[Piece]:
        if base is not None and left is not None and right is not None:
            settled = unequal(base.core.text, left.core.text, right.core.text)
            if settled is not None:
                return [settled]
        label = self._label(next(item for item in (base, left, right) if item is not None))
        if label:
            self._entities.append(label)
        try:
            if left is None or right is None:
                assert left is not None or right is not None
                return [setting.new_core(left, right)]
            if base is None:
                return self._both_added(left, right)
            if isinstance(base.core, Node) and isinstance(left.core, Node) and isinstance(right.core, Node):
                if not base.key and min(_likeness(base, left), _likeness(base, right)) < ALIKE_IN_PLACE:
                    return self.whole(base.core.text, left.core.text, right.core.text)
                pieces = self.node(base.core, left.core, right.core)
                if is_clean(pieces) or left.member is None or not left.member.yields:
                    return pieces
                self._yielded.append((right.core.start, right.core.end, left.core.text))
                return [left.core.text]
            return self._text(base.core.text, left.core.text, right.core.text)
        finally:
            if label:
                self._entities.pop()

    def _label(self, item: Item) -> str:
        return label_of(item.member, item.key)

    def _both_added(self, left: Item, right: Item) -> list[Piece]:
        if left.core.text == right.core.text:
            return [left.core.text]
        member = left.member
        if member is not None and member.joins and isinstance(left.core, Node) and isinstance(right.core, Node):
            joined = self._joined(left.core, right.core)
            if joined is not None:
                return joined
        if member is None or not member.key:
            return [self._named(Clash(b"", left.core.text, right.core.text, Reason.BOTH_ADDED))]
        return [self._named(Clash(b"", left.core.text, right.core.text, Reason.SAME_KEY, detail=shown(left.key)))]

    def _joined(self, left: Node, right: Node) -> list[Piece] | None:
        """Two nodes that differ only in lists whose items may stand in any order: with the items of both."""
        if [kid.type for kid in left.kids] != [kid.type for kid in right.kids]:
            return None
        out: list[Piece] = []
        at = left.start
        for one, other in zip(left.kids, right.kids, strict=True):
            out.append(left.source.text[at : one.start])
            at = one.end
            if one.text == other.text:
                out.append(one.text)
                continue
            listing = one.listing()
            if listing is None or not listing.commutes:
                return None
            try:
                parts = split(one, listing), split(other, listing)
                empty = Parts(one, parts[0].prefix, [], parts[0].suffix)
                out += self._parts(empty, *parts, listing)
            except (Unsure, Unsplittable):
                return None
        return [*out, left.source.text[at : left.end]]

    def _text(self, base: bytes, left: bytes, right: bytes) -> list[Piece]:
        """White space and comments."""
        settled = unequal(base, left, right)
        if settled is not None:
            return [settled] if settled else []
        if not (base + left + right).strip():
            return [left]
        pieces = self._prose(base, left, right)
        return [left] if not is_clean(pieces) and left.split() == right.split() else pieces


def _likeness(one: Item, other: Item) -> float:
    return likeness(one.core.text, other.core.text)


def _is_swapped(base: Node, side: Node) -> bool:
    """Whether a part stands where another part was, as when somebody turns a condition round."""
    before = [kid.text for kid in base.kids if kid.named]
    after = [kid.text for kid in side.kids if kid.named]
    for at, text in enumerate(before):
        part = text.strip()
        if len(part) < _WORTH_COMPARING or (at < len(after) and part in after[at]):
            continue
        elsewhere = (other for there, other in enumerate(after) if there != at and part in other)
        if any(other not in before for other in elsewhere):
            return True
    return False


_WORTH_COMPARING = 4


def _is_prose(node: Node) -> bool:
    profile = node.source.profile
    inside = f"{node.parent.type}/{node.type}" if node.parent is not None else ""
    return node.type in profile.prose or node.type in profile.comments or inside in profile.prose


def _line_by_line(base: bytes, left: bytes, right: bytes) -> bytes | None:
    """Comments of which nobody added or took away lines, and no line was changed twice; else ``None``."""
    versions = [text.split(b"\n") for text in (base, left, right)]
    if len({len(lines) for lines in versions}) > 1:
        return None
    merged = [unequal(*lines) for lines in zip(*versions, strict=True)]
    settled = [line for line in merged if line is not None]
    return b"\n".join(settled) if len(settled) == len(merged) else None


def unequal(base: bytes, left: bytes, right: bytes) -> bytes | None:
    """What three texts become that don't differ in three ways; else ``None``."""
    if left in (right, base):
        return right
    return left if right == base else None
