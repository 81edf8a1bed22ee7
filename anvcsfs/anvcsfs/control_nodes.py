"""Nodes that we make ourselves: control files and the directories that hold them."""

import stat as st
import threading
from collections.abc import Callable

from anvcsfs.handles import Handle
from anvcsfs.nodes import Dir, File, Node, Place

Content = Callable[[], bytes]
Request = Callable[["ControlHandle", bytes], bytes]
"""Carries out a request and answers it; may raise `Later` and is then called again."""


class ControlFile(File):
    """A file whose content is made when it is opened, and which may take requests."""

    __slots__ = ("answer", "content", "keeps_answer", "request", "shown")

    def __init__(
        self,
        ino: int,
        parent: Dir,
        name: bytes,
        content: Content,
        request: Request | None = None,
        *,
        mode: int | None = None,
    ) -> None:
        wanted = mode if mode is not None else 0o644 if request else 0o444
        super().__init__(ino, parent, name, Place.CONTROL, st.S_IFREG | wanted)
        self.content = content
        self.request = request
        self.answer: bytes | None = None
        """The answer to the last request."""
        self.keeps_answer = True
        """Whether the file shows the answer from then on, and not only the handle that made the request."""
        self.shown: bytes | None = None
        """What was last told of the content: its time changes when this does."""


class TokenFile(ControlFile):
    """A control file under a name that is asked for once."""

    __slots__ = ()
    fleeting = True


class ControlDir(Dir):
    """A directory whose names are found by asking."""

    __slots__ = ("find", "list")

    def __init__(
        self,
        ino: int,
        parent: Dir,
        name: bytes,
        find: Callable[["ControlDir", bytes], Node | None],
        names: Callable[[], list[bytes]],
    ) -> None:
        super().__init__(ino, parent, name, Place.CONTROL, st.S_IFDIR | 0o755)
        self.find = find
        self.list = names


class ControlHandle(Handle):
    """An open control file: a snapshot to read, a buffer to write."""

    __slots__ = ("asked", "content", "over", "pid", "state", "wrote")
    node: ControlFile

    def __init__(self, node: ControlFile, pid: int) -> None:
        super().__init__(node)
        self.pid = pid
        self.content: bytes | None = None
        self.wrote: bytearray | None = None
        """What has been written since the last request; ``None`` when nothing was."""
        self.state: object = None
        """What a request keeps between two calls."""
        self.over: threading.Event | None = None
        """Set when the request that is being carried out is over; ``None``: there is none."""
        self.asked: object = None
        """What the kernel asked for when that began (`anvcsfs.later.ASKED`)."""
