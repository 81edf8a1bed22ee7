"""Whether a merged file can be parsed, asked only where the merge could have broken it."""

from collections.abc import Sequence

from anvcs.linediff import line_hunks
from anvcs.merging.lines import Hunks, line_merge
from anvcs.merging.names import python_error
from anvcs.merging.parsing import broken_line
from anvcs.merging.pieces import is_clean, text_of
from anvcs.merging.profiles import profile_for
from anvcs.merging.segments import well_formed_segments


def broken_by_merging(
    path: bytes, merged: bytes, base: bytes, sides: Sequence[bytes], hunks: Hunks = line_hunks
) -> int:
    """The first line at which *merged* can't be parsed, and each of *sides* can; 0: none, or nobody knows."""
    if len(sides) == len(("left", "right")) and _is_fine(path, merged, (base, sides[0], sides[1]), hunks):
        return 0
    line = broken(path, merged)
    return line if line and not any(broken(path, side) for side in sides) else 0


def broken(path: bytes, text: bytes) -> int:
    """The first line that can't be parsed; 0: all can, or nobody knows."""
    # tree-sitter lets things pass that Python doesn't.
    return python_error(text) if path.endswith(b".py") else broken_line(path, text) or 0


def _is_fine(path: bytes, merged: bytes, texts: tuple[bytes, bytes, bytes], hunks: Hunks) -> bool:
    """Whether the parts that were changed tell that *merged* can be parsed where both sides can."""
    profile = profile_for(path)
    if profile is None or profile.begins is None or profile.language() is None:
        return False
    segments = well_formed_segments(merged, None, profile)
    if segments is None and all(text.endswith(b"\n") for text in (merged, *texts)):
        lines = line_merge(*texts, hunks)
        pieces = lines.pieces()
        if is_clean(pieces) and text_of(pieces) == merged:
            segments = well_formed_segments(merged, lines, profile)
    if segments is None:
        return False
    # What only one side has changed is as good as it was there.
    mixed = (one.text for one in segments if one.by_left and one.by_right)
    return profile.standard != "python" or not any(python_error(text) for text in mixed)
