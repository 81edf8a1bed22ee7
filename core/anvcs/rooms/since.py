"""What somebody saw of the tree who acts on an older picture, and what others did since.

A window writes on a caught-up state, but its user (a tool, the kernel) decided on what
had been shown before.  A `Picture` is that: the tree after op ``seen``, with the
window's own later ops in it, because those its user knows.
"""

from collections.abc import Iterator
from typing import NamedTuple

from anvcs.model.ids import FileId, Seq
from anvcs.model.room import Author, Entry
from anvcs.model.tree import DIRECTORY, Leaf
from anvcs.rooms.core import Core
from anvcs.rooms.oplog import Op
from anvcs.rooms.records import BYTES_CHANGED, DROPPED


class Deed(NamedTuple):
    """One op of somebody else, as far as tree conflicts ask."""

    seq: Seq
    agent: str
    model: str
    kind: str
    path: bytes
    old_path: bytes | None


class Picture:
    """The tree that a caller saw, told by what changed after it."""

    def __init__(self, core: Core, seen: Seq, author: Author) -> None:
        self._core = core
        self.seen = seen
        self.author = author
        self.deeds: list[Deed] = []
        """What others did since, oldest first."""
        self._until = seen
        self._own: set[Seq] = set()
        self._touched: dict[FileId, list[tuple[Deed, int]]] = {}
        self._then: dict[FileId, Entry | None] = {}
        self._paths: dict[bytes, FileId] = {}

    def refresh(self) -> None:
        """Take in what was appended since the last time."""
        for op in self._core.log.ops(self._until):
            self._until = op.seq
            files = _flags(op)
            if _same(op, self.author):
                self._own.add(op.seq)
                for file in files:
                    self._forget(file)
                continue
            deed = Deed(op.seq, op.agent, op.model, op.kind, op.payload.path, op.payload.old_path)
            self.deeds.append(deed)
            for file, flags in files.items():
                self._touched.setdefault(file, []).append((deed, flags))

    def is_touched(self, file: FileId) -> bool:
        """Whether somebody else did something to *file* since."""
        return file in self._touched

    def editor(self, file: FileId) -> Deed | None:
        """The last deed of another that changed the bytes of *file*."""
        return self._last(file, BYTES_CHANGED)

    def remover(self, file: FileId) -> Deed | None:
        """The last deed of another about *file*: when the file is gone, the one that deleted it."""
        return self._last(file, BYTES_CHANGED | DROPPED) if file not in self._touched else self._touched[file][-1][0]

    def mover(self, file: FileId) -> Deed | None:
        """The last deed of another that renamed *file*, or a directory that it was in."""
        moves = [deed for deed, _ in self._touched.get(file, ()) if deed.old_path is not None]
        return moves[-1] if moves else None

    def file_at(self, path: bytes, now: Entry | None) -> Entry | None:
        """What the caller saw at *path*, where *now* is shown: no directory without an entry."""
        if now is not None and now.id not in self._touched:
            return now
        self._look(self._touched if now is None else (*self._touched, now.id))
        file = self._paths.get(path)
        return None if file is None else self._then[file]

    def below(self, directory: bytes) -> Iterator[Entry]:
        """What the caller saw below *directory* and others have touched since."""
        self._look(self._touched)
        start = directory + b"/"
        for file in self._touched:
            then = self._then[file]
            if then is not None and then.path is not None and then.path.startswith(start):
                yield then

    def newcomers(self, directory: bytes) -> Iterator[tuple[Entry, Deed]]:
        """What is below *directory* now by the deed of another and was not when the caller looked."""
        self._look(self._touched)
        start = directory + b"/"
        for file, deeds in self._touched.items():
            now, then = self._core.state.by_id.get(file), self._then[file]
            if now is None or now.path is None or not now.path.startswith(start):
                continue
            if then is None or then.path is None or not then.path.startswith(start):
                yield now, deeds[-1][0]

    def follow(self, path: bytes) -> tuple[bytes, Deed | None]:
        """Where a name in a directory is now that others have renamed, and who did it."""
        last = None
        for deed in self.deeds:
            for old, new in _renames(deed):
                if path.startswith(old + b"/"):
                    path, last = new + path[len(old) :], deed
                    break
        return path, last

    def went(self, directory: bytes) -> tuple[bytes, Deed | None]:
        """Where the directory itself is now."""
        last = None
        for deed in self.deeds:
            for old, new in _renames(deed):
                if directory == old or directory.startswith(old + b"/"):
                    directory, last = new + directory[len(old) :], deed
                    break
        return directory, last

    # --- inside

    def _last(self, file: FileId, flags: int) -> Deed | None:
        for deed, has in reversed(self._touched.get(file, ())):
            if has & flags:
                return deed
        return None

    def _look(self, files: object) -> None:
        """Find out what each of *files* was then."""
        for file in files:  # type: ignore[attr-defined]
            if file not in self._then:
                then = self._then[file] = self._entry_then(file)
                if then is not None and then.path is not None:
                    self._paths[then.path] = file

    def _forget(self, file: FileId) -> None:
        then = self._then.pop(file, None)
        if then is not None and then.path is not None and self._paths.get(then.path) == file:
            del self._paths[then.path]

    def _entry_then(self, file: FileId) -> Entry | None:
        log = self._core.log
        touches = log.touches(file)
        later: Op | None = None
        for seq, _ in reversed(touches):
            op = log.op(seq)
            if seq > self.seen and seq not in self._own:
                later = op
                continue
            return self._after(op, file)
        return None if later is None else self._in_base(later, file)

    def _after(self, op: Op, file: FileId) -> Entry | None:
        """*file* right after *op*, which touched it."""
        for entry in op.payload.puts:
            if entry.id == file:
                return entry
        for drop in op.payload.drops:
            if drop.id == file and drop.path is not None:
                return self._as_base(file, drop.path)
        return None

    def _in_base(self, op: Op, file: FileId) -> Entry | None:
        """*file* as the base had it before *op* made an entry of it."""
        for entry in op.payload.puts:
            if entry.id == file and entry.base_path is not None:
                return self._as_base(file, entry.base_path)
        return None

    def _as_base(self, file: FileId, path: bytes) -> Entry | None:
        core = self._core
        commit = core.log.base_at(self.seen)
        found = None if commit is None else core.base.tree.find(commit, path)
        if found is None or found.mode == DIRECTORY:
            return None
        return core.entry_of_leaf(file, path, Leaf(found.mode, found.oid))


class Pictures:
    """The pictures of one window; the last one is kept, since callers come with the same again."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._last: Picture | None = None

    def get(self, seen: Seq | None, author: Author) -> Picture | None:
        """What who saw op *seen* last saw; ``None`` when nobody else did anything since."""
        if seen is None or seen >= self._core.seq:
            return None
        last = self._last
        if last is None or last.seen != seen or last.author != author:
            last = self._last = Picture(self._core, seen, author)
        last.refresh()
        return last if last.deeds else None


def _flags(op: Op) -> dict[FileId, int]:
    """Which files *op* touched, and how."""
    files = {entry.id: BYTES_CHANGED if entry.content_seq == op.seq else 0 for entry in op.payload.puts}
    for part in op.payload.docs:
        files[part.id] = BYTES_CHANGED
    for drop in op.payload.drops:
        files[drop.id] = files.get(drop.id, 0) | DROPPED
    return files


def _same(op: Op, author: Author) -> bool:
    """Whether *op* was written through the window that asks."""
    return op.view == author.view if author.view else not op.view and op.agent == author.agent


def _renames(deed: Deed) -> Iterator[tuple[bytes, bytes]]:
    if deed.old_path is None or deed.old_path == deed.path:
        return
    yield deed.old_path, deed.path
    if deed.kind == "exchange":
        yield deed.path, deed.old_path
