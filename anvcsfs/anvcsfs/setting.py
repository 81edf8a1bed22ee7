"""SETATTR beyond size: modes, owners, times; each side keeps them its own way."""

import os
import stat as st
import time

from anvcs.model.tree import EXECUTABLE, REGULAR
from anvcsfs.attributes import Fields
from anvcsfs.disk import DiskFiles
from anvcsfs.handles import Caller
from anvcsfs.nodes import Dir, File, Node
from anvcsfs.shared import SharedFiles, git_mode
from anvcsfs.status import AttributeChange
from anvcsfs.view import View


class Setting:
    """Applies attribute changes to nodes."""

    def __init__(self, view: View, files: SharedFiles, disk: DiskFiles) -> None:
        self._view = view
        self._files = files
        self._disk = disk

    def apply(self, node: Node, change: AttributeChange) -> None:
        """Mode, owner and times; size is the caller's business."""
        if node.on_disk:
            self._apply_on_disk(node, change)
        else:
            self._apply_shared(node, change)
        if change != AttributeChange(size=change.size):
            self._view.journal.add(node.path)

    def _apply_on_disk(self, node: Node, change: AttributeChange) -> None:
        if isinstance(node, File) and node.unlinked:
            return  # an orphan's attributes die with it
        if change.uid is not None or change.gid is not None:
            self._disk.chown(node, -1 if change.uid is None else change.uid, -1 if change.gid is None else change.gid)
        if change.mode is not None:
            self._disk.chmod(node, change.mode)
            node.mode = st.S_IFMT(node.mode) | st.S_IMODE(change.mode)
        if change.atime_ns is not None or change.mtime_ns is not None:
            found = self._disk.status(node, None)
            atime = found.st_atime_ns if change.atime_ns is None else change.atime_ns
            mtime = found.st_mtime_ns if change.mtime_ns is None else change.mtime_ns
            self._disk.utime(node, atime, mtime)

    def _apply_shared(self, node: Node, change: AttributeChange) -> None:
        fields = Fields()
        if change.uid is not None:
            node.uid = fields["uid"] = change.uid
        if change.gid is not None:
            node.gid = fields["gid"] = change.gid
        if change.mode is not None:
            fields.update(self._set_mode(node, change.mode))
        if change.atime_ns is not None:
            node.atime_ns = fields["atime_ns"] = change.atime_ns
        if change.mtime_ns is not None:
            if isinstance(node, Dir):
                self._view.set_directory_time(node, change.mtime_ns)
            node.mtime_ns = fields["mtime_ns"] = change.mtime_ns
        if fields or change.mode is not None:
            node.ctime_ns = time.time_ns()
        if fields:
            self._remember(node, fields)

    def _set_mode(self, node: Node, mode: int) -> Fields:
        before = node.mode
        node.mode = st.S_IFMT(node.mode) | st.S_IMODE(mode)
        if not isinstance(node, File):
            return {"mode": st.S_IMODE(mode)}
        if git_mode(node) in (REGULAR, EXECUTABLE) and (before ^ mode) & 0o100 and not node.unlinked:
            try:
                self._files.set_executable(node)
            except BaseException:
                node.mode = before
                raise
        usual = st.S_IMODE(mode) == self._files.default_permissions(node)
        return {"mode": None if usual else st.S_IMODE(mode)}

    def _remember(self, node: Node, fields: Fields) -> None:
        if isinstance(node, File) and node.unlinked:
            return
        path = node.path
        if all(value is None for value in fields.values()) and self._view.attributes.get(path) is None:
            return
        self._view.attributes.update(path, **fields)
        if node.parent is not None:
            node.parent.overrides = True

    def give_to(self, node: Node, caller: Caller) -> None:
        """A new shared node belongs to whoever made it."""
        if (caller.uid, caller.gid) == (node.uid, node.gid) or os.geteuid() != 0:
            return
        node.uid, node.gid = caller.uid, caller.gid
        self._remember(node, {"uid": caller.uid, "gid": caller.gid})
