"""Merges that no longer parse though both sides did: found after the save, told as an op of its own.

A parser takes milliseconds, which no ``close(2)`` should wait for: `judge` may run in any
thread, and what it found is recorded unless the text has changed meanwhile.
"""

from anvcs.rooms.core import Core, Settings, Unchecked
from anvcs.rooms.draft import Draft


def judge(settings: Settings, merge: Unchecked) -> int | None:
    """The first line at which *merge* stopped parsing, 0 when all is well; ``None``: there is nothing to say.

    Uses nothing but its arguments, so any thread may call it.
    """
    broken = settings.broken
    if broken is None:
        return None
    line = broken(merge.path, merge.merged)
    if not line:
        return line
    if any(broken(merge.path, side) for side in {merge.now, merge.new} - {merge.merged}):
        return None  # it was broken before
    return line if merge.merged not in (merge.now, merge.new) else None


def note(core: Core, draft: Draft, merge: Unchecked, line: int) -> None:
    """Record what `judge` said of *merge*, if that is still what the file contains."""
    entry = core.state.by_id.get(merge.file)
    draft.kind, draft.file = "resolve" if line == 0 else "note", merge.file
    if entry is None or entry.path is None or entry.content_seq != merge.seq:
        return
    if line == 0:
        draft.resolved |= dict.fromkeys(core.conflicts.of(merge.file, "parse"))
    elif not core.conflicts.of(merge.file, "parse"):
        note = "each side parses, and both together don't"
        draft.conflict("parse", merge.file, entry.path, merge.sides, note, lines=(line, line))
