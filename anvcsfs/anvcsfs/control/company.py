"""Who else is in the room, what they did, and whether this view moves along: ``peers``, ``ops``, ``follow``, ``sync``."""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anvcs.errors import AnvcsError
from anvcs.model.ids import Seq
from anvcs.model.room import OpRecord
from anvcs.rooms.room import Room
from anvcs.views import FOLLOW
from anvcsfs.control.reports import document, shown
from anvcsfs.control_nodes import ControlDir, ControlFile, ControlHandle, TokenFile
from anvcsfs.handles import FileHandle
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, Node, Place

if TYPE_CHECKING:
    from anvcsfs.table import Table

_OPS_SHOWN = 1000
_STEP = 300
"""Ops made into lines at a time: some milliseconds."""
_EDITING_SHOWN = 200


class FollowInvalid(AnvcsError):
    """A way of following that there is none of."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"{wanted!r} is no way to follow: write {' or '.join(FOLLOW)}")


class GrowingFile(ControlFile):
    """A control file that lines are appended to: it can be followed with ``tail -f``."""

    __slots__ = ("lines",)

    def __init__(self, ino: int, parent: Dir, name: bytes, lines: "OpLines") -> None:
        super().__init__(ino, parent, name, lines.all)
        self.lines = lines


class OpLines:
    """The room's ops as JSON lines in a file on the disk, from some time before the mount on.

    Lines are only ever appended, when somebody looks; another room starts the file anew.
    """

    def __init__(self, file: Path, room: Callable[[], Room]) -> None:
        self._room = room
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._of: Path | None = None
        self._last = Seq(0)
        self._size = 0

    def size(self) -> int:
        """Bytes so far, after taking in what is new."""
        room = self._room()
        if room.file != self._of:
            self._of, self._last, self._size = room.file, Seq(max(0, room.seq - _OPS_SHOWN)), 0
            os.ftruncate(self._fd, 0)
        added = list(room.ops(self._last, _STEP))
        if added:
            data = b"".join(op_line(op) for op in added)
            os.pwrite(self._fd, data, self._size)
            self._size += len(data)
            self._last = added[-1].seq
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes at *offset*."""
        while offset + length > self._size:
            before = self._size
            if self.size() == before:
                break
        return os.pread(self._fd, max(0, min(length, self._size - offset)), offset)

    def all(self) -> bytes:
        """Everything."""
        return self.read(0, 1 << 30)


class Company:
    """Contents and requests of the files that are about the other processes of the room."""

    def __init__(self, table: "Table", number: Callable[[], int], take: Callable[[Node], None]) -> None:
        self._table = table
        self._view = table.view
        self._number = number
        self._take = take
        self._taken_in = 0
        self._last_ops: dict[str, OpRecord] = {}
        self._scanned: tuple[Path | None, Seq] = (None, Seq(0))
        self.keep_follow: Callable[[str], None] = lambda _: None
        """Makes the next mount follow in the same way; called in a thread."""
        self.lines = OpLines(self._view.folder / "ops.jsonl", self._room)

    def nodes(self, top: Dir) -> dict[bytes, Node]:
        """The files, by name."""
        follow = ControlFile(self._number(), top, b"follow", self.follow, self.set_follow)
        sync = ControlFile(self._number(), top, b"sync", self.synced, self.sync)
        follow.keeps_answer = sync.keeps_answer = False
        return {
            b"peers": ControlFile(self._number(), top, b"peers", self.peers),
            b"ops": GrowingFile(self._number(), top, b"ops", self.lines),
            b"ops-since": ControlDir(self._number(), top, b"ops-since", self._since, list),
            b"follow": follow,
            b"sync": sync,
        }

    def _room(self) -> Room:
        """The room that is shared, also while a command of Git works on a copy."""
        return self._view.shared_room

    # Ops

    def _since(self, parent: ControlDir, name: bytes) -> Node | None:
        if not name.isdigit():
            return None
        after = Seq(int(name))
        node = TokenFile(self._number(), parent, name, lambda: _lines(self._room().ops(after, _OPS_SHOWN)))
        self._take(node)
        return node

    # Peers

    def card(self) -> dict[str, Any]:
        """What others are told of this process."""
        author = self._view.author
        editing = {
            handle.node.path
            for handle in self._table.handles.all()
            if isinstance(handle, FileHandle) and handle.writable and _is_work(handle.node)
        }
        return {
            "agent": author.agent,
            "model": author.model,
            "view": author.view,
            "pid": os.getpid(),
            "mountpoint": self._view.mountpoint,
            "follow": _name(still=self._view.stands_still),
            "editing": [shown(path) for path in sorted(editing)[:_EDITING_SHOWN]],
        }

    def show_card(self) -> None:
        """Tell the others what this process is doing."""
        self._view.presence.show(self.card())

    def peers(self) -> bytes:
        """Everybody in the room, this view too."""
        self.show_card()
        last = self._latest()
        found = []
        for card in self._view.presence.others():
            op = last.get(str(card.get("view")))
            found.append({**card, "last_op": None if op is None else op_item(op)})
        return document({"room": self._view.stream, "peers": found})

    def _latest(self) -> dict[str, OpRecord]:
        """Each view's last op."""
        room = self._room()
        file, after = self._scanned
        if file != room.file:
            self._last_ops, after = {}, Seq(max(0, room.seq - _OPS_SHOWN))
        for op in room.ops(after):
            self._last_ops[op.view] = op
            after = op.seq
        self._scanned = (room.file, after)
        return self._last_ops

    # Following

    def follow(self) -> bytes:
        """How the view follows, one line."""
        return _name(still=self._view.stands_still).encode() + b"\n"

    def set_follow(self, handle: ControlHandle, data: bytes) -> bytes:
        """Follow in another way, also after the next mount."""
        wanted = data.decode("utf-8", "replace").strip()
        if wanted not in FOLLOW:
            raise FollowInvalid(wanted)
        if handle.state != wanted:
            handle.state = wanted
            raise Later(lambda: self.keep_follow(wanted))
        self._table.follower.stand(still=wanted == "manual")
        self.show_card()
        return document({"ok": True, "follow": wanted, "seq": self._view.room.seq})

    def synced(self) -> bytes:
        """How far behind the view is, and what the last sync brought."""
        room = self._view.room
        follow = _name(still=self._view.stands_still)
        return document(
            {"ok": True, "follow": follow, "held_back": room.held_back, "seq": room.told, "taken_in": self._taken_in}
        )

    def sync(self, handle: ControlHandle, data: bytes) -> bytes:  # noqa: ARG002 - whatever is written
        """Show what peers did until now."""
        self._taken_in = self._table.follower.sync()
        return self.synced()


def _name(*, still: bool) -> str:
    return "manual" if still else "live"


def _is_work(node: Node) -> bool:
    return node.place in (Place.SHARED, Place.PENDING)


def op_item(op: OpRecord) -> dict[str, object]:
    """An op as a JSON object."""
    item: dict[str, object] = {
        "seq": op.seq,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(op.time_ns // 10**9))
        + f".{op.time_ns // 1000 % 1_000_000:06d}Z",
        "agent": op.agent,
        "view": op.view,
        "kind": op.kind,
        "path": shown(op.path),
    }
    if op.old_path is not None:
        item["old_path"] = shown(op.old_path)
    if op.added or op.removed:
        item.update(added=op.added, removed=op.removed)
    return item


def op_line(op: OpRecord) -> bytes:
    """`op_item` on a line of its own."""
    return json.dumps(op_item(op), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _lines(ops: Iterable[OpRecord]) -> bytes:
    return b"".join(map(op_line, ops))
