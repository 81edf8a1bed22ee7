"""Which op wrote each line of a text, and which lines are the base's.

A line's writer is who inserted the newest text in it, or took some out of it.  All ops
that the log still has are read, so that lines keep their writers after a commit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from anvcs.linediff import sequence_hunks, split_lines
from anvcs.model.blame import LiveLine
from anvcs.model.ids import Oid, Seq, base_file_id
from anvcs.model.room import Content, Entry
from anvcs.model.tree import DIRECTORY, GITLINK, Leaf
from anvcs.rooms.core import Core, to_crlf
from anvcs.rooms.oplog import Op
from anvcs.rooms.records import BYTES_CHANGED
from anvcs.rooms.versions import as_text, content_at, split_line_ends
from anvcs.rooms.weaving import NOBODY, Piece, Weave, Weaver

_SAYS_NOTHING = ("base", "restore", "repair", "lost", "epoch", "prune")


def blame(core: Core, path: bytes, shown: Entry | None, base: Oid | None) -> list[LiveLine] | None:
    """The lines that a window shows at *path* where it has *shown* over *base*; ``None``: no text is there."""
    entry = _base_entry(core, path, base) if shown is None else shown
    if entry is None or entry.content not in (Content.TEXT, Content.GIT) or entry.mode == GITLINK:
        return None
    text = as_text(_data(core, entry), core.settings.text_limit)
    if text is None:
        return None
    weave, ops = _woven(core, entry, text.text)
    lines = [_line(line, ops) for line in _lines(list(weave.pieces()))]
    return _numbered(lines, _base_lines(core, entry, base), crlf=bool(text.crlf))


def _base_entry(core: Core, path: bytes, base: Oid | None) -> Entry | None:
    leaf = _leaf(core, path, base)
    if leaf is None:
        return None
    return core.entry_of_leaf(core.log.trace(path) or base_file_id(base, path), path, leaf)


def _leaf(core: Core, path: bytes | None, base: Oid | None) -> Leaf | None:
    found = None if path is None or base is None else core.base.tree.find(base, path)
    return None if found is None or found.mode in (DIRECTORY, GITLINK) else Leaf(found.mode, found.oid)


def _data(core: Core, entry: Entry) -> bytes:
    now = core.state.by_id.get(entry.id)
    if entry.content is Content.TEXT and (now is None or now.content_seq != entry.content_seq):
        return content_at(core, entry.id, entry.content_seq, entry.base_path).data  # of a window that stands still
    return core.read(entry)


def _woven(core: Core, entry: Entry, text: bytes) -> tuple[Weave, dict[Seq, Op]]:
    """*text*, told by all ops up to it that the log still has of the file."""
    touches = [seq for seq, flags in core.log.touches(entry.id) if flags & BYTES_CHANGED and seq <= entry.content_seq]
    if not touches:
        return Weave(text), {}
    weaver = Weaver(core, entry.id, Seq(touches[0] - 1), entry.base_path or entry.path, lenient=True)
    weave = weaver.take_all(entry.content_seq)
    weave.become(text, NOBODY, core.settings.hunks)  # the base may have moved since the last of them
    return weave, weaver.ops


def _base_lines(core: Core, entry: Entry, base: Oid | None) -> list[bytes]:
    leaf = _leaf(core, entry.base_path, base)
    if leaf is None or entry.base_path is None:
        return []
    return split_lines(split_line_ends(core.base.tree.show(leaf.oid, entry.base_path)).text)


def _lines(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces of each line, deleted ones that touch it included."""
    line: list[Piece] = []
    for piece in pieces:
        if piece.gone is not None:
            line.append(piece)
            continue
        rest = piece
        while True:
            end = rest.text.find(b"\n") + 1
            if not end or end == len(rest.text):
                line.append(rest)
                if end:
                    yield line
                    line = []
                break
            copy = Piece(rest.text, rest.by)
            rest = copy.cut(end)
            yield [*line, copy]
            line = []
    if any(piece.gone is None for piece in line):
        yield line


def _line(pieces: Sequence[Piece], ops: dict[Seq, Op]) -> LiveLine:
    text = b"".join(piece.text for piece in pieces if piece.gone is None)
    seqs = [piece.by for piece in pieces if piece.gone is None]
    # What was deleted inside a line changed it; whole lines that went beside it did not, nor did an undo.
    inside = [piece.gone for piece in pieces if piece.gone is not None and b"\n" not in piece.text]
    seqs += [seq for seq in inside if seq not in ops or not ops[seq].takes_back]
    return _told(text, ops.get(max(seqs, default=NOBODY)))


def _told(text: bytes, op: Op | None) -> LiveLine:
    if op is None or op.kind in _SAYS_NOTHING:
        return LiveLine(text=text, seq=None)
    return LiveLine(text=text, seq=op.seq, agent=op.agent, model=op.model, time_ns=op.time_ns)


def _numbered(lines: Sequence[LiveLine], base: Sequence[bytes], *, crlf: bool) -> list[LiveLine]:
    """*lines* with the numbers of the base's lines that they are, shown with *crlf*."""
    numbers = [0] * len(lines)
    at = line = 0
    for first, end, _, new_end in [
        *sequence_hunks(base, [one.text for one in lines]),
        (len(base), len(base), len(lines), len(lines)),
    ]:
        for offset in range(first - at):
            numbers[line + offset] = at + offset + 1
        at, line = end, new_end
    return [
        replace(one, base_line=number, text=to_crlf(one.text) if crlf else one.text)
        for one, number in zip(lines, numbers, strict=True)
    ]
