"""Who last wrote each line of a file: the room's ops where they tell, Git's blame and our notes for the rest."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from anvcs.errors import AnvcsError
from anvcs.git.notes import Notes
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git
from anvcs.git.refs import Refs
from anvcs.model.blame import BlamedLine, LiveLine, Shown
from anvcs.model.ids import Oid
from anvcs.model.moment import moment_text
from anvcs.model.tree import DIRECTORY, GITLINK
from anvcs.rooms.room import Room

_UNKNOWN = LiveLine(text=b"", seq=None)
_AGENT = 24
"""Widest column of agents."""


class NoText(AnvcsError):
    """Nothing that has lines is at the path."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{path.decode('utf-8', 'backslashreplace')} is no text file")
        self.path = path


class NothingAt(AnvcsError):
    """Nothing is at the path."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"nothing is at {path.decode('utf-8', 'backslashreplace')}")
        self.path = path


@dataclass(frozen=True, slots=True)
class _Committed:
    """What Git and a note say about one commit."""

    agent: str
    model: str
    time_ns: int


class Attribution:
    """Answers for one repository; may be used from any thread, with a room of that thread."""

    def __init__(self, objects: ObjectStore, refs: Refs) -> None:
        self._objects = objects
        self._git = Git(objects.common_dir)
        self._notes = Notes(objects, refs)
        self._commit = cache(self._read_commit)

    def live(self, room: Room, path: bytes, shown: Shown | None = None) -> list[BlamedLine]:
        """The lines that *room* shows at *path*, or another window has *shown*; raises `NothingAt` or `NoText`."""
        shown = room.shown(path) if shown is None else shown
        lines = room.blame(path, shown)
        if lines is None:
            raise NoText(path) if self._is_there(path, shown) else NothingAt(path)
        committed: list[Oid] = []
        origin = path if shown.entry is None else shown.entry.base_path
        if shown.base is not None and origin is not None and any(line.base_line for line in lines):
            committed = self._blame(shown.base, origin)
        return [self._line(line, committed) for line in lines]

    def committed(self, commit: Oid, path: bytes, room: Room | None = None) -> list[BlamedLine]:
        """The lines that *commit* has at *path*; raises `NothingAt` or `NoText`.

        A *room* that stands on the commit still knows who wrote lines that somebody else committed.
        """
        found = self._objects.find(self._objects.tree_of(commit), path)
        if found is None:
            raise NothingAt(path)
        if found.mode in (DIRECTORY, GITLINK):
            raise NoText(path)
        data = self._objects.blob(found.oid)
        if b"\0" in data[:8000]:
            raise NoText(path)
        commits = self._blame(commit, path)
        known = {} if room is None or room.base != commit else _known(room, path)
        return [
            self._line(replace(known.get(number, _UNKNOWN), text=text, base_line=number), commits)
            for number, text in enumerate(_lines(data), 1)
        ]

    def _is_there(self, path: bytes, shown: Shown) -> bool:
        if shown.entry is not None or shown.below is None:
            return shown.entry is not None
        return self._objects.find(self._objects.tree_of(shown.below), path) is not None

    def _line(self, line: LiveLine, commits: Sequence[Oid]) -> BlamedLine:
        commit = commits[line.base_line - 1] if 0 < line.base_line <= len(commits) else None
        if line.seq is not None:
            return BlamedLine(
                text=line.text,
                agent=line.agent,
                model=line.model,
                time_ns=line.time_ns,
                seq=line.seq,
                commit=commit,
            )
        if commit is None:  # brought by a merge into the room, which nobody of it wrote
            return BlamedLine(text=line.text, agent="", time_ns=0)
        told = self._commit(commit)
        return BlamedLine(text=line.text, agent=told.agent, model=told.model, time_ns=told.time_ns, commit=commit)

    def _read_commit(self, commit: Oid) -> _Committed:
        info = self._objects.commit_info(commit)
        note = self._note(commit)
        agent, model = note.get("agent_id"), note.get("model")
        return _Committed(
            agent if isinstance(agent, str) and agent else info.author.name,
            model if isinstance(model, str) else "",
            info.author.time_s * 1_000_000_000,
        )

    def _note(self, commit: Oid) -> dict[str, Any]:
        note = self._notes.read(commit)
        try:
            found = json.loads(note) if note else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _blame(self, commit: Oid, path: bytes) -> list[Oid]:
        """The commit that brought each line of *path* as *commit* has it."""
        name = path.decode("utf-8", "surrogateescape")
        done = self._git.run("blame", "--porcelain", commit.hex(), "--", name)
        return list(_porcelain(done.out))


def _known(room: Room, path: bytes) -> dict[int, LiveLine]:
    """The lines of the base at *path* whose writers the room's ops tell."""
    entry = room.covering(path)
    at = path if entry is None else entry.path
    lines = None if at is None else room.blame(at)
    return {line.base_line: line for line in lines or () if line.base_line and line.seq is not None}


def _porcelain(out: bytes) -> Iterator[Oid]:
    current = b""
    for line in out.split(b"\n"):
        if line.startswith(b"\t"):
            yield Oid(bytes.fromhex(current.decode()))
        elif len(line) > 40 and line[40:41] == b" " and _is_id(line[:40]):
            current = line[:40]


def _is_id(text: bytes) -> bool:
    return all(char in b"0123456789abcdef" for char in text)


def _lines(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def blame_document(path: bytes, lines: Sequence[BlamedLine]) -> dict[str, Any]:
    """What ``--json`` prints (``docs/reference/json.md``)."""
    return {
        "path": path.decode("utf-8", "surrogateescape"),
        "lines": [
            {
                "line": number,
                "agent": line.agent,
                "model": line.model,
                "time": moment_text(line.time_ns) if line.time_ns else None,
                "seq": line.seq,
                "commit": line.commit.hex() if line.commit else None,
                "text": line.text.decode("utf-8", "surrogateescape"),
            }
            for number, line in enumerate(lines, 1)
        ],
    }


def blame_text(lines: Sequence[BlamedLine]) -> bytes:
    """The same for people: where each line is from, who wrote it, with which model, when, and the line."""
    heads = [
        (
            line.commit.hex()[:12] if line.commit else f"op {line.seq}" if line.seq is not None else "-",
            line.agent[:_AGENT] or "-",
            line.model[:_AGENT] or "-",
            moment_text(line.time_ns)[:19] + "Z" if line.time_ns else "-",
        )
        for line in lines
    ]
    widths = [max((len(head[column]) for head in heads), default=0) for column in range(4)]
    number = len(str(len(lines)))
    shown: list[bytes] = []
    for at, (head, line) in enumerate(zip(heads, lines, strict=True), 1):
        columns = "  ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True))
        text = line.text if line.text.endswith(b"\n") else line.text + b"\n"
        shown.append(f"{columns}  {at:{number}}) ".encode("utf-8", "surrogateescape") + text)
    return b"".join(shown)
