"""Extended attributes: local state of the view, never committed; and what opening an artifact would cost."""

import errno
import os

from anvcsfs.disk import DiskFiles
from anvcsfs.nodes import File, Node, Place
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View

STATE = b"user.anvcs.state"
"""``remote``, ``hydrating 42%``, ``local``, ``modified`` or ``queued``; not listed, so that no copy takes it along."""
_MAX_VALUE = 64 << 10
_NAMESPACES = (b"user.", b"trusted.", b"security.", b"system.")


def _fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class ExtendedAttributes:
    """The four xattr verbs on every kind of node."""

    def __init__(self, view: View, disk: DiskFiles, files: SharedFiles) -> None:
        self._view = view
        self._disk = disk
        self._files = files

    def get(self, node: Node, name: bytes) -> bytes:
        """Value of *name*; ENODATA when it isn't set."""
        if name == STATE and isinstance(node, File):
            return self._state(node)
        if node.on_disk:
            return os.getxattr(self._disk.real(node), name, follow_symlinks=False)
        value = self._of(node).get(name)
        if value is None:
            raise _fail(errno.ENODATA)
        return value

    def names(self, node: Node) -> list[bytes]:
        """Names that are set."""
        if node.on_disk:
            return [os.fsencode(name) for name in os.listxattr(self._disk.real(node), follow_symlinks=False)]
        return list(self._of(node))

    def set(self, node: Node, name: bytes, value: bytes) -> None:
        """Set *name*."""
        self._check(node, name)
        if len(value) > _MAX_VALUE:
            raise _fail(errno.E2BIG)
        if node.on_disk:
            os.setxattr(self._disk.real(node), name, value, follow_symlinks=False)
            return
        self._put(node, {**self._of(node), name: value})

    def remove(self, node: Node, name: bytes) -> None:
        """Remove *name*; ENODATA when it isn't set."""
        self._check(node, name)
        if node.on_disk:
            os.removexattr(self._disk.real(node), name, follow_symlinks=False)
            return
        kept = dict(self._of(node))
        if kept.pop(name, None) is None:
            raise _fail(errno.ENODATA)
        self._put(node, kept)

    def _state(self, node: File) -> bytes:
        state = None
        if node.place is not Place.LOCAL and node.place is not Place.CONTROL:
            size = os.lstat(self._disk.real(node)).st_size if node.on_disk else self._files.size(node)
            state = self._view.artifacts.state(node, self._files.pin_of(node), size)
        if state is None:
            raise _fail(errno.ENODATA)
        return str(state).encode()

    def _of(self, node: Node) -> dict[bytes, bytes]:
        if node.place is not Place.SHARED or (node.parent is not None and not node.parent.overrides):
            return {}
        kept = self._view.attributes.get(node.path)
        return kept.xattrs or {} if kept is not None else {}

    def _put(self, node: Node, values: dict[bytes, bytes]) -> None:
        self._view.attributes.update(node.path, xattrs=values or None, now=True)
        if node.parent is not None:
            node.parent.overrides = True

    def _check(self, node: Node, name: bytes) -> None:
        if node.place is Place.HISTORY or self._view.read_only:
            raise _fail(errno.EROFS)
        if node.place is Place.CONTROL:
            raise _fail(errno.EPERM)
        if name == STATE:
            raise _fail(errno.EPERM)
        if not name.startswith(_NAMESPACES) or name.startswith(b"system."):
            raise _fail(errno.ENOTSUP)
