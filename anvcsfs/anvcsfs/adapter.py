"""pyfuse3's requests become calls of the table; nothing is decided here."""

import errno
import logging
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import pyfuse3
import trio
from pyfuse3 import (
    EntryAttributes,
    FileHandleT,
    FileInfo,
    FlagT,
    FUSEError,
    InodeT,
    ModeT,
    ReaddirToken,
    RequestContext,
)

from anvcs.errors import AnvcsError
from anvcs.rooms.errors import NotCompared, RoomBusy
from anvcsfs.control_nodes import ControlFile, ControlHandle
from anvcsfs.errnos import errno_of
from anvcsfs.handles import FileHandle
from anvcsfs.later import Later
from anvcsfs.nodes import Node, Place
from anvcsfs.serving import Gate
from anvcsfs.status import FOREVER_S, AttributeChange
from anvcsfs.table import Table

log = logging.getLogger(__name__)
T = TypeVar("T")
_ATTEMPTS = 1000
_PATIENCE_S = 5.0
"""How long a request waits for another process's append before it is EAGAIN."""
_MAX_NAME = 255
_UNSUPPORTED = (b"system.", b"security.selinux")
"""Extended attributes that no view has: access control lists and labels."""


class Adapter(pyfuse3.Operations):
    """The kernel's requests, one method each."""

    enable_writeback_cache = False  # peers' changes would stay invisible
    supports_dot_lookup = False

    def __init__(self, table: Table, gate: Gate, *, xattrs: bool = True) -> None:
        super().__init__()
        self._table = table
        self._gate = gate
        self._xattrs = xattrs
        self.take_in: Callable[[], None] = lambda: None
        """Called before a request when another process has announced ops."""
        self._negative = EntryAttributes()
        self._negative.st_ino = InodeT(0)
        self._negative.entry_timeout = FOREVER_S

    # Plumbing

    async def _call(self, verb: Callable[[], T]) -> T:
        """Call *verb*; when it asks for a thread, give it one and call again."""
        patience: float | None = None
        try:
            if self._gate.heard:
                self._gate.heard = False
                self.take_in()
            if self._table.follower.units.ended:
                self._table.follower.hear_git()
            for _ in range(_ATTEMPTS):
                try:
                    return verb()
                except (Later, NotCompared) as later:
                    await self.in_thread(later.job)
                except RoomBusy:
                    now = trio.current_time()
                    patience = now + _PATIENCE_S if patience is None else patience
                    if now > patience:
                        raise
                    await self._wait_for_room(patience - now)
        except FUSEError:
            raise
        except Exception as error:  # whatever escapes a handler would end the mount
            raise self._refusal(error) from error
        raise FUSEError(errno.EAGAIN)

    async def _change(self, pid: int, verb: Callable[[], T], *, removes: bool = False) -> T:
        """`_call` of what changes the tree for the process *pid*, which may be Git."""
        units = self._table.follower.units

        def changed() -> T:
            units.enter(pid, removes=removes)
            try:
                return verb()
            finally:
                units.leave()

        return await self._call(changed)

    def _writer(self, fh: int) -> int:
        """Who opened *fh*, if there is something to save; 0 for nobody whose saving changes anything."""
        handle = self._table.handles.any(fh)
        return handle.pid if isinstance(handle, FileHandle) and handle.wrote else 0

    async def _finished(self, fh: int, verb: Callable[[], T]) -> T:
        """`_call` for verbs that may carry a request out, which may have taken effect although it failed."""
        try:
            return await self._call(verb)
        except FUSEError as error:
            if not self._table.done_nevertheless(fh, error.__cause__):
                raise
        return await self._call(verb)

    async def _wait_for_room(self, seconds: float) -> None:
        """Wait in a thread while another process is inside its append."""
        room = self._table.view.room
        await self.in_thread(lambda: room.wait_writable(seconds))

    async def attempt(self, verb: Callable[[], None]) -> None:
        """`_call` for our own tasks: a failure is logged and tried again by the next occasion."""
        try:
            await self._call(verb)
        except FUSEError as error:
            log.warning("%s: %s", getattr(verb, "__name__", "task"), error.__cause__ or error)

    async def attempt_in_thread(self, job: Callable[[], None]) -> None:
        """`in_thread` for our own tasks."""
        try:
            await self.in_thread(job)
        except Exception:  # the next occasion may do better; the mount must not end
            log.warning("housekeeping failed", exc_info=True)

    async def in_thread(self, job: Callable[[], T]) -> T:
        """Run *job* in a thread while other requests are served."""
        self._gate.enter_slow()
        try:
            return await trio.to_thread.run_sync(job)
        finally:
            self._gate.leave_slow()

    def _refusal(self, error: Exception) -> FUSEError:
        number = errno_of(error)
        if number in (errno.EIO, errno.ENOENT) and not self._table.view.find_store():
            return FUSEError(errno.ESTALE)
        if not isinstance(error, (OSError, AnvcsError)) or number == errno.EIO:
            log.error("a request failed", exc_info=error)
        elif isinstance(error, RoomBusy):
            log.warning("gave up after %.0f s: %s", _PATIENCE_S, error)
        return FUSEError(number)

    async def _answer(self, node: Node, pid: int = 0) -> EntryAttributes:
        """`_reply`, which may have to wait for a thread."""
        ready = node.reply
        return ready if ready is not None else await self._call(lambda: self._reply(node, pid=pid))

    def _reply(self, node: Node, handle: FileHandle | None = None, *, pid: int = 0) -> EntryAttributes:
        """The node's attributes as pyfuse3 wants them, kept until the node changes."""
        ready: EntryAttributes | None = node.reply
        if ready is not None:
            return ready
        status = self._table.status(node, handle, pid)
        reply = EntryAttributes()
        reply.st_ino = InodeT(status.ino)
        reply.generation = 0
        reply.st_mode = ModeT(status.mode)
        reply.st_nlink = status.nlink
        reply.st_uid, reply.st_gid, reply.st_rdev = status.uid, status.gid, status.rdev
        reply.st_size = status.size
        reply.st_blksize = 4096
        reply.st_blocks = (status.size + 511) // 512
        reply.st_atime_ns, reply.st_mtime_ns, reply.st_ctime_ns = status.atime_ns, status.mtime_ns, status.ctime_ns
        reply.attr_timeout = status.lifetime_s
        control = node.parent is not None and node.parent.place is Place.CONTROL
        reply.entry_timeout = 0 if control else FOREVER_S
        if not node.on_disk and status.lifetime_s:
            node.reply = reply
        return reply

    # Names

    async def lookup(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> EntryAttributes:
        """LOOKUP."""
        node = await self._call(lambda: self._table.lookup(parent_inode, name))
        if node is not None:
            return await self._answer(node, ctx.pid)
        parent = self._table.inodes.get(parent_inode)
        if parent.place is Place.CONTROL:
            raise FUSEError(errno.ENOENT)
        return self._negative

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """FORGET and BATCH_FORGET."""

        def give_back() -> None:
            for ino, count in inode_list:
                self._table.forget(ino, count)
            self._table.slim()

        await self._call(give_back)

    async def mkdir(self, parent_inode: InodeT, name: bytes, mode: ModeT, ctx: RequestContext) -> EntryAttributes:
        """MKDIR."""
        return await self._answer(await self._change(ctx.pid, lambda: self._table.mkdir(parent_inode, name, mode, ctx)))

    async def mknod(
        self, parent_inode: InodeT, name: bytes, mode: ModeT, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        """MKNOD."""
        return await self._answer(
            await self._change(ctx.pid, lambda: self._table.mknod(parent_inode, name, mode, rdev, ctx))
        )

    async def symlink(self, parent_inode: InodeT, name: bytes, target: bytes, ctx: RequestContext) -> EntryAttributes:
        """SYMLINK."""
        return await self._answer(
            await self._change(ctx.pid, lambda: self._table.symlink(parent_inode, name, target, ctx))
        )

    async def link(
        self, inode: InodeT, new_parent_inode: InodeT, new_name: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        """LINK."""
        return await self._answer(
            await self._change(ctx.pid, lambda: self._table.link(inode, new_parent_inode, new_name))
        )

    async def readlink(self, inode: InodeT, ctx: RequestContext) -> bytes:
        """READLINK."""
        return await self._call(lambda: self._table.readlink(inode))

    async def unlink(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> None:
        """UNLINK."""
        await self._change(ctx.pid, lambda: self._table.unlink(parent_inode, name, ctx.pid), removes=True)

    async def rmdir(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> None:
        """RMDIR."""
        await self._change(ctx.pid, lambda: self._table.rmdir(parent_inode, name), removes=True)

    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: bytes,
        parent_inode_new: InodeT,
        name_new: bytes,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        """RENAME2."""
        await self._change(
            ctx.pid,
            lambda: self._table.rename(parent_inode_old, name_old, parent_inode_new, name_new, flags, ctx),
        )

    # Attributes

    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        """GETATTR."""
        return await self._call(lambda: self._reply(self._table.getattr(inode), pid=ctx.pid))

    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """SETATTR."""
        change = AttributeChange(
            size=attr.st_size if fields.update_size else None,
            mode=attr.st_mode if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            atime_ns=attr.st_atime_ns if fields.update_atime else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        )
        return await self._answer(await self._change(ctx.pid, lambda: self._table.setattr(inode, change, fh, ctx)))

    async def getxattr(self, inode: InodeT, name: bytes, ctx: RequestContext) -> bytes:
        """GETXATTR."""
        if not self._xattrs:
            raise FUSEError(errno.ENOSYS)  # the kernel then stops asking
        if name == b"security.capability":
            # Asked before every write.  File capabilities mean nothing on a mount without setuid.
            raise FUSEError(errno.ENODATA)
        if name.startswith(_UNSUPPORTED):
            raise FUSEError(errno.ENOTSUP)  # ls then asks for one file and not for each
        return await self._call(lambda: self._table.xattrs.get(self._table.inodes.get(inode), name))

    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> Sequence[bytes]:
        """LISTXATTR."""
        if not self._xattrs:
            raise FUSEError(errno.ENOSYS)
        return await self._call(lambda: self._table.xattrs.names(self._table.inodes.get(inode)))

    async def setxattr(self, inode: InodeT, name: bytes, value: bytes, ctx: RequestContext) -> None:
        """SETXATTR."""
        if not self._xattrs:
            raise FUSEError(errno.ENOSYS)
        await self._call(lambda: self._table.xattrs.set(self._table.inodes.get(inode), name, value))

    async def removexattr(self, inode: InodeT, name: bytes, ctx: RequestContext) -> None:
        """REMOVEXATTR."""
        if not self._xattrs:
            raise FUSEError(errno.ENOSYS)
        await self._call(lambda: self._table.xattrs.remove(self._table.inodes.get(inode), name))

    async def access(self, inode: InodeT, mode: ModeT, ctx: RequestContext) -> bool:
        """ACCESS; with ``default_permissions`` the kernel decides by itself."""
        raise FUSEError(errno.ENOSYS)

    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        """STATFS."""
        found = self._table.statfs()
        data = pyfuse3.StatvfsData()
        data.f_bsize, data.f_frsize = found.f_bsize, found.f_frsize
        data.f_blocks, data.f_bfree, data.f_bavail = found.f_blocks, found.f_bfree, found.f_bavail
        data.f_files, data.f_ffree, data.f_favail = found.f_files, found.f_ffree, found.f_favail
        data.f_namemax = _MAX_NAME
        return data

    # Open files

    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        """OPEN."""
        await self._until_told(inode)
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            handle = await self._change(ctx.pid, lambda: self._table.open(inode, flags, ctx))
        else:
            handle = await self._call(lambda: self._open_to_read(inode, flags, ctx))
        direct = isinstance(handle.node, ControlFile)
        # What it opened may be news that came with this very request: no read before the kernel knows.
        await self._until_sent(inode)
        # What the kernel has cached is right: whatever changed behind its back was invalidated.
        kept = isinstance(handle, FileHandle) and (handle.node.on_disk or handle.keeps_pages)
        return FileInfo(fh=FileHandleT(handle.number), direct_io=direct, keep_cache=kept)

    def _open_to_read(self, inode: int, flags: int, ctx: RequestContext) -> FileHandle | ControlHandle:
        self._table.follower.units.meet_head()
        return self._table.open(inode, flags, ctx)

    async def _until_told(self, inode: InodeT) -> None:
        """Let no open begin while the kernel has still to be told that what it knows of the file is old."""
        if self._gate.heard:
            await self._call(lambda: None)
        await self._until_sent(inode)

    async def _until_sent(self, inode: InodeT) -> None:
        notifier = self._table.view.notifier
        if notifier.is_behind(inode):
            await self.in_thread(lambda: notifier.wait_for(inode))

    async def create(
        self, parent_inode: InodeT, name: bytes, mode: ModeT, flags: FlagT, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        """CREATE."""
        handle = await self._change(ctx.pid, lambda: self._table.create(parent_inode, name, mode, flags, ctx))
        reply = await self._call(lambda: self._reply(handle.node, handle))
        return FileInfo(fh=FileHandleT(handle.number), keep_cache=True), reply

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """READ."""
        return await self._finished(fh, lambda: self._table.read(fh, off, size))

    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        """WRITE."""
        return await self._call(lambda: self._table.write(fh, off, buf))

    async def flush(self, fh: FileHandleT) -> None:
        """FLUSH."""
        writer = await self._call(lambda: self._writer(fh))
        if writer:
            await self._change(writer, lambda: self._table.flush(fh))
        else:
            await self._finished(fh, lambda: self._table.flush(fh))

    async def release(self, fh: FileHandleT) -> None:
        """RELEASE."""
        try:
            writer = await self._call(lambda: self._writer(fh))
            await self._change(writer, lambda: self._table.release(fh))
        except FUSEError as error:
            log.warning("what was written could not be saved: %s", error.__cause__ or error)
            await self._call(lambda: self._table.give_up(fh))

    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        """FSYNC."""
        job = await self._finished(fh, lambda: self._table.fsync(fh, data_only=datasync))
        if job is not None:
            await self._synced(job)

    async def _synced(self, job: Callable[[], None]) -> None:
        try:
            await self.in_thread(job)
        except Exception as error:
            raise self._refusal(error) from error

    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        """OPENDIR."""
        return FileHandleT((await self._call(lambda: self._table.opendir(inode))).number)

    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        """READDIRPLUS."""
        await self._call(lambda: self._fill(fh, start_id, token))

    def _fill(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        empty = True
        for name, node, cookie in self._table.readdir(fh, start_id):
            try:
                reply = node.reply or self._reply(node)
            except FileNotFoundError:
                continue  # a local file that went away under us
            except Later:
                if empty:
                    raise
                break  # the kernel has some names already; it comes again for the rest
            empty = False
            if not pyfuse3.readdir_reply(token, name, reply, cookie):
                break
            if cookie > 2:  # "." and ".." are not references
                node.nlookup += 1

    async def releasedir(self, fh: FileHandleT) -> None:
        """RELEASEDIR."""
        await self._call(lambda: self._table.releasedir(fh))

    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        """FSYNCDIR."""
        job = await self._call(lambda: self._table.fsyncdir(fh))
        await self._synced(job)

    def stacktrace(self) -> None:
        """pyfuse3's debugging hook, by setting an extended attribute: not offered."""
