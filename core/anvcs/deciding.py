"""Deciding what a merge left open: one side's lines, both, or the file of one side."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from anvcs.errors import AnvcsError
from anvcs.model.conflict import Conflict, parse_conflict_id
from anvcs.model.room import Content
from anvcs.model.stream_merge import BOTH, Dispute, Stages
from anvcs.proposals import Proposal, side_step
from anvcs.rooms.proposing import KIND
from anvcs.rooms.room import Room

OPENING, MIDDLE, CLOSING = b"<<<<<<< ", b"=======", b">>>>>>> "
_INNER = b"||||||| "


class CannotDecide(AnvcsError):
    """A conflict that has no such side."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"the conflict {name} can't be decided that way: {why}")
        self.name = name


def decide(room: Room, record: Conflict, side: str, waiting: Proposal) -> None:
    """Give the place that *record* is about what *side* says (`SIDES`, `BOTH`), and mark the record as resolved."""
    if record.kind != KIND:
        raise CannotDecide(record.id, "only what a merge left open has sides; edit the file, then resolve it")
    dispute = _dispute(record, waiting)
    of_lines = "union" if side == BOTH else side
    if record.first_line:
        _replace(room, record, lambda block: chosen(block, of_lines, record.id))
    elif dispute is not None and dispute.lines != (0, 0):
        _replace_bytes(room, record, dispute, of_lines)
    else:
        _decide_whole(room, record, side, waiting)
    room.resolve(record.id)


def _decide_whole(room: Room, record: Conflict, side: str, waiting: Proposal) -> None:
    stages, beside = stages_of(waiting, record.path), _beside(waiting, record.path)
    if side == BOTH and beside and room.entry(beside) is not None:
        return
    if stages is None or side in ("union", BOTH):
        also = ", or --both, which keeps both files" if beside else ""
        raise CannotDecide(record.id, f"it is about a whole file, which is one side's or the other's{also}")
    gone = [record.path] if side == "ours" else []  # the proposal's branch is where ours is
    if beside and (entry := room.entry(beside)) is not None:
        if stages.theirs is None or (entry.content, entry.ref) != (Content.GIT, stages.theirs.oid):
            raise CannotDecide(
                record.id, f"{_text(beside)} was edited; move it where it belongs, then resolve it without a side"
            )
        gone.append(beside)
    if side == "theirs":
        room.take([side_step(record.path, stages.theirs)])
    room.restore(gone)


def require_settled(room: Room, record: Conflict, waiting: Proposal) -> None:
    """Raise `CannotDecide` unless *record* can be marked as resolved with things as they are."""
    beside = _beside(waiting, record.path) if record.kind == KIND else b""
    if beside and not record.resolved and room.entry(beside) is not None:
        raise CannotDecide(
            record.id, f"{_text(beside)} is still there; say --ours, --theirs or --both, or move or remove it"
        )


def _beside(waiting: Proposal, path: bytes) -> bytes:
    return next((one.beside for one in waiting.disputes if one.path == path and one.beside), b"")


def _dispute(record: Conflict, waiting: Proposal) -> Dispute | None:
    """What *record* was made from: they have the same order."""
    ordinal = parse_conflict_id(record.id)[1]
    found = waiting.disputes[ordinal] if ordinal < len(waiting.disputes) else None
    return found if found is not None and found.path == record.path else None


def _replace_bytes(room: Room, record: Conflict, dispute: Dispute, side: str) -> None:
    """Decide a block of a file that is no text to the room, which therefore follows no lines in it."""
    entry = room.entry(record.path)
    lines = room.read(entry).splitlines(keepends=True) if entry is not None else []
    for first, last in marked_blocks(lines):
        block = b"".join(lines[first:last])
        if all(chosen(block, name, record.id) == text for name, text in _said(dispute)):
            lines[first:last] = [chosen(block, side, record.id)]
            room.write(record.path, b"".join(lines))
            return
    raise CannotDecide(record.id, "its marked lines were edited; finish the edit, then resolve it without a side")


def _said(dispute: Dispute) -> tuple[tuple[str, bytes], ...]:
    return (("ours", dispute.ours), ("theirs", dispute.theirs))


def marked_blocks(lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """First and end of each marked block, from 0."""
    first = -1
    for at, line in enumerate(lines):
        if line.startswith(OPENING):
            first = at
        elif line.startswith(CLOSING) and first >= 0:
            yield first, at + 1
            first = -1


def put_block(room: Room, record: Conflict, text: bytes) -> None:
    """Put *text* in the place of the marked block, and mark the record as resolved."""
    _replace(room, record, lambda _: text)
    room.resolve(record.id)


def block_of(room: Room, record: Conflict) -> bytes:
    """The marked block that *record* is about, as it is now; raises `CannotDecide` when it is gone."""
    found: list[bytes] = []
    lines, first, last = _located(room, record)
    found.extend(lines[first:last])
    return b"".join(found)


def _replace(room: Room, record: Conflict, make: Callable[[bytes], bytes]) -> None:
    lines, first, last = _located(room, record)
    lines[first:last] = [make(b"".join(lines[first:last]))]
    room.write(record.path, b"".join(lines))


def _located(room: Room, record: Conflict) -> tuple[list[bytes], int, int]:
    entry = room.entry_of(record.file)
    if entry is None or entry.path is None:
        raise CannotDecide(record.id, "its file is gone")
    lines = room.read(entry).splitlines(keepends=True)
    first, last = room.conflict_lines(record)
    marked = 0 < first <= last <= len(lines) and lines[first - 1].startswith(OPENING)
    if not marked or not lines[last - 1].startswith(CLOSING):
        raise CannotDecide(record.id, "its markers were edited; finish the edit, then resolve it without a side")
    return lines, first - 1, last


def chosen(block: bytes, side: str, name: str) -> bytes:
    """What *side* says in a marked *block*."""
    lines = block.splitlines(keepends=True)
    middles = [at for at, line in enumerate(lines) if line.rstrip(b"\r\n") == MIDDLE]
    if len(middles) != 1:
        raise CannotDecide(name, "its sides can't be told apart, because a line of them looks like a marker")
    inner = next((at for at, line in enumerate(lines) if line.startswith(_INNER)), middles[0])
    ours, theirs = lines[1 : min(inner, middles[0])], lines[middles[0] + 1 : -1]
    return b"".join({"ours": ours, "theirs": theirs, "union": [*ours, *theirs]}[side])


def stages_of(waiting: Proposal, path: bytes) -> Stages | None:
    """The whole versions of *path*, where the merge could not look into it."""
    return next((one.stages for one in waiting.disputes if one.path == path and one.stages is not None), None)


def marked_paths(room: Room, disputes: Iterable[Dispute]) -> list[bytes]:
    """Which files that had conflicts still have marker lines."""
    found = []
    for path in dict.fromkeys(dispute.path for dispute in disputes if dispute.lines != (0, 0)):
        entry = room.entry(path)
        if entry is not None and has_markers(room.read(entry)):
            found.append(path)
    return found


def has_markers(text: bytes) -> bool:
    """Whether *text* has a line that opens a conflict and one after it that closes it."""
    opened = False
    for line in text.splitlines():
        if line.startswith(OPENING):
            opened = True
        elif opened and line.startswith(CLOSING):
            return True
    return False


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
