"""How a new file on the real disk becomes a file of the room."""

import logging
import os
import stat as st
import time
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.model.ids import Oid, inode_number
from anvcs.model.room import Content, Entry, Moved
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf
from anvcs.rooms.errors import RoomBusy
from anvcsfs.attributes import Attributes, join
from anvcsfs.bases import Seen
from anvcsfs.births import permissions
from anvcsfs.handles import Handles
from anvcsfs.inodes import Inodes
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, File, Place
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View

log = logging.getLogger(__name__)
_RETRY_S = 2.0
_NOTHING = Seen()


class Publisher:
    """Moves pending files into the room, and keeps their inodes."""

    def __init__(self, view: View, inodes: Inodes, handles: Handles, files: SharedFiles) -> None:
        self._view = view
        self._inodes = inodes
        self._handles = handles
        self._files = files
        self._hashed: dict[bytes, tuple[int, int, bytes, int]] = {}
        self._groups: dict[int, tuple[bytes, int]] = {}
        self._was_merged = False
        """Whether the file that becomes shared says more there than was written."""
        self.held: dict[bytes, int] = {}
        """Files too large to share before they are committed: path → bytes."""

    def publish_due(self) -> None:
        """Publish what has lived long enough.

        Raises:
            Later: a large one must be hashed first.
        """
        now = time.monotonic()
        if self._view.lost:
            return
        for path in self._view.pending.due():
            node = self._inodes.find_loaded(path)
            if isinstance(node, File) and node.writers:
                self._view.pending.postpone(path, now + self._view.limits.publish_s)
                continue
            self._attempt(path)

    def _attempt(self, path: bytes) -> None:
        try:
            self.publish(path)
        except RoomBusy:
            raise
        except (AnvcsError, OSError) as error:
            # It stays where it is, on the disk, and is tried again.
            log.warning("could not publish %r yet: %s", path, error)
            self._view.pending.postpone(path, time.monotonic() + _RETRY_S)

    def publish_small(self) -> None:
        """Publish everything but what is too large to share before it is committed."""
        for path in self._view.pending:
            self._attempt(path)

    def publish_all(self) -> None:
        """Publish everything now, large files included: a commit wants it."""
        for path in self._view.pending:
            self.publish(path, force=True)

    def publish(self, path: bytes, *, force: bool = False, pid: int = 0) -> None:
        """Make the pending file *path*, which *pid* wrote, an entry of the room."""
        view = self._view
        try:
            found = os.lstat(view.real(path))
        except (FileNotFoundError, NotADirectoryError):
            if view.find_store():
                view.pending.remove(path)
            return
        if found.st_size > view.limits.share_bytes and not force:
            self.held[path] = found.st_size
            view.pending.postpone(path, float("inf"))
            return
        parent = self._inodes.find_loaded(path.rpartition(b"/")[0])
        name = path.rpartition(b"/")[2]
        node = self._inodes.child(parent, name) if isinstance(parent, Dir) else None
        file = node if isinstance(node, File) else None
        self._remember(path, path, found, file)
        at = self._to_room(path, found, pid)
        self._leave_disk(path)
        if at != path:
            view.attributes.rename(path, at)
            log.info("another view was faster with the name %r: the file of this one is %r", path, at)
        if file is not None:
            assert isinstance(parent, Dir)  # a node has one
            if at != path:
                self._files.placing.put(file, at)
                parent, name = file.parent or parent, file.name
            self.become_shared(file, parent, name, found)
        elif at != path:
            self._files.placing.find(at)
        if isinstance(parent, Dir) and file is None:
            self._files.placing.look_again(parent, name)

    def _to_room(self, path: bytes, found: os.stat_result, pid: int) -> bytes:
        """Make *path* a file of the room; where it is then: another may have made one of that name meanwhile."""
        self._was_merged = False
        view = self._view
        if st.S_ISLNK(found.st_mode):
            target, born = os.readlink(view.real(path)), view.pending.born(path)
            moved = view.room.create_link(path, target, found.st_mtime_ns, seen=born, fresh=True)
        else:
            seen = view.bases.of(path, pid, view.version(path, None)) if pid and not view.by_git else _NOTHING
            moved = self._write(path, path, found, seen, pid, fresh=True)
        at = path if moved.at is None else moved.at
        if view.room.entry(at) is None:  # equal to the base again: the room keeps no time
            view.attributes.update(at, mtime_ns=found.st_mtime_ns)
        return at

    def _leave_disk(self, path: bytes) -> None:
        """Remove the file whose content the room now has; for the directory nothing changes by that."""
        view = self._view
        directory = os.path.dirname(view.real(path))
        before = os.stat(directory)
        os.unlink(view.real(path))
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
        view.pending.remove(path)
        self.held.pop(path, None)

    def save_as(self, node: File, source: bytes, dest: bytes, seen: Seen, pid: int) -> tuple[os.stat_result, bytes]:
        """The disk file *source* becomes the next version of *dest*, whose writer *pid* had *seen* it.

        The answer: what ``stat`` said of it, and where it is.
        """
        found = os.lstat(self._view.real(source))
        self._was_merged = False
        self._remember(source, dest, found, node)
        moved = self._save(source, dest, found, seen, pid)
        at = dest if moved.at is None else moved.at
        if at != dest:
            self._view.attributes.rename(dest, at)
        if self._view.room.entry(at) is None:  # equal to the base again: the room keeps no time
            self._view.attributes.update(at, mtime_ns=found.st_mtime_ns)
        return found, at

    def _save(self, source: bytes, dest: bytes, found: os.stat_result, had: Seen, pid: int) -> Moved:
        if st.S_ISLNK(found.st_mode):
            seen = self._view.seen()
            if self._view.room.entry(dest) is not None or not self._view.room.hides(dest):
                self._view.room.remove(dest, seen=seen)
            target = os.readlink(self._view.real(source))
            return self._view.room.create_link(dest, target, found.st_mtime_ns, seen=seen, fresh=True)
        moved = self._write(source, dest, found, had, pid)
        self._view.journal.add(dest)
        return moved

    def _write(
        self,
        source: bytes,
        dest: bytes,
        found: os.stat_result,
        seen: Seen = _NOTHING,
        pid: int = 0,
        *,
        fresh: bool = False,
    ) -> Moved:
        view = self._view
        born = view.pending.born(source) if fresh else None
        seen_tree = view.seen() if born is None else born
        mode = EXECUTABLE if found.st_mode & 0o100 else REGULAR
        real = view.real(source)
        if found.st_size <= view.limits.text_bytes:
            with open(real, "rb") as file:
                data = file.read()
            oid = self._written_by_git(dest, data)
            if oid is not None:
                return self._put_blob(dest, Leaf(mode, oid), len(data), found.st_mtime_ns)
            moved = view.room.write(
                dest,
                data,
                base=seen.base,
                had=seen.had,
                doubts=seen.doubts,
                seen=seen_tree,
                fresh=fresh,
                mode=mode,
                mtime_ns=found.st_mtime_ns,
            )
            self._note_writer(dest if moved.at is None else moved.at, pid, data, seen)
            return moved
        self._was_merged = False
        key = (found.st_size, found.st_mtime_ns)
        done = self._hashed.pop(source, None)
        if done is None or done[:2] != key:
            raise Later(lambda: self._hash(source, key))
        return view.room.write_object(
            dest,
            done[2],
            done[3],
            base=seen.base,
            seen=seen_tree,
            fresh=fresh,
            mode=mode,
            mtime_ns=found.st_mtime_ns,
        )

    def _put_blob(self, dest: bytes, leaf: Leaf, written: int, mtime_ns: int) -> Moved:
        size = self._view.blob_size(leaf.oid, dest)
        self._was_merged = size != written  # it is an artifact's pointer
        return self._view.room.put_leaf(dest, leaf, size, mtime_ns)

    def _written_by_git(self, path: bytes, data: bytes) -> Oid | None:
        """What a command of Git has checked out needs no document in the copy of the room that the command writes into."""
        view = self._view
        return view.git.find_blob(data) if view.by_git and view.skeleton.conversion(path) is None else None

    def _note_writer(self, path: bytes, pid: int, data: bytes, seen: Seen) -> None:
        """Who saved knows what it wrote; what was merged into it nobody has read yet."""
        if self._view.room.has_unchecked:
            self._files.merged()
        entry = self._view.room.entry(path)
        text = entry is not None and entry.content is Content.TEXT
        self._was_merged = text and entry is not None and self._view.entry_bytes(entry) != data
        self._was_merged |= self._view.artifacts.pin_of(entry, path) is not None
        if not pid:
            return
        version = self._view.version(path, entry)
        if self._was_merged:
            self._view.bases.wrote(path, pid, version if seen.base is None else seen.base, data)
        else:
            self._view.bases.wrote(path, pid, version, None)

    def _hash(self, source: bytes, key: tuple[int, int]) -> None:
        digest, size = self._view.room.put_file(Path(os.fsdecode(self._view.real(source))), move=False)
        self._hashed[source] = (*key, digest, size)

    def become_shared(self, node: File, parent: Dir, name: bytes, found: os.stat_result) -> None:
        """Node and handles change sides; inode number, owner and modes stay."""
        for handle in self._handles.of(node):
            handle.close_fd()
        if self._was_merged:  # the kernel has the pages that were written
            self._view.notifier.content(node.ino)
        node.place = Place.SHARED
        node.source = self._inodes.source_of(parent, name)
        node.size = -1
        node.reply = None
        node.uid, node.gid, node.mode = found.st_uid, found.st_gid, found.st_mode
        node.mtime_ns = node.atime_ns = found.st_mtime_ns
        node.ctime_ns = found.st_ctime_ns
        if self._files.pin_of(node) is not None:
            node.ctime_ns = node.mtime_ns  # as it was told while it was being written
        kept = self._view.attributes.get(join(parent.path, name))
        node.group = None if kept is None else kept.link
        if node.group is None:
            node.links = None

    def _remember(self, source: bytes, path: bytes, found: os.stat_result, node: File | None) -> None:
        """Keep of the disk file *source* what the room won't record of *path*.

        Before the room has the file, so that no crash comes between.
        """
        view = self._view
        kind = EXECUTABLE if found.st_mode & 0o100 else REGULAR
        usual = found.st_mode & 0o7777 in (permissions(kind) & 0o7777, 0o777 if st.S_ISLNK(found.st_mode) else -1)
        link = self._group_of(path, node, found)
        fresh = Attributes(
            mode=None if usual else found.st_mode & 0o7777,
            uid=None if found.st_uid == view.uid else found.st_uid,
            gid=None if found.st_gid == view.gid else found.st_gid,
            ino=None if link is None else link[1],
            xattrs=self._xattrs(source),
            link=None if link is None else link[0],
        )
        if fresh != (view.attributes.get(path) or Attributes()):
            view.attributes.update_many({path: fresh}, now=True)
            parent = self._inodes.find_loaded(path.rpartition(b"/")[0])
            if isinstance(parent, Dir):
                parent.overrides = True

    def _group_of(self, path: bytes, node: File | None, found: os.stat_result) -> tuple[bytes, int] | None:
        """Link group and common inode number of a file with several names on the disk.

        Each name is published by itself, so the later ones find the group by the number on the real disk.
        """
        known = self._groups.get(found.st_ino)
        if found.st_nlink > 1 and known is None:
            known = self._groups[found.st_ino] = os.urandom(8), inode_number(path) if node is None else node.ino
        elif found.st_nlink == 1:
            self._groups.pop(found.st_ino, None)
        return known

    def _xattrs(self, path: bytes) -> dict[bytes, bytes] | None:
        real = self._view.real(path)
        names = os.listxattr(real, follow_symlinks=False)
        return {os.fsencode(name): os.getxattr(real, name, follow_symlinks=False) for name in names} or None

    def make_directories(self, source: bytes, dest: bytes) -> None:
        """The room gets a directory for *dest* and for each of *source*'s that Git won't ignore there."""
        view = self._view
        top, now = view.real(source), time.time_ns()
        for directory, names, _ in os.walk(top):
            path = dest + directory[len(top) :]
            if view.room.entry(path) is None:
                view.room.mkdir(path, now)
            names[:] = [name for name in names if not view.skeleton.ignored(join(path, name), True)]

    def adopt_tree(self, top: bytes, dest: bytes) -> None:
        """What lies on the disk below *top* and Git won't ignore below *dest* is pending there."""
        view = self._view
        due = time.monotonic() + view.limits.publish_s
        real = view.real(top)
        for directory, names, files in os.walk(real):
            path = dest + directory[len(real) :]
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
                    self._leave_disk(path)
                view.pending.remove(path)

    def _same(self, entry: Entry, real: bytes) -> bool:
        found = os.lstat(real)
        if not st.S_ISREG(found.st_mode) or found.st_size != entry.size or found.st_mtime_ns != entry.mtime_ns:
            return False
        with open(real, "rb") as file:
            return file.read() == self._view.room.read(entry)
