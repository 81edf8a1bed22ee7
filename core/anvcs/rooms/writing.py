"""Saves by callers who may have seen an older tree: which file they are about, and where it is by now."""

from dataclasses import dataclass, replace

from anvcs.model.ids import Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import EXECUTABLE, REGULAR, SYMLINK
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.draft import Draft
from anvcs.rooms.meeting import Meeting, Same
from anvcs.rooms.moving import Mover
from anvcs.rooms.saving import Attributes, Saver
from anvcs.rooms.since import Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What the author of a change knew."""

    base: Seq | None = None
    """The version of the content that was read; ``None``: the current one."""
    had: bytes | None = None
    """The content that the author had, when no version has it."""
    doubts: tuple[Seq, ...] = ()
    """Other versions that may have been the one read."""
    seen: Seq | None = None
    """The last op that the tree showed; ``None``: all there are."""
    fresh: bool = False
    """Whether nothing was shown at the path: the author makes a new file."""


class Writes:
    """Verbs that give a path a content."""

    def __init__(self, core: Core, saver: Saver, mover: Mover, meeting: Meeting) -> None:
        self._core = core
        self._saver = saver
        self._mover = mover
        self._meeting = meeting

    def save(self, draft: Draft, path: bytes, data: bytes, knows: Knowledge, attributes: Attributes) -> None:
        """The file at *path* is to contain *data*."""
        whole = self._saver.whole(path, data)
        if whole is not None:
            self.put(draft, path, whole, knows, attributes)
            return

        def same(entry: Entry) -> bool:
            return entry.mode in (REGULAR, EXECUTABLE) and entry.size == len(data) and self._core.read(entry) == data

        found = self._where(draft, path, knows, attributes, same)
        if found is None:
            return
        at, attributes = found
        text = self._saver.takes_as_text(data)
        if self._meeting.keep_loser(draft, at, knows.base, text=text, same=same):
            knows = replace(knows, base=None, had=None, doubts=())  # nothing to merge with
        is_new = self._mover.shown(at) is None
        self._saver.save(draft, at, data, base=knows.base, attributes=attributes, had=knows.had, doubts=knows.doubts)
        self._finish(draft, path, at, is_new=is_new)

    def put(
        self,
        draft: Draft,
        path: bytes,
        value: tuple[Content, bytes, int],
        knows: Knowledge,
        attributes: Attributes,
    ) -> None:
        """The file at *path* is to be *value*, which is no text: an object, or a link's target."""

        def same(entry: Entry) -> bool:
            return self._is_value(entry, value, attributes.mode)

        found = self._where(draft, path, knows, attributes, same)
        if found is None:
            return
        at, attributes = found
        self._meeting.keep_loser(draft, at, knows.base, text=False, same=same)
        is_new = self._mover.shown(at) is None
        self._saver.put_whole(draft, at, value, attributes)
        self._finish(draft, path, at, is_new=is_new)

    def _is_value(self, entry: Entry, value: tuple[Content, bytes, int], mode: int | None) -> bool:
        content, ref, _ = value
        if (entry.mode == SYMLINK) != (mode == SYMLINK):
            return False
        if mode == SYMLINK and content is Content.INLINE:
            return self._core.read(entry) == ref
        return entry.content is content and entry.ref == ref

    def _where(
        self, draft: Draft, path: bytes, knows: Knowledge, attributes: Attributes, same: Same
    ) -> tuple[bytes, Attributes] | None:
        """Where the content goes and with what attributes; ``None`` when it is there already."""
        meeting = self._meeting
        picture = meeting.picture(knows.seen)
        if knows.fresh:
            at = meeting.claim(draft, path, picture, same)
            return None if at is None else (at, attributes)
        if picture is None:
            return path, attributes
        now = self._mover.shown(path)
        then = picture.file_at(path, now)
        if then is None or is_dir(then):
            at = meeting.claim(draft, path, picture, same)
            return None if at is None else (at, attributes)
        at = self._of_file(draft, path, then, picture)
        now = self._mover.shown(at)
        if now is not None and now.mode != then.mode == attributes.mode:
            attributes = replace(attributes, mode=None)  # somebody else has set it, this author has not
        return at, attributes

    def _of_file(self, draft: Draft, path: bytes, then: Entry, picture: Picture) -> bytes:
        """Where the file is that the author saw at *path*; it comes back if it was deleted."""
        meeting = self._meeting
        where = meeting.located(then)
        if where == path:
            return path
        if where is not None:
            note = "saved under its old name while it was renamed: the edit is in the renamed file"
            meeting.tell(draft, "rename-edit", then.id, where, picture.mover(then.id), path, note)
            return where
        at = meeting.place(draft, path, picture)
        if self._mover.shown(at) is not None or self._core.shows_below(at):
            at = meeting.beside(draft, at)
        meeting.revive(draft, then, at)
        note = "deleted while it was edited: the file stays"
        meeting.tell(draft, "delete-edit", then.id, at, picture.remover(then.id), path, note)
        return at

    def _finish(self, draft: Draft, asked: bytes, at: bytes, *, is_new: bool) -> None:
        if at != asked:
            draft.at = draft.path = at
        if is_new:
            self._meeting.note_case(draft, at)
