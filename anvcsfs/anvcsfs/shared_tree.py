"""Names in shared directories: made, removed and listed through the room."""

import errno
import os
import stat as st
import time

from anvcs.model.ids import Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import DIRECTORY
from anvcsfs.attributes import join
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Marker, Node, Place
from anvcsfs.replacing import saved_over
from anvcsfs.shared import SharedFiles
from anvcsfs.view import RULE_FILES, View

_USUAL_MODE = 0o755


class SharedTree:
    """Directories, symlinks and deletions of the room, kept in step with the nodes."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles) -> None:
        self._view = view
        self._inodes = inodes
        self._files = files

    def touch_directory(self, parent: Dir) -> None:
        """A name in *parent* changed: so did its times."""
        self._view.directory_changed(parent)

    def mkdir(self, parent: Dir, name: bytes, mode: int) -> Dir:
        """A new shared directory; it is recorded although Git won't commit it while empty."""
        path = join(parent.path, name)
        now = time.time_ns()
        wanted = mode & 0o7777
        if wanted != _USUAL_MODE:  # before anybody can see the directory
            self._view.attributes.update(path, mode=wanted, now=True)
            parent.overrides = True
        moved = self._view.room.mkdir(path, now, seen=self._view.seen())
        node = self._appear(parent, name, path, moved.at)
        assert isinstance(node, Dir)  # the room has just made a directory
        node.mtime_ns = node.ctime_ns = node.atime_ns = now
        node.mode = st.S_IFDIR | wanted
        return node

    def symlink(self, parent: Dir, name: bytes, target: bytes) -> File:
        """A new shared symlink."""
        path = join(parent.path, name)
        moved = self._view.room.create_link(path, target, time.time_ns(), seen=self._view.seen(), fresh=True)
        node = self._appear(parent, name, path, moved.at)
        assert isinstance(node, File)  # the room has just made a link
        return node

    def _appear(self, parent: Dir, name: bytes, path: bytes, at: bytes | None) -> Node:
        """The node of a name that the room has just got, or has got *at* another place."""
        if at is not None and at != path:
            return self._appear_elsewhere(parent, name, at)
        entry = self._view.room.entry(path)
        self._inodes.children(parent)[name] = Marker.SHARED_DIR if entry is None else entry
        node = self._inodes.child(parent, name)
        assert node is not None  # its source was put there one line ago
        if isinstance(node, Dir):
            parent.nlink += 1
        self.touch_directory(parent)
        self._view.journal.add(path)
        return node

    def _appear_elsewhere(self, parent: Dir, name: bytes, at: bytes) -> Node:
        """Somebody else has the name: the kernel gets the node, and is told that it is another's name."""
        node = self._files.placing.find(at)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._view.attributes.rename(join(parent.path, name), at)
        self._files.placing.look_again(parent, name)
        return node

    def _note_save(self, backup: Entry, path: bytes, saved: bytes, base: Seq, pid: int) -> None:
        """Note what is known of the file at *saved*, if that *backup* went from *path* was a save of it."""
        node, now = self._inodes.find_loaded(saved), self._view.room.entry(saved)
        fresh = node.source if isinstance(node, File) else None
        is_save = backup.base_path == saved if now is None else now.id == backup.id
        if is_save and isinstance(fresh, Entry) and fresh.id != backup.id:
            saved_over(self._view, path, fresh, saved, base, pid)

    def _renew(self, path: bytes) -> None:
        """The file at *path* was saved by the deletion of its backup: it may say more than was written."""
        node = self._inodes.find_loaded(path)
        if not isinstance(node, File) or node.place is not Place.SHARED or node.parent is None:
            return
        node.source = self._inodes.source_of(node.parent, node.name)
        if node.work is not None and not node.work.dirty:
            node.work.close()
            node.work = None
        node.size, node.reply = -1, None
        self._view.notifier.content(node.ino)

    def unlink(self, parent: Dir, name: bytes, node: File, pid: int) -> None:
        """Remove one name of a shared file; who had not seen its latest edit removes nothing."""
        path, backup = join(parent.path, name), node.source
        with self._files.losing_name(node):
            base = self._files.base_of(node, pid)
            moved = self._view.room.remove(path, base=base, seen=self._view.seen_of(node))
        for saved in moved.paths:
            if saved != path:
                if isinstance(backup, Entry):
                    self._note_save(backup, path, saved, base, pid)
                self._renew(saved)
        if moved.kept and moved.at is not None:
            self._files.placing.put(node, moved.at)
            return
        if moved.kept and self._inodes.source_of(parent, name) is not None:
            self._files.placing.stays(parent, name, node)
            return
        if parent.overrides:
            self._view.attributes.remove(path)
        self.touch_directory(parent)
        self._view.journal.add(path)
        if name in RULE_FILES:
            self._view.rule_changed(path, None)
        self._inodes.drop_name(parent, name, node)

    def rmdir(self, parent: Dir, name: bytes, node: Dir) -> None:
        """Remove an empty shared directory and its shadow on the disk."""
        if self._inodes.children(node):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        path = join(parent.path, name)
        entry = self._view.room.entry(path)
        if entry is not None and entry.mode == DIRECTORY:
            self._view.room.rmdir(path, seen=self._view.seen())
        self.remove_shadow(path)
        if parent.overrides:
            self._view.attributes.remove(path)
        node.removed = True
        self._inodes.detach(parent, name)
        self.touch_directory(parent)
        self._view.journal.add(path + b"/")

    def remove_shadow(self, path: bytes) -> None:
        """Remove the directories on disk that only stood for *path*."""
        if not self._view.is_on_disk(path):
            return
        real = self._view.real(path)
        for directory, _, files in os.walk(real, topdown=False):
            if not files:
                try:
                    os.rmdir(directory)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                        raise

    def read_link(self, node: File) -> bytes:
        """Target of a symlink."""
        source = node.source
        if isinstance(source, Entry) and source.content is Content.INLINE:
            return source.ref
        return self._files.content(node)
