"""Shared files: their bytes, and how a save reaches the room."""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.model.ids import Oid, Seq
from anvcs.model.pin import Pin
from anvcs.model.room import Content, Entry
from anvcs.model.tree import EXECUTABLE, REGULAR, SYMLINK, TreeEntry
from anvcs.rooms.diffing import common_prefix, common_suffix
from anvcs.rooms.errors import RoomBusy
from anvcsfs.attributes import split
from anvcsfs.bases import Seen
from anvcsfs.births import permissions
from anvcsfs.handles import FileHandle
from anvcsfs.inodes import Inodes
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, File, HistorySource, Place
from anvcsfs.placing import Placing
from anvcsfs.view import BIG_BYTES, RULE_FILES, View
from anvcsfs.working import Working

log = logging.getLogger(__name__)


def _likeness(text: bytes, other: bytes) -> int:
    start = common_prefix(text, other)
    return start + common_suffix(text, other, start)


def _based_on(work: Working, seen: Seen) -> Working:
    if seen.base is not None:
        work.base, work.had, work.doubts = seen.base, seen.had, seen.doubts
    return work


def git_mode(node: File) -> int:
    """The mode that Git records for *node*."""
    if node.mode & 0o170000 == 0o120000:
        return SYMLINK
    return EXECUTABLE if node.mode & 0o100 else REGULAR


class SharedFiles:
    """Reads, writes and saves of files in the room and in history."""

    def __init__(self, view: View, inodes: Inodes) -> None:
        self._view = view
        self._inodes = inodes
        self.merged: Callable[[], None] = lambda: None
        """Called when a save was merged with others'."""
        self._hashed: dict[Path, tuple[int, bytes, int]] = {}
        self._copies: dict[Path, Working] = {}
        self.placing = Placing(view, inodes)

    # Reading

    def size(self, node: File) -> int:
        """Bytes of *node* as the view shows it."""
        if node.work is not None:
            return node.work.size
        if node.size < 0:
            node.size = self._size_of(node)
        return node.size

    def _size_of(self, node: File) -> int:
        if node.data is not None:
            return len(node.data)
        source = node.source.entry if isinstance(node.source, HistorySource) else node.source
        if isinstance(source, TreeEntry):
            if source.mode == SYMLINK:
                return self._view.git.header(source.oid)
            return self._view.blob_size(source.oid, self._plain_path(node))
        if isinstance(source, Entry):
            return source.size
        return 0

    def _plain_path(self, node: File) -> bytes:
        """The path by which conversion rules find *node*; inside ``.anvcs`` that of the tree, ``b""`` without rules."""
        if self._view.skeleton.converts_nothing:
            return b""
        if not isinstance(node.source, HistorySource):
            return node.path
        parts = [node.name]
        parent = node.parent
        while parent is not None and isinstance(parent.source, HistorySource):
            parts.append(parent.name)
            parent = parent.parent
        return b"/".join(reversed(parts))

    def pin_of(self, node: File) -> Pin | None:
        """The artifact that *node* shows; None for any other file, and for one that is being written."""
        artifacts = self._view.artifacts
        if not artifacts.active or node.work is not None or node.data is not None:
            return None
        source = node.source.entry if isinstance(node.source, HistorySource) else node.source
        return artifacts.pin_of(source, self._plain_path(node))

    def content(self, node: File) -> bytes:
        """All content of *node*; only for files that aren't big."""
        if node.work is not None:
            return node.work.content()
        if node.data is not None:
            return node.data
        return self.content_of(node, node.source)

    def content_of(self, node: File, source: object) -> bytes:
        """All content that *node* has, or had, from *source*."""
        if isinstance(source, HistorySource):
            source = source.entry
        if isinstance(source, TreeEntry):
            if source.mode == SYMLINK:
                return self._view.git.blob(source.oid)
            return self._view.blob(source.oid, self._plain_path(node))
        if isinstance(source, Entry):
            return self._view.entry_bytes(source)
        raise OSError(errno.EIO, "a shared file without content")

    def file(self, node: File) -> Path | None:
        """The file on disk that holds a big file's bytes; ``None`` when `bytes` serves.

        Raises:
            Later: it has to be put there first.
        """
        if node.work is not None or node.data is not None or self.size(node) <= BIG_BYTES:
            return None
        if self.pin_of(node) is not None:
            return None
        source = node.source.entry if isinstance(node.source, HistorySource) else node.source
        if isinstance(source, TreeEntry):
            if self._view.converts(self._plain_path(node)):
                return None
            return self._view.blob_file(source.oid)
        if isinstance(source, Entry) and source.content is Content.OPAQUE:
            return self._view.room.object_path(source)
        if isinstance(source, Entry) and source.content is Content.GIT:
            return self._view.blob_file(Oid(source.ref))
        return None

    def read(self, handle: FileHandle, offset: int, length: int) -> bytes:
        """Up to *length* bytes at *offset*."""
        node = handle.node
        if handle.readable and node.place is Place.SHARED and (node.work is None or not node.work.dirty):
            version = self._version_read(node)
            node.fetched = max(node.fetched, version)
            if handle.seen is None or handle.seen.base != version or handle.seen.had is not None:
                handle.seen = Seen(Seq(version))
                self.note_reader(node, handle.pid)
        if node.work is not None:
            return node.work.read(offset, length)
        if node.pinned is not None and node.pinned.source is not None:
            data = self.content_of(node, node.pinned.source)
            node.pinned.was_read()
            return data[offset : offset + length]
        if self._view.artifacts.active and (pin := self._pin_through(handle)) is not None:
            return self._view.artifacts.read(handle, pin, node.source, offset, length)
        if self.size(node) > BIG_BYTES:
            found = self._read_big(handle, offset, length)
            if found is not None:
                return found
        data = self.content(node)
        return data if offset == 0 and length >= len(data) else data[offset : offset + length]

    def _pin_through(self, handle: FileHandle) -> Pin | None:
        """The artifact that a read through *handle* gives."""
        if handle.artifact is not None and handle.fd_source is handle.node.source:
            return handle.artifact.pin
        return self.pin_of(handle.node)

    def _read_big(self, handle: FileHandle, offset: int, length: int) -> bytes | None:
        node = handle.node
        if handle.fd < 0 or handle.fd_source is not node.source:
            path = self.file(node)
            if path is None:
                return None
            handle.close_fd()
            handle.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            handle.fd_source = node.source
        return os.pread(handle.fd, length, offset)

    # Writing

    def version(self, node: File) -> int:
        """Names the content that *node* shows now."""
        view, source = self._view, node.source
        if isinstance(source, Entry):
            return source.content_seq
        return view.version(node.path, None) if view.room.has_cleared else view.told

    def _version_read(self, node: File) -> int:
        """Names the content that a read gives now, which may be an older one for a moment."""
        if node.pinned is None or node.pinned.source is None:
            return self.version(node)
        if isinstance(node.pinned.source, Entry):
            return node.pinned.source.content_seq
        return self.version(node) - 1 if node.unasked is None else node.unasked

    def note_reader(self, node: File, pid: int) -> None:
        """*pid* opens the current content: a later save of its may be based on it."""
        node.opened = self.version(node)
        self._view.bases.opened(node.path, pid, self._version_read(node))
        if node.pinned is None or node.pinned.source is None:
            node.unasked = None

    def opened(self, handle: FileHandle) -> None:
        """*handle* was opened for reading, and not emptied by that.

        Who may write, too, has not read for that: the kernel, which shows it no cached page
        (`keeps_pages`), asks when it does.
        """
        if not handle.writable:
            self.note_reader(handle.node, handle.pid)
            handle.seen = Seen(Seq(self._version_read(handle.node)))

    def base_for(self, node: File, pid: int) -> Seen:
        """What the writer *pid* had seen of *node*."""
        if self._view.by_git:  # it works on a copy, and means what it writes
            return Seen()
        return self._view.bases.of(node.path, pid, self.version(node))

    def base_of(self, node: File, pid: int) -> Seq:
        """The version that the writer *pid* had seen: named, so that it is right when others' ops come in with it."""
        seen = self.base_for(node, pid).base
        return Seq(self.version(node)) if seen is None else seen

    def work_on(self, node: File, *, empty: bool = False) -> Working:
        """The working copy of *node*, made if need be; *empty* when it is about to be truncated."""
        work = node.work
        if work is None:
            pin = None if empty else self.pin_of(node)
            big = None if empty else self.file(node)
            if pin is not None:
                work = self._view.artifacts.copy(pin, self._view.scratch)
            elif big is not None:
                work = self._copy_of(big)
            else:
                work = Working(self._view.scratch, b"" if empty else self.content(node))
            work.base = self.version(node)
            node.work = work
        return work

    def _work_through(self, handle: FileHandle, offset: int, data: bytes = b"") -> Working:
        """The working copy for a write of *data* at *offset*, counted in what the writer has seen."""
        node = handle.node
        if node.work is not None and node.work.dirty:
            return node.work
        if handle.appends or node.unlinked:
            return self.work_on(node)
        seen = handle.seen if handle.seen is not None else self.base_for(node, handle.pid)
        older = self._older(node, seen)
        if older is None or self._fits_current(node, older, offset, data):
            return self.work_on(node)
        if node.work is not None:
            node.work.close()
        node.work = _based_on(Working(self._view.scratch, older), seen)
        self._view.notifier.content(node.ino)  # what the kernel has is the newer version
        return node.work

    def _fits_current(self, node: File, older: bytes, offset: int, data: bytes) -> bool:
        """Whether a write that might be meant for *older* is one for what is there now.

        The kernel doesn't tell when pages that another process had read are read or mapped.
        """
        if offset >= len(older) and offset == self.size(node):  # it went to the end first
            return True
        if not data or node.fetched < self.version(node):  # nobody here can have seen any of it
            return False
        end = offset + len(data)
        return _likeness(self.content(node)[offset:end], data) > _likeness(older[offset:end], data)

    def _older(self, node: File, seen: Seen) -> bytes | None:
        """The bytes that *seen* says, unless they are the current ones or can't be had."""
        if seen.had is not None:
            return seen.had
        source = node.source
        if seen.base is None or seen.base >= self.version(node) or not isinstance(source, Entry):
            return None
        if source.content is not Content.TEXT:
            return None
        return self._view.room.text_at(source.id, seen.base)

    def _copy_of(self, source: Path) -> Working:
        ready = self._copies.pop(source, None)
        if ready is not None:
            return ready

        def copy() -> None:
            self._copies[source] = Working.from_file(self._view.scratch, source)

        raise Later(copy)

    def write(self, handle: FileHandle, offset: int, data: bytes) -> int:
        """Put *data* at *offset*."""
        node = handle.node
        work = self._work_through(handle, offset, data)
        # Where the kernel thinks the end is may be the end of an older version.
        work.write(work.size if handle.appends else offset, data)
        self._wrote(node, handle)
        return len(data)

    def truncate(self, node: File, size: int, handle: FileHandle | None, pid: int = 0) -> None:
        """Cut or extend; without a handle the result is saved at once.

        Who empties a file is about to write it anew, from what it read before.
        """
        fresh = node.work is None or not node.work.dirty
        work = self._work_through(handle, size) if handle is not None and size else self.work_on(node, empty=size == 0)
        if size == 0 and fresh:
            seen = None if handle is None else handle.seen
            _based_on(work, self.base_for(node, pid) if seen is None else seen)
        if work.size != size or not work.dirty:  # it may be called again after Later
            work.truncate(size)
            self._wrote(node, handle)
        if handle is None and node.writers == 0:
            try:
                self.save(node, None)
            except (AnvcsError, OSError) as error:
                if not isinstance(error, RoomBusy):
                    self.discard(node)
                raise

    def discard(self, node: File) -> None:
        """Nobody will save the working copy of *node*: show what was saved."""
        work = node.work
        if work is None or node.unlinked:
            return
        node.work = None
        node.size = -1
        node.reply = None
        work.close()
        self._view.notifier.content(node.ino)

    def _wrote(self, node: File, handle: FileHandle | None) -> None:
        node.mtime_ns = node.ctime_ns = time.time_ns()
        node.reply = None
        if handle is not None:
            handle.wrote = True

    def save(self, node: File, handle: FileHandle | None) -> None:
        """Make the working copy of *node* the room's content: one op per name."""
        work = node.work
        if work is None or not work.dirty:
            return
        if not node.unlinked or node.taken is not None:
            before = self.version(node)
            base = self._base_of(node, work, before)
            whole = None if work.in_memory or work.size <= self._view.limits.text_bytes else self._digest(work)
            for path in self.names(node):
                at = self._save_as(node, work, path, base, whole)
                if at != path or node.unlinked:
                    self.placing.put(node, at)
                    self._view.attributes.rename(path, at)
            node.taken = None
            if work.had is None and work.base in (None, before) and self._view.told == self._view.room.seq:
                base = None  # nobody else's work came between: what was written is what there is
            self._after_save(node, base)
            self._note_writer(node, handle, work, base)
            if self._view.room.has_unchecked:
                self.merged()
            self._show_merged(node, base)
        work.dirty = False
        work.base, work.had, work.doubts = self.version(node), None, ()
        node.fetched = self.version(node)  # the kernel keeps what was written
        if node.writers == 0 or (node.writers == 1 and handle is not None and handle.writable):
            self._settle(node)

    def _base_of(self, node: File, work: Working, before: int) -> Seq | None:
        """The version that *work* began with, named so that it is right when others' ops come in with the save."""
        if work.base is not None and work.base != before:
            return Seq(work.base)
        if node.taken is not None:
            return node.taken
        return Seq(before) if before else self._view.seen()

    def names(self, node: File) -> list[bytes]:
        """Every path of *node*."""
        return [node.path] if node.group is None else self._view.attributes.paths_of_link(node.group) or [node.path]

    def _save_as(
        self, node: File, work: Working, path: bytes, base: Seq | None, whole: tuple[bytes, int] | None
    ) -> bytes:
        """Save under *path*; where the file is by now."""
        view = self._view
        mode = git_mode(node)
        seen = view.seen() if node.taken is None else node.taken
        if whole is None:
            moved = view.room.write(
                path,
                work.content(),
                base=base,
                had=work.had,
                doubts=work.doubts,
                seen=seen,
                mode=mode,
                mtime_ns=node.mtime_ns,
            )
        else:
            moved = view.room.write_object(path, *whole, base=base, seen=seen, mode=mode, mtime_ns=node.mtime_ns)
        path = path if moved.at is None else moved.at
        view.journal.add(path)
        if path.rpartition(b"/")[2] in RULE_FILES:
            view.rule_changed(path, work.content())
        return path

    def _digest(self, work: Working) -> tuple[bytes, int]:
        """SHA-256 and size of a big working copy, stored under ``objects/`` first."""
        key, version = work.key, work.version
        done = self._hashed.get(key)
        if done is not None and done[0] == version:
            del self._hashed[key]
            return done[1], done[2]

        def store() -> None:
            digest, size = self._view.room.put_file(key, move=False)
            self._hashed[key] = (version, digest, size)

        raise Later(store)

    def _after_save(self, node: File, base: Seq | None) -> None:
        """Take over what the room made of the save."""
        assert node.parent is not None
        path = node.path
        node.source = self._inodes.source_of(node.parent, node.name)
        node.size = -1
        node.reply = None
        if isinstance(node.source, Entry) and node.work is not None and node.work.in_memory and base is None:
            self._view.cache.put((node.source.id, node.source.content_seq), node.work.content())
        if self._view.artifacts.pin_of(node.source, path) is not None:  # what was written was its pointer
            self._view.notifier.content(node.ino)
        self._renew_other_names(node)
        shown = node.source.mtime_ns if isinstance(node.source, Entry) else None
        self.remember_mtime(node, path, None if shown == node.mtime_ns else node.mtime_ns)

    def _renew_other_names(self, node: File) -> None:
        """What a directory notes of further names of a hard link is as new as the node."""
        if node.group is None:
            return
        for path in self._view.attributes.paths_of_link(node.group):
            directory, name = split(path)
            parent = self._inodes.find_loaded(directory)
            if isinstance(parent, Dir):
                self._inodes.replace_source(parent, name, self._inodes.source_of(parent, name))

    def _note_writer(self, node: File, handle: FileHandle | None, work: Working, base: Seq | None) -> None:
        """Who saved knows what it wrote; what was merged into it nobody has read yet."""
        if handle is None:
            return
        version, source = self.version(node), node.source
        mine: bytes | None = None
        if base is not None and work.in_memory and isinstance(source, Entry) and source.content is Content.TEXT:
            written = work.content()
            mine = written if self._view.entry_bytes(source) != written else None
        known = version if mine is None or base is None else base
        self._view.bases.wrote(node.path, handle.pid, known, mine)
        handle.seen = Seen(Seq(known), mine)

    def _show_merged(self, node: File, base: Seq | None) -> None:
        """A save from a stale base: the room may now say more than the writer wrote."""
        work, source = node.work, node.source
        if base is None or work is None or not work.in_memory:
            return
        if isinstance(source, Entry) and source.content is Content.TEXT:
            merged = self._view.entry_bytes(source)
            if merged != work.content():
                node.work = Working(self._view.scratch, merged)
                node.work.base = self.version(node)
                self._view.notifier.content(node.ino)

    def remember_mtime(self, node: File, path: bytes, mtime_ns: int | None) -> None:
        """Keep a time that the room doesn't, or forget a kept one that it now does."""
        attributes = self._view.attributes
        if mtime_ns is not None:
            attributes.update(path, mtime_ns=mtime_ns)
            if node.parent is not None:
                node.parent.overrides = True
        elif node.parent is not None and node.parent.overrides:
            kept = attributes.get(path)
            if kept is not None and kept.mtime_ns is not None:
                attributes.update(path, mtime_ns=None)

    def _settle(self, node: File) -> None:
        """Nobody writes any more: drop the working copy, keep its bytes among the recent ones."""
        work = node.work
        if work is None or work.dirty:
            return
        if node.unlinked:
            return
        node.work = None
        node.size = -1
        work.close()

    def settle(self, node: File) -> None:
        """The last writer closed."""
        if node.writers == 0:
            self._settle(node)

    @contextmanager
    def losing_name(self, node: File | None) -> Iterator[None]:
        """The block takes a name of *node* away; when it fails nothing has changed."""
        if node is None:
            yield
            return
        self.keep_content(node)
        try:
            yield
        except BaseException:
            node.unlinked = False
            raise

    def keep_content(self, node: File) -> None:
        """*node* loses a name; if it is the last while open, its bytes must outlive the room's entry."""
        if self.link_count(node) > 1:
            return
        node.unlinked = True
        if node.opens and node.work is None and node.data is None:
            source = node.source
            if isinstance(source, Entry) and source.content in (Content.TEXT, Content.INLINE):
                node.data = self.content(node)
                if source.content_seq < 0:  # of a room that is no longer shown
                    node.source = None

    def lost_name(self, node: File, before: Seq) -> None:
        """Somebody else deleted *node*; op *before* still had it.  A later save by who has it open brings it back."""
        try:
            self.keep_content(node)
        except RoomBusy:
            node.unlinked = False
            raise
        except (AnvcsError, OSError) as error:  # who has it open gets an error when it reads
            log.warning("what %r contained can't be read any more: %s", node.path, error)
        if node.unlinked and node.taken is None:
            node.taken = before

    def link_count(self, node: File) -> int:
        """How many names a shared file has."""
        return len(self.names(node)) if node.group is not None else 1

    def set_executable(self, node: File) -> None:
        """Record the executable bit of *node* in the room."""
        view = self._view
        for path in self.names(node):
            at = view.room.set_mode(path, git_mode(node), seen=view.seen()).at
            if at is not None:
                self.placing.put(node, at)
            view.journal.add(at or path)
        assert node.parent is not None
        node.source = self._inodes.source_of(node.parent, node.name)
        self._renew_other_names(node)

    def default_permissions(self, node: File) -> int:
        """The permission bits *node* has without an override."""
        return permissions(git_mode(node)) & 0o7777
