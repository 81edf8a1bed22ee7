"""pyfuse3's requests become calls of the table; nothing is decided here."""

import errno
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial

import pyfuse3
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

from anvcsfs.control_nodes import ControlFile, ControlHandle
from anvcsfs.handles import FileHandle
from anvcsfs.later import Later
from anvcsfs.nodes import Place
from anvcsfs.requests import Requests
from anvcsfs.serving import Gate
from anvcsfs.status import FOREVER_S, AttributeChange
from anvcsfs.table import Table

log = logging.getLogger(__name__)
_MAX_NAME = 255
_UNSUPPORTED = (b"system.", b"security.selinux")
"""Extended attributes that no view has: access control lists and labels."""


class Adapter(Requests):
    """The kernel's requests, one method each."""

    enable_writeback_cache = False  # peers' changes would stay invisible
    supports_dot_lookup = False

    def __init__(self, table: Table, gate: Gate, *, xattrs: bool = True) -> None:
        super().__init__(table, gate)
        self._xattrs = xattrs
        self._negative = EntryAttributes()
        self._negative.st_ino = InodeT(0)
        self._negative.entry_timeout = FOREVER_S

    # Names

    async def lookup(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> EntryAttributes:
        """LOOKUP."""
        table = self._table
        try:
            self._prepare()
            node = table.lookup(parent_inode, name)
        except Exception as hitch:  # noqa: BLE001 - `_go_on` knows what it means
            node = await self._go_on(hitch, partial(table.lookup, parent_inode, name))
        if node is None:
            if table.inodes.get(parent_inode).place is Place.CONTROL:
                raise FUSEError(errno.ENOENT)
            return self._negative
        try:
            return node.reply or self._reply(node, pid=ctx.pid)
        except Exception as hitch:  # noqa: BLE001 - as above
            return await self._go_on(hitch, partial(self._reply, node, pid=ctx.pid))

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """FORGET and BATCH_FORGET."""

        def give_back() -> None:
            for ino, count in inode_list:
                self._table.forget(ino, count)
            self._table.slim()

        await self._call(give_back)

    async def mkdir(self, parent_inode: InodeT, name: bytes, mode: ModeT, ctx: RequestContext) -> EntryAttributes:
        """MKDIR."""
        verb = partial(self._table.mkdir, parent_inode, name, mode, ctx)
        return await self._answer(await self._change_in(parent_inode, ctx.pid, verb))

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
        verb = partial(self._table.unlink, parent_inode, name, ctx.pid)
        await self._change_in(parent_inode, ctx.pid, verb, removes=True)

    async def rmdir(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> None:
        """RMDIR."""
        await self._change_in(parent_inode, ctx.pid, partial(self._table.rmdir, parent_inode, name), removes=True)

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
        table = self._table
        try:
            self._prepare()
            node = table.getattr(inode)
            return node.reply or self._reply(node, pid=ctx.pid)
        except Exception as hitch:  # noqa: BLE001 - `_go_on` knows what it means
            return await self._go_on(hitch, lambda: self._reply(table.getattr(inode), pid=ctx.pid))

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
        # Let no open begin while the kernel has still to be told that what it knows of the file is old.
        if self._gate.heard:
            await self._call(lambda: None)
        if self._notifier.is_behind(inode):
            await self._until_sent(inode)
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            handle = await self._change(ctx.pid, partial(self._table.open, inode, flags, ctx))
        else:
            handle = await self._call(partial(self._open_to_read, inode, flags, ctx))
        # What it opened may be news that came with this very request: no read before the kernel knows.
        if self._notifier.is_behind(inode):
            await self._until_sent(inode)
        if isinstance(handle, FileHandle):
            # What the kernel has cached is right: whatever changed behind its back was invalidated.
            kept = handle.keeps_pages or handle.node.on_disk
            return FileInfo(fh=FileHandleT(handle.number), keep_cache=kept)
        direct = isinstance(handle.node, ControlFile)
        return FileInfo(fh=FileHandleT(handle.number), direct_io=direct, keep_cache=False)

    def _open_to_read(self, inode: int, flags: int, ctx: RequestContext) -> FileHandle | ControlHandle:
        self._units.meet_head()
        return self._table.open(inode, flags, ctx)

    async def create(
        self, parent_inode: InodeT, name: bytes, mode: ModeT, flags: FlagT, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        """CREATE."""
        verb = partial(self._table.create, parent_inode, name, mode, flags, ctx)
        handle = await self._change_in(parent_inode, ctx.pid, verb)
        reply = await self._call(partial(self._reply, handle.node, handle))
        return FileInfo(fh=FileHandleT(handle.number), keep_cache=True), reply

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """READ."""
        table = self._table
        try:
            self._prepare()
            if isinstance(table.handles.any(fh), FileHandle):
                return table.read(fh, off, size)
        except Exception as hitch:  # noqa: BLE001 - `_go_on` knows what it means
            return await self._go_on(hitch, partial(table.read, fh, off, size), self._opener(fh))
        return await self._finished(fh, partial(table.read, fh, off, size))

    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        """WRITE."""
        return await self._call(partial(self._table.write, fh, off, buf), self._opener(fh))

    def _opener(self, fh: int) -> int:
        """The process that opened a file; 0: not known."""
        handle = self._table.handles.find(fh)
        return handle.pid if isinstance(handle, FileHandle) else 0

    async def flush(self, fh: FileHandleT) -> None:
        """FLUSH."""
        handle = self._table.handles.find(fh)
        if not isinstance(handle, FileHandle):
            await self._finished(fh, partial(self._table.flush, fh))
        elif handle.wrote:
            verb = partial(self._table.flush, fh)
            await (self._call(verb) if handle.node.place is Place.LOCAL else self._change(handle.pid, verb))
            if self._table.view.artifacts.active:  # a pointer was written, perhaps: what is asked next is its artifact
                await self._until_sent(InodeT(handle.node.ino))

    async def release(self, fh: FileHandleT) -> None:
        """RELEASE."""
        handle = self._table.handles.find(fh)
        verb = partial(self._table.release, fh)
        try:
            if isinstance(handle, FileHandle) and handle.wrote:
                await self._change(handle.pid, verb)
            else:
                await self._call(verb)
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
        return FileHandleT((await self._call(partial(self._table.opendir, inode))).number)

    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        """READDIRPLUS."""
        await self._call(partial(self._fill, fh, start_id, token))

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
        await self._call(partial(self._table.releasedir, fh))

    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        """FSYNCDIR."""
        job = await self._call(lambda: self._table.fsyncdir(fh))
        await self._synced(job)

    def stacktrace(self) -> None:
        """pyfuse3's debugging hook, by setting an extended attribute: not offered."""
