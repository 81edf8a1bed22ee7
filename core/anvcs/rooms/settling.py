"""How conflicts about a text end, and who had a part in them."""

from anvcs.model.conflict import Conflict, Side
from anvcs.model.ids import FileId, Seq
from anvcs.rooms.conflicts import ABOUT_TEXT
from anvcs.rooms.core import Core
from anvcs.rooms.draft import Draft
from anvcs.rooms.oplog import Op
from anvcs.rooms.threeway import changed_lines
from anvcs.rooms.versions import content_at, split_line_ends

_OPS_LOOKED_AT = 32


def settle(core: Core, draft: Draft, file: FileId, seen: bytes, new: bytes, base: Seq | None) -> None:
    """Resolve the open conflicts of *file* whose lines this save touches.

    *seen* is what its writer had read and *base* which version that was (``None``: the
    current): who had not seen the merged text can't have resolved anything.
    """
    for key in core.conflicts.of(file, "lines", "base-unsure", "merge"):
        if base is not None and base < key[0]:
            continue
        record = core.log.conflict(key)
        if record is None or not record.first_line:
            continue
        first, end = lines_in(core, record, seen)
        touched = first == end or any(
            (a0 < end and a1 > first) or (a0 == a1 and first < a0 < end)
            for a0, a1, _, _ in changed_lines(seen, new, core.settings.hunks)
        )
        if touched:
            draft.resolved[key] = None


def lines_in(core: Core, record: Conflict, text: bytes) -> tuple[int, int]:
    """Which lines of *text*, a later version, are those of *record*: first and end, from 0."""
    then = split_line_ends(content_at(core, record.file, record.seq, record.path).data).text
    first, end = record.first_line - 1, record.last_line
    shift_first = shift_end = 0
    for a0, a1, b0, b1 in changed_lines(then, text, core.settings.hunks):
        if a1 <= first:
            shift_first = b1 - a1
        if a0 <= first < a1:  # its first line is another now
            shift_first = b0 - first
        if a1 <= end:
            shift_end = b1 - a1
        elif a0 < end:
            shift_end = b1 - end
    low, high = first + shift_first, end + shift_end
    return low, max(low, high)


def lines_now(core: Core, record: Conflict) -> tuple[int, int]:
    """The lines of *record* in the current text, first and last from 1; zeros when they are gone."""
    entry = core.state.by_id.get(record.file)
    if not record.first_line or record.kind not in ABOUT_TEXT or entry is None or entry.path is None:
        return record.first_line, record.last_line
    if entry.content_seq == record.seq:
        return record.first_line, record.last_line
    first, end = lines_in(core, record, split_line_ends(core.read(entry)).text)
    return (first + 1, end) if end > first else (0, 0)


def who_wrote(core: Core, file: FileId, base: Seq | None, text: bytes) -> Side:
    """The agent whose op after *base* gave *file* the lines *text*; the last one when none did by itself."""
    ops = list(core.log.edits(file, base or Seq(0), core.seq))
    last: Op | None = ops[-1] if ops else None
    found = last
    if text and len({(op.agent, op.model) for op in ops}) > 1:
        for op in ops[-_OPS_LOOKED_AT:]:
            if text in split_line_ends(content_at(core, file, op.seq).data).text:
                found = op
                break
    return Side(agent="", text=text) if found is None else Side(agent=found.agent, model=found.model, text=text)
