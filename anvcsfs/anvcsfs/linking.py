"""Hard links inside one class; across the border they are EXDEV.

Git knows no hard links: the names of a shared one are separate files of the room
that this view keeps equal, a group recorded among the view's attributes.
"""

import errno
import os
import time

from anvcsfs.attributes import join
from anvcsfs.disk import DiskFiles
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Place
from anvcsfs.shared import SharedFiles, git_mode
from anvcsfs.shared_tree import SharedTree
from anvcsfs.view import View


class Links:
    """``link(2)``."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles, tree: SharedTree, disk: DiskFiles) -> None:
        self._view = view
        self._inodes = inodes
        self._files = files
        self._tree = tree
        self._disk = disk

    def link(self, node: File, parent: Dir, name: bytes) -> None:
        """Give *node* a further name."""
        path = join(parent.path, name)
        place = self._disk.place_for(parent, path)
        if node.place in (Place.LOCAL, Place.PENDING):
            if place is not node.place:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            self._disk.link(node, parent, name)
            return
        if place is Place.LOCAL:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        self._link_shared(node, parent, name, path)

    def _link_shared(self, node: File, parent: Dir, name: bytes, path: bytes) -> None:
        view = self._view
        self._files.save(node, None)
        if node.mode & 0o170000 == 0o120000:
            view.room.create_link(path, self._tree.read_link(node), node.mtime_ns)
        elif self._files.size(node) > view.limits.text_bytes:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        else:
            view.room.write(path, self._files.content(node), mode=git_mode(node), mtime_ns=node.mtime_ns)
        group = self._group(node)
        for each in {*self._files.names(node), path}:
            view.attributes.update(each, link=group, ino=node.ino)
        node.group = group
        parent.overrides = True
        if node.parent is not None:
            node.parent.overrides = True
        node.links = [*(node.links or []), (parent, name)]
        self._inodes.attach_link(parent, name, node)
        node.ctime_ns = time.time_ns()
        self._tree.touch_directory(parent)
        view.journal.add(path)

    def _group(self, node: File) -> bytes:
        return node.group if node.group is not None else os.urandom(8)
