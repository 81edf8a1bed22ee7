"""Changes to the tree: remove, rename, exchange, directories, modes, times."""

import secrets
from collections.abc import Iterable
from dataclasses import replace

from anvcs.model.ids import FileId, Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import DIRECTORY, Leaf
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.draft import Draft
from anvcs.rooms.errors import DirectoryNotEmpty, NoSuchPath, PathInUse
from anvcs.rooms.saving import Attributes, Saver
from anvcs.rooms.tree import parent_of

_FOR_TEXT_AND_WHOLE = (Content.TEXT, Content.GIT, Content.OPAQUE)


class Mover:
    """Changes where files are, in a draft."""

    def __init__(self, core: Core, saver: Saver) -> None:
        self._core = core
        self._saver = saver

    def shown(self, path: bytes) -> Entry | None:
        """The file at *path* as an entry, also when the room hasn't touched it."""
        entry = self._core.state.by_path.get(path)
        if entry is not None:
            return entry
        leaf = self._core.visible_leaf(path)
        return None if leaf is None else self._core.base_entry(path, leaf)

    def _file(self, path: bytes) -> Entry:
        entry = self.shown(path)
        if entry is None:
            raise PathInUse(path) if self._core.shows_below(path) else NoSuchPath(path)
        return entry

    def _is_file(self, path: bytes) -> bool:
        entry = self.shown(path)
        return entry is not None and not is_dir(entry)

    # --- removing

    def remove(self, draft: Draft, path: bytes, *, keep_parent: bool, base: Seq | None = None) -> None:
        """Delete the file or link at *path*, whose content its deleter had last seen as of *base*."""
        entry = self._file(path)
        if is_dir(entry):
            raise PathInUse(path)
        draft.kind, draft.file = "delete", entry.id
        new = self._written_anew(entry)
        if new is not None:
            # That is a save of the old one: it goes back to where it was, with the new content.
            self._save_over(draft, new, entry, base)
            draft.kind, draft.file = "edit", entry.id
            draft.old_path, draft.path = path, new.path or path
            self.keep(draft, parent_of(path))
            return
        self._delete(draft, entry)
        if keep_parent:
            self.keep(draft, parent_of(path))

    def _delete(self, draft: Draft, entry: Entry, *, trace: bool = True) -> None:
        if entry.base_path is None:
            draft.drop(entry.id, entry.path if trace else None)
            return
        if trace and entry.path is not None and entry.path != entry.base_path:
            draft.trace(entry.path, entry.id)
        draft.change(entry, path=None)

    def is_backup(self, path: bytes) -> bool:
        """Whether an editor moved the file at *path* there and wrote a new one in its place."""
        entry = self.shown(path)
        return entry is not None and not is_dir(entry) and self._written_anew(entry) is not None

    def _written_anew(self, entry: Entry) -> Entry | None:
        """What was written where *entry* had been before an editor moved it away."""
        if entry.content not in _FOR_TEXT_AND_WHOLE:
            return None
        origins = [entry.base_path, *self._core.log.left_paths(entry.id)]
        for origin in origins:
            new = None if origin in {None, entry.path} else self._core.state.by_path.get(origin)
            if new is None or new.base_path is not None or new.content not in _FOR_TEXT_AND_WHOLE:
                continue
            if self._is_own(new):
                return new
        return None

    def _is_own(self, entry: Entry) -> bool:
        """Whether the last op on *entry* came through this window; what others do is no part of a save."""
        if entry.seq > self._core.seq:  # put there by this very change
            return True
        op, author = self._core.log.op(entry.seq), self._core.settings.author
        return op.view == author.view and (bool(op.view) or op.agent == author.agent)

    def _save_over(self, draft: Draft, new: Entry, target: Entry, base: Seq | None) -> None:
        """*target* gets the content and the place of *new*, which is no more."""
        path = new.path
        if path is None:  # a deleted entry has no content to give
            raise NoSuchPath(b"")
        content = self._core.read(new) if new.content is Content.TEXT else None
        draft.drop(new.id, None)
        draft.put(replace(target, path=path, seq=draft.seq))
        attributes = Attributes(new.mode, new.mtime_ns)
        if content is None:
            self._saver.put_whole(draft, path, (new.content, new.ref, new.size), attributes)
        else:
            self._saver.save(draft, path, content, base=base, attributes=attributes)

    # --- directories

    def keep(self, draft: Draft, directory: bytes) -> None:
        """Make *directory* explicit when nothing shows it any more."""
        core = self._core
        if not directory or directory in core.state.by_path or core.shows_below(directory):
            return
        draft.put(self._directory(directory, 0, draft.seq))

    def mkdir(self, draft: Draft, path: bytes, mtime_ns: int) -> None:
        """Create the empty directory *path*."""
        if self.shown(path) is not None:
            raise PathInUse(path)
        self._saver.require_free(path)
        entry = self._directory(path, mtime_ns, draft.seq)
        draft.kind, draft.file = "mkdir", entry.id
        draft.put(entry)

    def rmdir(self, draft: Draft, path: bytes) -> None:
        """Remove the empty directory *path*."""
        core = self._core
        if core.shows_below(path):
            raise DirectoryNotEmpty(path)
        entry = core.state.by_path.get(path)
        if entry is None:
            if core.visible_leaf(path) is not None:
                raise PathInUse(path)
            raise NoSuchPath(path)
        if not is_dir(entry):
            raise PathInUse(path)
        draft.kind, draft.file = "rmdir", entry.id
        draft.drop(entry.id, None)
        self.keep(draft, parent_of(path))

    def _directory(self, path: bytes, mtime_ns: int, seq: Seq) -> Entry:
        return Entry(
            id=FileId(secrets.token_bytes(16)),
            path=path,
            base_path=None,
            mode=DIRECTORY,
            content=Content.NONE,
            ref=b"",
            size=0,
            mtime_ns=mtime_ns,
            seq=seq,
            content_seq=seq,
        )

    # --- renaming

    def rename(self, draft: Draft, old: bytes, new: bytes, base: Seq | None) -> None:
        """Move the file at *old* to *new*, over what is there."""
        entry = self.shown(old)
        if entry is None or is_dir(entry):
            self.rename_tree(draft, old, new)
            return
        draft.old_path = old
        draft.kind, draft.file = "rename", entry.id
        if old == new:
            return
        if self._core.is_shown_directory(new):
            raise PathInUse(new)
        target = self.shown(new)
        if target is None:
            self._saver.require_free(new)
        elif self.is_save(entry, target):
            self._save_over_shown(draft, entry, target, base)
            draft.kind, draft.file = "edit", target.id
            self.keep(draft, parent_of(old))
            return
        else:
            self._delete(draft, target, trace=False)
        draft.trace(old, entry.id)
        self._saver.finish(draft, replace(entry, path=new, seq=draft.seq))
        self.keep(draft, parent_of(old))

    def is_save(self, entry: Entry, target: Entry) -> bool:
        """Whether the moved file is a fresh one that takes the place of an older."""
        return (
            entry.base_path is None and entry.content in _FOR_TEXT_AND_WHOLE and target.content in _FOR_TEXT_AND_WHOLE
        )

    def _save_over_shown(self, draft: Draft, entry: Entry, target: Entry, base: Seq | None) -> None:
        path = target.path
        if path is None:  # `shown` gives only what is at a path
            raise NoSuchPath(b"")
        attributes = Attributes(entry.mode, entry.mtime_ns)
        content = self._core.read(entry) if entry.content is Content.TEXT else None
        draft.drop(entry.id, None)
        if content is None:
            value = (entry.content, entry.ref, entry.size)
            self._saver.put_whole(draft, path, value, attributes)
        else:
            self._saver.save(draft, path, content, base=base, attributes=attributes)

    def rename_tree(self, draft: Draft, old: bytes, new: bytes) -> None:
        """Move the directory *old* with all it shows to *new*, which may be an empty directory."""
        core = self._core
        draft.kind, draft.old_path = "rename", old
        if not core.is_shown_directory(old):
            raise PathInUse(old) if self.shown(old) else NoSuchPath(old)
        if old == new:
            return
        if new.startswith(old + b"/") or self._is_file(new):
            raise PathInUse(new)
        if core.shows_below(new):
            raise DirectoryNotEmpty(new)
        replaced = core.state.by_path.get(new)
        if replaced is not None:
            draft.drop(replaced.id, None)
        else:
            self._saver.require_free(new)
        self._place(draft, self._collect(old), old, new)
        self.keep(draft, parent_of(old))

    def exchange(self, draft: Draft, a: bytes, b: bytes) -> None:
        """Let two files or directories change places."""
        if a == b or a.startswith(b + b"/") or b.startswith(a + b"/"):
            raise PathInUse(b)
        draft.kind, draft.old_path = "exchange", a
        left, right = self._collect(a), self._collect(b)
        for path, found in ((a, left), (b, right)):
            if not found:
                raise NoSuchPath(path)
        # Both sides must be entries before either takes a name of the other.
        for entry in (*left, *right):
            draft.put(replace(entry, seq=draft.seq))
        for entry in (*left, *right):
            draft.change(entry, path=None)
        self._place(draft, left, a, b)
        self._place(draft, right, b, a)

    def _collect(self, top: bytes) -> list[Entry]:
        """All that is shown at and below *top*, as entries."""
        core = self._core
        entry = self.shown(top)
        found = [] if entry is None else [entry]
        if entry is None or is_dir(entry):
            found += core.state.below(top)
            hidden, shown = core.state.by_base, core.state.by_path
            traces = core.log.traces_below(top)
            for path, mode, oid in core.base.leaves(top):
                if path not in hidden and path not in shown:
                    found.append(core.traced_entry(path, Leaf(mode, oid), traces.get(path)))
        return found

    def _place(self, draft: Draft, entries: Iterable[Entry], old: bytes, new: bytes) -> None:
        moved = [_at(entry, new + entry.path[len(old) :], draft.seq) for entry in entries if entry.path is not None]
        for entry in moved:
            draft.put(entry)
        for entry in moved:
            if entry.path == entry.base_path and self._core.is_clean(entry):
                draft.drop(entry.id, entry.path)

    # --- attributes

    def set_mode(self, draft: Draft, path: bytes, mode: int) -> None:
        """Give the file at *path* another Git mode."""
        entry = self._file(path)
        if is_dir(entry):
            raise PathInUse(path)
        draft.kind, draft.file = "mode", entry.id
        if entry.mode != mode:
            self._saver.finish(draft, replace(entry, mode=mode, seq=draft.seq))

    def touch(self, draft: Draft, path: bytes, mtime_ns: int) -> None:
        """Record a time, for what the room has; an untouched base file's is the caller's."""
        entry = self._core.state.by_path.get(path)
        if entry is not None and entry.mtime_ns != mtime_ns:
            draft.kind, draft.file = "touch", entry.id
            draft.change(entry, mtime_ns=mtime_ns)


def _at(entry: Entry, path: bytes, seq: Seq) -> Entry:
    # `dataclasses.replace` takes four times as long, and a directory has thousands.
    return Entry(
        id=entry.id,
        path=path,
        base_path=entry.base_path,
        mode=entry.mode,
        content=entry.content,
        ref=entry.ref,
        size=entry.size,
        mtime_ns=entry.mtime_ns,
        seq=seq,
        content_seq=entry.content_seq,
    )
