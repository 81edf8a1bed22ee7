"""``RENAME_EXCHANGE``: two names swap what they stand for."""

import errno
import os

from anvcs.errors import AnvcsError
from anvcsfs.attributes import PlannedExchange, join
from anvcsfs.disk import exchange_on_disk
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Node, Place
from anvcsfs.publishing import Publisher
from anvcsfs.relinking import Relinking
from anvcsfs.shadows import complete_exchange, exchange_shadows, inode_on_disk
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View


def _fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Exchanges:
    """One verb; both names must be on the same side of the border between shared and local."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles, publisher: Publisher, names: Relinking) -> None:
        self._view = view
        self._inodes = inodes
        self._files = files
        self._publisher = publisher
        self._names = names

    def exchange(self, old_dir: Dir, old: bytes, node: Node, new_dir: Dir, new: bytes, target: Node, pid: int) -> None:
        """Swap *old* and *new*, which both exist, for *pid*."""
        view = self._view
        if (node.place is Place.LOCAL) != (target.place is Place.LOCAL):
            raise _fail(errno.EXDEV)
        for each in (node, target):
            if isinstance(each, File) and each.place is Place.PENDING:
                self._publisher.publish(each.path, force=True, pid=pid)
        first, second = join(old_dir.path, old), join(new_dir.path, new)
        if node.place is Place.LOCAL and target.place is Place.LOCAL:
            exchange_on_disk(view.real(first), view.real(second))
        else:
            self._exchange_shared(first, node, second, target)
            view.bases.exchanged(first, second)
        self._inodes.swap(old_dir, old, node, new_dir, new, target)
        for each in (node, target):
            assert each.parent is not None
            if each.place is Place.SHARED:
                each.source = self._inodes.source_of(each.parent, each.name)
                if isinstance(each, Dir):
                    self._names.refresh(each)
                self._names.keep_identity(each, each.path)
        self._names.touched(old_dir, first, node)
        self._names.touched(new_dir, second, target)

    def _exchange_shared(self, first: bytes, node: Node, second: bytes, target: Node) -> None:
        view = self._view
        for each, path in ((node, first), (target, second)):
            if isinstance(each, Dir):
                if second.startswith(path + b"/") or first.startswith(path + b"/"):
                    raise _fail(errno.EINVAL)
                self._names.save_below(each)
                for pending in view.pending.inside(path):
                    self._publisher.publish(pending, force=True)
            elif isinstance(each, File):
                self._files.save(each, None)
        if not (view.is_on_disk(first) or view.is_on_disk(second)):
            view.room.exchange(first, second)
            view.attributes.exchange(first, second)
            return
        plan = PlannedExchange(first, second, view.room.seq, inode_on_disk(view, first), inode_on_disk(view, second))
        view.attributes.plan_exchange(plan)
        try:
            exchange_shadows(view, first, second)
            view.room.exchange(first, second)
        except (AnvcsError, OSError):
            complete_exchange(view, plan)
            raise
        view.attributes.end_exchange(plan, done=True)
