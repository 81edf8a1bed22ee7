"""White space, commas and line ends around the items of a merged list."""

from collections.abc import Sequence

from anvcs.merging.indenting import kept_lines, reindented
from anvcs.merging.ordering import Clashing, Version
from anvcs.merging.profiles import Listing
from anvcs.merging.trees import Item, Parts


class _Style:
    """What stands before and after the items of one version of a list."""

    def __init__(self, parts: Parts) -> None:
        self.places = {id(item): at for at, item in enumerate(parts.items)}
        self.count = len(parts.items)
        self.prefix = parts.prefix
        self.items = items = parts.items
        self.first_lead = items[0].lead if items else None
        self.lead = next((item.lead for item in reversed(items[1:]) if not item.lead.strip()), None)
        self.last_tail = items[-1].tail if items else None
        self.tail = next((item.tail for item in reversed(items[:-1]) if not item.tail.strip()), None)
        self.core_lines = any(item.core.text.endswith(b"\n") for item in items)
        self.comma_at_end = bool(items and items[-1].separator)

    @property
    def on_lines(self) -> bool:
        """Whether items stand on lines of their own."""
        return self.core_lines or any(
            b"\n" in (text or b"") for text in (self.first_lead, self.lead, self.tail, self.last_tail)
        )

    def indent(self) -> bytes | None:
        """The white space before the last item that is the first on its line; ``None`` if there is none."""
        found: bytes | None = None
        begins = not self.prefix or self.prefix.endswith(b"\n")
        for item in self.items:
            if begins or b"\n" in item.lead:
                found = item.lead[item.lead.rfind(b"\n") + 1 :]
            begins = (item.core.text + item.tail).endswith(b"\n")
        return found


class Setting:
    """How the items of one merged list are set."""

    def __init__(self, base: Parts, left: Parts, right: Parts, listing: Listing | None) -> None:
        self._styles = [_Style(parts) for parts in (base, left, right)]
        self._commas = listing is not None and listing.style == "comma"
        self._target = _target(*self._styles)
        known = [style for style in self._styles if style.count]
        self._comma_at_end = (
            _decided([style.comma_at_end for style in self._styles])
            if len(known) == len(self._styles)
            else any(style.comma_at_end for style in self._styles[1:])
        )
        verbatim = base.node.source.profile.verbatim
        self._verbatim = frozenset(verbatim)

    def is_mixed(self) -> bool:
        """Whether items stand on lines of their own on one side, and not on the other."""
        return self._styles[1].on_lines != self._styles[2].on_lines

    # --- an item by its parts

    def leads(self, version: Version, is_first: bool) -> tuple[bytes, bytes, bytes]:
        """What stands before an item, on each side, as if it stood in its new place there."""
        found = [self._lead(side, item, is_first) for side, item in enumerate(version[:3])]
        side = _only(version)
        if side is not None:
            found[side] = self._fitted_lead(side, found[side], is_first)
        return _alone(version, found)

    def _later_lead(self, style: _Style, item: Item) -> bytes:
        """What stands before the first item of a list where it is no longer the first."""
        if self._commas:
            return style.lead if style.lead is not None else item.lead or b" "
        alike = (other.lead for other in style.items[1:] if other.core.type == item.core.type)
        return next((lead for lead in alike if not lead.strip()), item.lead)

    def _fitted_lead(self, side: int, lead: bytes, is_first: bool) -> bytes:
        """What stands before a new item, in the style of the merged list."""
        own, target = self._styles[side], self._target
        if self._is_unlike(side):
            fitting = target.first_lead if is_first or target.lead is None else target.lead
            return lead if lead.strip() or fitting is None or fitting.strip() else fitting
        old, new = own.indent(), target.indent()
        if not own.on_lines or old is None or new is None or old == new:
            return lead
        comments, newline, indent = (b"\n" + lead).rpartition(b"\n")
        if indent.startswith(old):
            indent = new + indent[len(old) :]
        return (reindented(comments, old, new) + newline + indent)[1:]

    def _lead(self, side: int, item: Item | None, is_first: bool) -> bytes:
        if item is None:
            return b""
        style = self._styles[side]
        lead = item.lead
        if not lead.strip():
            was_first = style.places[id(item)] == 0
            if was_first and not is_first:
                lead = self._later_lead(style, item)
            elif is_first and not was_first and style.first_lead is not None and not style.first_lead.strip():
                lead = style.first_lead
        return lead

    def _is_unlike(self, side: int) -> bool:
        """Whether the merged list is set in another way than that of *side*, or than one item alone tells."""
        own, target = self._styles[side], self._target
        return target.count > 0 and (own.on_lines != target.on_lines or (own.count == 1 and own is not target))

    def separators(self, version: Version, is_last: bool) -> tuple[bytes, bytes, bytes]:
        """What stands between an item and its tail on each side."""
        return _alone(version, [self._separator(item, is_last) for item in version[:3]])

    def _separator(self, item: Item | None, is_last: bool) -> bytes:
        if item is None:
            return b""
        if not self._commas:
            return item.gap + item.separator
        if is_last and not self._comma_at_end:
            return b""
        return item.gap + b","

    def tails(self, version: Version, is_last: bool) -> tuple[bytes, bytes, bytes]:
        """The rest of an item's last line, on each side as if it stood in its new place there."""
        found = [self._tail(side, item, is_last) for side, item in enumerate(version[:3])]
        side = _only(version)
        if side is not None and self._is_unlike(side):
            fitting = self._target.last_tail if is_last or self._target.tail is None else self._target.tail
            if fitting is not None and not fitting.strip() and not found[side].strip():
                found[side] = fitting
        return _alone(version, found)

    def _end(self, side: int, item: Item | None, is_last: bool) -> bytes:
        return self._separator(item, is_last) + self._tail(side, item, is_last)

    def _tail(self, side: int, item: Item | None, is_last: bool) -> bytes:
        if item is None:
            return b""
        style = self._styles[side]
        was_last = style.places[id(item)] == style.count - 1
        tail = item.tail
        if was_last and not is_last:
            wanted = style.tail
            if wanted is not None and not tail.strip():
                return wanted
            if wanted is not None and wanted.endswith(b"\n") and not tail.endswith(b"\n"):
                return tail + b"\n"
        elif (
            is_last
            and not was_last
            and not tail.strip()
            and style.last_tail is not None
            and not style.last_tail.strip()
        ):
            return style.last_tail
        return tail

    def new_core(self, left: Item | None, right: Item | None) -> bytes:
        """The text of what one side added."""
        item = left if left is not None else right
        assert item is not None
        own, target = self._styles[1 if left is not None else 2], self._target
        old, new = own.indent(), target.indent()
        text = item.core.text
        if not own.on_lines or not target.on_lines or old is None or new is None or old == new or b"\n" not in text:
            return text
        return reindented(text, old, new, kept_lines(item.core))

    # --- items as a whole

    def version_texts(self, version: Version, *, is_last: bool) -> tuple[bytes, bytes, bytes]:
        """The whole item on each side."""
        base, left, right = (
            b"" if item is None else item.lead + item.core.text + self._end(side, item, is_last)
            for side, item in enumerate(version[:3])
        )
        return base, left, right

    def clash_texts(self, clash: Clashing, *, is_last: bool) -> tuple[bytes, bytes, bytes]:
        """The whole stretch on each side."""
        base, left, right = (
            b"".join(
                item.lead + item.core.text + self._end(side, item, is_last and at == len(items) - 1)
                for at, item in enumerate(items)
            )
            for side, items in enumerate(clash[:3])
        )
        return base, left, right


def _target(base: _Style, left: _Style, right: _Style) -> _Style:
    """The style that the merged list has: the changed one."""
    for side, other in ((left, right), (right, left)):
        if side.count and base.count and side.on_lines != base.on_lines:
            return side
        if side.count and not base.count and side.on_lines and not other.on_lines:
            return side
    for side in (left, right):
        if side.on_lines and base.on_lines and side.indent() != base.indent():
            return side
    return left if left.lead is not None or right.lead is None else right


def _only(version: Version) -> int | None:
    """The side that has an item which nobody else has."""
    if version.base is not None or (version.left is not None and version.right is not None):
        return None
    return 1 if version.left is not None else 2


def _alone(version: Version, found: Sequence[bytes]) -> tuple[bytes, bytes, bytes]:
    """Three texts that merge to the one of the only side that has the item."""
    base, left, right = found
    if version.left is None:
        return right, right, right
    if version.right is None:
        return left, left, left
    return (right if version.base is None else base), left, right


def _decided(flags: Sequence[bool]) -> bool:
    base, left, right = flags
    return right if left == base else left
