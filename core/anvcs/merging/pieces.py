"""What a merge is made of until the end: text that is settled, and clashes.

A clash may begin in the middle of a line; `whole_lines` gives it the rest of that line on
every side, because conflict markers stand on lines of their own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from anvcs.linediff import split_lines
from anvcs.model.merge import Place, Reason


@dataclass(frozen=True, slots=True)
class Clash:
    """A part of the text that each side wants differently."""

    base: bytes
    left: bytes
    right: bytes
    reason: Reason = Reason.BOTH_CHANGED
    entity: str = ""
    detail: str = ""
    related: tuple[Place, ...] = ()

    @property
    def firm(self) -> bool:
        """Whether a merge of lines that is clean here would be wrong."""
        return self.reason is not Reason.BOTH_CHANGED


Piece = bytes | Clash


def is_clean(pieces: Iterable[Piece]) -> bool:
    """Whether *pieces* are text only."""
    return not any(isinstance(piece, Clash) for piece in pieces)


def text_of(pieces: Iterable[Piece], side: str = "left") -> bytes:
    """The text, with one side of each clash: ``left``, ``right`` or ``base``."""
    return b"".join(piece if isinstance(piece, bytes) else getattr(piece, side) for piece in pieces)


def size_of(pieces: Iterable[Piece]) -> tuple[int, int]:
    """How much is left to decide: lines in clashes, then clashes."""
    clashes = [piece for piece in pieces if isinstance(piece, Clash)]
    return sum(_lines(each.left) + _lines(each.right) for each in clashes), len(clashes)


def _lines(text: bytes) -> int:
    return text.count(b"\n") + (not text.endswith(b"\n") and bool(text))


def whole_lines(pieces: Sequence[Piece], *, keep_common: bool = False) -> list[Piece]:
    """The same with every clash grown to whole lines, and without the lines that its sides share at its ends.

    With *keep_common* only those go that the base shares, too, as in Git's ``diff3`` style.
    """
    out: list[Piece] = []
    plain: list[bytes] = []
    clash: Clash | None = None
    for piece in pieces:
        if isinstance(piece, Clash):
            if clash is None:
                settled, begun = _cut_after_newline(b"".join(plain))
                out.append(settled)
                plain = []
                clash = _wrapped(begun, piece)
            else:
                clash = _joined(clash, piece)
        elif clash is None:
            plain.append(piece)
        else:
            clash, rest = _continued(clash, piece)
            plain.append(rest)
        if clash is not None and _ends_at_line(clash):
            out += _trimmed(clash, keep_common)
            clash = None
    if clash is not None:
        out += _trimmed(clash, keep_common)
    return _compact([*out, *plain])


def _cut_after_newline(text: bytes) -> tuple[bytes, bytes]:
    at = text.rfind(b"\n") + 1
    return text[:at], text[at:]


def _wrapped(begun: bytes, clash: Clash) -> Clash:
    return replace(clash, base=begun + clash.base, left=begun + clash.left, right=begun + clash.right)


def _joined(first: Clash, then: Clash) -> Clash:
    return replace(
        first,
        base=first.base + then.base,
        left=first.left + then.left,
        right=first.right + then.right,
        reason=then.reason if then.firm else first.reason,
        detail=first.detail or then.detail,
        related=first.related + then.related,
    )


def _continued(clash: Clash, text: bytes) -> tuple[Clash, bytes]:
    """*clash* with as much of *text* as ends its line, and the rest."""
    at = text.find(b"\n") + 1 or len(text)
    more = text[:at]
    return replace(clash, base=clash.base + more, left=clash.left + more, right=clash.right + more), text[at:]


def _ends_at_line(clash: Clash) -> bool:
    return all(not side or side.endswith(b"\n") for side in (clash.base, clash.left, clash.right))


def _trimmed(clash: Clash, keep_common: bool) -> list[Piece]:
    """*clash* without whole lines that both sides have at its ends, which are settled."""
    if clash.left == clash.right:
        return [clash.left]
    base, left, right = (split_lines(side) for side in (clash.base, clash.left, clash.right))
    shortest = min(len(left), len(right))
    head = _run(left, right, shortest)
    tail = _run(left[::-1], right[::-1], shortest - head)
    if keep_common:
        head = _run(base, left, min(len(base), head))
        tail = _run(base[::-1], left[::-1], min(len(base) - head, tail))
    in_base = _run(base, left, min(len(base), head))
    at_end = _run(base[::-1], left[::-1], min(len(base) - in_base, tail))
    inner = replace(
        clash,
        base=b"".join(base[in_base : len(base) - at_end]),
        left=b"".join(left[head : len(left) - tail]),
        right=b"".join(right[head : len(right) - tail]),
    )
    return [b"".join(left[:head]), inner, b"".join(left[len(left) - tail :])]


def _run(one: Sequence[bytes], other: Sequence[bytes], most: int) -> int:
    """How many lines are the same at the beginning."""
    return next((at for at in range(most) if one[at] != other[at]), most)


def _compact(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbouring texts as one."""
    out: list[Piece] = []
    for settled, run in groupby(pieces, key=lambda piece: isinstance(piece, bytes)):
        if not settled:
            out += run
        elif text := text_of(run):
            out.append(text)
    return out
