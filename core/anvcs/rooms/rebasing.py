"""When the base moves: somebody committed, or the view reset its branch."""

from collections.abc import Container, Iterable
from dataclasses import replace

from anvcs.model.ids import Oid, Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import EXECUTABLE, GITLINK, REGULAR, SYMLINK, Leaf, TreeChange
from anvcs.rooms.basetree import hash_of
from anvcs.rooms.claiming import free_name
from anvcs.rooms.core import Core, is_dir
from anvcs.rooms.draft import Draft
from anvcs.rooms.records import BYTES_CHANGED, DROPPED
from anvcs.rooms.renaming import renamed_files
from anvcs.rooms.saving import Saver
from anvcs.rooms.tree import ancestors
from anvcs.rooms.versions import content_at

_BLOBS = (REGULAR, EXECUTABLE)
_LOOKED_AT = 1000
"""So many of a file's latest ops are searched for the content that was committed."""


class Rebaser:
    """Recomputes what counts as changed, in a draft."""

    def __init__(self, core: Core, saver: Saver) -> None:
        self._core = core
        self._saver = saver
        self._freed: list[bytes] = []
        """Where files are now whose own base path the base lost."""

    def move(self, draft: Draft, new: Oid | None, *, keep: bool, follow: Container[bytes] = ()) -> None:
        """Stand on *new*; with *keep*, what is shown stays but for the paths in *follow*, else it follows."""
        core = self._core
        old = core.base.commit
        if new == old:
            return
        # Deletions first: a committed rename frees its file before its new name is looked at.
        changes = sorted(core.base.tree.diff(old, new), key=lambda change: change.new is not None)
        draft.kind, draft.rebased, draft.base = "base", True, new
        core.base.move(new)
        core.state.forget_overlays()
        self._freed.clear()
        renamed = {} if keep else renamed_files(core, changes)
        arrived = {change.path for change in renamed.values()}
        for change in changes:
            draft.shown[change.path] = None
            if change.path in arrived:
                continue
            if change.path in renamed:
                self._carry(draft, change, renamed[change.path])
                continue
            step = self._keep if keep and change.path not in follow else self._follow
            step(draft, change, old)
        while self._freed:  # settling one can free another
            path = self._freed.pop()
            live, leaf = core.state.by_path.get(path), core.base.leaf(path)
            if live is not None and leaf is not None:
                self._settle(draft, live, leaf)
        self._drop_needless_directories(draft)

    def restore(self, draft: Draft, paths: Iterable[bytes]) -> None:
        """Give *paths* back what the base has there."""
        draft.kind = "restore"
        state = self._core.state
        for path in paths:
            entry = state.by_path.get(path)
            if entry is not None:
                draft.drop(entry.id, entry.base_path or path)
                self._uncovered(draft, entry.base_path)
            hidden = state.by_base.get(path)
            if hidden is not None and hidden.path is None:
                draft.drop(hidden.id, path)
            elif hidden is not None:
                draft.change(hidden, base_path=None)

    # --- keep: the same bytes at the same paths

    def _keep(self, draft: Draft, change: TreeChange, old: Oid | None) -> None:
        core, path = self._core, change.path
        cover, live = core.state.by_base.get(path), core.state.by_path.get(path)
        if cover is None and live is None and all(leaf is None or leaf.mode == GITLINK for leaf in change[1:]):
            return  # a submodule's pin is Git's alone; its work tree isn't the room's
        if change.new is None:
            if cover is not None:
                self._base_lost(draft, cover)
            elif live is None and change.old is not None:
                entry = core.base_entry(path, change.old, old)
                draft.change(entry, base_path=None)
        elif live is not None:
            self._settle(draft, live, change.new)
        elif cover is None and change.old is not None:
            draft.change(core.base_entry(path, change.old, old))
        elif cover is None:
            self._hide(draft, path)

    def _base_lost(self, draft: Draft, cover: Entry) -> None:
        """The base has no longer what *cover* covers."""
        path = cover.base_path
        if cover.path is None:
            draft.drop(cover.id, path)
            return
        draft.change(cover, base_path=None)
        self._freed.append(cover.path)

    def _settle(self, draft: Draft, live: Entry, new: Leaf) -> bool:
        """*live* is where the base now has *new*: it is clean, or it covers that."""
        core, path = self._core, live.path
        if path is None:  # live entries have one
            return False
        cover = core.state.by_base.get(path)
        if is_dir(live) or live.mode != new.mode or not core.same_content(live, new):
            if cover is None:
                self._cover(draft, live, path)
            return False
        if cover is not None and cover.id != live.id:
            self._base_lost(draft, cover)
        draft.drop(live.id, path)  # the last one to leave the path: what the base has there is this file
        if live.base_path != path:
            self._uncovered(draft, live.base_path, hide=True)
        return True

    def _cover(self, draft: Draft, live: Entry, path: bytes) -> None:
        if live.base_path is None and not is_dir(live):
            draft.change(live, base_path=path)
        else:
            self._hide(draft, path)

    def _hide(self, draft: Draft, path: bytes) -> None:
        """The base's file at *path* is not shown."""
        leaf = self._core.base.leaf(path)
        if leaf is not None:
            draft.change(self._core.base_entry(path, leaf), path=None)

    def _uncovered(self, draft: Draft, path: bytes | None, *, hide: bool = False) -> None:
        """Nothing covers *path* of the base any more; it comes back unless it can't or must not."""
        core = self._core
        if path is None or path in core.state.by_base or core.base.leaf(path) is None:
            return
        live, node = core.state.by_path.get(path), core.state.node(path)
        if live is not None:
            self._cover(draft, live, path)
        elif hide or (node is not None and node.live):
            self._hide(draft, path)

    # --- follow: what the room hasn't touched becomes what was committed

    def _follow(self, draft: Draft, change: TreeChange, _: Oid | None) -> None:
        core, path = self._core, change.path
        cover, live = core.state.by_base.get(path), core.state.by_path.get(path)
        if cover is None and live is None and all(leaf is None or leaf.mode == GITLINK for leaf in change[1:]):
            return  # a submodule's pin is Git's alone; its work tree isn't the room's
        if change.new is None:
            if cover is not None:
                self._base_lost(draft, cover)
            return
        if change.old is None:
            self._make_way(draft, path)
            live = core.state.by_path.get(path)
        if live is not None and self._settle(draft, live, change.new):
            return
        if cover is not None and cover.path is not None and change.old is not None:
            if self._once_was(cover, change.new):
                return  # it was committed from here, and somebody has gone on with it since
            self._merge(draft, cover, change.old, change.new)

    def _carry(self, draft: Draft, gone: TreeChange, come: TreeChange) -> None:
        """The file at *gone* is the base's file *come* now, with what the room has changed in it."""
        if gone.old is None or come.new is None:  # one was there, the other is
            return
        self._make_way(draft, come.path)
        cover = self._core.state.by_base[gone.path]
        draft.trace(gone.path, cover.id)
        entry = draft.change(cover, path=come.path, base_path=come.path)
        self._merge(draft, entry, gone.old, come.new)

    def _merge(self, draft: Draft, entry: Entry, old: Leaf, new: Leaf) -> None:
        """*entry* and the base both changed the file that was *old*: keep both."""
        core = self._core
        mode = new.mode if entry.mode == old.mode else entry.mode
        if core.same_content(entry, old):
            content = Content.NONE if new.mode == GITLINK else Content.GIT
            size = core.base.size(new, entry.base_path or b"")
            merged = replace(entry, content=content, ref=new.oid, size=size, content_seq=draft.seq)
            mode = new.mode if new.mode in (GITLINK, SYMLINK) else mode
        else:
            merged = self._merged_text(draft, entry, old, new) or entry
        if merged is not entry or mode != entry.mode:
            self._saver.finish(draft, replace(merged, mode=mode, seq=draft.seq))

    def _once_was(self, entry: Entry, leaf: Leaf) -> bool:
        """Whether *entry*, since it was last as in the base, had the content of *leaf*."""
        core, path = self._core, entry.base_path or b""
        if leaf.mode not in _BLOBS or leaf.mode != entry.mode:
            return False
        size = core.base.size(leaf, path)
        touches = core.log.touches(entry.id)
        for seq, flags in reversed(touches[-_LOOKED_AT:]):
            if flags & DROPPED:
                return False
            if not flags & BYTES_CHANGED:
                continue
            put = next((put for put in core.log.op(seq).payload.puts if put.id == entry.id), None)
            if put is None or put.size != size:
                continue
            value = put.ref if put.content is Content.OPAQUE else _hash_at(core, entry, seq)
            if core.base.shows(leaf, path, value):
                return True
        return False

    def _merged_text(self, draft: Draft, entry: Entry, old: Leaf, new: Leaf) -> Entry | None:
        """Both changes in one text, or ``None`` where the room's stays and Git keeps the other."""
        if old.oid == new.oid or entry.content is not Content.TEXT or entry.base_path is None:
            return None
        if old.mode not in _BLOBS or new.mode not in _BLOBS:
            return None
        show, path = self._core.base.tree.show, entry.base_path
        draft.file = entry.id
        return self._saver.merge(draft, entry, show(old.oid, path), show(new.oid, path))

    def _make_way(self, draft: Draft, path: bytes) -> None:
        """The base has a new file at *path*: a file above it or a directory there steps aside."""
        core, agent = self._core, self._core.settings.author.agent
        state = core.state
        for above in ancestors(path):
            entry = state.by_path.get(above)
            if entry is not None and not is_dir(entry):
                draft.change(entry, path=free_name(core, above, agent))
        entry, node = state.by_path.get(path), state.node(path)
        if node is not None and node.live:
            leaf = self._core.base.leaf(path)
            if leaf is not None and path not in state.by_base:
                aside = self._core.base_entry(path, leaf)
                draft.change(aside, path=free_name(core, path, agent))
        elif entry is not None and is_dir(entry):
            draft.drop(entry.id, None)

    def _drop_needless_directories(self, draft: Draft) -> None:
        """A directory that the base shows by itself needn't be explicit."""
        core = self._core
        for entry in list(core.state.by_path.values()):
            if is_dir(entry) and entry.path is not None and core.base_shows_below(entry.path):
                draft.drop(entry.id, None)


def _hash_at(core: Core, entry: Entry, seq: Seq) -> bytes:
    return hash_of(content_at(core, entry.id, seq, entry.base_path).data)
