"""The verbs of a room on names, for callers who may have seen an older tree.

With ``seen=None``, or when nobody else did anything since, each is what `Mover` or
`Saver` does.  Otherwise the rules of `Meeting` come first.
"""

from anvcs.model.ids import Seq
from anvcs.model.room import Entry
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.draft import Draft
from anvcs.rooms.errors import NoSuchPath, PathInUse
from anvcs.rooms.meeting import SOME_FILE, Meeting
from anvcs.rooms.moving import Mover
from anvcs.rooms.since import Picture
from anvcs.rooms.writing import Knowledge


class TreeVerbs:
    """Verbs that change where files are."""

    def __init__(self, core: Core, mover: Mover, meeting: Meeting) -> None:
        self._core = core
        self._mover = mover
        self._meeting = meeting

    # --- deleting

    def remove(
        self, draft: Draft, path: bytes, seen: Seq | None, *, keep_parent: bool, base: Seq | None = None
    ) -> None:
        """Delete the file at *path*, unless it is another or has another content than the author saw.

        Of an editor's backup nothing is lost: what others wrote in it is merged with what its author made of *base*.
        """
        meeting = self._meeting
        picture = meeting.picture(seen)
        now = self._mover.shown(path)
        then = None if picture is None else picture.file_at(path, now)
        if picture is None or (then is None and (now is None or not picture.is_touched(now.id))):
            self._mover.remove(draft, path, keep_parent=keep_parent, base=base)
            return
        draft.kind, draft.kept = "delete", True
        where = None if then is None else meeting.located(then)
        if where is None and now is None:
            return  # deleted by both
        editor = None if then is None else picture.editor(then.id)
        same = now is not None and (then is None or then.id == now.id)
        if (where == path and editor is None) or (same and base is not None and self._mover.is_backup(path)):
            draft.kept = False
            self._mover.remove(draft, path, keep_parent=keep_parent, base=base)
            return
        if where is not None and where != path and then is not None:
            draft.at = where
            note = "deleted under its old name while it was renamed: the file stays"
            meeting.tell(draft, "delete-edit", then.id, where, picture.mover(then.id), b"", note)
        elif now is not None:
            note = "deleted by who had not seen the latest edit: the file stays"
            meeting.tell(draft, "delete-edit", now.id, path, editor or meeting.author_of(now), b"", note)

    def rmdir(self, draft: Draft, path: bytes, seen: Seq | None) -> None:
        """Remove the empty directory *path*; one that others have removed is no error."""
        gone = self._mover.shown(path) is None and not self._core.shows_below(path)
        if not (gone and self._meeting.picture(seen) is not None):
            self._mover.rmdir(draft, path)

    # --- making

    def mkdir(self, draft: Draft, path: bytes, mtime_ns: int, seen: Seq | None) -> None:
        """Create a directory; one that others made meanwhile is the same."""
        meeting = self._meeting
        picture = meeting.picture(seen)
        at = path
        if picture is not None:
            at = meeting.place(draft, path, picture)
            there = self._mover.shown(at)
            if self._core.is_shown_directory(at):
                draft.at = at
                return
            if there is not None and not is_dir(there):
                note = "a file has the name of this directory"
                other, asked = meeting.author_of(there), at
                at = meeting.beside(draft, at)
                meeting.tell(draft, "directory", there.id, at, other, asked, note)
        self._mover.mkdir(draft, at, mtime_ns)
        if at != path:
            draft.at = draft.path = at
        meeting.note_case(draft, at)

    # --- renaming

    def rename(self, draft: Draft, old: bytes, new: bytes, knows: Knowledge) -> None:
        """Move the file or directory at *old* to *new*."""
        picture = self._meeting.picture(knows.seen)
        shown = self._mover.shown(old)
        then = shown if picture is None else picture.file_at(old, shown)
        if then is None:
            then = shown  # who names it has seen it, though nobody has told its view yet
        if then is None or is_dir(then):
            self.rename_tree(draft, old, new, knows.seen)
            return
        is_new = self._mover.shown(new) is None
        if picture is None:
            self._move(draft, old, new, knows.base)
            at = new
        else:
            source = self._source(draft, old, new, then, picture)
            found = self._target(draft, source, new, picture)
            if found is None:  # the very same is there already
                draft.drop(then.id, source)
                return
            at = found
            if source == at:
                draft.kind, draft.at = "rename", None if at == new else at
                return
            is_new = self._mover.shown(at) is None
            self._move(draft, source, at, knows.base)
        if at != new:
            draft.at = draft.path = at
        if is_new and old != new:
            self._meeting.note_case(draft, at)

    def _move(self, draft: Draft, source: bytes, at: bytes, base: Seq | None) -> None:
        """Rename; where that is a save of a whole value that its author had not seen, the older one is kept."""
        entry, target = self._mover.shown(source), self._mover.shown(at)
        if entry is not None and target is not None and source != at and self._mover.is_save(entry, target):

            def same(other: Entry) -> bool:
                return other.size == entry.size and self._core.read(other) == self._core.read(entry)

            text = self._meeting.is_text(entry)
            if self._meeting.keep_loser(draft, at, base, text=text, same=same):
                base = None
        self._mover.rename(draft, source, at, base)

    def _source(self, draft: Draft, old: bytes, new: bytes, then: Entry, picture: Picture) -> bytes:
        """Where the file is now that the author saw at *old*."""
        meeting = self._meeting
        where = meeting.located(then)
        if where is None:
            at = meeting.place(draft, old, picture)
            if self._mover.shown(at) is not None or self._core.shows_below(at):
                at = meeting.beside(draft, at)
            meeting.revive(draft, then, at)
            note = "deleted while it was renamed: the file stays"
            meeting.tell(draft, "delete-edit", then.id, new, picture.remover(then.id), new, note)
            return at
        if where != old:
            if where != new:
                note = "renamed by two: the last name holds"
                meeting.tell(draft, "rename-rename", then.id, new, picture.mover(then.id), new, note)
            return where
        editor = picture.editor(then.id)
        if editor is not None:
            note = "edited while it was renamed: the edit is in the renamed file"
            meeting.tell(draft, "rename-edit", then.id, new, editor, new, note)
        return where

    def _target(self, draft: Draft, source: bytes, new: bytes, picture: Picture) -> bytes | None:
        """Which name the file at *source* gets that was to be *new*; ``None``: drop it, *new* is the same."""
        meeting, mover = self._meeting, self._mover
        entry = mover.shown(source)
        if entry is None:  # `_source` has just found or revived it
            raise NoSuchPath(source)
        now = mover.shown(new)
        then = picture.file_at(new, now)

        def same(other: Entry) -> bool:
            return (
                entry.base_path is None
                and other.id != entry.id
                and entry.mode == other.mode
                and entry.size == other.size
                and self._core.read(entry) == self._core.read(other)
            )

        where = None if then is None or is_dir(then) else meeting.located(then)
        if then is None or is_dir(then):
            return new if now is not None and now.id == entry.id else meeting.claim(draft, new, picture, same)
        saves = mover.is_save(entry, then)
        editor = picture.editor(then.id)
        if where == new:
            if saves or editor is None:
                return new
            note = "replaced by a rename while it was edited: both stay"
            beside = meeting.beside(draft, new)
            meeting.tell(draft, "delete-edit", then.id, new, editor, beside, note)
            return beside
        if where is not None and saves:
            note = "saved under its old name while it was renamed: the edit is in the renamed file"
            meeting.tell(draft, "rename-edit", then.id, where, picture.mover(then.id), new, note)
            return where
        at = meeting.claim(draft, new, picture, same)
        if at is not None and where is None and saves:
            meeting.revive(draft, then, at)
            note = "deleted while it was edited: the file stays"
            meeting.tell(draft, "delete-edit", then.id, at, picture.remover(then.id), new, note)
        return at

    def rename_tree(self, draft: Draft, old: bytes, new: bytes, seen: Seq | None) -> None:
        """Move a directory with what it shows now, what others put there meanwhile included."""
        meeting, core = self._meeting, self._core
        picture = meeting.picture(seen)
        if picture is None:
            self._mover.rename_tree(draft, old, new)
            meeting.note_case(draft, new)
            return
        source = self._source_tree(draft, old, new, picture)
        at = meeting.place(draft, new, picture)
        if at.startswith(source + b"/"):
            # What it was to go into has gone into it meanwhile: the name is made where it was asked for.
            at = new
        if source == at:
            draft.kind = "rename"
            return
        if at.startswith(source + b"/"):
            raise PathInUse(new)
        there = self._mover.shown(at)
        unseen = core.shows_below(at) and next(picture.newcomers(at), None) is not None
        if unseen or (there is not None and not is_dir(there)):
            note = "something else was given the name of this directory"
            other, asked = meeting.author_of(there), at
            newcomer = next(picture.newcomers(at), None)
            at = meeting.beside(draft, at)
            meeting.tell(draft, "directory", SOME_FILE, at, other or (newcomer and newcomer[1]), asked, note)
        self._mover.rename_tree(draft, source, at)
        if at != new:
            draft.at = draft.path = at
        meeting.note_case(draft, at)

    def _source_tree(self, draft: Draft, old: bytes, new: bytes, picture: Picture) -> bytes:
        """Where the directory is now that the author saw at *old*."""
        meeting, core = self._meeting, self._core
        if core.is_shown_directory(old):
            for entry, deed in picture.newcomers(old):
                if not is_dir(entry):
                    note = "came into the directory while it was renamed: it went along"
                    path = new + (entry.path or old)[len(old) :]
                    meeting.tell(draft, "directory", entry.id, path, deed, new, note)
            return old
        where, renamer = picture.went(old)
        if where != old and core.is_shown_directory(where):
            note = "renamed by two: the last name holds"
            meeting.tell(draft, "rename-rename", SOME_FILE, new, renamer, new, note)
            return where
        gone = [then for then in picture.below(old) if meeting.located(then) is None]
        if not gone:
            raise NoSuchPath(old)
        for then in gone:
            path = meeting.place(draft, then.path or old, None)
            meeting.revive(draft, then, path)
        note = "deleted while its directory was renamed: the files stay"
        meeting.tell(draft, "delete-edit", SOME_FILE, new, picture.remover(gone[0].id), new, note)
        return old

    # --- attributes

    def set_mode(self, draft: Draft, path: bytes, mode: int, seen: Seq | None) -> None:
        """Give the file that the author saw at *path* another Git mode."""
        picture = self._meeting.picture(seen)
        if picture is not None:
            then = picture.file_at(path, self._mover.shown(path))
            where = None if then is None else self._meeting.located(then)
            if where is not None and where != path:
                path = draft.at = draft.path = where
        self._mover.set_mode(draft, path, mode)
