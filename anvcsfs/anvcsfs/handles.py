"""Open files and directories, and who opened them."""

import errno
import os
from typing import TYPE_CHECKING, Protocol, TypeVar

from anvcsfs.bases import Seen
from anvcsfs.nodes import Dir, File, Node

if TYPE_CHECKING:
    from anvcs.artifacts.hydrating import Artifact

H = TypeVar("H", bound="Handle")


class Caller(Protocol):
    """The process behind a request (pyfuse3's ``RequestContext`` fits)."""

    @property
    def uid(self) -> int:
        """User id."""

    @property
    def gid(self) -> int:
        """Group id."""

    @property
    def pid(self) -> int:
        """Thread id in our pid namespace; 0 when it is outside."""


class Handle:
    """What the kernel calls a file handle."""

    __slots__ = ("node", "number")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.number = 0


class FileHandle(Handle):
    """An open file: shared (no descriptor), or on the real disk."""

    __slots__ = ("artifact", "fd", "fd_source", "flags", "pid", "seen", "wrote")
    node: File

    def __init__(self, node: File, flags: int, pid: int) -> None:
        super().__init__(node)
        self.flags = flags
        self.pid = pid
        self.fd = -1
        self.artifact: Artifact | None = None
        """The artifact that is read through it."""
        self.fd_source: object = None
        """Which content `fd` or `artifact` shows, for big shared files."""
        self.wrote = False
        """Whether something was written since the last save."""
        self.seen: Seen | None = None
        """What was read through it, or written and saved; ``None``: nothing yet."""

    @property
    def appends(self) -> bool:
        """Whether every write goes to the end."""
        return bool(self.flags & os.O_APPEND)

    @property
    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self.flags & os.O_ACCMODE != os.O_WRONLY

    @property
    def keeps_pages(self) -> bool:
        """Whether it may be shown what the kernel has cached: not if we must know whether it reads."""
        return not (self.readable and self.writable)

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self.flags & os.O_ACCMODE != os.O_RDONLY

    def close_fd(self) -> None:
        """Close the descriptor, if there is one, and let the artifact go."""
        artifact, self.artifact = self.artifact, None
        if artifact is not None:
            artifact.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class DirHandle(Handle):
    """An open directory: a snapshot of its names, so that cookies survive deletions."""

    __slots__ = ("names",)
    node: Dir

    def __init__(self, node: Dir) -> None:
        super().__init__(node)
        self.names: list[bytes] | None = None


class Handles:
    """Handles by number."""

    def __init__(self) -> None:
        self._handles: dict[int, Handle] = {}
        self._next = 1

    def add(self, handle: Handle) -> int:
        """Number *handle*."""
        number = self._next
        self._next += 1
        handle.number = number
        self._handles[number] = handle
        return number

    def get(self, number: int, kind: type[H]) -> H:
        """The handle with *number*.

        Raises:
            OSError: EBADF.
        """
        handle = self._handles.get(number)
        if not isinstance(handle, kind):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def any(self, number: int) -> Handle:
        """The handle with *number*, whatever it is."""
        handle = self._handles.get(number)
        if handle is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def find(self, number: int) -> Handle | None:
        """The handle with *number*, if there is one."""
        return self._handles.get(number)

    def remove(self, number: int) -> Handle | None:
        """Forget *number*."""
        return self._handles.pop(number, None)

    def of(self, node: Node) -> list[FileHandle]:
        """Open file handles of *node* (rare: publishing, unlinking)."""
        return [handle for handle in self._handles.values() if handle.node is node and isinstance(handle, FileHandle)]

    def all(self) -> list[Handle]:
        """Every handle."""
        return list(self._handles.values())
