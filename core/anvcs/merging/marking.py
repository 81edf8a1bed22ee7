"""The merged text with conflict markers, and the conflicts with their lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anvcs.merging.pieces import Clash, Piece
from anvcs.model.merge import Conflict, How, MergeResult


@dataclass(frozen=True, slots=True)
class Marking:
    """What conflict markers look like."""

    size: int = 7
    style: str = "merge"
    """``merge``, ``diff3`` or ``zdiff3``, as Git's ``merge.conflictStyle``."""
    left: str = "left"
    base: str = "base"
    right: str = "right"


PLAIN = Marking()
"""As Git's, with the sides' names."""


def finished(
    pieces: Sequence[Piece], how: How, marking: Marking, notes: Sequence[str], *, drop_last_newline: bool
) -> MergeResult:
    """*pieces*, whose clashes are whole lines, as a result."""
    newline = _newline(pieces)
    out: list[bytes] = []
    conflicts: list[Conflict] = []
    line = 1
    for piece in pieces:
        text = piece if isinstance(piece, bytes) else b"".join(_marked(piece, marking, newline))
        count = text.count(b"\n")
        if isinstance(piece, Clash):
            conflicts.append(
                Conflict(
                    piece.reason, line, line + count - 1, piece.base, piece.left, piece.right,
                    piece.entity, piece.detail, piece.related,
                )
            )  # fmt: skip
        out.append(text)
        line += count
    content = b"".join(out)
    if drop_last_newline and not (pieces and isinstance(pieces[-1], Clash)):
        content = content.removesuffix(b"\n").removesuffix(b"\r")
    return MergeResult(content, how, tuple(conflicts), tuple(notes))


def _newline(pieces: Sequence[Piece]) -> bytes:
    """How the text's lines end."""
    first = next((piece if isinstance(piece, bytes) else piece.left or piece.right for piece in pieces), b"")
    return b"\r\n" if first.partition(b"\n")[0].endswith(b"\r") else b"\n"


def _marked(clash: Clash, marking: Marking, newline: bytes) -> Iterator[bytes]:
    where = f" {clash.entity}" if clash.entity else ""
    yield _marker("<", marking, f"{marking.left}{where}", newline)
    yield _ended(clash.left, newline)
    if marking.style != "merge":
        yield _marker("|", marking, marking.base, newline)
        yield _ended(clash.base, newline)
    yield _marker("=", marking, "", newline)
    yield _ended(clash.right, newline)
    yield _marker(">", marking, f"{marking.right}{where}", newline)


def _marker(sign: str, marking: Marking, label: str, newline: bytes) -> bytes:
    text = sign * marking.size + (f" {label}" if label else "")
    return text.encode("utf-8", "surrogateescape") + newline


def _ended(text: bytes, newline: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + newline
