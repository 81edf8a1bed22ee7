"""Renames in all their forms, across the border between shared and local.

The rules are those of the design: what a rename *means* depends on both names.  A
local or pending file renamed over a shared one is a save of the shared one; a
shared file renamed to an ignored name is a deletion and a private copy; a directory
that is half local moves as one, also across a crash.
"""

import errno
import os
import time

from anvcs.errors import AnvcsError
from anvcs.model.ids import Seq
from anvcs.model.room import Entry
from anvcs.model.tree import SYMLINK
from anvcsfs.attributes import join
from anvcsfs.bases import Seen
from anvcsfs.disk import DiskFiles, exchange_on_disk
from anvcsfs.exchanging import Exchanges
from anvcsfs.handles import Handles
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Marker, Node, Place
from anvcsfs.publishing import Publisher
from anvcsfs.relinking import Relinking
from anvcsfs.replacing import saved_over
from anvcsfs.shadows import carry_shadow, mark_shadows, move_shadow
from anvcsfs.shared import SharedFiles
from anvcsfs.shared_tree import SharedTree
from anvcsfs.view import RULE_FILES, View

NOREPLACE = 1
EXCHANGE = 2


def _fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Renames:
    """One verb with many cases."""

    def __init__(
        self,
        view: View,
        inodes: Inodes,
        handles: Handles,
        files: SharedFiles,
        tree: SharedTree,
        disk: DiskFiles,
        publisher: Publisher,
    ) -> None:
        self._view = view
        self._inodes = inodes
        self._handles = handles
        self._files = files
        self._tree = tree
        self._disk = disk
        self._publisher = publisher
        self._names = Relinking(view, inodes, files, tree)
        self._exchanges = Exchanges(view, inodes, files, publisher, self._names)

    def rename(self, old_dir: Dir, old: bytes, new_dir: Dir, new: bytes, flags: int, pid: int) -> None:
        """``rename(2)`` and ``renameat2(2)``."""
        node = self._inodes.child(old_dir, old)
        target = self._inodes.child(new_dir, new)
        if node is None:
            raise _fail(errno.ENOENT)
        if flags & EXCHANGE:
            if target is None:
                raise _fail(errno.ENOENT)
            if target is node:
                return
            self._exchanges.exchange(old_dir, old, node, new_dir, new, target, pid)
            self._rule_came(new_dir, new, node)
            self._rule_came(old_dir, old, target)
            return
        if target is not None:
            if flags & NOREPLACE:
                raise _fail(errno.EEXIST)
            if target is node:
                return
            self._check_replace(node, target)
        if isinstance(node, Dir):
            self._rename_dir(old_dir, old, node, new_dir, new, target)
        else:
            assert isinstance(node, File)  # a node is one or the other
            self._rename_file(old_dir, old, node, new_dir, new, target, pid)
        self._rules_moved(old_dir, old, new_dir, new, node)

    def _check_replace(self, node: Node, target: Node) -> None:
        if isinstance(target, Dir):
            if not isinstance(node, Dir):
                raise _fail(errno.EISDIR)
            if self._inodes.names(target):
                raise _fail(errno.ENOTEMPTY)
        elif isinstance(node, Dir):
            raise _fail(errno.ENOTDIR)

    # Files

    def _rename_file(
        self, old_dir: Dir, old: bytes, node: File, new_dir: Dir, new: bytes, target: Node | None, pid: int
    ) -> None:
        assert target is None or isinstance(target, File)  # _check_replace saw to it
        shared_target = target is not None and target.place is Place.SHARED
        place = self._disk.place_for(new_dir, join(new_dir.path, new))
        if node.links and node.place is Place.PENDING and shared_target:
            for home, name in [(node.parent, node.name), *node.links]:
                assert home is not None  # only the top has no parent
                self._publisher.publish(join(home.path, name), force=True)
        if node.on_disk:
            if node.links and (shared_target or place is not node.place):
                raise _fail(errno.EXDEV)  # the other names stay in their class
            if shared_target:
                assert target is not None
                self._save_over(old_dir, old, node, new_dir, new, target, pid)
            else:
                self._move_on_disk(old_dir, old, node, new_dir, new, target)
        elif not shared_target and place is Place.LOCAL:
            if self._files.link_count(node) > 1:
                raise _fail(errno.EXDEV)
            self._make_private(old_dir, old, node, new_dir, new, target)
        else:
            self._move_in_room(old_dir, old, node, new_dir, new, target, pid)

    def _move_on_disk(
        self, old_dir: Dir, old: bytes, node: File, new_dir: Dir, new: bytes, target: File | None
    ) -> None:
        """Disk to disk; the class follows the new name."""
        view = self._view
        source, dest = join(old_dir.path, old), join(new_dir.path, new)
        place = self._disk.place_for(new_dir, dest)
        if not _is_regular(node):
            place = Place.LOCAL if node.place is Place.LOCAL else place
        if place is Place.PENDING:
            view.pending.add(dest, due=time.monotonic() + view.limits.publish_s)
        real = view.ensure_real_parent(dest)
        os.rename(view.real(source), real)
        view.pending.remove(source)
        if place is not Place.PENDING:
            view.pending.remove(dest)
        if target is not None:
            self._inodes.drop_name(new_dir, new, target)
        node.place = place
        node.source = Marker.PENDING if place is Place.PENDING else Marker.LOCAL
        self._names.relink(old_dir, old, node, new_dir, new)

    def _save_over(
        self, old_dir: Dir, old: bytes, node: File, new_dir: Dir, new: bytes, target: File, pid: int
    ) -> None:
        """A temporary renamed over a shared file: that file's next version."""
        source, dest = join(old_dir.path, old), join(new_dir.path, new)
        with self._files.losing_name(target):  # asks before the save takes *dest* out of its group
            seen = self._files.base_for(target, pid)
            if seen.base is None:  # named, so that it is right when others' ops come in with the save
                seen = Seen(Seq(self._files.version(target)))
            found, at = self._publisher.save_as(node, source, dest, seen, pid)
        os.unlink(self._view.real(source))
        self._view.pending.remove(source)
        self._inodes.drop_name(new_dir, new, target)
        self._names.relink(old_dir, old, node, new_dir, new)
        if at != dest:
            self._files.placing.put(node, at)
        self._publisher.become_shared(node, node.parent or new_dir, node.name, found)

    def _move_in_room(
        self, old_dir: Dir, old: bytes, node: File, new_dir: Dir, new: bytes, target: File | None, pid: int
    ) -> None:
        view = self._view
        source, dest = join(old_dir.path, old), join(new_dir.path, new)
        self._files.save(node, None)
        at, fresh, base = dest, node.source, None
        if target is not None and target.on_disk:
            at = self._rename_over_disk(source, dest)
            self._disk.gone(new_dir, new, target, dest)
        else:
            with self._files.losing_name(target):
                base = None if target is None else self._files.base_of(target, pid)
                at = view.room.rename(source, dest, base=base, seen=view.seen(target)).at or dest
            if target is not None and at == dest:
                self._inodes.drop_name(new_dir, new, target)
        view.attributes.rename(source, at)
        if base is not None and isinstance(fresh, Entry) and self._was_saved(fresh, at):
            saved_over(view, dest, fresh, at, base, pid)
        else:
            view.bases.moved(source, at)
        if at != dest:
            self._renamed_elsewhere(node, new_dir, new, target, at)
            return
        self._names.relink(old_dir, old, node, new_dir, new)
        node.source = self._inodes.source_of(new_dir, new)
        self._names.keep_identity(node, dest)

    def _was_saved(self, fresh: Entry, at: bytes) -> bool:
        """Whether *fresh*, renamed over another file, is that one's content now."""
        entry = self._view.room.entry(at)
        return fresh.base_path is None and (entry is None or entry.id != fresh.id)

    def _renamed_elsewhere(self, node: Node, new_dir: Dir, new: bytes, target: File | None, at: bytes) -> None:
        """Somebody else has, or still has, the name: *node* is *at* another, *target* stays."""
        self._files.placing.put(node, at)
        if target is not None and not target.on_disk:
            self._files.placing.stays(new_dir, new, target)
        else:
            self._files.placing.look_again(new_dir, new)
        if isinstance(node, Dir):
            self._names.refresh(node)
        self._names.keep_identity(node, at)

    def _rename_over_disk(self, source: bytes, dest: bytes) -> bytes:
        """*dest* is on the real disk: should we die half way, it is hidden and never published over the room's."""
        view = self._view
        pending = dest in view.pending
        view.pending.remove(dest)
        try:
            at = view.room.rename(source, dest, seen=view.seen()).at
        except BaseException:
            if pending:
                view.pending.add(dest, due=time.monotonic() + view.limits.publish_s)
            raise
        os.unlink(view.real(dest))
        return dest if at is None else at

    def _make_private(
        self, old_dir: Dir, old: bytes, node: File, new_dir: Dir, new: bytes, target: File | None
    ) -> None:
        """A shared file renamed to an ignored name: the copy first, then the deletion."""
        source, dest = join(old_dir.path, old), join(new_dir.path, new)
        self._files.save(node, None)
        part = self._export(node)
        real = self._view.ensure_real_parent(dest)
        (os.rename if target is None else exchange_on_disk)(part, real)
        try:
            kept = self._view.room.remove(source, seen=self._view.seen_of(node)).kept
        except BaseException:
            (os.rename if target is None else exchange_on_disk)(real, part)
            os.unlink(part)
            raise
        if target is not None:
            os.unlink(part)
        if not kept:
            self._view.attributes.remove(source)
        if target is not None:
            self._inodes.drop_name(new_dir, new, target)
        if node.work is not None:
            node.work.close()
            node.work = None
        node.place, node.source, node.data = Place.LOCAL, Marker.LOCAL, None
        self._names.relink(old_dir, old, node, new_dir, new)
        if kept:  # somebody else has gone on with it: it stays for all
            self._files.placing.look_again(old_dir, old)
        for handle in self._handles.of(node):
            handle.close_fd()
            handle.fd = os.open(self._view.real(dest), (os.O_RDWR if handle.writable else os.O_RDONLY) | os.O_CLOEXEC)

    def _export(self, node: File) -> bytes:
        """Write the content and attributes of a shared file to a file on the real disk."""
        part = self._view.scratch / os.urandom(8).hex()
        part.parent.mkdir(parents=True, exist_ok=True)
        if node.mode & 0o170000 == 0o120000:
            os.symlink(self._tree.read_link(node), part)
        else:
            big = self._files.file(node)
            with part.open("wb") as out:
                if big is None:
                    out.write(self._files.content(node))
                else:
                    with big.open("rb") as file:
                        while os.copy_file_range(file.fileno(), out.fileno(), 1 << 30):
                            pass
            part.chmod(node.mode & 0o7777)
        os.utime(part, ns=(node.atime_ns, node.mtime_ns), follow_symlinks=False)
        return os.fsencode(part)

    # Directories

    def _rename_dir(self, old_dir: Dir, old: bytes, node: Dir, new_dir: Dir, new: bytes, target: Node | None) -> None:
        assert target is None or isinstance(target, Dir)  # _check_replace saw to it
        above: Dir | None = new_dir
        while above is not None:
            if above is node:
                raise _fail(errno.EINVAL)
            above = above.parent
        dest = join(new_dir.path, new)
        place = Place.LOCAL if self._disk.place_for(new_dir, dest, is_dir=True) is Place.LOCAL else Place.SHARED
        if node.place is not Place.LOCAL and place is Place.LOCAL:
            # As for rename(2) between file systems: mv then copies and deletes.
            raise _fail(errno.EXDEV)
        if target is not None and target.place is Place.LOCAL and node.place is not Place.LOCAL:
            self._remove_target(new_dir, new, target)
            target = None
        elif target is not None and target.place is not Place.LOCAL:
            self._tree.remove_shadow(dest)  # the room, like the disk, moves directories onto empty ones
        if place is Place.LOCAL:
            os.rename(self._disk.real(node), self._view.ensure_real_parent(dest))
            self._inodes.detach(new_dir, new)
            self._names.relink(old_dir, old, node, new_dir, new)
        elif node.place is Place.LOCAL:
            self._share_dir(old_dir, old, node, new_dir, new)
        else:
            self._move_shared_dir(old_dir, old, node, new_dir, new)
        if target is not None:
            target.removed = True
            self._inodes.drop_if_unused(target)

    def _remove_target(self, new_dir: Dir, new: bytes, target: Dir) -> None:
        if target.place is Place.LOCAL:
            self._disk.rmdir(new_dir, new, target)
        else:
            self._tree.rmdir(new_dir, new, target)
        self._inodes.drop_if_unused(target)

    def _move_shared_dir(self, old_dir: Dir, old: bytes, node: Dir, new_dir: Dir, new: bytes) -> None:
        """The room's half and the disk's half move as one: the intent is recorded first."""
        view = self._view
        source, dest = join(old_dir.path, old), join(new_dir.path, new)
        self._names.save_below(node)
        at = dest
        if view.is_on_disk(source):
            at = self._move_halves(source, dest)
        else:
            at = view.room.rename_tree(source, dest, seen=view.seen()).at or dest
        view.attributes.rename_tree(source, at)
        view.bases.moved(source, at)
        if at != dest:
            self._renamed_elsewhere(node, new_dir, new, None, at)
            return
        self._inodes.detach(new_dir, new)
        self._names.relink(old_dir, old, node, new_dir, new)
        self._names.refresh(node)
        self._names.keep_identity(node, dest)
        view.journal.add(source + b"/")
        view.journal.add(dest + b"/")

    def _move_halves(self, source: bytes, dest: bytes) -> bytes:
        """Move both halves of a directory; where they are then."""
        view = self._view
        moving = view.pending.inside(source)
        view.attributes.plan_move(source, dest)
        try:
            for path in moving:
                view.pending.add(dest + path[len(source) :], due=time.monotonic() + view.limits.publish_s)
            move_shadow(view, source, dest)
            at = view.room.rename_tree(source, dest, seen=view.seen()).at or dest
        except (AnvcsError, OSError):
            if view.is_on_disk(dest) and not view.is_on_disk(source):
                move_shadow(view, dest, source)
            for path in moving:
                view.pending.remove(dest + path[len(source) :])
            view.attributes.forget_moves()
            raise
        for path in moving:
            view.pending.remove(path)
        if at != dest:  # somebody else has the name: the local half goes where the room's is
            carry_shadow(view, dest, at)
        view.attributes.forget_moves()
        return at

    def _share_dir(self, old_dir: Dir, old: bytes, node: Dir, new_dir: Dir, new: bytes) -> None:
        """A local directory gets a name that Git doesn't ignore: its files become pending."""
        view = self._view
        source, dest = join(old_dir.path, old), join(new_dir.path, new)
        real = view.ensure_real_parent(dest)
        self._publisher.make_directories(source, dest)
        self._publisher.adopt_tree(source, dest)
        os.rename(view.real(source), real)
        mark_shadows(view, dest)
        self._inodes.detach(new_dir, new)
        self._names.relink(old_dir, old, node, new_dir, new)
        self._become_shared_dir(node, view.room.entry(dest))

    def _become_shared_dir(self, node: Dir, source: object) -> None:
        living = {name: child for name, child in (node.children or {}).items() if isinstance(child, Node)}
        found = os.lstat(self._disk.real(node))
        node.place, node.source, node.tree = Place.SHARED, source, None
        node.mtime_ns = node.ctime_ns = node.atime_ns = found.st_mtime_ns
        node.uid, node.gid = found.st_uid, found.st_gid
        node.children, node.live, node.reply = None, 0, None
        children = self._inodes.children(node)
        for name, child in living.items():
            marker = children.get(name)
            children[name] = child
            node.live += 1
            if marker is Marker.PENDING:
                child.place, child.source = Place.PENDING, marker
            elif isinstance(child, Dir) and marker is not Marker.LOCAL_DIR:
                self._become_shared_dir(child, marker)

    def _rules_moved(self, old_dir: Dir, old: bytes, new_dir: Dir, new: bytes, node: Node) -> None:
        """Ignore and attribute files may have come, gone or moved along."""
        if old in RULE_FILES and old_dir.place is not Place.LOCAL:
            self._view.rule_changed(join(old_dir.path, old), None)
        self._rule_came(new_dir, new, node)

    def _rule_came(self, parent: Dir, name: bytes, node: Node) -> None:
        """*node* got *name*; if that is the name of an ignore or attribute file, its rules hold from now on."""
        view, path = self._view, join(parent.path, name)
        if name in RULE_FILES and isinstance(node, File) and node.mode & 0o170000 != SYMLINK:
            if node.on_disk:
                with open(self._disk.real(node), "rb") as file:
                    view.rule_changed(path, file.read())
            elif node.place is Place.SHARED:
                view.rule_changed(path, self._files.content(node))


def _is_regular(node: File) -> bool:
    return node.mode & 0o170000 == 0o100000
