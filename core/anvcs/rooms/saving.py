"""Saves: from "here is the new content" to the edit that its writer meant."""

import secrets
import time
from dataclasses import dataclass, replace

from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import EXECUTABLE, GITLINK, REGULAR, SYMLINK, Leaf
from anvcs.rooms.core import Core, is_dir, to_crlf
from anvcs.rooms.draft import Draft
from anvcs.rooms.errors import PathInUse
from anvcs.rooms.textsave import Seen, TextSave
from anvcs.rooms.tree import ancestors
from anvcs.rooms.versions import Text, as_text

FILE_MODES = (REGULAR, EXECUTABLE)


@dataclass(frozen=True, slots=True)
class Target:
    """The file that a save goes to."""

    entry: Entry
    """As it is; for a file the room hasn't touched, as it would be."""
    is_new: bool
    """Nothing was shown at the path."""
    was: Entry | None
    """The entry as the room has it now."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a save says beside the content; ``None`` keeps what is there."""

    mode: int | None = None
    mtime_ns: int | None = None


class Saver:
    """Writes contents into a draft."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # --- whose content it is

    def target(self, path: bytes) -> Target:
        """The file that a save to *path* changes: what is shown there, what was, or a new one."""
        core = self._core
        entry = core.state.by_path.get(path)
        if is_dir(entry):
            raise PathInUse(path)
        if entry is not None:
            return Target(entry, is_new=False, was=entry)
        leaf = core.visible_leaf(path)
        if leaf is not None:
            return Target(core.base_entry(path, leaf), is_new=False, was=None)
        self.require_free(path)
        return self._revived(path) or Target(self.new_entry(path), is_new=True, was=None)

    def require_free(self, path: bytes) -> None:
        """Raise `PathInUse` when a new name at *path* would collide with a directory or a file above."""
        core = self._core
        if core.is_shown_directory(path):
            raise PathInUse(path)
        for above in ancestors(path):
            entry = core.state.by_path.get(above)
            node = core.state.node(above)
            if is_dir(entry) or (node is not None and node.live and above):
                return
            if entry is not None or core.visible_leaf(above) is not None:
                raise PathInUse(above)

    def _revived(self, path: bytes) -> Target | None:
        """The file that was at *path* and is nowhere now: it comes back as itself."""
        core = self._core
        gone = core.state.by_base.get(path)
        if gone is None or gone.path is not None:
            file = core.log.trace(path)
            if file is None:
                return None
            gone = core.state.by_id.get(file)
            if gone is None:
                return self.resurrected(file, path)
            if gone.path is not None:
                return None
        return Target(gone, is_new=True, was=gone)

    def resurrected(self, file: FileId, path: bytes) -> Target | None:
        """A file that had left the room altogether, as it was last."""
        touches = [seq for seq, flags in self._core.log.touches(file) if flags & 1]
        for seq in reversed(touches):
            for entry in self._core.log.op(seq).payload.puts:
                if entry.id == file and entry.mode in FILE_MODES:
                    base = path if self._core.base.leaf(path) is not None else None
                    if base is not None and base in self._core.state.by_base:
                        return None
                    changed = replace(entry, path=None, base_path=base)
                    return Target(changed, is_new=True, was=None)
        return None

    def new_entry(self, path: bytes) -> Entry:
        """An empty file at *path*, with an identity of its own."""
        return Entry(
            id=FileId(secrets.token_bytes(16)),
            path=path,
            base_path=None,
            mode=REGULAR,
            content=Content.NONE,
            ref=b"",
            size=0,
            mtime_ns=0,
            seq=Seq(0),
            content_seq=Seq(0),
        )

    # --- contents

    def save(
        self,
        draft: Draft,
        path: bytes,
        data: bytes,
        *,
        base: Seq | None,
        attributes: Attributes,
        had: bytes | None = None,
        doubts: tuple[Seq, ...] = (),
    ) -> None:
        """Record that the writer, who saw version *base*, wants *path* to contain *data*.

        *had* and *doubts* are as in `Seen`.
        """
        whole = self.whole(path, data)
        if whole is not None:
            self.put_whole(draft, path, whole, attributes)
            return
        text = as_text(data, self._core.settings.text_limit)
        if text is None:
            digest = self._core.objects.put_bytes(data)
            self.put_whole(draft, path, (Content.OPAQUE, digest, len(data)), attributes)
            return
        target = self.target(path)
        draft.file = target.entry.id
        if not target.is_new and had is None and self._is_shown(target.entry, data, base):
            self._only_attributes(draft, target, path, attributes)
            return
        edited = self._text_save(draft, target, path).run(text, Seen(base, had, doubts))
        if not target.is_new and self._nothing_changed(draft, target.entry, edited):
            self._only_attributes(draft, target, path, attributes)
            return
        draft.kind = "create" if target.is_new else "edit"
        entry = self._placed(draft, target, path, attributes)
        self.finish(draft, self._with_text(entry, edited, draft.seq))

    def whole(self, path: bytes, data: bytes) -> tuple[Content, bytes, int] | None:
        """What *data* is at *path* if the file there is no text, whatever it contains."""
        core = self._core
        if not core.base.tree.has_wholes:
            return None
        entry, oid = core.state.by_path.get(path), None
        if entry is not None:
            oid = Oid(entry.ref) if entry.content is Content.GIT else None
        elif (leaf := core.visible_leaf(path)) is not None:
            oid = leaf.oid
        if not core.base.tree.is_whole(path, len(data), oid):
            return None
        named = core.base.tree.named_by(path, data)
        if named is not None:
            return Content.GIT, *named
        return Content.OPAQUE, core.objects.put_bytes(data), len(data)

    def takes_as_text(self, data: bytes) -> bool:
        """Whether *data* becomes a document."""
        return as_text(data, self._core.settings.text_limit) is not None

    def put_whole(
        self,
        draft: Draft,
        path: bytes,
        value: tuple[Content, bytes, int],
        attributes: Attributes,
    ) -> None:
        """Give *path* a content that isn't a text: ``(content, ref, size)``."""
        content, ref, size = value
        target = self.target(path)
        draft.kind = "create" if target.is_new else "put"
        draft.file = target.entry.id
        entry = self._placed(draft, target, path, attributes)
        if content is target.entry.content and ref == target.entry.ref:
            content_seq = target.entry.content_seq
        else:
            content_seq = draft.seq
        changed = replace(entry, content=content, ref=ref, size=size, content_seq=content_seq)
        self.finish(draft, changed)

    def put_leaf(self, draft: Draft, path: bytes, leaf: Leaf, size: int, mtime_ns: int) -> None:
        """Give *path* the content of a Git object."""
        content = Content.NONE if leaf.mode == GITLINK else Content.GIT
        attributes = Attributes(leaf.mode, mtime_ns)
        self.put_whole(draft, path, (content, leaf.oid, size), attributes)

    def put_link(self, draft: Draft, path: bytes, target: bytes, mtime_ns: int) -> None:
        """Make *path* a symlink to *target*."""
        attributes = Attributes(SYMLINK, mtime_ns)
        self.put_whole(draft, path, (Content.INLINE, target, len(target)), attributes)

    def finish(self, draft: Draft, entry: Entry) -> None:
        """Put *entry*, or drop it when it says no more than the base does."""
        draft.put(entry)
        if self._core.is_clean(entry):
            draft.drop(entry.id, entry.path)

    def merge(self, draft: Draft, entry: Entry, seen: bytes, theirs: bytes) -> Entry | None:
        """*entry*, a text, with what turned *seen* into *theirs*; ``None`` if those aren't texts."""
        limit = self._core.settings.text_limit
        new, past = as_text(theirs, limit), as_text(seen, limit)
        if entry.path is None or new is None or past is None:
            return None
        target = Target(entry, is_new=False, was=entry)
        edited = self._text_save(draft, target, entry.path).merge(new, past, Seq(0))
        return self._with_text(entry, edited, draft.seq)

    # --- inside

    def _text_save(self, draft: Draft, target: Target, path: bytes) -> TextSave:
        live = target.was is not None and target.was.path is not None
        return TextSave(self._core, draft, target.entry, path, live=live)

    def _with_text(self, entry: Entry, edited: Text, seq: Seq) -> Entry:
        shown = to_crlf(edited.text) if edited.crlf else edited.text
        return replace(
            entry,
            content=Content.TEXT,
            ref=b"\r\n" if edited.crlf else b"",
            size=len(shown),
            seq=seq,
            content_seq=seq,
        )

    def _is_shown(self, entry: Entry, data: bytes, base: Seq | None) -> bool:
        """Whether the save changes no byte of what its writer and everybody sees."""
        if entry.size != len(data) or entry.mode not in FILE_MODES:
            return False
        if base is not None and base < entry.content_seq:
            return False
        return self._core.read(entry) == data

    def _nothing_changed(self, draft: Draft, entry: Entry, edited: Text) -> bool:
        """Whether all that the save did had already been done by others."""
        part = draft.docs[-1]
        if (
            entry.content is not Content.TEXT
            or part.fresh
            or part.prelude
            or part.updates
            or bool(entry.ref) != bool(edited.crlf)
        ):
            return False
        draft.docs.pop()
        return True

    def _only_attributes(self, draft: Draft, target: Target, path: bytes, attributes: Attributes) -> None:
        entry = self._placed(draft, target, path, attributes)
        was = target.entry
        if entry.mode == was.mode and (target.was is None or entry.mtime_ns == was.mtime_ns):
            return
        draft.kind = "touch" if entry.mode == was.mode else "mode"
        self.finish(draft, entry)

    def _placed(self, draft: Draft, target: Target, path: bytes, attributes: Attributes) -> Entry:
        """The target's entry at *path* with new attributes, for this record."""
        was = target.entry
        mode = attributes.mode
        if mode is None:
            mode = was.mode if was.mode in FILE_MODES else REGULAR
        mtime_ns = time.time_ns() if attributes.mtime_ns is None else attributes.mtime_ns
        return replace(was, path=path, mode=mode, mtime_ns=mtime_ns, seq=draft.seq)
