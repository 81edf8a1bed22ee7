"""``.anvcs`` and ``.git``: what a view offers beyond the repository's files.

A request is what has been written to a control file when the process that opened it
lets go of it (its last descriptor), syncs it, or reads the answer from the same
handle.  Shells flush a redirection before anything is written, and every child that
inherited the descriptor flushes when it exits; those flushes are nothing.
"""

import errno
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from anvcs.errors import AnvcsError
from anvcs.rooms.errors import NotCompared, RoomBusy
from anvcsfs.callers import holds
from anvcsfs.control.committing import CommitRequests
from anvcsfs.control.company import Company, GrowingFile
from anvcsfs.control.history import History
from anvcsfs.control.looking_back import BlameFile, LookingBack
from anvcsfs.control.merging import MergeRequests
from anvcsfs.control.quarrels import Quarrels
from anvcsfs.control.reports import Reports, document
from anvcsfs.control.streaming import StreamRequests
from anvcsfs.control_nodes import ControlDir, ControlFile, ControlHandle, TokenFile
from anvcsfs.errnos import errno_of
from anvcsfs.handles import Caller
from anvcsfs.later import ASKED, Later
from anvcsfs.nodes import Node
from anvcsfs.status import Status

if TYPE_CHECKING:
    from anvcsfs.table import Table

log = logging.getLogger(__name__)
_MAX_REQUEST = 1 << 20
_FIRST = 2


class Control:
    """Makes the control nodes and carries their requests out."""

    def __init__(self, table: "Table") -> None:
        self._table = table
        self._view = table.view
        self._next = _FIRST
        self.reports = Reports(table)
        self.commits = CommitRequests(table, self.reports)
        self.streams = StreamRequests(table)
        self.company = Company(table, self._number, self._take)
        self.history = History(table.view, table.inodes, self._number)
        self.looking_back = LookingBack(table, self._number)
        self.quarrels = Quarrels(table, self._number, self._take)
        self.merges = MergeRequests(table, self._number, self._take)
        self.git_link: bytes = b""
        """Content of the view's ``.git`` file."""
        self._known: dict[bytes, Node] = {}
        top = ControlDir(
            self._number(),
            table.inodes.root,
            b".anvcs",
            lambda _, name: self._known.get(name),
            lambda: list(self._known),
        )
        self._take(top)
        table.inodes.fixed[b".anvcs"] = top
        # Listed, every ``grep -r`` and every indexer would walk all of history.
        table.inodes.unlisted.add(b".anvcs")
        self._fill(top)

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _take(self, node: Node) -> None:
        view = self._view
        node.uid, node.gid = view.uid, view.gid
        node.mtime_ns = node.ctime_ns = node.atime_ns = view.epoch_ns
        self._table.inodes.add(node)

    def _fill(self, top: ControlDir) -> None:
        reports = self.reports
        files = {
            b"status": reports.status,
            b"log": reports.log,
            b"graph": reports.graph,
            b"agent": reports.agent,
        }
        for name, content in files.items():
            self._known[name] = ControlFile(self._number(), top, name, content)
        self._known[b"commit"] = ControlFile(self._number(), top, b"commit", self.commits.usage, self.commits.submit)
        stream = ControlFile(self._number(), top, b"stream", reports.stream, self.streams.submit)
        stream.keeps_answer = False
        self._known[b"stream"] = stream
        self._known[b"merge"] = ControlFile(self._number(), top, b"merge", self.merges.usage, self.merges.submit)
        self._known[b"reviews"] = self.merges.reviews(top)
        self._known[b"refs"] = self.history.refs(top)
        self._known[b"commits"] = self.history.commits(top)
        self._known[b"at"] = self.looking_back.at(top)
        self._known[b"conflicts"] = self.quarrels.directory(top)
        self._known[b"blame"] = self.looking_back.blame(top)
        self._known.update(self.company.nodes(top))
        self._known[b"fsmonitor"] = ControlDir(self._number(), top, b"fsmonitor", self._monitor, list)
        for node in self._known.values():
            self._take(node)

    def show_git(self, link: bytes) -> None:
        """Offer a ``.git`` file with content *link*."""
        self.git_link = link
        root = self._table.inodes.root
        node = ControlFile(self._number(), root, b".git", lambda: self.reports.git_ready(self.git_link))
        self._take(node)
        root_fixed = self._table.inodes.fixed
        root_fixed[b".git"] = node

    def _monitor(self, parent: ControlDir, token: bytes) -> Node | None:
        node = TokenFile(self._number(), parent, token, lambda: self._view.journal.answer(token))
        self._take(node)
        return node

    # Verbs

    def status(self, node: ControlFile) -> Status:
        """Attributes; the size is that of the content as it is now."""
        if isinstance(node, BlameFile):
            when = node.mtime_ns
            size = self.looking_back.size(node)
            return Status(node.ino, node.mode, 1, node.uid, node.gid, 0, size, when, when, when, 0.0)
        if isinstance(node, GrowingFile):
            return self._growing_status(node)
        # Looking at .git must not wait for the index; opening it does.
        content = self.git_link if node.name == b".git" else self._content(node)
        if node.shown is not None and content != node.shown:
            node.mtime_ns = time.time_ns()  # editors compare it before they write
        node.shown = content
        when = node.mtime_ns
        return Status(node.ino, node.mode, 1, node.uid, node.gid, 0, len(content), when, when, when, 0.0)

    def _growing_status(self, node: GrowingFile) -> Status:
        size = node.lines.size()
        if size != node.size:
            node.size, node.mtime_ns = size, time.time_ns()
        when = node.mtime_ns
        return Status(node.ino, node.mode, 1, node.uid, node.gid, 0, size, when, when, when, 0.0)

    def open(self, node: ControlFile, flags: int, caller: Caller) -> ControlHandle:
        """Open for reading or for a request."""
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        if writes and node.request is None:
            raise OSError(errno.EACCES, f"{os.fsdecode(node.name)} can only be read")
        if node.name == b".git":
            self._table.follower.meet_git(caller.pid)
        handle = ControlHandle(node, caller.pid)
        if not writes and not isinstance(node, GrowingFile):
            handle.content = self._content(node)
        node.opens += 1
        self._table.handles.add(handle)
        return handle

    def _content(self, node: ControlFile) -> bytes:
        return node.content() if node.answer is None or not node.keeps_answer else node.answer

    def read(self, handle: ControlHandle, offset: int, length: int) -> bytes:
        """Read; a request that was written to the same handle is carried out first."""
        if isinstance(handle.node, GrowingFile):
            return handle.node.lines.read(offset, length)
        if handle.wrote is not None:
            self._run(handle)
            # The writer's position is behind what it wrote: it reads the answer from there or from the start.
        if handle.content is None:
            handle.content = self._content(handle.node)
        return handle.content[offset : offset + length]

    def write(self, handle: ControlHandle, offset: int, data: bytes) -> int:
        """Collect a request."""
        if handle.wrote is None:
            handle.wrote = bytearray()
        if offset + len(data) > _MAX_REQUEST:
            raise OSError(errno.EFBIG, "a request is at most 1 MiB")
        if offset > len(handle.wrote):
            handle.wrote.extend(bytes(offset - len(handle.wrote)))
        handle.wrote[offset : offset + len(data)] = data
        return len(data)

    def flush(self, handle: ControlHandle) -> None:
        """A descriptor was closed: run the request if the opener has none left."""
        if handle.wrote is not None and not (
            handle.state is None and holds(handle.pid, self._view.mountpoint, handle.node.path)
        ):
            self._run(handle)

    def fsync(self, handle: ControlHandle) -> None:
        """The writer wants the answer now."""
        if handle.wrote is not None:
            self._run(handle)

    def release(self, handle: ControlHandle) -> None:
        """Nobody has the handle any more; what no flush carried out is carried out now."""
        self._wait_for_other(handle, object())
        if handle.wrote is not None:
            self._run(handle)
        handle.node.opens -= 1
        if handle.node.fleeting:
            self._table.inodes.drop_fleeting(handle.node)

    def _run(self, handle: ControlHandle) -> None:
        node = handle.node
        assert node.request is not None  # only such files can be opened for writing
        request = bytes(handle.wrote or b"").lstrip(b"\0")
        self._wait_for_other(handle, ASKED.get())
        if handle.over is None:
            handle.over, handle.asked = threading.Event(), ASKED.get()
        try:
            node.answer = node.request(handle, request)
        except (Later, NotCompared, RoomBusy):
            raise  # we are called again
        except (AnvcsError, OSError) as error:
            self._failed(handle, error)
            raise
        except BaseException:
            self._ended(handle)
            raise
        self._succeeded(handle)

    def _succeeded(self, handle: ControlHandle) -> None:
        handle.content = handle.node.answer
        self._ended(handle)
        self.reports.last_error = None

    @staticmethod
    def _wait_for_other(handle: ControlHandle, asked: object) -> None:
        """A writer that is killed while it waits closes its file, which must not carry its request out again."""
        over = handle.over
        if over is None or handle.asked is asked:
            return

        def wait() -> None:
            over.wait()

        raise Later(wait)

    @staticmethod
    def _ended(handle: ControlHandle) -> None:
        over = handle.over
        handle.wrote = handle.state = handle.over = None
        if over is not None:
            over.set()

    def gave_up(self, handle: ControlHandle, error: RoomBusy) -> bool:
        """The room stayed busy and the request is over: whether it has succeeded."""
        answer = self.commits.gave_up(handle)
        if answer is None:
            self._failed(handle, error)
            return False
        handle.node.answer = answer
        self._succeeded(handle)
        return True

    def _failed(self, handle: ControlHandle, error: AnvcsError | OSError) -> None:
        name = os.fsdecode(handle.node.name)
        answer = {
            "ok": False,
            "request": name,
            "error": type(error).__name__,
            "errno": errno.errorcode.get(errno_of(error)),
            "message": _words(error),
        }
        log.info("request %s failed: %s", name, answer["message"])
        self.reports.last_error = answer
        handle.content = handle.node.answer = document(answer)
        self._ended(handle)


def _words(error: AnvcsError | OSError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
