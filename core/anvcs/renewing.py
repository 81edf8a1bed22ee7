"""A waiting merge whose target has moved so that what was decided doesn't fit any more: made anew, with the decisions.

What was decided is the difference between the marked files and the decided ones.  It is merged into the new
marked files by lines: where the same conflict is there again, its decision is, too.  Where it isn't, the
conflict is open again, and what was decided before stays in the proposal, to be looked at.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from anvcs.deciding import OPENING, marked_blocks
from anvcs.git.objects import ObjectStore
from anvcs.merging.merge import Options
from anvcs.merging.strategies import decided as decided_for
from anvcs.merging.strategies import strategy
from anvcs.model.ids import Oid
from anvcs.model.stream_merge import Dispute, FileResult, Merged
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf, TreeChange
from anvcs.proposals import Proposal

_FILES = (REGULAR, EXECUTABLE)


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new merge with the decisions of an earlier one."""

    merged: Merged
    again: tuple[bytes, ...]
    """Files of which something that was decided is open again."""


def with_decisions(objects: ObjectStore, earlier: Proposal, decided: Oid, fresh: Merged) -> Renewed:
    """*fresh*, the merge as it is now, with what leads from the tree of *earlier* to the tree *decided*."""
    changes: dict[bytes, Leaf | None] = {}
    clashing: set[bytes] = set()
    known = {(one.path, one.stages) for one in earlier.disputes if one.lines == (0, 0)}
    whole = [one for one in fresh.disputes if one.lines == (0, 0) and (one.path, one.stages) not in known]
    undecided = {path for one in whole for path in (one.path, one.beside)}
    for change in objects.diff(earlier.tree, decided):
        if change.path in undecided:
            continue
        found = objects.find(fresh.tree, change.path)
        now = None if found is None else Leaf(found.mode, found.oid)
        if now in (change.old, change.new):
            changes[change.path] = change.new
            continue
        text, fits = _merged(objects, change, now)
        if text is not None and now is not None:
            changes[change.path] = Leaf(now.mode, objects.write_blob(text))
        if not fits:
            clashing.add(change.path)
    tree = objects.write_tree(fresh.tree, changes) if changes else fresh.tree
    files = tuple(_still_open(objects, file, undecided, tree) for file in fresh.files)
    leaves = {one.path: one.new for one in objects.diff(objects.tree_of(fresh.ours), tree)}
    again = {dispute.path for file in files for dispute in file.disputes} & {one.path for one in earlier.disputes}
    return Renewed(replace(fresh, tree=tree, files=files, leaves=leaves), tuple(sorted(again | clashing)))


def _merged(objects: ObjectStore, change: TreeChange, now: Leaf | None) -> tuple[bytes | None, bool]:
    """The new file with the decisions that fit, and whether all do; no text where nobody can look into it."""
    sides = change.old, now, change.new
    if any(side is None or side.mode not in _FILES for side in sides):
        return None, False
    blocks: dict[bytes, bytes] = {}
    base, fresh, chosen = (_folded(objects.blob(side.oid), blocks) for side in sides if side is not None)
    result = strategy("line")(base, fresh, chosen, change.path, Options())
    lines = decided_for(result, "ours").content.splitlines(keepends=True)
    return b"".join(blocks.get(line, line) for line in lines), result.clean


def _folded(text: bytes, blocks: dict[bytes, bytes]) -> bytes:
    """*text* with each marked block as one line, so that it is decided as a whole or not at all."""
    lines = text.splitlines(keepends=True)
    for first, last in reversed([*marked_blocks(lines)]):
        block = b"".join(lines[first:last])
        line = b"%s%s\n" % (OPENING, hashlib.sha256(block).hexdigest().encode())
        blocks[line] = block
        lines[first:last] = [line]
    return b"".join(lines)


def _still_open(objects: ObjectStore, file: FileResult, undecided: Collection[bytes], tree: Oid) -> FileResult:
    """*file* with those of its conflicts that nobody has decided."""
    if not file.disputes:
        return file
    found = objects.find(tree, file.path)
    lines = objects.blob(found.oid).splitlines(keepends=True) if found is not None and found.mode in _FILES else []
    left = [*_open_blocks(lines, [one for one in file.disputes if one.lines != (0, 0)])]
    left += [one for one in file.disputes if one.lines == (0, 0) and one.path in undecided]
    return replace(file, disputes=tuple(left), how=file.how if left else "manual", checked=None)


def _open_blocks(lines: Sequence[bytes], disputes: Sequence[Dispute]) -> list[Dispute]:
    """Which of *disputes*, in their order, have their marked block in *lines*, and where it is now."""
    found: list[Dispute] = []
    at = 0
    for one in disputes:
        size = one.lines[1] - one.lines[0]
        for first in range(at, len(lines) - size):
            block = lines[first : first + size + 1]
            if block[0].startswith(OPENING) and _says(block, one):
                found.append(replace(one, lines=(first + 1, first + size + 1)))
                at = first + size + 1
                break
    return found


def _says(block: Sequence[bytes], one: Dispute) -> bool:
    text = b"".join(block[1:])
    return text.startswith(one.ours) and one.theirs in text
