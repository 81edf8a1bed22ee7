"""In which order the items of a merged list stand, and which of them are left."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from anvcs.linediff import sequence_hunks
from anvcs.merging.aligning import align, likeness, twins
from anvcs.merging.lines import on_side, touching
from anvcs.merging.moving import Gone, Moves
from anvcs.merging.profiles import Listing
from anvcs.merging.trees import Item, Node, Parts
from anvcs.model.merge import Reason


class Unsure(Exception):
    """Nothing can be said of this list as a list."""


class Version(NamedTuple):
    """One item of the merged list in the three inputs."""

    base: Item | None
    left: Item | None
    right: Item | None
    contested: bool = False
    """One side has deleted what the other has changed."""


class Clashing(NamedTuple):
    """A stretch of the list that each side wants differently."""

    base: Sequence[Item]
    left: Sequence[Item]
    right: Sequence[Item]
    reason: Reason


_MOST_CONTESTED = 200
_ALIKE = 0.4
"""Share of words in common from which two texts for people may be about the same."""
_ANYTHING = frozenset({b"all", b"@"})
_LARGEST_REGION = 4000
"""Items of a list that both sides rewrote, from which they aren't looked at one by one."""
Order = list[Version | Clashing]


def merged_order(base: Parts, left: Parts, right: Parts, listing: Listing | None, moves: Moves) -> Order:
    """The items of the merged list; raises `Unsure`.  What is gone is noted in *moves*."""
    return _Ordering(base.items, left.items, right.items, listing).order(moves)


class _Ordering:
    """Items as numbers: those of the base first, then what is new on the left, then on the right."""

    def __init__(
        self, base: Sequence[Item], left: Sequence[Item], right: Sequence[Item], listing: Listing | None
    ) -> None:
        self.base, self.sides = base, (left, right)
        self.mixes = [frozenset(groups.split()) for groups in listing.commutes] if listing else []
        self.leads = frozenset(listing.leads) if listing else frozenset()
        self.sorts = frozenset(listing.sorts) if listing else frozenset()
        self.unlike = frozenset(listing.unlike) if listing else frozenset()
        self.apart = listing.apart if listing else None
        self.kin = {word.encode(): kin for kin in (listing.kin if listing else ()) for word in kin.split()}
        self.where: tuple[dict[int, Item], dict[int, Item]] = ({}, {})
        matches = [align(base, left), align(base, right)]
        fresh = [[at for at, match in enumerate(found) if match is None] for found in matches]
        same = twins(left, right, fresh[0], fresh[1])
        self.orders: list[list[int]] = []
        for number, found in enumerate(matches):
            order: list[int] = []
            for at, match in enumerate(found):
                name = match if match is not None else self._new_name(number, at, same)
                order.append(name)
                self.where[number][name] = self.sides[number][at]
            self.orders.append(order)

    def _new_name(self, number: int, at: int, same: dict[int, int]) -> int:
        first = len(self.base)
        if number == 0:
            return first + at
        twin = same.get(at)
        return first + twin if twin is not None else first + len(self.sides[0]) + at

    def version(self, name: int) -> Version:
        base = self.base[name] if name < len(self.base) else None
        left, right = self.where[0].get(name), self.where[1].get(name)
        return Version(base, left, right, contested=base is not None and (left is None or right is None))

    def _group(self, name: int) -> str:
        item = self.where[0].get(name) or self.where[1].get(name) or self.base[name]
        return item.group

    def _may_move(self, names: set[int]) -> bool:
        groups = {self._group(name) for name in names}
        return any(groups <= mix for mix in self.mixes)

    def order(self, moves: Moves) -> Order:
        self._keep_contested(moves)
        out: Order = []
        seen: set[int] = set()
        for entry in self._regions():
            if isinstance(entry, Clashing):
                out.append(entry)
            elif entry in seen:
                # A second time only what both sides added, each somewhere else.
                if entry < len(self.base) or not self._may_move({entry}):
                    raise Unsure
            else:
                seen.add(entry)
                out.append(self.version(entry))
        return out

    def _keep_contested(self, moves: Moves) -> None:
        """What one side deleted stays where it was, for the time being, if the other has changed it."""
        for number in (0, 1):
            gone = [name for name in range(len(self.base)) if self._is_contested(name, number, moves)]
            if not gone:
                continue
            if len(gone) > _MOST_CONTESTED:
                raise Unsure
            self._refuse_replaced(number, gone)
            order = self.orders[number]
            for name in gone:
                before = next((other for other in range(name - 1, -1, -1) if other in order), None)
                order.insert(0 if before is None else order.index(before) + 1, name)

    def _is_contested(self, name: int, number: int, moves: Moves) -> bool:
        """Whether side *number* deleted what the other changed, and it was not followed elsewhere."""
        item, here, there = self.base[name], self.where[number], self.where[1 - number].get(name)
        if name in here or there is None or _says_the_same(item, there):
            return False
        base = item.core
        # What was changed beside it, such as a comment, would not come along.
        if isinstance(base, Node) and isinstance(there.core, Node) and _around(item) == _around(there):
            if base.start in moves.followed:
                return False
            moves.found.append(Gone(number, base, there.core))
        return True

    def _refuse_replaced(self, number: int, gone: Sequence[int]) -> None:
        """Where something else came in its place, all of it together is what has to be decided."""
        for a0, a1, b0, b1 in sequence_hunks(range(len(self.base)), self.orders[number]):
            if b0 < b1 and any(a0 <= name < a1 for name in gone):
                new = {name for name in self.orders[number][b0:b1] if name >= len(self.base)}
                if new and not self._may_move(new | {name for name in gone if a0 <= name < a1}):
                    raise Unsure

    def _regions(self) -> Iterator[int | Clashing]:
        base = range(len(self.base))
        left, right = self.orders
        ours, theirs = sequence_hunks(base, left), sequence_hunks(base, right)
        at = 0
        for start, stop, mine, others in touching(ours, theirs):
            yield from base[at:start]
            at = stop
            a, b = on_side(start, stop, ours, mine), on_side(start, stop, theirs, others)
            yield from self._region(list(base[start:stop]), left[a[0] : a[1]], right[b[0] : b[1]])
        yield from base[at:]

    def _region(self, base: list[int], left: list[int], right: list[int]) -> list[int | Clashing]:
        if right in (base, left):
            return [*left]
        if len(left) + len(right) > _LARGEST_REGION:
            raise Unsure
        if left == base:
            return [*right]
        if self._may_move((set(left) ^ set(base)) | (set(right) ^ set(base))):
            return [*self._woven(base, left, right)]
        if self._have_nothing_in_common(base, left, right):
            return [*self._woven(base, left, right)]
        head = _run(left, right)
        tail = _run(left[head:][::-1], right[head:][::-1])
        inner = left[head : len(left) - tail], right[head : len(right) - tail]
        ends = left[:head], left[len(left) - tail :]
        base = [name for name in base if name not in ends[0] and name not in ends[1]]
        if any(name < len(self.base) and name not in base for name in (*inner[0], *inner[1])):
            raise Unsure  # moved here from elsewhere
        return [*ends[0], self._clash(base, *inner), *ends[1]]

    def _have_nothing_in_common(self, base: list[int], left: list[int], right: list[int]) -> bool:
        """Whether both sides only added something, and neither what the other did."""
        new = [[name for name in side if name not in base] for side in (left, right)]
        if [name for name in left if name in base] != base or [name for name in right if name in base] != base:
            return False
        if set(new[0]) & set(new[1]):
            return False
        if self.apart is not None:
            ours, theirs = ([self._sets(name) for name in side] for side in new)
            return all((*ours, *theirs)) and not set().union(*ours) & set().union(*theirs)
        if not self.unlike or any(self._group(name) not in self.unlike for side in new for name in side):
            return False
        return all(likeness(self._text(one), self._text(other)) < _ALIKE for one in new[0] for other in new[1])

    def _sets(self, name: int) -> set[bytes | str]:
        """What an item sets, where it is said how to see that; nothing if it may set anything."""
        found = {word.lower() for word in self.apart.findall(self._text(name))} if self.apart is not None else set()
        return set() if _ANYTHING & found else {self.kin.get(word, word) for word in found}

    def _clash(self, base: Sequence[int], left: Sequence[int], right: Sequence[int]) -> Clashing:
        if any(name not in here for here, names in zip(self.where, (left, right), strict=True) for name in names):
            raise Unsure  # contested, and in the middle of what is
        return Clashing(
            [self.base[name] for name in base],
            [self.where[0][name] for name in left],
            [self.where[1][name] for name in right],
            Reason.BOTH_CHANGED if base else Reason.BOTH_ADDED,
        )

    def _woven(self, base: list[int], left: list[int], right: list[int]) -> list[int]:
        """Left's order with right's new ones after what they follow there, and without what right took away."""
        gone = set(base) - set(right)
        common = [name for name in left if name in set(right)]
        if common != [name for name in right if name in set(left)]:
            raise Unsure
        out = [name for name in left if name not in gone]
        at = 0
        for name in right:
            if name in out:
                at = out.index(name) + 1
            elif name not in base:
                first = at
                while at < len(out) and self._goes_before(out[at], name, right):
                    at += 1
                at = self._by_alphabet(name, out[first:at], first) if at > first else at
                out.insert(at, name)
                at += 1
        return out

    def _by_alphabet(self, name: int, there: list[int], first: int) -> int:
        """Where a new one goes among those that left added: at their end, but for lists in order."""
        end = first + len(there)
        if self._group(name) not in self.sorts:
            return end
        for order in (_as_it_is, bytes.lower):
            if self._is_sorted(0, there, order) and self._is_sorted(1, [name], order):
                mine = order(self._text(name))
                return first + sum(order(self._text(other)) <= mine for other in there)
        return end

    def _text(self, name: int) -> bytes:
        return (self.where[0].get(name) or self.where[1].get(name) or self.base[name]).core.text

    def _is_sorted(self, number: int, names: list[int], order: Callable[[bytes], bytes]) -> bool:
        """Whether new items of one side stand in order among their neighbours of the same group there."""
        whole = self.orders[number]
        start, stop = whole.index(names[0]), whole.index(names[-1]) + 1
        around = whole[max(start - 1, 0) : stop + 1]
        alike = [name for name in around if self._group(name) == self._group(names[0])]
        texts = [order(self._text(name)) for name in alike]
        return len(alike) > len(names) and texts == sorted(texts)

    def _goes_before(self, there: int, name: int, right: list[int]) -> bool:
        """Whether what left added in this place stays before what right added."""
        if there < len(self.base) or there in right:
            return False
        return self._group(name) not in self.leads or self._group(there) in self.leads


def _as_it_is(text: bytes) -> bytes:
    return text


def _says_the_same(one: Item, other: Item) -> bool:
    """Whether two versions of an item differ in white space around it at most, and not in a comment."""
    return one.core.text == other.core.text and _around(one) == _around(other)


def _around(item: Item) -> tuple[bytes, bytes]:
    """The comments and the like that belong to an item."""
    return item.lead.strip(), item.tail.strip()


def _run(one: Sequence[int], other: Sequence[int]) -> int:
    """How many are the same at the beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
