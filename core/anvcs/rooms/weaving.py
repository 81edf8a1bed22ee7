"""A weave: everything that was ever in a text since some op, with who put it in and who took it out.

Replaying a file's ops into a weave tells for each byte the op that inserted it, and
keeps what was deleted in its place.  Blame and undo are two ways of reading one.
Prior art: SCCS, whose files are weaves on disk; here it is made when somebody asks.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from itertools import accumulate

from anvcs.model.ids import FileId, Seq
from anvcs.rooms.core import Core
from anvcs.rooms.diffing import Hunks, diff
from anvcs.rooms.documents import Document
from anvcs.rooms.oplog import Op
from anvcs.rooms.records import DocumentPart
from anvcs.rooms.versions import as_text, content_at, split_line_ends

NOBODY = Seq(0)
"""Inserted by no op of the weave: it was there before."""

_BLOCK = 64


class Piece:
    """A run of bytes with one fate."""

    __slots__ = ("before", "by", "gone", "text")

    def __init__(self, text: bytes, by: Seq, before: tuple[tuple[Seq, bool], ...] = ()) -> None:
        self.text = text
        self.by = by
        """The op that inserted it."""
        self.gone: Seq | None = None
        """The op that deleted it; ``None`` while it is shown."""
        self.before = before
        """Ops that deleted it (``False``) and undos that brought it back (``True``), before that."""

    def cut(self, at: int) -> "Piece":
        """Keep the first *at* bytes; the rest."""
        rest = Piece(self.text[at:], self.by, self.before)
        rest.gone = self.gone
        self.text = self.text[:at]
        return rest

    def come_back(self, by: Seq) -> None:
        """An undo, op *by*, shows it again."""
        if self.gone is not None:
            self.before = (*self.before, (self.gone, False), (by, True))
            self.gone = None

    def shown_without(self, undone: Collection[Seq]) -> bool:
        """Whether it would be shown if the ops *undone* had not been."""
        if self.by in undone:
            return False
        shown = self.gone is None or self.gone in undone
        if not shown or not self.before:
            return shown
        for seq, state in self.before:
            if seq not in undone:
                shown = state
        return shown


class Weave:
    """Pieces in the order of the text, in blocks so that an edit costs little."""

    def __init__(self, text: bytes, by: Seq = NOBODY) -> None:
        self._blocks: list[list[Piece]] = [[Piece(text, by)]] if text else [[]]
        self._shown = [len(text)]

    def pieces(self) -> Iterator[Piece]:
        """All pieces, deleted ones in their place."""
        for block in self._blocks:
            yield from block

    def text(self) -> bytes:
        """What is shown."""
        return b"".join(piece.text for piece in self.pieces() if piece.gone is None)

    def splice(self, at: int, removed: int, inserted: bytes, by: Seq) -> None:
        """Op *by* replaced *removed* bytes at *at* by *inserted*."""
        first, index = self._cut(at)
        number = first
        if inserted:
            self._blocks[number].insert(index, Piece(inserted, by))
            self._shown[number] += len(inserted)
            index += 1
        while removed:
            if index == len(self._blocks[number]):
                number, index = number + 1, 0
                continue
            removed -= self._take(number, index, removed, by)
            index += 1
        for grown in sorted({number, first}, reverse=True):  # the later first: it moves nothing
            self._split(grown)

    def become(self, text: bytes, by: Seq, hunks: Hunks) -> None:
        """The text is *text* now, because of op *by*."""
        shift = 0
        for start, stop, inserted in diff(self.text(), text, hunks).splices:
            self.splice(start + shift, stop - start, inserted, by)
            shift += len(inserted) - (stop - start)

    def bring_back(self, at: int, text: bytes, by: Seq) -> None:
        """The undo *by* inserted *text* at *at*: what was deleted there and reads so is back."""
        number, index = self._cut(at)
        run = self._gone_run(number, index, text)
        if not run:
            self.splice(at, 0, text, by)
        for home, piece in run:
            piece.come_back(by)
            self._shown[home] += len(piece.text)

    def _gone_run(self, number: int, index: int, text: bytes) -> list[tuple[int, Piece]]:
        """Neighbouring deleted pieces from there on that together read *text*."""
        gap: list[tuple[int, Piece]] = []
        while number < len(self._blocks):
            for piece in self._blocks[number][index:]:
                if piece.gone is None:
                    break
                gap.append((number, piece))
            else:
                number, index = number + 1, 0
                continue
            break
        for first in range(len(gap)):
            left, last = text, first
            while last < len(gap) and left and left.startswith(gap[last][1].text):
                left, last = left[len(gap[last][1].text) :], last + 1
            if not left:
                return gap[first:last]
        return []

    def _take(self, number: int, index: int, most: int, by: Seq) -> int:
        """Delete up to *most* bytes of a piece; how many it were."""
        block = self._blocks[number]
        piece = block[index]
        if piece.gone is not None:
            return 0
        if len(piece.text) > most:
            block.insert(index + 1, piece.cut(most))
        piece.gone = by
        self._shown[number] -= len(piece.text)
        return len(piece.text)

    def _cut(self, at: int) -> tuple[int, int]:
        """The place of offset *at*: block and index, with no piece across it."""
        ends = list(accumulate(self._shown))
        # The end of a block rather than the start of the next: what is deleted comes after.
        number = min(bisect_right(ends, at - 1), len(ends) - 1) if at else 0
        left = at - (ends[number - 1] if number else 0)
        block = self._blocks[number]
        index = 0
        while left:
            piece = block[index]
            if piece.gone is None:
                if len(piece.text) > left:
                    block.insert(index + 1, piece.cut(left))
                left -= len(piece.text)
            index += 1
        return number, index

    def _split(self, number: int) -> None:
        block = self._blocks[number]
        if len(block) > 2 * _BLOCK:
            parts = [block[first : first + _BLOCK] for first in range(0, len(block), _BLOCK)]
            self._blocks[number : number + 1] = parts
            self._shown[number : number + 1] = [_shown(part) for part in parts]


def _shown(block: list[Piece]) -> int:
    return sum(len(piece.text) for piece in block if piece.gone is None)


class NotText(Exception):
    """One of the versions is opaque: there is no weave."""


class Weaver:
    """Replays the ops of one file, in order, into a weave."""

    def __init__(
        self,
        core: Core,
        file: FileId,
        start: Seq,
        path: bytes | None,
        *,
        empty: bool = False,
        lenient: bool = False,
    ) -> None:
        """Start right after op *start*, with no text where it is *empty*; if *lenient*, opaque is empty too."""
        self._core = core
        self._lenient = lenient
        self._file = file
        self._hunks = core.settings.hunks
        version = core.docs.after(file, start)
        self._document = Document() if version is None else version.document
        self.weave = Weave(b"" if empty else self._readable(content_at(core, file, start, path).data))
        self.seq = start
        self.ops: dict[Seq, Op] = {}
        """Ops that changed the text."""

    def take_all(self, until: Seq, each: Callable[[Op], None] | None = None) -> Weave:
        """Replay up to op *until*; raises `NotText`."""
        for op in self._core.log.edits(self._file, self.seq, until):
            self.take(op)
            if each is not None:
                each(op)
        self.seq = until
        return self.weave

    def take(self, op: Op) -> None:
        """Replay one op that changed the file's bytes."""
        self.ops[op.seq] = op
        part = next((part for part in op.payload.docs if part.id == self._file), None)
        if part is None:
            self._whole(op)
        else:
            self._edit(op, part)

    def _edit(self, op: Op, part: DocumentPart) -> None:
        if part.fresh:
            self._document = Document()
        self._document.apply_told(part.prelude)
        if part.fresh or part.prelude:
            # A document that starts and gets no edit is the op's own text.
            by = op.seq if part.fresh and not part.updates else NOBODY
            self.weave.become(self._document.text(), by, self._hunks)
        for at, removed, inserted in self._document.apply_told(part.updates):
            if op.takes_back and inserted:
                self.weave.bring_back(at, inserted, op.seq)
            else:
                self.weave.splice(at, removed, inserted, op.seq)

    def _whole(self, op: Op) -> None:
        for entry in op.payload.puts:
            if entry.id == self._file and entry.path is not None:
                data = content_at(self._core, self._file, op.seq).data
                self.weave.become(self._readable(data), op.seq, self._hunks)

    def _readable(self, data: bytes) -> bytes:
        if as_text(data, self._core.settings.text_limit) is None:
            if self._lenient:
                return b""
            raise NotText
        return split_line_ends(data).text
