"""The request handlers: one table of plain methods over inodes and handles.

Nothing here knows pyfuse3 or trio.  A method answers at once, raises ``OSError`` or
an ``AnvcsError``, or raises `Later` before it has changed anything.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterator

from anvcs.errors import AnvcsError
from anvcs.rooms.errors import RoomBusy
from anvcsfs.callers import holds_for_writing
from anvcsfs.control.control import Control
from anvcsfs.control_nodes import ControlFile, ControlHandle
from anvcsfs.handles import Caller, DirHandle, FileHandle
from anvcsfs.later import Later
from anvcsfs.names import Names, fail
from anvcsfs.nodes import Dir, File, Node, Place
from anvcsfs.pins import Pin
from anvcsfs.status import FOREVER_S, AttributeChange, Status
from anvcsfs.view import View

_BLOCK = 4096
log = logging.getLogger(__name__)


class Table(Names):
    """Every verb of the file system: here those on attributes, open files and directories."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.writers_changed: Callable[[], None] = lambda: None
        """Called when files are opened or closed for writing."""
        self.control = Control(self)

    def save_open_files(self) -> None:
        """Save what is written and not yet closed."""
        for handle in self.handles.all():
            if isinstance(handle, FileHandle) and handle.wrote:
                self._save(handle)

    def finish(self) -> None:
        """After the last request: nothing stays in memory only."""
        self.view.room.compare_at_once()
        self._to_the_end(self.save_open_files)
        self._to_the_end(self.publisher.publish_small)

    def _to_the_end(self, verb: Callable[[], None]) -> None:
        """Call *verb* outside the serving loop: what it asks a thread for is done here."""
        while True:
            try:
                verb()
            except Later as later:
                later.job()
            except RoomBusy:
                try:
                    self.view.room.wait_writable()
                except RoomBusy as error:
                    log.warning("left for the next mount: %s", error)
                    return
            except (AnvcsError, OSError) as error:
                log.warning("left for the next mount: %s", error)
                return
            else:
                return

    # Attributes

    def getattr(self, ino: int) -> Node:
        """The node, whose attributes are wanted."""
        return self.inodes.get(ino)

    def _tell(self, node: File, pin: Pin, pid: int) -> float:
        """The thread *pid* learns of a change; for how long the kernel may keep the answer.

        Raises:
            Later: others are reading.
        """
        # A thread that asks isn't reading meanwhile.
        others = [handle.pid for handle in self.handles.of(node) if handle.pid != pid]
        if not pin.tell(node.ino, self.view.notifier, pid, others):
            return 0.0
        node.pinned = None
        return FOREVER_S

    def status(self, node: Node, handle: FileHandle | None = None, pid: int = 0) -> Status:
        """``stat(2)``, asked for by the thread *pid* (0: somebody)."""
        if node.on_disk:
            return self._disk_status(node, handle)
        if isinstance(node, ControlFile):
            return self.control.status(node)
        lifetime = FOREVER_S
        if isinstance(node, Dir):
            if node.children is None and node.place is not Place.CONTROL:
                self.inodes.children(node)
            size, nlink, rdev = _BLOCK, 0 if node.removed else node.nlink, 0
        else:
            assert isinstance(node, File)  # a node is one or the other
            if node.pinned is not None:
                lifetime = self._tell(node, node.pinned, pid)
            node.unasked = None
            size, rdev = self.files.size(node), node.rdev
            nlink = 0 if node.unlinked else self.files.link_count(node)
        return Status(
            node.ino,
            node.mode,
            nlink,
            node.uid,
            node.gid,
            rdev,
            size,
            node.atime_ns,
            node.mtime_ns,
            node.ctime_ns,
            lifetime,
        )

    def _disk_status(self, node: Node, handle: FileHandle | None) -> Status:
        if isinstance(node, Dir) and node.removed:
            now = node.mtime_ns
            return Status(node.ino, node.mode, 0, node.uid, node.gid, 0, _BLOCK, now, now, now, FOREVER_S)
        if handle is None and isinstance(node, File) and node.unlinked:
            handle = next((each for each in self.handles.of(node) if each.fd >= 0), None)
            if handle is None:
                raise fail(errno.ESTALE)
        found = self.disk.status(node, handle)
        node.mode = found.st_mode
        status = Status(
            node.ino,
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            found.st_rdev,
            found.st_size,
            found.st_atime_ns,
            found.st_mtime_ns,
            found.st_ctime_ns,
            FOREVER_S,
        )
        artifacts, apart = self.view.artifacts, self.view.detached
        if artifacts.active and node.place is Place.PENDING and (apart or self.follower.units.unit is not None):
            # Git notes in its index what it sees when it has written, and that is going to be an artifact.
            return artifacts.as_it_will_be(node.path, self.view.real(node.path), status)
        return status

    def setattr(self, ino: int, change: AttributeChange, number: int | None, caller: Caller) -> Node:
        """``chmod``, ``chown``, ``truncate``, ``utimensat``."""
        node = self.inodes.get(ino)
        if isinstance(node, ControlFile):
            if (
                change.mode not in (None, node.mode)
                or change.uid not in (None, node.uid)
                or change.gid not in (None, node.gid)
            ):
                raise fail(errno.EPERM)
            return node  # tools truncate and touch what they write to: nothing to do
        self.changeable(node)
        handle = self.handles.any(number) if number is not None else None
        file_handle = handle if isinstance(handle, FileHandle) else None
        if change.size is not None:
            if not isinstance(node, File):
                raise fail(errno.EISDIR)
            if node.on_disk:
                self.disk.truncate(node, change.size, file_handle)
                self.view.journal.add(node.path)
            else:
                self.files.truncate(node, change.size, file_handle, caller.pid)
        self.setting.apply(node, change)
        node.reply = None
        return node

    # Open files

    def open(self, ino: int, flags: int, caller: Caller) -> FileHandle | ControlHandle:
        """``open(2)`` of an existing file."""
        node = self.inodes.get(ino)
        if isinstance(node, ControlFile):
            return self.control.open(node, flags, caller)
        if not isinstance(node, File):
            raise fail(errno.EISDIR)
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        if writes or flags & os.O_TRUNC:
            self.changeable(node)
        if node.on_disk:
            handle = self.disk.open(node, flags, caller.pid)
            if flags & os.O_TRUNC:
                node.reply = None
        else:
            handle = self._open_shared(node, flags, caller.pid)
        node.opens += 1
        node.writers += writes
        if writes:
            self.writers_changed()
        self.handles.add(handle)
        return handle

    def _open_shared(self, node: File, flags: int, pid: int) -> FileHandle:
        files = self.files
        if node.pinned is not None:
            node.pinned.wait_settled(pid)
        handle = FileHandle(node, flags, pid)
        if flags & os.O_TRUNC:
            files.truncate(node, 0, handle, pid)
        elif node.place is Place.SHARED:
            files.file(node)  # a big one is put on disk now, not at the first read
            if handle.readable:
                files.opened(handle)
        return handle

    def create(self, parent_ino: int, name: bytes, mode: int, flags: int, caller: Caller) -> FileHandle:
        """``open(2)`` with ``O_CREAT`` of a name that doesn't exist."""
        parent = self._parent(parent_ino, name)
        existing = self.inodes.child(parent, name)
        if existing is not None:
            if flags & os.O_EXCL:
                raise fail(errno.EEXIST)
            handle = self.open(existing.ino, flags, caller)
            assert isinstance(handle, FileHandle)  # control files are never created
        else:
            handle = self.disk.create(parent, name, mode, flags, caller)
            handle.node.opens += 1
            handle.node.writers += handle.writable
            handle.wrote = True  # its birth is a change
            self.writers_changed()
            self.handles.add(handle)
        handle.node.nlookup += 1
        return handle

    def read(self, number: int, offset: int, length: int) -> bytes:
        """``pread(2)``."""
        handle = self.handles.any(number)
        if isinstance(handle, FileHandle):
            if handle.node.on_disk:
                return os.pread(handle.fd, length, offset)
            return self.files.read(handle, offset, length)
        if isinstance(handle, ControlHandle):
            return self.control.read(handle, offset, length)
        raise fail(errno.EISDIR)

    def write(self, number: int, offset: int, data: bytes) -> int:
        """``pwrite(2)``; the kernel has resolved ``O_APPEND``."""
        handle = self.handles.any(number)
        if isinstance(handle, FileHandle):
            node = handle.node
            if node.on_disk:
                handle.wrote = True
                node.reply = None
                return _pwrite(handle.fd, data, offset)
            return self.files.write(handle, offset, data)
        if isinstance(handle, ControlHandle):
            return self.control.write(handle, offset, data)
        raise fail(errno.EBADF)

    def flush(self, number: int) -> None:
        """A descriptor is closed; what was written is saved."""
        handle = self.handles.any(number)
        if isinstance(handle, FileHandle):
            if handle.wrote and not self._goes_on(handle):
                self._save(handle)
        elif isinstance(handle, ControlHandle):
            self.control.flush(handle)

    def _goes_on(self, handle: FileHandle) -> bool:
        """Whether its opener is going to write more: this was a duplicate's close, or a child's.

        A shell empties the file, closes the descriptor that it then has twice, and starts
        its command.  Each half of a file would be a save of its own, and a loss to merge.
        """
        return not handle.node.on_disk and holds_for_writing(handle.pid, self.view.mountpoint, handle.node.path)

    def _save(self, handle: FileHandle) -> None:
        node = handle.node
        if self.view.lost:
            raise fail(errno.ESTALE)
        if node.on_disk:
            self.disk.after_write(handle)
            if (
                node.place is Place.PENDING
                and not node.unlinked
                and (self.view.by_git or self.view.room.hides(node.path))
            ):
                # A tracked file that was removed and made again: a save, not a temporary.  Git makes none in a view.
                self.publisher.publish(node.path, force=True, pid=handle.pid)
        else:
            self.files.save(handle.node, handle)
        handle.wrote = False

    def fsync(self, number: int, *, data_only: bool) -> Callable[[], None] | None:
        """Save what was written; the answer is the slow rest, for a thread."""
        handle = self.handles.any(number)
        if isinstance(handle, ControlHandle):
            self.control.fsync(handle)
            return None
        if not isinstance(handle, FileHandle):
            return None
        if handle.wrote:
            self._save(handle)
        if handle.node.on_disk:
            return lambda: self.disk.sync(handle.node, handle, data_only=data_only)
        return self.view.room.sync

    def release(self, number: int) -> None:
        """The last descriptor of an open file is closed."""
        handle = self.handles.any(number)
        if isinstance(handle, ControlHandle):
            self.control.release(handle)
        elif isinstance(handle, FileHandle):
            if handle.wrote:
                self._save(handle)
            self._let_go(handle)
        self.handles.remove(number)

    def _let_go(self, handle: FileHandle) -> None:
        node = handle.node
        handle.close_fd()
        node.opens -= 1
        node.writers -= handle.writable
        if handle.writable:
            self.writers_changed()
        if not node.on_disk:
            self.files.settle(node)
        self.inodes.drop_if_unused(node)

    def done_nevertheless(self, number: int, reason: BaseException | None) -> bool:
        """A flush failed: whether the request it carried out took effect before that."""
        handle = self.handles.any(number)
        if isinstance(handle, ControlHandle) and isinstance(reason, RoomBusy):
            return self.control.gave_up(handle, reason)
        return False

    def give_up(self, number: int) -> None:
        """The last descriptor is closed and its content could not be saved: what was saved is shown again."""
        handle = self.handles.any(number)
        if isinstance(handle, FileHandle):
            node = handle.node
            self._let_go(handle)
            if not node.on_disk and node.writers == 0:
                self.files.discard(node)
        self.handles.remove(number)

    # Directories

    def opendir(self, ino: int) -> DirHandle:
        """``opendir(3)``."""
        node = self.inodes.directory(ino)
        handle = DirHandle(node)
        node.opens += 1
        self.handles.add(handle)
        return handle

    def readdir(self, number: int, start: int) -> Iterator[tuple[bytes, Node, int]]:
        """Names from cookie *start* on, each with its node and the next cookie.

        The consumer adds a reference to each node it passes on, but for ``.`` and ``..``.
        """
        handle = self.handles.get(number, DirHandle)
        node = handle.node
        if handle.names is None or start == 0:
            handle.names = [] if node.removed else self.inodes.names(node)
        if start == 0 and not node.removed:
            yield b".", node, 1
        if start <= 1 and not node.removed:
            yield b"..", node.parent or node, 2
        first = max(start - 2, 0)
        for cookie, name in enumerate(handle.names[first:] if first else handle.names, first + 3):
            known = node.children.get(name) if node.children is not None else None
            child = known if isinstance(known, Node) else self.inodes.child(node, name)
            if child is not None:
                yield name, child, cookie

    def releasedir(self, number: int) -> None:
        """``closedir(3)``."""
        handle = self.handles.remove(number)
        if handle is not None:
            handle.node.opens -= 1
            self.inodes.drop_if_unused(handle.node)

    def fsyncdir(self, number: int) -> Callable[[], None]:
        """The job after which the names in a directory survive power loss."""
        node = self.handles.get(number, DirHandle).node

        def job() -> None:
            self.view.room.sync()
            self.disk.sync_directory(node)

        return job

    def statfs(self) -> os.statvfs_result:
        """Space of the disk that holds the store."""
        return os.statvfs(self.view.folder)


def _pwrite(fd: int, data: bytes, offset: int) -> int:
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
    return done
