"""What a whole command did becomes one op of the room: peers see all of it or nothing."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from anvcs.model.ids import Oid, Seq
from anvcs.model.room import Author, Content
from anvcs.model.tree import DIRECTORY, GITLINK, SYMLINK, Leaf
from anvcs.model.unit import Step, Touch
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.draft import Draft
from anvcs.rooms.errors import NoSuchPath, PathInUse
from anvcs.rooms.moving import Mover
from anvcs.rooms.oplog import START, Op
from anvcs.rooms.rebasing import Rebaser
from anvcs.rooms.saving import Attributes, Saver
from anvcs.rooms.telling import contributors
from anvcs.rooms.undoing import Undoer, Wanted

KIND = "git"
"""The kind of such an op: so far only Git's commands are taken as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own(Wanted):
    """The ops of one agent, or where nobody named one, of one view."""

    view: str

    def __call__(self, op: Op) -> bool:
        return Wanted.__call__(self, op) and (op.agent != "" or op.view == self.view)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Others(Wanted):
    """The ops of one other agent; where nobody named one, those of all other views."""

    view: str

    def __call__(self, op: Op) -> bool:
        return Wanted.__call__(self, op) and (op.agent != "" or op.view != self.view)


def touched(core: Core, after: Seq) -> Iterator[Touch]:
    """The ops after *after*, and the paths that they were about."""
    for op in core.log.ops(after):
        payload = op.payload
        paths = dict.fromkeys(path for path in (payload.path, payload.old_path) if path)
        for entry in payload.puts:
            paths.update(dict.fromkeys(path for path in (entry.path, entry.base_path) if path is not None))
        paths.update(dict.fromkeys(drop.path for drop in payload.drops if drop.path is not None))
        paths.update(dict.fromkeys(path for path, _ in payload.traces))
        yield Touch(op.seq, op.kind, op.view, tuple(paths))


class Units:
    """Applies steps in a draft."""

    def __init__(self, core: Core, saver: Saver, mover: Mover, rebaser: Rebaser, undoer: Undoer) -> None:
        self._core = core
        self._saver = saver
        self._mover = mover
        self._rebaser = rebaser
        self._undoer = undoer

    def take(self, draft: Draft, steps: Iterable[Step], base: Oid | None, author: Author) -> None:
        """Let each path show what its step says, merged with what others did since, and stand on *base*."""
        core = self._core
        base = base or core.base.commit
        moves = base != core.base.commit
        # What goes makes room for what comes: a file for a directory, and the reverse.
        ordered = sorted(steps, key=lambda step: (step.mode != 0, step.path))
        self._discard(draft, {step.path for step in ordered if step.discards}, author)
        follow: set[bytes] = set()
        for step in ordered:
            as_base = step.discards and self._like(step, core.base.leaf(step.path))
            # What was done in another room brings nothing where it shows what is here anyway.
            settled = moves or step.discards or step.base is None
            if as_base or (settled and self._like(step, self._leaf(base, step.path))):
                follow.add(step.path)
            else:
                self._apply(draft, step)
        if moves:
            self._rebaser.move(draft, base, keep=True, follow=follow)
        _name(draft)

    def discard(self, draft: Draft, paths: Iterable[bytes], author: Author) -> None:
        """Take back what *author* did to *paths*."""
        self._discard(draft, set(paths), author)
        _name(draft)

    def others(self, author: Author) -> list[Wanted]:
        """What everybody but *author* did and did not commit, agent by agent."""
        agents = {one.agent for one in contributors(self._core, START)} - {author.agent or None}
        return [_Others(agent=agent, view=author.view) for agent in sorted(agents)]

    # --- inside

    def _discard(self, draft: Draft, paths: set[bytes], author: Author) -> None:
        if paths:
            self._undoer.undo(draft, _Own(agent=author.agent, view=author.view, takes=paths.__contains__))

    def _leaf(self, commit: Oid | None, path: bytes) -> Leaf | None:
        found = None if commit is None else self._core.base.tree.find(commit, path)
        return None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)

    def _like(self, step: Step, leaf: Leaf | None) -> bool:
        """Whether *step* shows what *leaf* would."""
        if leaf is None or step.mode != leaf.mode:
            return leaf is None and not step.mode
        if step.leaf is not None:
            return step.leaf == leaf
        entry = step.entry
        if entry is None or leaf.mode == GITLINK:
            return entry is not None and entry.ref == leaf.oid
        if entry.content is Content.GIT and entry.ref == leaf.oid:
            return True
        tree = self._core.base.tree
        if entry.content is Content.INLINE:
            return entry.ref == tree.show(leaf.oid, step.path)
        if tree.is_whole(step.path, entry.size, leaf.oid):
            return entry.content is Content.OPAQUE and entry.ref == tree.shown_hash(leaf.oid, step.path)
        return tree.shown_size(leaf.oid, step.path) == entry.size and tree.show(leaf.oid, step.path) == step.data()

    def _apply(self, draft: Draft, step: Step) -> None:
        if not step.mode:
            self._remove(draft, step)
        elif step.mode == DIRECTORY:
            if not self._core.is_shown_directory(step.path) and self._mover.shown(step.path) is None:
                self._mover.mkdir(draft, step.path, step.entry.mtime_ns if step.entry else 0)
        else:
            self._make_way(draft, step.path)
            self._put(draft, step)

    def _remove(self, draft: Draft, step: Step) -> None:
        entry = self._mover.shown(step.path)
        if entry is None:
            return
        if is_dir(entry):
            if not any(self._core.state.below(step.path)):
                draft.drop(entry.id, None)
            return
        if step.base is not None and self._core.state.by_path.get(step.path) is not None and entry.seq > step.base:
            return  # somebody went on with it meanwhile: a deletion yields to an edit
        if entry.base_path is None:
            draft.drop(entry.id, entry.path)
        else:
            draft.change(entry, path=None)

    def _make_way(self, draft: Draft, path: bytes) -> None:
        """An empty directory yields to a file."""
        entry = self._core.state.by_path.get(path)
        if is_dir(entry) and entry is not None and not any(self._core.state.below(path)):
            draft.drop(entry.id, None)

    def _put(self, draft: Draft, step: Step) -> None:
        entry, path = step.entry, step.path
        if entry is None:
            leaf = step.leaf
            if leaf is None:
                raise NoSuchPath(path)
            self._saver.put_leaf(draft, path, leaf, self._core.base.tree.shown_size(leaf.oid, path), 0)
        elif entry.mode == SYMLINK and entry.content is Content.INLINE:
            shown = self._mover.shown(path)
            if shown is not None and shown.mode != SYMLINK:
                self._remove(draft, Step(path=path))
            self._saver.put_link(draft, path, entry.ref, entry.mtime_ns)
        elif entry.content is Content.TEXT or self._is_text_of_git(step):
            self._save(draft, step)
        else:
            value = (entry.content, entry.ref, entry.size)
            self._saver.put_whole(draft, path, value, Attributes(entry.mode, entry.mtime_ns))

    def _is_text_of_git(self, step: Step) -> bool:
        """What the command wrote is a blob's text, which others may have edited meanwhile."""
        entry, limit = step.entry, self._core.settings.text_limit
        return (
            entry is not None
            and entry.content is Content.GIT
            and entry.mode != SYMLINK
            and entry.size <= limit
            and not self._core.base.tree.is_whole(step.path, entry.size, Oid(entry.ref))
            and self._saver.takes_as_text(step.data())
        )

    def _save(self, draft: Draft, step: Step) -> None:
        """A text: merged with what others wrote since the command saw it."""
        entry, path, data = step.entry, step.path, step.data()
        attributes = Attributes(step.mode, None if entry is None else entry.mtime_ns)
        live = self._core.state.by_path.get(path)
        if is_dir(live):
            raise PathInUse(path)
        # What a command discarded was the author's own, which is gone already; others' stays, over what HEAD has.
        seen = self._committed(path) if step.discards else step.seen and step.seen()
        if seen is not None and live is not None and live.content is Content.TEXT:
            shown = self._core.read(live)
            merged = self._saver.merge(draft, live, seen, data)
            if merged is not None:
                if self._core.read(merged) != shown:
                    merged = replace(merged, mtime_ns=attributes.mtime_ns or time.time_ns())
                self._saver.finish(draft, replace(merged, mode=step.mode))
                return
        base = None if step.discards or step.seen is not None else step.base
        self._saver.save(draft, path, data, base=base, attributes=attributes)

    def _committed(self, path: bytes) -> bytes | None:
        """What the base has at *path*."""
        leaf = self._core.base.leaf(path)
        return None if leaf is None or leaf.mode == GITLINK else self._core.base.tree.show(leaf.oid, path)


def _name(draft: Draft) -> None:
    draft.kind, draft.file, draft.path, draft.old_path = KIND, b"", b"", None
