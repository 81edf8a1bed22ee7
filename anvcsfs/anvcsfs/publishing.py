"""How a new file on the real disk becomes a file of the room."""

import logging
import os
import stat as st
import time
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.model.ids import Seq
from anvcs.model.room import Entry
from anvcs.model.tree import EXECUTABLE, REGULAR
from anvcsfs.attributes import join
from anvcsfs.handles import Handles
from anvcsfs.inodes import Inodes
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, File, Place
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View

log = logging.getLogger(__name__)
_RETRY_S = 2.0


class Publisher:
    """Moves pending files into the room, and keeps their inodes."""

    def __init__(self, view: View, inodes: Inodes, handles: Handles, files: SharedFiles) -> None:
        self._view = view
        self._inodes = inodes
        self._handles = handles
        self._files = files
        self._hashed: dict[bytes, tuple[int, int, bytes, int]] = {}
        self.held: dict[bytes, int] = {}
        """Files too large to share before they are committed: path → bytes."""

    def publish_due(self) -> None:
        """Publish what has lived long enough.

        Raises:
            Later: a large one must be hashed first.
        """
        now = time.monotonic()
        for path in self._view.pending.due():
            node = self._inodes.find_loaded(path)
            if isinstance(node, File) and node.writers:
                self._view.pending.postpone(path, now + self._view.limits.publish_s)
                continue
            self._attempt(path)

    def _attempt(self, path: bytes) -> None:
        try:
            self.publish(path)
        except (AnvcsError, OSError):
            # It stays where it is, on the disk, and is tried again.
            log.exception("could not publish %s", os.fsdecode(path))
            self._view.pending.postpone(path, time.monotonic() + _RETRY_S)

    def publish_all(self) -> None:
        """Publish everything now, large files included: a commit wants it."""
        for path in self._view.pending:
            self.publish(path, force=True)

    def publish(self, path: bytes, *, force: bool = False) -> None:
        """Make the pending file *path* an entry of the room."""
        view = self._view
        try:
            found = os.lstat(view.real(path))
        except (FileNotFoundError, NotADirectoryError):
            view.pending.remove(path)
            return
        if found.st_size > view.limits.share_bytes and not force:
            self.held[path] = found.st_size
            view.pending.postpone(path, float("inf"))
            return
        parent = self._inodes.find_loaded(path.rpartition(b"/")[0])
        name = path.rpartition(b"/")[2]
        node = self._inodes.child(parent, name) if isinstance(parent, Dir) else None
        if st.S_ISLNK(found.st_mode):
            view.room.create_link(path, os.readlink(view.real(path)), found.st_mtime_ns)
        else:
            self._write(path, path, found)
        os.unlink(view.real(path))
        view.pending.remove(path)
        self.held.pop(path, None)
        if isinstance(node, File):
            assert isinstance(parent, Dir)  # a node has one
            self.become_shared(node, parent, name)
            node.source = self._inodes.source_of(parent, name)
            self.remember(node, path)
        elif isinstance(parent, Dir) and parent.children is not None:
            parent.children[name] = self._inodes.source_of(parent, name)

    def write_to_room(self, node: File, source: bytes, dest: bytes, *, base: int | None) -> None:
        """The content of the disk file *source* becomes the next version of *dest*."""
        found = os.lstat(self._view.real(source))
        if st.S_ISLNK(found.st_mode):
            if self._view.room.entry(dest) is not None or not self._view.room.hides(dest):
                self._view.room.remove(dest)
            self._view.room.create_link(dest, os.readlink(self._view.real(source)), found.st_mtime_ns)
            return
        self._write(source, dest, found, base)
        self._view.journal.add(dest)

    def _write(self, source: bytes, dest: bytes, found: os.stat_result, base: int | None = None) -> None:
        view = self._view
        mode = EXECUTABLE if found.st_mode & 0o100 else REGULAR
        real = view.real(source)
        if found.st_size <= view.limits.text_bytes:
            with open(real, "rb") as file:
                data = file.read()
            seen = None if base is None else Seq(base)
            view.room.write(dest, data, base=seen, mode=mode, mtime_ns=found.st_mtime_ns)
            return
        key = (found.st_size, found.st_mtime_ns)
        done = self._hashed.pop(source, None)
        if done is None or done[:2] != key:
            raise Later(lambda: self._hash(source, key))
        view.room.write_object(dest, done[2], done[3], mode=mode, mtime_ns=found.st_mtime_ns)

    def _hash(self, source: bytes, key: tuple[int, int]) -> None:
        digest, size = self._view.room.put_file(Path(os.fsdecode(self._view.real(source))), move=False)
        self._hashed[source] = (*key, digest, size)

    def become_shared(self, node: File, parent: Dir, name: bytes) -> None:
        """Node, handles and attributes change sides; the inode number stays."""
        found = None
        for handle in self._handles.of(node):
            if handle.fd >= 0:
                found = os.fstat(handle.fd)
                handle.close_fd()
        node.place = Place.SHARED
        node.source = self._inodes.source_of(parent, name)
        node.size = -1
        node.reply = None
        node.links = None
        if found is not None:
            node.uid, node.gid, node.mode = found.st_uid, found.st_gid, found.st_mode
        if isinstance(node.source, Entry):
            node.mtime_ns = node.source.mtime_ns

    def remember(self, node: File, path: bytes) -> None:
        """Keep what the room doesn't record of a file that has just become shared."""
        view = self._view
        fields: dict[str, object] = {}
        usual = self._files.default_permissions(node)
        fields["mode"] = None if node.mode & 0o7777 == usual else node.mode & 0o7777
        fields["uid"] = None if node.uid == view.uid else node.uid
        fields["gid"] = None if node.gid == view.gid else node.gid
        shown = node.source.mtime_ns if isinstance(node.source, Entry) else view.epoch_ns
        fields["mtime_ns"] = None if shown == node.mtime_ns else node.mtime_ns
        known = view.attributes.get(path)
        fields.update(link=None, xattrs=None)  # those of the file that had this name before
        if known is not None or any(value is not None for value in fields.values()) or view.has_other_number(path, node.ino):
            fields["ino"] = node.ino
            view.attributes.update(path, **fields)
            if node.parent is not None:
                node.parent.overrides = True

    def adopt_tree(self, top: bytes) -> None:
        """Everything on the disk below *top* that Git doesn't ignore becomes pending."""
        view = self._view
        due = time.monotonic() + view.limits.publish_s
        for directory, names, files in os.walk(view.real(top)):
            path = directory[len(view.local) + 1 :]
            names[:] = [name for name in names if not view.skeleton.ignored(join(path, name), True)]
            for name in files:
                each = join(path, name)
                kind = os.lstat(join(directory, name)).st_mode
                if (st.S_ISREG(kind) or st.S_ISLNK(kind)) and not view.skeleton.ignored(each, False):
                    view.pending.add(each, due=due)

    def recover(self) -> None:
        """After a crash: a pending file that the room already has is not published again."""
        view = self._view
        for path in view.pending:
            entry = view.room.entry(path)
            if entry is None:
                continue
            try:
                same = self._same(entry, view.real(path))
            except FileNotFoundError:
                same = True
            if same:
                if view.is_on_disk(path):
                    os.unlink(view.real(path))
                view.pending.remove(path)

    def _same(self, entry: Entry, real: bytes) -> bool:
        found = os.lstat(real)
        if not st.S_ISREG(found.st_mode) or found.st_size != entry.size or found.st_mtime_ns != entry.mtime_ns:
            return False
        with open(real, "rb") as file:
            return file.read() == self._view.room.read(entry)

