"""A file in memory gets another source: what that means for its bytes, its times and the kernel.

The kernel drops a file's cached pages by itself when it is told of another modification
time or size.  So it is only told that its *attributes* are old, and until it has asked
for the new ones, reads are answered from the old content (`anvcsfs.pins`).  Maps never
ask: a while later their pages are dropped, too.
"""

import hashlib
import time
from collections.abc import Callable

from anvcs.errors import AnvcsError
from anvcs.model.ids import Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import EXECUTABLE, REGULAR, SYMLINK, TreeEntry
from anvcsfs.births import permissions
from anvcsfs.handles import Handles
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Node
from anvcsfs.pins import Pin
from anvcsfs.shared import SharedFiles
from anvcsfs.view import BIG_BYTES, View

_LATE_S = 0.3
"""After which time pages that no reader has asked about are dropped."""
_FORMAT = 0o170000


class Renewer:
    """Gives nodes their new sources."""

    def __init__(self, view: View, inodes: Inodes, files: SharedFiles, handles: Handles) -> None:
        self._handles = handles
        self._view = view
        self._inodes = inodes
        self._files = files
        self._late: dict[int, float] = {}
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something for `due_late`."""

    def fits(self, node: File, source: object) -> bool:
        """Whether *source* is of the type that the kernel knows *node* by."""
        mode = _git_mode(source)
        return mode is None or (permissions(mode) ^ node.mode) & _FORMAT == 0

    def renew(self, node: Node, source: object, changed: bytes | None, left: Entry | None) -> None:
        """*node* is what *source* says now; *changed* is its path if something was done to it.

        *left* is the last entry that there was at its path, if there is none any more.
        """
        old, node.source = node.source, source
        if not isinstance(node, File) or (changed is None and source == old):
            return
        path = node.path
        same = self.same_content(old, source, path)
        before = node.mtime_ns, self._size(node)
        node.reply = None
        self._set_mode(node, source, path)
        if not same and left is not None and self.same_content(left, source, path):
            node.mtime_ns = node.ctime_ns = left.mtime_ns  # it was saved and committed since we looked
            self._set_time(node, source, path, same=True)
        else:
            self._set_time(node, source, path, same=same)
        if not same:
            self._new_content(node, old)
            if node.unasked is None and isinstance(source, Entry):
                node.unasked = Seq(source.content_seq - 1)
        self._view.notifier.attributes(node.ino)
        if not same and before == (node.mtime_ns, self._size(node)):
            node.pinned = None
            self._view.notifier.content(node.ino)  # it could not tell by the attributes

    def _size(self, node: File) -> int:
        return -1 if node.size < 0 and node.opens == 0 else self._files.size(node)

    def _new_content(self, node: File, old: object) -> None:
        if node.work is not None and not node.work.dirty and not node.unlinked:
            node.work.close()  # nothing in it but what was read
            node.work = None
        pinned = node.pinned is not None and node.pinned.source is not None
        artifacts = self._view.artifacts
        far = artifacts.active and artifacts.pin_of(old, node.path) is not None  # its old bytes may be anywhere
        if node.opens and not pinned and node.work is None and 0 <= node.size <= BIG_BYTES and not far:
            node.pinned = Pin(old)
        node.size = -1
        if node.opens:
            self._late.setdefault(node.ino, time.monotonic() + _LATE_S)
            self.wake()

    def _set_mode(self, node: File, source: object, path: bytes) -> None:
        mode = _git_mode(source)
        if mode not in (REGULAR, EXECUTABLE) or (permissions(mode) ^ node.mode) & 0o100 == 0:
            return
        node.mode = permissions(mode)
        if node.parent is not None and node.parent.overrides and self._view.attributes.get(path) is not None:
            self._view.attributes.update(path, mode=None)

    def _set_time(self, node: File, source: object, path: bytes, *, same: bool) -> None:
        """What changed under the reader gets a new time: make and Git must notice."""
        if node.work is not None and node.work.dirty:
            return  # its writer's
        if isinstance(source, Entry):
            node.mtime_ns = node.ctime_ns = source.mtime_ns
            self.forget_time(path, node.parent)
            return
        if not same:
            node.mtime_ns = node.ctime_ns = time.time_ns()
        self.keep_time(path, node.mtime_ns)

    def keep_time(self, path: bytes, mtime_ns: int) -> None:
        """Remember the time of a file that the room says nothing of."""
        self._view.attributes.update(path, mtime_ns=mtime_ns)
        parent = self._inodes.find_loaded(path.rpartition(b"/")[0])
        if isinstance(parent, Dir):
            parent.overrides = True

    def forget_time(self, path: bytes, parent: Dir | None) -> None:
        """The room tells the time of *path* now; *parent* is its directory if that is in memory."""
        if parent is not None and not parent.overrides:
            return
        kept = self._view.attributes.get(path)
        if kept is not None and kept.mtime_ns is not None:
            self._view.attributes.update(path, mtime_ns=None)

    # Which pages are old

    def next_late(self) -> float | None:
        """When `due_late` has something to do (`time.monotonic`)."""
        return min(self._late.values(), default=None)

    def due_late(self) -> list[tuple[int, list[int]]]:
        """Open files that changed a while ago: inode number, and the threads that have opened it.

        Those whose readers may still ask come later.
        """
        now = time.monotonic()
        found = []
        for ino in [ino for ino, due in self._late.items() if due <= now]:
            del self._late[ino]
            node = self._inodes.find(ino)
            if not isinstance(node, File) or not node.opens:
                continue
            if node.pinned is not None and node.pinned.since + _LATE_S > now:
                self._late[ino] = node.pinned.since + _LATE_S
            else:
                found.append((ino, [handle.pid for handle in self._handles.of(node)]))
        return found

    def drop_mapped(self, ino: int) -> None:
        """Drop the pages of a file that somebody has mapped."""
        node = self._inodes.find(ino)
        if isinstance(node, File):
            node.pinned = None
            self._view.notifier.content(ino)

    # Comparing

    def shows_base(self, entry: Entry, path: bytes) -> bool:
        """Whether the base has at *path* what *entry* showed."""
        tree = self._view.base_tree()
        found = self._view.git.find(tree, path) if tree is not None else None
        return found is not None and self.same_content(entry, found, path)

    def same_content(self, old: object, new: object, path: bytes) -> bool:
        """Whether two sources of the file at *path* show the same bytes."""
        first, second = _reference(old), _reference(new)
        if first is not None and first == second:
            return True
        if isinstance(old, Entry) and isinstance(new, Entry):
            return _version(old) == _version(new)  # another version has other bytes; comparing them takes long
        if self._view.artifacts.active and (known := self._same_artifact(old, new, path)) is not None:
            return known
        try:
            size = self._size_of(old, path)
            if size > BIG_BYTES or size != self._size_of(new, path):
                return False
            return self._bytes_of(old, path) == self._bytes_of(new, path)
        except AnvcsError:  # an old version that nobody can read any more is another one
            return False

    def _same_artifact(self, old: object, new: object, path: bytes) -> bool | None:
        """`same_content` when one of the two is an artifact; None when none is."""
        pins = [self._view.artifacts.pin_of(source, path) for source in (old, new)]
        if pins == [None, None]:
            return None
        digests = [
            pin.sha256 if pin is not None else self._digest_of(source, path)
            for pin, source in zip(pins, (old, new), strict=True)
        ]
        return digests[0] == digests[1]

    def _digest_of(self, source: object, path: bytes) -> str:
        if isinstance(source, Entry) and source.content is Content.OPAQUE:
            return source.ref.hex()
        if self._size_of(source, path) > BIG_BYTES:
            return ""
        return hashlib.sha256(self._bytes_of(source, path)).hexdigest()

    def _size_of(self, source: object, path: bytes) -> int:
        if isinstance(source, Entry):
            return source.size
        if isinstance(source, TreeEntry) and source.mode != SYMLINK:
            return self._view.blob_size(source.oid, path)
        return len(self._bytes_of(source, path))

    def _bytes_of(self, source: object, path: bytes) -> bytes:
        if isinstance(source, Entry):
            return self._view.entry_bytes(source)
        if isinstance(source, TreeEntry):
            return self._view.git.blob(source.oid) if source.mode == SYMLINK else self._view.blob(source.oid, path)
        return b""


def _git_mode(source: object) -> int | None:
    return source.mode if isinstance(source, (TreeEntry, Entry)) else None


def _version(entry: Entry) -> tuple[bytes, int]:
    return entry.id, entry.content_seq


def _reference(source: object) -> tuple[int, bytes] | None:
    """Names the bytes of *source*, where they have a name."""
    if isinstance(source, TreeEntry):
        return Content.GIT, source.oid
    if isinstance(source, Entry) and source.content in (Content.GIT, Content.OPAQUE, Content.INLINE):
        return source.content, source.ref
    return None
