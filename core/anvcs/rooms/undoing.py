"""Undo: reverse one agent's uncommitted ops and leave everybody else's.

Per file and per property (where it is, its mode, its content) the ops since the file was
last as in the base are read in order; the property gets the value that it would have had
without the undone ones, unless somebody else has changed it after them.  Texts are
unwoven.  The result is one op like any other, which can itself be undone.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from anvcs.model.conflict import Side
from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import GITLINK, Leaf
from anvcs.model.undone import Undone, UndonePath
from anvcs.rooms.claiming import free_name
from anvcs.rooms.core import Change, Core, is_dir, to_crlf
from anvcs.rooms.draft import Draft
from anvcs.rooms.errors import PathInUse
from anvcs.rooms.histories import History, file_history, taken_back
from anvcs.rooms.moving import Mover
from anvcs.rooms.oplog import START, Op
from anvcs.rooms.saving import Attributes, Saver
from anvcs.rooms.unweaving import Unwoven, unwoven
from anvcs.rooms.versions import as_text, content_at, split_line_ends
from anvcs.rooms.weaving import NotText, Weaver

NEVER_UNDONE = ("base", "restore", "repair", "lost", "epoch", "prune", "resolve")
"""Kinds of ops that say nothing an agent did to a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which ops to reverse."""

    agent: str
    since: Seq = START
    """Only ops after this one."""
    since_ns: int = 0
    """Only ops after this time."""
    ops: Collection[Seq] | None = None
    """Only these; the one way to reverse an undo."""
    takes: Callable[[bytes], bool] = lambda _: True
    """Only ops on files that are, or were before them, at a path that this accepts."""

    def __call__(self, op: Op) -> bool:
        """Whether *op* is one."""
        return (
            op.agent == self.agent
            and op.seq > self.since
            and op.time_ns > self.since_ns
            and (not op.takes_back if self.ops is None else op.seq in self.ops)
            and op.kind not in NEVER_UNDONE
        )


class Fate(NamedTuple):
    """What becomes of one file."""

    history: History
    path: bytes | None
    mode: int
    content: Entry | None
    """An earlier entry whose whole content comes back; ``None``: by `text`, or as it is."""
    leaf: Leaf | None
    """As `content`, where the base's content comes back."""
    text: Unwoven | None
    crlf: bool
    """Whether all line ends of `text` are shown as CRLF."""


class Plan(NamedTuple):
    """What an undo is going to do, as of one op."""

    seq: Seq
    base: Oid | None
    files: dict[FileId, tuple[Fate, frozenset[Seq]]]
    """Each file's fate, and which of its ops go."""


class Undoer:
    """Reverses ops, in a draft."""

    def __init__(self, core: Core, saver: Saver, mover: Mover) -> None:
        self._core = core
        self._saver = saver
        self._mover = mover

    def plan(self, wanted: Wanted) -> Plan:
        """What reversing *wanted* would mean for each file now; takes no lock."""
        return self._extended(Plan(self._core.seq, self._core.base.commit, {}), wanted, wanted.since)

    def undo(self, draft: Draft, wanted: Wanted, plan: Plan | None = None) -> Undone:
        """Reverse what *wanted* says; what *plan* knows already is only brought up to date."""
        core = self._core
        if plan is None or plan.base != core.base.commit:
            plan = self.plan(wanted)
        elif plan.seq != core.seq:
            later = core.log.files_after(plan.seq)
            same = {file: planned for file, planned in plan.files.items() if file not in later}
            again = [file for file in plan.files if file in later]
            plan = self._extended(Plan(core.seq, plan.base, same), wanted, plan.seq, again)
        fates = [fate for fate, _ in plan.files.values() if _changes(fate)]
        found = self._apply(draft, fates, wanted.agent)
        told = [one for _, one in found]
        # What stays in part counts as done.
        gone = [file for file, one in found if one.what and not one.kept]
        draft.undone += [(file, seq) for file in gone for seq in sorted(plan.files[file][1])]
        draft.kind, draft.file, draft.old_path = "undo", b"", None
        draft.path = told[0].path if len(told) == 1 else b""
        ops = {seq for _, undone in plan.files.values() for seq in undone}
        paths = tuple(sorted((one for one in told if one.what or one.kept), key=lambda one: one.path))
        return Undone(agent=wanted.agent, seq=draft.seq, ops=tuple(sorted(ops)), paths=paths)

    def _extended(self, plan: Plan, wanted: Wanted, since: Seq, more: Iterable[FileId] = ()) -> Plan:
        """*plan* with *more* files and those that the agent touched after op *since*."""
        files = dict(plan.files)
        for file in dict.fromkeys([*more, *self._core.log.files_of(wanted.agent, since)]):
            planned = self._planned(file, wanted)
            if planned is not None:
                files[file] = planned
        return plan._replace(files=files)

    def _planned(self, file: FileId, wanted: Wanted) -> tuple[Fate, frozenset[Seq]] | None:
        if not any(wanted.takes(path) for path in self._places(file)):
            return None
        history = file_history(self._core, file, wanted)
        if history is None:
            return None
        undone = frozenset(op.seq for op in history.ops if wanted(op))
        if wanted.ops is None:
            undone -= taken_back(history.ops, file)
        return (self._fate(history, undone), undone) if undone else None

    def _places(self, file: FileId) -> set[bytes]:
        """Where *file* is and was, as far as is cheap to know."""
        entry, log = self._core.state.by_id.get(file), self._core.log
        known = () if entry is None else (entry.path, entry.base_path)
        return {path for path in (*known, *log.left_paths(file)) if path is not None}

    # --- what becomes of a file

    def _fate(self, history: History, undone: Collection[Seq]) -> Fate:
        path = history.without(undone, "path")
        mode = history.without(undone, "mode")
        kept_edits = any(op.seq not in undone and history.edits(op) for op in history.ops)
        if path is None and history.first.path is None and kept_edits:
            path = history.now.path  # its creator goes, what others wrote in it stays
        text = content = leaf = None
        crlf = history.crlf
        if path is not None and any(history.edits(op) for op in history.ops if op.seq in undone):
            text = self._text(history, undone)
            if text is None:
                content, leaf = history.content_without(undone)
            else:
                crlf = history.crlf_without(undone, self._line_ends)
        return Fate(history, path, mode, content, leaf, text, crlf)

    def _line_ends(self, entry: Entry) -> bool | None:
        """Whether *entry*, a text, has CRLF throughout; ``None`` when it has no line end to tell."""
        if entry.content is Content.TEXT:
            return bool(entry.ref) if entry.size else None
        return split_line_ends(self._core.read(entry)).crlf if entry.content is Content.GIT else None

    def _text(self, history: History, undone: Collection[Seq]) -> Unwoven | None:
        """The text without those ops; ``None`` when it isn't one, or was not always."""
        core, now = self._core, history.now
        if now.content not in (Content.TEXT, Content.GIT) or now.mode == GITLINK:
            return None
        try:
            born = history.first.path is None and now.base_path is None
            weaver = Weaver(core, now.id, history.start, now.base_path, empty=born)
            weave = weaver.take_all(core.seq)
        except NotText:
            return None
        base = self._base_text(history) if history.rebased else None
        return unwoven(weave, undone, base, core.settings.hunks)

    def _base_text(self, history: History) -> bytes | None:
        leaf = None if history.now.base_path is None else self._core.base.leaf(history.now.base_path)
        if leaf is None or leaf.mode == GITLINK:
            return None
        data = self._core.base.tree.show(leaf.oid, history.now.base_path or b"")
        limit = self._core.settings.text_limit
        return None if as_text(data, limit) is None else split_line_ends(data).text

    # --- doing it

    def _apply(self, draft: Draft, fates: Sequence[Fate], agent: str) -> list[tuple[FileId, UndonePath]]:
        files = [fate for fate in fates if not is_dir(fate.history.now)]
        directories = [fate for fate in fates if is_dir(fate.history.now)]
        moving = [fate for fate in files if fate.path != fate.history.now.path]
        for fate in moving:  # all leave before any takes a name that another had
            draft.put(replace(fate.history.now, path=None, seq=draft.seq, content_seq=_seq_of(draft, fate)))
        placed = {fate.history.now.id: self._place(draft, fate, agent) for fate in moving}
        told = [(fate.history.now.id, self._finish(draft, fate, placed, agent)) for fate in files]
        for fate in directories:
            one = self._directory(draft, fate)
            if one is not None:
                told.append((fate.history.now.id, one))
        return told

    def _place(self, draft: Draft, fate: Fate, agent: str) -> bytes | None:
        """Put a file where it belongs now; the path that it got."""
        core, entry = self._core, draft.state.by_id[fate.history.now.id]
        if fate.path is None:
            if entry.base_path is None:
                draft.drop(entry.id, fate.history.now.path)
            return None
        path = fate.path
        if self._is_taken(path):
            path = free_name(core, path, agent)
        self._saver.finish(draft, replace(entry, path=path, seq=draft.seq))
        return path

    def _is_taken(self, path: bytes) -> bool:
        core = self._core
        if path in core.state.by_path or core.visible_leaf(path) is not None:
            return True
        try:
            self._saver.require_free(path)
        except PathInUse:
            return True
        return False

    def _finish(self, draft: Draft, fate: Fate, placed: dict[FileId, bytes | None], agent: str) -> UndonePath:
        now = fate.history.now
        path = placed.get(now.id, now.path)
        what: list[str] = []
        if path is None:
            return UndonePath(path=now.path or now.base_path or b"", what=("removed",))
        if now.path is None:
            what.append("restored")
        elif path != now.path:
            what.append("renamed")
        kept: tuple[tuple[int, int], ...] = ()
        if fate.text is not None:
            if self._write_text(draft, path, fate.text, crlf=fate.crlf):
                what.append("text")
                self._record_kept(draft, path, now.id, fate.text, agent)
            kept = fate.text.kept
        elif fate.content is not None or fate.leaf is not None:
            self._write_whole(draft, path, fate)
            what.append("content")
        if fate.mode != now.mode and fate.leaf is None:
            self._mover.set_mode(draft, path, fate.mode)
            what.append("mode")
        old = now.path if now.path != path else None
        return UndonePath(path=path, what=tuple(what), old_path=old, kept=kept)

    def _write_text(self, draft: Draft, path: bytes, text: Unwoven, *, crlf: bool) -> bool:
        shown = self._mover.shown(path)
        data = to_crlf(text.text) if crlf else text.text
        if shown is not None and self._core.read(shown) == data:
            return False
        self._saver.save(draft, path, data, base=None, attributes=Attributes())
        return True

    def _write_whole(self, draft: Draft, path: bytes, fate: Fate) -> None:
        core, was = self._core, fate.content
        if was is None:
            if fate.leaf is not None:
                size = core.base.size(fate.leaf, fate.history.now.base_path or path)
                self._saver.put_leaf(draft, path, fate.leaf, size, 0)
        elif was.content is Content.TEXT:
            data = content_at(core, was.id, was.content_seq, was.base_path).data
            self._saver.save(draft, path, data, base=None, attributes=Attributes(was.mode))
        else:
            value = (was.content, was.ref, was.size)
            self._saver.put_whole(draft, path, value, Attributes(was.mode))

    def _record_kept(self, draft: Draft, path: bytes, file: FileId, text: Unwoven, agent: str) -> None:
        for first, last in text.kept:
            note = f"undo of {agent} left these lines: others have written there since"
            draft.conflict("lines", file, path, [Side(agent=agent)], note, lines=(first, last))

    def _directory(self, draft: Draft, fate: Fate) -> UndonePath | None:
        core, now = self._core, fate.history.now
        if fate.path is None and now.path is not None:
            entry = core.state.by_path.get(now.path)
            if entry is None or entry.id != now.id:
                return None
            draft.drop(now.id, None)
            return None if core.shows_below(now.path) else UndonePath(path=now.path, what=("removed",))
        if now.path is None and fate.path is not None and not self._is_taken(fate.path):
            draft.put(replace(now, path=fate.path, seq=draft.seq))
            return UndonePath(path=fate.path, what=("restored",))
        return None


class _OnlyAskedError(Exception):
    """Nothing is to be recorded."""


def undo(change: Change, undoer: Undoer, wanted: Wanted, *, dry_run: bool) -> Undone:
    """Run an undo in *change*, or with *dry_run* only find out what it would do."""
    told: Undone | None = None
    plan = undoer.plan(wanted)  # reading takes longest: nobody waits for it
    try:
        with change as draft:
            told = undoer.undo(draft, wanted, plan)
            if dry_run:
                raise _OnlyAskedError
    except _OnlyAskedError:
        change.moved = replace(change.moved, paths=())
    if told is None:  # the block above always tells or raises
        raise AssertionError
    recorded = not dry_run and bool(told.paths) and change.moved.seq == told.seq
    return replace(told, seq=told.seq if recorded else None, shown=change.moved.paths)


def _seq_of(draft: Draft, fate: Fate) -> Seq:
    # A file that had left the room: only a new version says that it is back.
    return draft.seq if fate.history.was_dropped else fate.history.now.content_seq


def _changes(fate: Fate) -> bool:
    now = fate.history.now
    same = fate.path == now.path and fate.mode == now.mode
    return not same or fate.text is not None or fate.content is not None or fate.leaf is not None
