"""Local and pending files: the real disk does the work, we translate names."""

import ctypes
import errno
import os
import stat as st
import time

from anvcsfs.attributes import join
from anvcsfs.handles import Caller, FileHandle
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Marker, Node, Place
from anvcsfs.view import RULE_FILES, View

_KEPT_FLAGS = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC | os.O_NONBLOCK | os.O_DSYNC | os.O_SYNC | os.O_NOATIME
_libc = ctypes.CDLL(None, use_errno=True)


def exchange_on_disk(old: bytes, new: bytes) -> None:
    """Swap two names (``RENAME_EXCHANGE``, which ``os`` does not offer)."""
    if _libc.renameat2(-100, old, -100, new, 2) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _own_umask() -> int:
    """What our own files are kept from being; the callers' masks were applied by the kernel already."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


class DiskFiles:
    """Verbs on nodes whose bytes are real files below the view's folder."""

    def __init__(self, view: View, inodes: Inodes) -> None:
        self._view = view
        self._inodes = inodes
        self._privileged = os.geteuid() == 0
        self._umask = _own_umask()

    def real(self, node: Node) -> bytes:
        """Where *node* lies on the real disk."""
        return self._view.real(node.path)

    def status(self, node: Node, handle: FileHandle | None) -> os.stat_result:
        """Attributes as the disk has them."""
        if handle is not None and handle.fd >= 0:
            return os.fstat(handle.fd)
        return os.lstat(self.real(node))

    # Birth

    def place_for(self, parent: Dir, path: bytes, *, is_dir: bool = False) -> Place:
        """Which class a new *path* in *parent* belongs to."""
        if parent.place is Place.LOCAL:
            return Place.LOCAL
        return Place.LOCAL if self._view.skeleton.ignored(path, is_dir) else Place.PENDING

    def create(self, parent: Dir, name: bytes, mode: int, flags: int, caller: Caller) -> FileHandle:
        """A new regular file, open."""
        path = join(parent.path, name)
        place = self.place_for(parent, path)
        if place is Place.PENDING:
            self._view.pending.add(path, due=time.monotonic() + self._view.limits.publish_s)
        kept = flags & (_KEPT_FLAGS & ~os.O_ACCMODE & ~os.O_APPEND)
        fd = self._open_new(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | kept, mode)
        if mode & self._umask:
            os.fchmod(fd, mode & 0o7777)
        self._give_to(fd, parent, caller)
        node = self._born(parent, name, path, place, os.fstat(fd))
        assert isinstance(node, File)  # a regular file was just made
        handle = FileHandle(node, flags, caller.pid)
        handle.fd = fd
        return handle

    def _open_new(self, path: bytes, flags: int, mode: int) -> int:
        try:
            return os.open(self._view.real(path), flags, mode & 0o7777)
        except FileNotFoundError:
            return os.open(self._view.ensure_real_parent(path), flags, mode & 0o7777)

    def mknod(self, parent: Dir, name: bytes, mode: int, rdev: int, caller: Caller) -> Node:
        """A regular file without opening it, a fifo, a socket or a device; all but the first are always local."""
        path = join(parent.path, name)
        place = self.place_for(parent, path) if st.S_ISREG(mode) else Place.LOCAL
        if place is Place.PENDING:
            self._view.pending.add(path, due=time.monotonic() + self._view.limits.publish_s)
        real = self._view.ensure_real_parent(path)
        os.mknod(real, mode, rdev)
        if mode & self._umask:
            os.chmod(real, mode & 0o7777)
        self._give_to(real, parent, caller)
        return self._born(parent, name, path, place, os.lstat(real))

    def mkdir(self, parent: Dir, name: bytes, mode: int, caller: Caller) -> Dir:
        """A new local directory."""
        path = join(parent.path, name)
        real = self._view.ensure_real_parent(path)
        try:
            os.mkdir(real, mode & 0o7777)
            if mode & self._umask:
                os.chmod(real, st.S_IMODE(os.lstat(real).st_mode) | mode & 0o777)
        except FileExistsError:
            if os.listdir(real):
                raise
            os.chmod(real, mode & 0o7777)  # the empty shadow of a shared directory that is gone
        self._give_to(real, parent, caller)
        node = self._born(parent, name, path, Place.LOCAL, os.lstat(real))
        assert isinstance(node, Dir)  # a directory was just made
        return node

    def symlink(self, parent: Dir, name: bytes, target: bytes, caller: Caller) -> Node:
        """A new local symlink."""
        path = join(parent.path, name)
        real = self._view.ensure_real_parent(path)
        os.symlink(target, real)
        self._give_to(real, parent, caller)
        return self._born(parent, name, path, Place.LOCAL, os.lstat(real))

    def link(self, node: File, parent: Dir, name: bytes) -> None:
        """A further name for a local or pending file."""
        path = join(parent.path, name)
        if node.place is Place.PENDING:
            self._view.pending.add(path, due=time.monotonic() + self._view.limits.publish_s)
        real = self._view.ensure_real_parent(path)
        os.link(self.real(node), real, follow_symlinks=False)
        node.links = [*(node.links or []), (parent, name)]
        self._inodes.attach_link(parent, name, node)
        if parent.place is not Place.LOCAL:
            self._changed(parent)
        self._view.journal.add(path)

    def _born(self, parent: Dir, name: bytes, path: bytes, place: Place, found: os.stat_result) -> Node:
        if parent.place is not Place.LOCAL:
            self._changed(parent)
        source = (
            Marker.PENDING
            if place is Place.PENDING
            else Marker.LOCAL_DIR
            if st.S_ISDIR(found.st_mode)
            else Marker.LOCAL
        )
        node = self._inodes.born_on_disk(parent, name, source)
        self._view.journal.add(path)
        return node

    def _changed(self, parent: Dir) -> None:
        """The disk has changed the times of a shared directory's shadow: they are its own."""
        parent.mtime_ns = parent.ctime_ns = os.stat(self.real(parent)).st_mtime_ns
        parent.reply = None

    def _give_to(self, target: bytes | int, parent: Dir, caller: Caller) -> None:
        """Make the caller the owner (and the group the directory's, where that is set-gid)."""
        gid = parent.gid if parent.mode & st.S_ISGID else caller.gid
        if self._privileged and (caller.uid != 0 or gid != 0):
            if isinstance(target, int):
                os.fchown(target, caller.uid, gid)
            else:
                os.lchown(target, caller.uid, gid)

    # Open files

    def open(self, node: File, flags: int, pid: int) -> FileHandle:
        """Open an existing local or pending file."""
        handle = FileHandle(node, flags, pid)
        real = self.real(node)
        kept = flags & _KEPT_FLAGS & ~os.O_APPEND | os.O_CLOEXEC
        if flags & os.O_ACCMODE == os.O_WRONLY:
            # A page may have to be read before it is written (mmap, partial pages).
            try:
                handle.fd = os.open(real, (kept & ~os.O_ACCMODE) | os.O_RDWR)
            except PermissionError:
                pass  # a file its owner may only write
            else:
                return handle
        handle.fd = os.open(real, kept)
        return handle

    def after_write(self, handle: FileHandle) -> None:
        """The writer closed: the rules may have changed, and a pending file's time starts now."""
        node = handle.node
        path = node.path
        self._view.journal.add(path)
        if node.place is Place.PENDING:
            self._view.pending.rest(path, self._view.limits.publish_s)
        if node.name in RULE_FILES and not node.unlinked:
            size = os.fstat(handle.fd).st_size
            self._view.rule_changed(path, os.pread(handle.fd, size, 0))

    # Attributes

    def chmod(self, node: Node, mode: int) -> None:
        """Set permission bits."""
        os.chmod(self.real(node), mode & 0o7777)

    def chown(self, node: Node, uid: int, gid: int) -> None:
        """Set owner and group; -1 leaves one alone."""
        os.lchown(self.real(node), uid, gid)

    def utime(self, node: Node, atime_ns: int, mtime_ns: int) -> None:
        """Set times."""
        os.utime(self.real(node), ns=(atime_ns, mtime_ns), follow_symlinks=False)

    def truncate(self, node: Node, size: int, handle: FileHandle | None) -> None:
        """Cut or extend."""
        if handle is not None and handle.fd >= 0 and handle.writable:
            os.ftruncate(handle.fd, size)
        else:
            os.truncate(self.real(node), size)

    # Death

    def unlink(self, parent: Dir, name: bytes, node: File) -> None:
        """Remove one name of a local or pending file."""
        path = join(parent.path, name)
        os.unlink(self._view.real(path))
        if node.place is Place.PENDING:
            self._view.pending.remove(path)
        self.gone(parent, name, node, path)

    def gone(self, parent: Dir, name: bytes, node: File, path: bytes) -> None:
        """*name* is gone from the disk: forget it in memory too."""
        if parent.place is not Place.LOCAL:
            self._changed(parent)
        self._view.journal.add(path)
        if name in RULE_FILES and parent.place is not Place.LOCAL:
            self._view.rule_changed(path, None)
        self._inodes.drop_name(parent, name, node)

    def rmdir(self, parent: Dir, name: bytes, node: Dir) -> None:
        """Remove an empty local directory."""
        path = join(parent.path, name)
        if not path or node.source is None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        os.rmdir(self._view.real(path))
        if parent.place is not Place.LOCAL:
            self._changed(parent)
        node.removed = True
        self._inodes.detach(parent, name)
        self._view.journal.add(path)

    def sync(self, node: Node, handle: FileHandle | None, *, data_only: bool) -> None:
        """Bytes to the disk; for a file that may be new, its name too.  Slow: for a thread."""
        if handle is not None and handle.fd >= 0:
            (os.fdatasync if data_only else os.fsync)(handle.fd)
        self._sync_upwards(os.path.dirname(self.real(node)))

    def sync_directory(self, node: Dir) -> None:
        """The local names in *node*, if any, to the disk."""
        self._sync_upwards(self.real(node))

    def _sync_upwards(self, directory: bytes) -> None:
        while directory.startswith(self._view.local):
            if os.path.isdir(directory):
                _sync_directory(directory)
            directory = os.path.dirname(directory)


def _sync_directory(path: bytes) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
