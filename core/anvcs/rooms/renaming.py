"""Files that a new base has under another name: what the room has changed in them goes along."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf, TreeChange
from anvcs.rooms.core import Core, is_dir

_BLOBS = (REGULAR, EXECUTABLE)
_ALIKE = 0.5
"""Of the bytes of the larger one that both have, in whole lines: as Git counts."""
_LARGEST = 1 << 20
_COMPARED = 100
"""So many new files are compared with one that went; those of its name and suffix first."""


def renamed_files(core: Core, changes: Sequence[TreeChange]) -> dict[bytes, TreeChange]:
    """Path of a file that the base loses and the room has changed → the new file of the base that it is now."""
    lost = [change for change in changes if change.new is None and _is_edited(core, change)]
    if not lost:
        return {}
    state = core.state
    free = [
        change
        for change in changes
        if change.old is None
        and change.new is not None
        and change.new.mode in _BLOBS
        and change.path not in state.by_path
        and change.path not in state.by_base
        and state.node(change.path) is None
    ]
    found: dict[bytes, TreeChange] = {}
    for change in lost:
        new = _match(core, change, [one for one in free if one not in found.values()])
        if new is not None:
            found[change.path] = new
    return found


def _is_edited(core: Core, change: TreeChange) -> bool:
    cover = core.state.by_base.get(change.path)
    is_file = change.old is not None and change.old.mode in _BLOBS
    return is_file and cover is not None and cover.path == change.path and not is_dir(cover)


def _match(core: Core, gone: TreeChange, free: Sequence[TreeChange]) -> TreeChange | None:
    """Which of *free* has most of what *gone* had."""
    if gone.old is None:  # what went was there
        return None
    folder, _, name = gone.path.rpartition(b"/")
    suffix = name.rpartition(b".")[2]

    def nearness(new: TreeChange) -> tuple[bool, bool, bool, bytes]:
        here, _, called = new.path.rpartition(b"/")
        return called != name, called.rpartition(b".")[2] != suffix, here != folder, new.path

    near = sorted(free, key=nearness)
    size = core.base.size(gone.old, gone.path)
    if not size:  # empty files are all alike
        return None
    same = next((one for one in near if one.new is not None and one.new.oid == gone.old.oid), None)
    if same is not None or size > _LARGEST:
        return same
    lines = Counter(_lines(core, gone.old, gone.path))
    best, most = None, _ALIKE
    for one in islice(near, _COMPARED):
        alike = _likeness(core, lines, size, one)
        if alike > most or (alike == most and best is None):
            best, most = one, alike
    return best


def _likeness(core: Core, lines: Counter[bytes], size: int, other: TreeChange) -> float:
    if other.new is None:
        return 0.0
    others = core.base.size(other.new, other.path)
    if not others or min(size, others) < _ALIKE * max(size, others):
        return 0.0
    common = lines & Counter(_lines(core, other.new, other.path))
    return sum(len(line) * count for line, count in common.items()) / max(size, others)


def _lines(core: Core, leaf: Leaf, path: bytes) -> list[bytes]:
    return core.base.tree.show(leaf.oid, path).splitlines(keepends=True)
