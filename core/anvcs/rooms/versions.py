"""What a file contained at an earlier op."""

from typing import NamedTuple

from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Content
from anvcs.model.tree import DIRECTORY, GITLINK
from anvcs.rooms.core import Core, to_crlf
from anvcs.rooms.errors import NoSuchPath
from anvcs.rooms.records import DROPPED


class Text(NamedTuple):
    """A text as documents hold it."""

    text: bytes
    """With LF, where all line ends are CRLF."""
    crlf: bool | None
    """Whether it was so; ``None`` when there is no line end to tell."""


class Past(NamedTuple):
    """A file's content at one version."""

    data: bytes
    """As it was shown."""


def as_text(data: bytes, limit: int) -> Text | None:
    """*data* for a document, or ``None`` when it is opaque."""
    # NUL is valid UTF-8, but no text has it, and sparse files are full of it.
    if len(data) > limit or b"\0" in data:
        return None
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return split_line_ends(data)


def split_line_ends(data: bytes) -> Text:
    """*data* with uniform CRLF taken out."""
    returns = data.count(b"\r") if b"\r" in data else 0
    if not returns:
        return Text(data, False if b"\n" in data else None)
    newlines = data.count(b"\n")
    if returns == newlines and data.count(b"\r\n") == newlines:
        return Text(data.replace(b"\r\n", b"\n"), crlf=True)
    return Text(data, crlf=False)


def content_at(core: Core, file: FileId, seq: Seq, path: bytes | None = None) -> Past:
    """What *file* contained after op *seq*.

    *path* is where it was while it was no entry; only needed where the log can't tell.
    """
    seq = max(seq, core.log.floor())  # what was before is not told any more
    touch = core.log.touch_before(file, seq)
    if touch is not None and not touch[1] & DROPPED:
        return _as_recorded(core, file, touch[0])
    return _as_in_base(core, file, seq, path)


def _as_recorded(core: Core, file: FileId, seq: Seq) -> Past:
    known = core.recent.get(file, seq)
    if known is not None:
        return Past(known)
    for entry in core.log.op(seq).payload.puts:
        if entry.id == file:
            break
    else:
        raise NoSuchPath(file)
    if entry.content is not Content.TEXT:
        return Past(core.read(entry))
    version = core.docs.after(file, seq)
    text = version.read() if version else b""
    shown = to_crlf(text) if entry.ref else text
    core.recent.put(file, seq, shown)
    return Past(shown)


def _as_in_base(core: Core, file: FileId, seq: Seq, path: bytes | None) -> Past:
    where = _origin(core, file, seq) or path
    data = b""
    commit = core.log.base_at(seq)
    if where is not None and commit is not None:
        data = _show(core, commit, where)
    return Past(data)


def _origin(core: Core, file: FileId, seq: Seq) -> bytes | None:
    """Where *file* is in the base at *seq*."""
    touch = core.log.touch_before(file, seq)
    if touch is not None:
        for drop in core.log.op(touch[0]).payload.drops:
            if drop.id == file and drop.path is not None:
                return drop.path
    for later, _ in core.log.touches(file, seq)[:1]:
        for entry in core.log.op(later).payload.puts:
            if entry.id == file:
                return entry.base_path
    return None


def _show(core: Core, commit: Oid, path: bytes) -> bytes:
    found = core.base.tree.find(commit, path)
    if found is None or found.mode in (DIRECTORY, GITLINK):
        return b""
    return core.base.tree.show(found.oid, path)
