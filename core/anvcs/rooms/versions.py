"""What a file contained at an earlier op."""

from typing import NamedTuple

from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Content
from anvcs.model.tree import DIRECTORY, GITLINK
from anvcs.rooms.core import Core, to_crlf
from anvcs.rooms.errors import NoSuchPath
from anvcs.rooms.records import DROPPED
from anvcs.rooms.texts import Version


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
    version: Version | None
    """The document at that version, to write on, when the content is in one."""


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
    for entry in core.log.op(seq).payload.puts:
        if entry.id == file:
            break
    else:
        raise NoSuchPath(file)
    if entry.content is not Content.TEXT:
        return Past(core.read(entry), None)
    version = core.docs.after(file, seq)
    text = version.read() if version else b""
    return Past(to_crlf(text) if entry.ref else text, version)


def _as_in_base(core: Core, file: FileId, seq: Seq, path: bytes | None) -> Past:
    where, following = _origin(core, file, seq)
    where = where or path
    data = b""
    commit = core.log.base_at(seq)
    if where is not None and commit is not None:
        data = _show(core, commit, where)
    if following is None:
        return Past(data, None)
    version = core.docs.before(file, following)
    if version is None:
        return Past(data, None)
    text = version.read()
    return Past(data, version if text in (data, split_line_ends(data).text) else None)


def _origin(core: Core, file: FileId, seq: Seq) -> tuple[bytes | None, Seq | None]:
    """Where *file* is in the base at *seq*, and the next op that changed its bytes."""
    touch = core.log.touch_before(file, seq)
    if touch is not None:
        for drop in core.log.op(touch[0]).payload.drops:
            if drop.id == file and drop.path is not None:
                return drop.path, core.log.touch_after(file, seq)
    for later, _ in core.log.touches(file, seq)[:1]:
        for entry in core.log.op(later).payload.puts:
            if entry.id == file:
                return entry.base_path, core.log.touch_after(file, seq)
    return None, core.log.touch_after(file, seq)


def _show(core: Core, commit: Oid, path: bytes) -> bytes:
    found = core.base.tree.find(commit, path)
    if found is None or found.mode in (DIRECTORY, GITLINK):
        return b""
    return core.base.tree.show(found.oid, path)
