"""Tree conflicts: what a change means whose author acted on an older picture.

Each method here is a verb of a room.  It finds which file the caller meant and where
that file is by now, lets names that two claim live side by side, and says in a conflict
record what met.  What then remains to be done is `Saver`'s and `Mover`'s.
docs/explanation/tree-conflicts.md has the rules as a table.
"""

from collections.abc import Callable
from dataclasses import replace

from anvcs.model.conflict import Side
from anvcs.model.ids import FileId, Seq
from anvcs.model.room import Content, Entry
from anvcs.rooms.claiming import Cases, free_name
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.draft import Draft
from anvcs.rooms.moving import Mover
from anvcs.rooms.saving import FILE_MODES, Attributes, Saver
from anvcs.rooms.since import Deed, Picture, Pictures
from anvcs.rooms.tree import ancestors, parent_of
from anvcs.rooms.versions import as_text, content_at

SOME_FILE = FileId(b"")
"""For a record that is about a name or a directory and not about one file."""
Same = Callable[[Entry], bool]
"""Whether an entry shows what is about to be written."""


class Meeting:
    """Where the work of several meets in the tree: the part that all verbs share."""

    def __init__(self, core: Core, saver: Saver, mover: Mover) -> None:
        self._core = core
        self._saver = saver
        self._mover = mover
        self._cases = Cases(core)
        self._pictures = Pictures(core)

    def picture(self, seen: Seq | None) -> Picture | None:
        """What the window's user saw who knew the ops up to *seen*; ``None``: what there is."""
        return self._pictures.get(seen, self._core.settings.author)

    # --- where a file is

    def located(self, then: Entry) -> bytes | None:
        """Where the file is now that was *then*; ``None`` when it is nowhere."""
        core = self._core
        now = core.state.by_id.get(then.id)
        if now is not None:
            return now.path
        for path in (then.path, then.base_path, *core.log.left_paths(then.id)):
            leaf = None if path is None else core.visible_leaf(path)
            if path is not None and leaf is not None and core.base_entry(path, leaf).id == then.id:
                return path
        return None

    def revive(self, draft: Draft, then: Entry, path: bytes) -> None:
        """The deleted file that was *then* is shown at *path* again, as it was last."""
        now = self._core.state.by_id.get(then.id)
        if now is None:
            target = self._saver.resurrected(then.id, path)
            core = self._core
            covers = core.base.leaf(path) is not None and path not in core.state.by_base
            now = replace(then if target is None else target.entry, base_path=path if covers else None)
        draft.put(replace(now, path=path, seq=draft.seq))

    # --- names that are free, or that two claim

    def place(self, draft: Draft, path: bytes, picture: Picture | None) -> bytes:
        """Where a name is to be whose directory others may have moved, removed or replaced."""
        core, asked = self._core, path
        if picture is not None:
            followed, deed = picture.follow(path)
            moved = deed is not None and not core.is_shown_directory(parent_of(path))
            if moved and core.is_shown_directory(parent_of(followed)):
                path = followed
                note = "its directory was renamed meanwhile: the file followed it"
                self.tell(draft, "directory", SOME_FILE, path, deed, asked, note)
        path = self._beside_files(draft, path)
        parent = parent_of(path)
        if picture is not None and parent and not core.is_shown_directory(parent):
            deed = _removal(picture, parent)
            if deed is not None:
                note = "its directory was removed meanwhile: it is there again"
                self.tell(draft, "directory", SOME_FILE, path, deed, path, note)
        return path

    def _beside_files(self, draft: Draft, path: bytes) -> bytes:
        """*path*, with another name for a directory of it where a file is by now."""
        for above in reversed(list(ancestors(path))):
            entry = self._mover.shown(above) if above else None
            if entry is not None and not is_dir(entry):
                beside = self.beside(draft, above)
                note = "a file has the name of this directory"
                self.tell(draft, "directory", entry.id, beside, self.author_of(entry), above, note)
                return self._beside_files(draft, beside + path[len(above) :])
        return path

    def beside(self, draft: Draft, path: bytes) -> bytes:
        """The name that this change's author gets where *path* is in use."""
        return free_name(self._core, path, draft.author.agent)

    def claim(self, draft: Draft, path: bytes, picture: Picture | None, same: Same) -> bytes | None:
        """Where a file is to be whose author saw nothing at *path*; ``None``: the very same is there already."""
        path = self.place(draft, path, picture)
        core = self._core
        there = self._mover.shown(path)
        if there is None and not core.shows_below(path):
            return path
        if there is not None and not is_dir(there) and same(there):
            draft.at = path
            return None
        beside = self.beside(draft, path)
        if there is None or is_dir(there):
            note = "a directory has the name of this file"
            self.tell(draft, "directory", SOME_FILE, beside, self.author_of(there), path, note)
        else:
            note = "two files were given one name"
            self.tell(draft, "same-name", there.id, beside, self.author_of(there), path, note)
        return beside

    # --- records

    def tell(
        self, draft: Draft, kind: str, file: FileId, path: bytes, other: Deed | None, ours: bytes, note: str
    ) -> None:
        """Write a record: *other* is whose deed it met, *ours* the name that this change asked for."""
        author = draft.author
        theirs = Side(agent="") if other is None else Side(agent=other.agent, model=other.model, text=_said(other))
        mine = Side(agent=author.agent, model=author.model, text=ours)
        draft.conflict(kind, file, path, (theirs, mine), note)

    def author_of(self, entry: Entry | None) -> Deed | None:
        """Who wrote last about what is shown as *entry*; ``None`` when it is as committed."""
        if entry is None or entry.id not in self._core.state.by_id:
            return None
        if entry.seq > self._core.seq:  # this very change has put it there
            author = self._core.settings.author
            return Deed(entry.seq, author.agent, author.model, "", entry.path or b"", None)
        op = self._core.log.op(entry.seq)
        return Deed(op.seq, op.agent, op.model, op.kind, entry.path or b"", None)

    def note_case(self, draft: Draft, path: bytes) -> None:
        """*path* has just appeared: on a file system without case it may be another's name."""
        twin = self._cases.twin(path)
        if twin is None:
            return
        entry = self._core.state.by_path.get(path)
        other = self.author_of(self._mover.shown(twin))
        note = f"the name differs from {twin.decode(errors='replace')} only in case: some systems can't have both"
        other = other or Deed(Seq(0), "", "", "", twin, None)
        self.tell(draft, "case", SOME_FILE if entry is None else entry.id, path, other, path, note)

    def keep_loser(self, draft: Draft, path: bytes, base: Seq | None, *, text: bool, same: Same) -> bool:
        """A whole value is about to replace one that its author had not seen: that one stays as ``name~agent``."""
        core = self._core
        now = self._mover.shown(path)
        if base is None or now is None or is_dir(now) or same(now):
            return False
        if now.id in core.state.by_id and now.seq <= base:  # every op on a file is the last one on its entry
            return False
        other = self._foreign_edit(now.id, base)
        if other is None:
            return False
        if text and self.is_text(now) and self._was_text(now, base):
            return False  # texts are merged
        beside = free_name(core, path, other.agent)
        self._keep(draft, now, beside)
        note = "written whole by two: the last one has the name"
        self.tell(draft, "opaque", now.id, path, other._replace(path=beside), path, note)
        return True

    def _keep(self, draft: Draft, now: Entry, beside: bytes) -> None:
        """A copy of *now*, a file of its own."""
        if now.content is Content.TEXT:
            told = draft.kind, draft.file, draft.added, draft.removed
            attributes = Attributes(now.mode, now.mtime_ns)
            self._saver.save(draft, beside, self._core.read(now), base=None, attributes=attributes)
            draft.kind, draft.file, draft.added, draft.removed = told
            return
        fresh = self._saver.new_entry(beside)
        draft.put(replace(now, id=fresh.id, path=beside, base_path=None, seq=draft.seq, content_seq=draft.seq))

    def is_text(self, entry: Entry) -> bool:
        """Whether *entry* shows a text, which can be merged."""
        if entry.content is Content.GIT and entry.mode in FILE_MODES:
            limit = self._core.settings.text_limit
            return entry.size <= limit and as_text(self._core.read(entry), limit) is not None
        return entry.content is Content.TEXT

    def _was_text(self, entry: Entry, base: Seq) -> bool:
        past = content_at(self._core, entry.id, base, entry.base_path or entry.path)
        return as_text(past.data, self._core.settings.text_limit) is not None

    def _foreign_edit(self, file: FileId, base: Seq) -> Deed | None:
        """The last time that somebody else changed the bytes of *file* after op *base*."""
        author, log = self._core.settings.author, self._core.log
        for seq, flags in reversed(log.touches(file, base)):
            op = log.op(seq)
            mine = op.view == author.view and op.agent == author.agent
            if flags & 1:
                return None if mine else Deed(op.seq, op.agent, op.model, op.kind, op.payload.path, None)
        return None


def _said(deed: Deed) -> bytes:
    """What *deed* says of names: where it put something; nothing when it deleted."""
    return b"" if deed.kind in ("delete", "rmdir") else deed.path


def _removal(picture: Picture, directory: bytes) -> Deed | None:
    """The deed by which *directory* was emptied, removed or moved away."""
    for deed in reversed(picture.deeds):
        if deed.kind not in ("delete", "rmdir", "rename", "restore"):
            continue
        left = deed.path if deed.old_path is None else deed.old_path
        if left == directory or directory.startswith(left + b"/") or left.startswith(directory + b"/"):
            return deed
    return None
