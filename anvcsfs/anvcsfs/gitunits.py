"""What a Git command does to the work tree, kept apart until the command ends.

Git writes files first and moves HEAD or the branch afterwards, so that while it writes nobody
can know what the writes mean: another stream is to be shown, a merge is made, changes are
thrown away.  From the first write of a Git process that holds the view's ``index.lock`` on, the
view therefore stands on a copy of its room, which peers don't see.  When the command ends

* on another branch or on a commit, Git's writes are dropped: that room is shown instead;
* without having written its index, it has failed, and what it wrote is dropped as well;
* else all of it becomes one op of the room, merged with what peers did meanwhile.  What a
  command restored takes back the agent's own ops and nobody else's.

What others than Git saved in this view meanwhile goes to the room in all cases.  The copy is a
file beside the view's other files: after a crash the next mount takes up where it ended.
"""

import json
import logging
import os
import select
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from anvcs.git import admin
from anvcs.model.ids import Oid, Seq
from anvcs.model.room import Author
from anvcs.model.tree import DIRECTORY, Leaf
from anvcs.model.unit import Step
from anvcs.rooms.forking import copy_room, remove_room
from anvcs.rooms.room import Room
from anvcs.rooms.units import KIND
from anvcs.views import Process
from anvcsfs.gitcommands import command_of, discards, first_of, process_of
from anvcsfs.later import Later
from anvcsfs.view import View

log = logging.getLogger(__name__)
_DIRECT = frozenset({"mv", "add", "commit", "status"})
"""Commands of Git whose changes to the work tree mean what they are."""
_LOCKLESS = "clean"
"""The one command that throws away without taking the lock."""
_INDEXLESS = frozenset({_LOCKLESS, "restore"})
"""Commands that may end well without having written the index: file by file, they did what they did."""
_BY_GIT = "git "
"""How the view of an op in the copy begins when Git did it; the command follows."""
_COPIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the next process must know of a command that is under way; kept in ``aside.json``."""

    stream: str
    since: int
    """The room's last op that the copy has."""
    pid: int
    started: str
    command: str
    index: tuple[int, int]
    """Stamp of Git's index when the command began to write files."""

    @property
    def process(self) -> Process:
        """The process that the command began with."""
        return Process(self.pid, self.started)


class Unit:
    """One command under way: the room as peers see it, and the copy that Git writes into."""

    def __init__(self, room: Room, copy: Room, record: Record, home: Room | None = None) -> None:
        self.room = room
        self.home = home or room
        """What the view shows afterwards: another room when HEAD moved while the view was down."""
        self._process = _descriptor_of(record.process)
        self._poll = select.poll()
        if self._process >= 0:
            self._poll.register(self._process, select.POLLIN)
        self.copy = copy
        self.record = record
        self.writers: dict[int, Author] = {}
        """Processes of Git that have written, and how what they write is marked."""

    @property
    def over(self) -> bool:
        """Whether the command has ended."""
        return self._process < 0 or bool(self._poll.poll(0))

    def is_home(self, head: admin.Head) -> bool:
        """Whether *head* is where HEAD was when the command began."""
        return isinstance(head, admin.Branch) and head.name == f"refs/heads/{self.record.stream}"

    def let_go(self) -> None:
        """The command is settled."""
        if self._process >= 0:
            os.close(self._process)
            self._process = -1


def _descriptor_of(process: Process) -> int:
    """A descriptor that can be read from when *process* has ended; -1 when it has."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:  # gone, or nobody whom we can see
        return -1
    if process.alive:
        return descriptor
    os.close(descriptor)
    return -1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to: the paths that it touched in the view, and those that Git wrote last."""

    touched: frozenset[bytes]
    by_git: frozenset[bytes]


class GitUnits:
    """At most one command of Git at a time, as Git's lock has it."""

    def __init__(self, view: View, admin_dir: Path, open_copy: Callable[[Path], Room]) -> None:
        self._view = view
        self._admin = admin_dir
        self.open_copy = self._open_copy = open_copy
        self._file = view.folder / "aside.sqlite"
        self._record = view.folder / "aside.json"
        self._copied = False
        self._head_file = os.fspath(admin_dir / "HEAD")
        self._head: tuple[tuple[int, int], admin.Head] | None = None
        self.unit: Unit | None = None
        self.begun: Callable[[], None] = lambda: None
        """Called when a command begins."""
        self.moved_on: Callable[[], None] = lambda: None
        """Called when HEAD has moved, before something is written."""
        self.catch_up: Callable[[], None] = lambda: None
        """Shows what other processes appended so far."""

    # Requests

    def enter(self, pid: int, *, removes: bool = False) -> None:
        """The process *pid* is about to change something.

        Raises:
            Later: a command of Git begins, and the room has to be copied first.
        """
        self.meet_head()
        if self.unit is None and not self._begins(pid, removes=removes):
            return
        unit = self.unit
        if unit is None:  # a command that makes no unit
            return
        author = unit.writers.get(pid) or self._writer(unit, pid)
        self._view.by_git = author is not None
        if author is not None:
            unit.copy.write_as(author)

    def _writer(self, unit: Unit, pid: int) -> Author | None:
        """As whom *pid* writes if it is Git: a process that is Git stays that until it ends."""
        command = command_of(pid)
        if command is None:
            return None
        author = self._view.author
        first = command_of(unit.record.pid) or unit.record.command
        thrown = "-" if discards(command, first) else "+"
        marked = Author(agent=author.agent, model=author.model, view=f"{_BY_GIT}{thrown}{command}")
        unit.writers[pid] = marked
        return marked

    def meet_head(self) -> None:
        """Before something is opened or written: what HEAD names by now is what is meant."""
        if self._is_elsewhere() if self.unit is None else self._has_left(self.unit):
            self.moved_on()

    def leave(self) -> None:
        """The request is answered."""
        if self._view.by_git:
            self._view.by_git = False
            if self.unit is not None:
                self.unit.copy.write_as(self._view.author)

    @property
    def ended(self) -> bool:
        """Whether a command was under way that is over or has gone elsewhere; cheap, for every request."""
        unit = self.unit
        return unit is not None and (unit.over or self._has_left(unit))

    @property
    def is_over(self) -> bool:
        """Whether a command was under way that has ended."""
        return self.unit is not None and self.unit.over

    def _has_left(self, unit: Unit) -> bool:
        return not unit.is_home(self._read_head())

    def _is_elsewhere(self) -> bool:
        """Whether HEAD has moved without a file being written (``git switch -c``), and nobody has noticed yet."""
        try:
            head = self._read_head()
        except (FileNotFoundError, admin.DamagedHead):  # told by who follows it
            return False
        view = self._view
        if isinstance(head, admin.Branch):
            return view.detached or head.name != f"refs/heads/{view.stream}"
        return not view.detached

    def _read_head(self) -> admin.Head:
        """Where HEAD is; asked before every request, so the file is only read when it is another."""
        found = os.stat(self._head_file)
        stamp = found.st_ino, found.st_mtime_ns
        if self._head is None or self._head[0] != stamp:
            self._head = stamp, admin.read_head(self._admin)
        return self._head[1]

    def _begins(self, pid: int, *, removes: bool) -> bool:
        view = self._view
        if view.detached or view.read_only or view.lost:
            return False
        locked = admin.git_holds_lock(self._admin)
        if not locked and not removes:
            return False
        command = command_of(pid)
        if command is None or command in _DIRECT or (not locked and command != _LOCKLESS):
            return False
        process = process_of(first_of(pid))
        if process is None:
            return False
        self._begin(process, command)
        return True

    def _begin(self, process: Process, command: str) -> None:
        view = self._view
        if not self._copied:
            raise Later(self._copy)
        self._copied = False
        copy = self._open_copy(self._file)
        for _ in range(_COPIES):
            self.catch_up()  # what peers do from here on is shown when the command ends
            if copy.seq == view.room.seq:
                break
            copy.close()
            copy_room(view.room.file, self._file)
            copy = self._open_copy(self._file)
        record = Record(
            stream=view.stream,
            since=copy.seq,
            pid=process.pid,
            started=process.started,
            command=command,
            index=self.index_stamp(),
        )
        part = self._record.with_suffix(".part")
        part.write_text(json.dumps(asdict(record)))
        part.replace(self._record)
        self.unit = Unit(view.room, copy, record)
        view.room = copy
        log.info("git %s writes apart from the room", command)
        self.begun()

    def _copy(self) -> None:
        copy_room(self._view.room.file, self._file)
        self._copied = True

    def index_stamp(self) -> tuple[int, int]:
        """Tells one index from the next: Git never changes one in place."""
        try:
            found = os.stat(self._admin / "index")
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    # The end

    def recover(self, open_room: Callable[[str], Room]) -> None:
        """A process of this view died during a command of Git: take it up again."""
        home = self._view.room
        try:
            fields: dict[str, Any] = json.loads(self._record.read_text())
            record = Record(**{**fields, "index": tuple(fields["index"])})
        except FileNotFoundError:
            remove_room(self._file)  # half a copy, perhaps
            return
        stays = self._view.stream == record.stream and not self._view.detached
        room = home if stays else open_room(record.stream)
        self.unit = Unit(room, self._open_copy(self._file), record, home)
        if stays:
            self._view.room = self.unit.copy
        log.info("a git %s was under way when this view ended", record.command)

    def settle(self, target: Oid | None, *, stays: bool) -> Outcome:
        """The command of Git has ended: let the room have what it has to.

        With *stays* HEAD is where it was, on a stream whose last commit is *target*.
        """
        unit = self.unit
        assert unit is not None  # who calls has looked
        record = unit.record
        complete = record.command in _INDEXLESS or self.index_stamp() != record.index
        last: dict[bytes, str] = {}
        for touch in unit.copy.touched(Seq(record.since)):
            last.update(dict.fromkeys(touch.paths, touch.view))
        by_git = frozenset(path for path, view in last.items() if view.startswith(_BY_GIT))
        wanted = last if stays and complete else {path: view for path, view in last.items() if path not in by_git}
        base = target if stays and target is not None and target != unit.room.base else None
        shown: tuple[bytes, ...] = ()
        if (wanted or base is not None) and not self._was_taken(unit):
            shown = unit.room.take(list(self._steps(unit, wanted)), base=base).paths
        if not stays:
            admin.drop_autostash(self._admin)  # what it holds is in the room, which keeps it
        if stays and not complete and by_git:
            log.warning("git %s did not finish: what it wrote to %d files is dropped", record.command, len(by_git))
        return Outcome(frozenset(last) | frozenset(shown), by_git)

    def close(self) -> None:
        """The room has what it has to: the copy goes, and the view shows the room again."""
        unit = self.unit
        assert unit is not None  # who calls has looked
        self._view.room = unit.home
        self.unit = None
        unit.let_go()
        if unit.room is not unit.home:
            unit.room.close()
        self._record.unlink(missing_ok=True)  # first: without it the copy means nothing
        unit.copy.close()
        remove_room(self._file)

    def leave_behind(self) -> None:
        """The view ends during a command of Git: the next mount takes it up."""
        if self.unit is not None:
            self._view.room = self.unit.home
            self.unit.let_go()
            self.unit.copy.close()
            self.unit = None

    def _was_taken(self, unit: Unit) -> bool:
        """Whether a process that then died has brought this command into the room."""
        name = self._view.folder.name
        return any(op.kind == KIND and op.view == name for op in unit.room.ops(Seq(unit.record.since)))

    def _steps(self, unit: Unit, wanted: dict[bytes, str]) -> Iterator[Step]:
        copy, base = unit.copy, Seq(unit.record.since)
        tree = self._view.git.tree_of(copy.base) if copy.base is not None else None
        stashed = admin.merge_is_stashed(self._admin)
        for path, view in wanted.items():
            entry = copy.entry(path)
            thrown = view.startswith(f"{_BY_GIT}-") or (stashed and view.startswith(_BY_GIT))
            if entry is not None:
                if entry.mode == DIRECTORY and view.startswith(_BY_GIT):
                    continue  # Git knows none; those that a file needs come with it
                yield Step(path=path, entry=entry, data=partial(copy.read, entry), base=base, discards=thrown)
                continue
            found = None if tree is None or copy.hides(path) else self._view.git.find(tree, path)
            leaf = None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)
            yield Step(path=path, leaf=leaf, base=base, discards=thrown)
