"""Why a merge is as it is: for each changed stretch of a file, whose it is."""

from typing import Any

from anvcs.git.objects import ObjectStore
from anvcs.linediff import line_hunks, split_lines
from anvcs.merging.semantic import entity_lines
from anvcs.model.merge import How
from anvcs.model.stream_merge import Dispute, FileResult, Merged
from anvcs.model.tree import Leaf


def explained(objects: ObjectStore, merged: Merged) -> list[dict[str, Any]]:
    """Each file that is not simply one side's, with a decision for each block of lines."""
    return [
        {
            "path": file.path.decode("utf-8", "backslashreplace"),
            "how": file.how,
            "blocks": _blocks(objects, merged, file),
            "notes": [*file.notes, *(one.sentence for one in file.disputes if one.lines == (0, 0))],
        }
        for file in merged.files
        if file.how != How.IDENTICAL or file.disputes
    ]


def _blocks(objects: ObjectStore, merged: Merged, file: FileResult) -> list[dict[str, Any]]:
    found = objects.find(merged.tree, file.path)
    if file.stages is None or found is None:
        return []
    text = objects.blob(found.oid)
    base, ours, theirs = (_blob(objects, one) for one in (file.stages.base, file.stages.ours, file.stages.theirs))
    by_ours, by_theirs = _Side(base, ours), _Side(base, theirs)
    lines, entities = split_lines(text), entity_lines(file.path, text)
    blocks: list[dict[str, Any]] = []
    told: list[Dispute] = []
    for a0, a1, b0, b1 in line_hunks(base, text):
        decision = _decision((a0, a1), lines[b0:b1], by_ours, by_theirs, moved=file.moved)
        dispute = next((one for one in file.disputes if _meets(one, b0 + 1, b1)), None)
        if dispute is not None and dispute in told:
            continue  # several of its lines look like the base's
        told += [dispute] if dispute is not None else []
        blocks.append(
            {
                "lines": [b0 + 1, b1] if dispute is None else list(dispute.lines),
                "entity": dispute.entity if dispute is not None else entities(b0 + 1),
                "decision": f"conflict: {dispute.reason}" if dispute is not None else decision,
            }
        )
    return blocks


class _Side:
    """What one side did to the lines of the base."""

    def __init__(self, base: bytes, text: bytes) -> None:
        self._lines = split_lines(text)
        self._hunks = line_hunks(base, text)

    def at(self, first: int, end: int) -> list[bytes] | None:
        """The new lines of the hunks that touch the base's lines from *first* to *end*; ``None``: untouched."""
        touching = [hunk for hunk in self._hunks if hunk[0] <= end and hunk[1] >= first]
        if not touching:
            return None
        return [line for _, _, b0, b1 in touching for line in self._lines[b0:b1]]


def _decision(where: tuple[int, int], lines: list[bytes], ours: _Side, theirs: _Side, *, moved: bool) -> str:
    left, right = ours.at(*where), theirs.at(*where)
    if moved and (left is None or right is None) and lines not in (left, right):
        return "both: what one side moved here, with what the other changed"
    if moved and left != right and lines in (left, right):
        side = "ours" if lines == left else "theirs"
        return f"{side}, which moved to another file what the other changed" if None not in (left, right) else side
    if left == right and left is not None:
        return "both sides have made the same change"
    if left is None:
        return "theirs"
    if right is None:
        return "ours"
    if lines == left:
        return "ours, which has what theirs changed there"
    return "theirs, which has what ours changed there" if lines == right else "both: the changes were combined"


def _meets(dispute: Dispute, first: int, last: int) -> bool:
    return dispute.lines != (0, 0) and dispute.lines[0] <= last and dispute.lines[1] >= first


def _blob(objects: ObjectStore, leaf: Leaf | None) -> bytes:
    return b"" if leaf is None else objects.blob(leaf.oid)
