"""Which version of a file a writer had seen: the base of its save.

A view remembers who opened which version of a file.  The versions of the writer's own
process come first, then those of its relatives: of the processes below its nearest
ancestor that has opened the file at all, the last one.  Programs that read many files (a
search, a test run) or the same one again and again (a language server) may not have been
asked by who writes now: a version that only they saw is a doubt, which the room turns
into a conflict where it makes a difference.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from anvcs.model.ids import Seq
from anvcsfs.processes import Process, Processes, is_alive

_FILES = 4096
_READERS = 32
_SWEEP = 16
"""A process that opened so many files was not looking at one."""
_KEPT_TEXT = 8 << 20
_DOUBTS = 3
_MOST_PROCESSES = 1024


class Seen(NamedTuple):
    """What a writer had seen, as `Room.write` takes it."""

    base: Seq | None = None
    """``None``: the current version."""
    had: bytes | None = None
    doubts: tuple[Seq, ...] = ()


@dataclass(slots=True)
class _Opened:
    """The last version of one file that one process opened."""

    version: int
    process: Process
    when: int
    again: int = 0
    """How often it had opened another version before."""
    had: bool = False
    """Whether the process has a text of its own, which is no version."""


@dataclass(slots=True)
class _File:
    readers: OrderedDict[int, _Opened] = field(default_factory=OrderedDict)


class Bases:
    """Who opened what, for a bounded number of files."""

    def __init__(self, processes: Processes | None = None) -> None:
        self._processes = processes or Processes()
        self._files: OrderedDict[bytes, _File] = OrderedDict()
        self._texts: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._text_size = 0
        self._sweeps: OrderedDict[int, set[bytes]] = OrderedDict()
        self._clock = 0
        self._new: dict[tuple[bytes, int], None] = {}
        self._all_new = False
        self.noted: Callable[[], None] = lambda: None
        """Called when `news` has something."""

    # --- what is seen

    def opened(self, path: bytes, thread: int, version: int) -> None:
        """*thread* opens *version* of the file *path* for reading."""
        process = self._processes.of(thread)
        opened = self._note(path, process, version)
        if opened.had:
            opened.had = False
            self._drop_text(path, process.pid)
        files = self._sweeps.setdefault(process.pid, set())
        if len(files) < _SWEEP:
            files.add(path)
        if len(self._sweeps) > _MOST_PROCESSES:
            self._sweeps.popitem(last=False)

    def wrote(self, path: bytes, thread: int, version: int, text: bytes | None) -> None:
        """*thread* saved the file: it knows *version*, or *text*, which became a part of a version.

        Then *version* is what it had before: that serves when the text has to go.
        """
        self._keep_text(path, self._note(path, self._processes.of(thread), version), text)

    def _keep_text(self, path: bytes, opened: _Opened, text: bytes | None) -> None:
        pid = opened.process.pid
        self._drop_text(path, pid)
        opened.had = text is not None
        if text is not None:
            self._texts[path, pid] = text
            self._text_size += len(text)
            while self._text_size > _KEPT_TEXT:
                _, gone = self._texts.popitem(last=False)
                self._text_size -= len(gone)

    def _note(self, path: bytes, process: Process, version: int) -> _Opened:
        self._clock += 1
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = _File()
            if len(self._files) > _FILES:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        opened = file.readers.get(process.pid)
        if opened is None or opened.process.started != process.started:
            opened = file.readers[process.pid] = _Opened(version, process, self._clock)
            if len(file.readers) > _READERS:
                pid, _ = file.readers.popitem(last=False)
                self._drop_text(path, pid)
        elif opened.version != version:
            opened.again += 1
        opened.version, opened.process, opened.when = version, process, self._clock
        file.readers.move_to_end(process.pid)
        self._is_new(path, process.pid)
        return opened

    def _drop_text(self, path: bytes, pid: int) -> None:
        self._text_size -= len(self._texts.pop((path, pid), b""))

    def moved(self, old: bytes, new: bytes) -> None:
        """The file or directory *old* is *new* now."""
        if old == new:
            return
        self._is_new()
        below = old + b"/"
        for path in [path for path in self._files if path == old or path.startswith(below)]:
            self._move(path, new + path[len(old) :])

    def _move(self, old: bytes, new: bytes) -> None:
        file = self._files[new] = self._files.pop(old)
        for pid in file.readers:
            text = self._texts.pop((old, pid), None)
            if text is not None:
                self._texts[new, pid] = text

    def exchanged(self, first: bytes, second: bytes) -> None:
        """What was at *first* is at *second* now, and the reverse."""
        aside = first + b"\0"  # no path has it
        self.moved(first, aside)
        self.moved(second, first)
        self.moved(aside, second)

    def saved_over(self, old: bytes, new: bytes, at: bytes, last: int, seen: Seen) -> None:
        """The file *old* got the content of the file *new*, which is no more, and is *at* now.

        Who knew *old* knows an earlier version of it; who knew *new* as of its *last* version has *seen* it.
        """
        aside = new + b"\0"
        self.moved(new, aside)
        self.moved(old, at)
        fresh = self._files.pop(aside, _File()).readers
        for pid, opened in fresh.items():
            text = self._texts.get((aside, pid))
            self._drop_text(aside, pid)
            if opened.had:
                self._know(at, opened.process, Seen(seen.base, text))
            elif opened.version == last:
                self._know(at, opened.process, seen)

    def _know(self, path: bytes, process: Process, seen: Seen) -> None:
        opened = self._note(path, process, seen.base or 0)
        self._keep_text(path, opened, seen.had)

    def forget(self) -> None:
        """Another room is shown, whose versions have the same numbers."""
        self._files.clear()
        self._texts.clear()
        self._text_size = 0
        self._is_new()

    def renumber(self, path: bytes, since: int, now: int) -> None:
        """Versions of *path* after *since* were another room's: they are *now* in this one."""
        file = self._files.get(path)
        for opened in file.readers.values() if file is not None else ():
            if opened.version > since:
                opened.version = now
                self._is_new(path, opened.process.pid)

    # --- what a writer had seen

    def of(self, path: bytes, thread: int, current: int) -> Seen:
        """What *thread*, which writes *path* anew, had seen; *current* is the version now."""
        file = self._files.get(path)
        if file is None or all(each.version == current and not each.had for each in file.readers.values()):
            return Seen()
        writer = self._processes.of(thread)
        own = file.readers.get(writer.pid)
        if own is not None and own.process.started == writer.started:
            return self._seen(path, own)
        readers = list(file.readers.values())
        for member in writer.lineage:
            related = [each for each in readers if member in each.process.lineage]
            if related:
                return self._choose(path, writer, related)
        related = [each for each in readers if writer.session and each.process.session == writer.session]
        if related:
            return self._choose(path, writer, related)
        newest = max(readers, key=_when)
        return self._seen(path, newest, sorted(readers, key=_when, reverse=True))

    def _choose(self, path: bytes, writer: Process, related: list[_Opened]) -> Seen:
        related.sort(key=_when, reverse=True)
        meant = next((each for each in related if not self._is_incidental(each, writer)), related[0])
        return self._seen(path, meant, [each for each in related if each.when > meant.when])

    def _is_incidental(self, reader: _Opened, writer: Process) -> bool:
        """Whether the process may have opened the file for its own purposes."""
        if reader.process.pid in writer.lineage:
            return False
        if len(self._sweeps.get(reader.process.pid, ())) >= _SWEEP:
            return True
        return reader.again > 0 and is_alive(reader.process.pid, reader.process.started)

    def _seen(self, path: bytes, opened: _Opened, doubts: Iterable[_Opened] = ()) -> Seen:
        had = self._texts.get((path, opened.process.pid)) if opened.had else None
        others = dict.fromkeys(Seq(each.version) for each in doubts if each.version != opened.version)
        return Seen(Seq(opened.version), had, tuple(others)[:_DOUBTS])

    # --- over a remount

    def news(self, *, everything: bool) -> tuple[bool, list[tuple[bytes, int, Process]]]:
        """Versions and who opened them: what is new since the last call, or *everything*; whether it is that.

        Only of processes that may still be there later.
        """
        complete, self._all_new = everything or self._all_new, False
        new = [(path, each) for path, file in self._files.items() for each in file.readers] if complete else self._new
        found = [(path, each) for path, pid in new if (each := self._opened(path, pid)) and each.process.started]
        self._new = {}
        return complete, [(path, each.version, each.process) for path, each in found]

    def _opened(self, path: bytes, pid: int) -> _Opened | None:
        file = self._files.get(path)
        return None if file is None else file.readers.get(pid)

    def know(self, path: bytes, process: Process, version: int) -> None:
        """*process* had opened *version* before this view was mounted."""
        self._note(path, process, version)

    @property
    def has_news(self) -> bool:
        """Whether `news` has something."""
        return self._all_new or bool(self._new)

    def _is_new(self, path: bytes | None = None, pid: int = 0) -> None:
        """Who calls has changed what *pid* knows of *path*, or anything."""
        if path is None:
            self._all_new = True
        else:
            self._new[path, pid] = None
        self.noted()


def _when(opened: _Opened) -> int:
    return opened.when
