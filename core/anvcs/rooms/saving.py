"""Saves: from "here is the new content" to the edit that its writer meant."""

import secrets
import time
from dataclasses import dataclass, replace

from anvcs.model.ids import FileId, Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import EXECUTABLE, GITLINK, REGULAR, SYMLINK, Leaf
from anvcs.rooms.core import Core, is_dir, to_crlf
from anvcs.rooms.diffing import Difference, diff
from anvcs.rooms.documents import Document, DocumentFailed, merge_texts, seed
from anvcs.rooms.draft import Draft
from anvcs.rooms.errors import PathInUse
from anvcs.rooms.records import DocumentPart
from anvcs.rooms.texts import Version
from anvcs.rooms.tree import ancestors
from anvcs.rooms.versions import Past, Text, as_text, content_at, split_line_ends

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
    ) -> None:
        """Record that the writer, who saw version *base*, wants *path* to contain *data*."""
        text = as_text(data, self._core.settings.text_limit)
        if text is None:
            digest = self._core.objects.put_bytes(data)
            self.put_whole(draft, path, (Content.OPAQUE, digest, len(data)), attributes)
            return
        target = self.target(path)
        draft.file = target.entry.id
        if not target.is_new and self._is_shown(target.entry, data, base):
            self._only_attributes(draft, target, path, attributes)
            return
        edited = _TextSave(self._core, draft, target, path).run(text, base)
        if not target.is_new and self._nothing_changed(draft, target.entry, edited):
            self._only_attributes(draft, target, path, attributes)
            return
        draft.kind = "create" if target.is_new else "edit"
        entry = self._placed(draft, target, path, attributes)
        self.finish(draft, self._with_text(entry, edited, draft.seq))

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
        new = as_text(theirs, limit)
        if entry.path is None or new is None or as_text(seen, limit) is None:
            return None
        target = Target(entry, is_new=False, was=entry)
        edited = _TextSave(self._core, draft, target, entry.path).merge(new, Past(seen, None))
        return self._with_text(entry, edited, draft.seq)

    # --- inside

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


class _TextSave:
    """One save of a text: finds what the writer saw, and edits the document."""

    def __init__(self, core: Core, draft: Draft, target: Target, path: bytes) -> None:
        self._core = core
        self._draft = draft
        self._target = target
        self._path = path

    def run(self, new: Text, base: Seq | None) -> Text:
        """Edit the document so that it gets what the writer meant; its text after it."""
        return self.merge(new, self._past(base))

    def merge(self, new: Text, past: Past | None) -> Text:
        """Edit the document as who saw *past* (``None``: what is shown) and wants *new*."""
        file = self._target.entry.id
        self._draft.edited.add(file)
        try:
            return self._edit(new, past)
        except DocumentFailed:
            # Nothing of the document can be trusted: it starts again from the new text.
            self._core.docs.forget(file)
            return self._start_again(new)

    def _edit(self, new: Text, past: Past | None) -> Text:
        live, now, part = self._current()
        if past is None:
            return self._write(live, part, now, new)
        seen = split_line_ends(past.data)
        old = past.version
        if old is None or old.epoch != live.epoch:
            return self._write(live, part, now, self._merged(seen, now, new))
        fork = old.document
        ours = self._measure(seen.text, new.text)
        theirs = set(diff(seen.text, now.text, self._core.settings.hunks).splices)
        splices = [splice for splice in ours.splices if splice not in theirs]
        updates = Document.edit(fork, seen.text, splices) if splices else ()
        live.document.apply(updates)
        live.text = None
        crlf = _line_ends(seen.crlf, now.crlf, new.crlf)
        self._record(live, part._replace(client=fork.client, updates=updates))
        return Text(live.read(), crlf)

    def _write(self, live: Version, part: DocumentPart, now: Text, new: Text) -> Text:
        """Turn the live document from *now* into *new*."""
        found = self._measure(now.text, new.text)
        updates = live.document.edit(now.text, found.splices) if found.splices else ()
        live.text = new.text
        self._record(live, part._replace(client=live.document.client, updates=updates))
        return Text(new.text, now.crlf if new.crlf is None else new.crlf)

    def _merged(self, seen: Text, now: Text, new: Text) -> Text:
        """What both *now* and *new* made of *seen*, when no document knows *seen*."""
        crlf = _line_ends(seen.crlf, now.crlf, new.crlf)
        text = self._core.base.tree.merge(seen.text, now.text, new.text)
        if text is None:
            hunks = self._core.settings.hunks
            ours = diff(seen.text, new.text, hunks).splices
            theirs = diff(seen.text, now.text, hunks).splices
            text = merge_texts(seen.text, ours, theirs, now.text)
        return Text(text, crlf)

    def _current(self) -> tuple[Version, Text, DocumentPart]:
        """The live document, brought to what is shown now, and the part of the record so far."""
        core, entry = self._core, self._target.entry
        live = core.docs.head(entry.id, core.seq)
        shown = self._shown()
        if live is None:
            start = () if shown is None or not shown.text else (seed(shown.text),)
            live = Version(Document(), 0, core.seq)
            live.document.apply(start)
            live.text = shown.text if shown else b""
            part = DocumentPart(entry.id, 0, True, start, 0, ())
            return live, shown or Text(b"", None), part
        part = DocumentPart(entry.id, live.epoch, False, (), 0, ())
        if shown is None:
            return live, Text(live.read(), None), part
        if entry.content is not Content.TEXT and shown.text != live.read():
            found = diff(live.read(), shown.text, core.settings.hunks)
            part = part._replace(prelude=live.document.edit(live.read(), found.splices))
            live.text = shown.text
        return live, shown, part

    def _shown(self) -> Text | None:
        """What the file shows, when that is a text."""
        core, entry = self._core, self._target.entry
        if entry.content is Content.TEXT:
            version = core.docs.head(entry.id, core.seq)
            return Text(version.read() if version else b"", bool(entry.ref))
        if entry.content in (Content.NONE, Content.INLINE) or entry.mode == SYMLINK:
            return None
        if entry.size > core.settings.text_limit:
            return None
        return as_text(core.read(entry), core.settings.text_limit)

    def _past(self, base: Seq | None) -> Past | None:
        """What the writer saw, unless that is what is shown now."""
        core, entry = self._core, self._target.entry
        if base is None or base >= core.seq:
            return None
        if self._target.was is not None and self._target.was.path is not None:
            if entry.content_seq <= base:
                return None
        elif not self._changed_outside(base):
            return None
        past = content_at(core, entry.id, base, entry.base_path)
        if past.version is None and as_text(past.data, core.settings.text_limit) is None:
            return None  # it was opaque: there is nothing to compare with
        return past

    def _changed_outside(self, base: Seq) -> bool:
        """Whether a file that is no live entry may have looked different at *base*."""
        log, seq = self._core.log, self._core.seq
        touched = any(flags for _, flags in log.touches(self._target.entry.id, base))
        return touched or log.base_moved(base, seq)

    def _record(self, live: Version, part: DocumentPart) -> None:
        core, file = self._core, part.id
        live.seq = self._draft.seq
        live.updates += len(part.updates) + len(part.prelude)
        core.docs.keep(file, live)
        self._draft.docs.append(part)

    def _start_again(self, new: Text) -> Text:
        core, file = self._core, self._target.entry.id
        last = core.log.touch_before(file, core.seq)
        epoch = 0
        if last is not None:
            parts = [part for op in core.log.edits(file, Seq(0), core.seq) for part in op.payload.docs]
            epoch = 1 + max((part.epoch for part in parts if part.id == file), default=-1)
        start = (seed(new.text),) if new.text else ()
        live = Version(Document(), epoch, core.seq)
        live.document.apply(start)
        live.text = new.text
        self._record(live, DocumentPart(file, epoch, True, start, 0, ()))
        return new

    def _measure(self, old: bytes, new: bytes) -> Difference:
        found = diff(old, new, self._core.settings.hunks)
        self._draft.added += found.added
        self._draft.removed += found.removed
        return found


def _line_ends(seen: bool | None, now: bool | None, new: bool | None) -> bool:
    """The line ends after a merge: what one side changed wins."""
    return bool(now if new is None or new == seen else new)
