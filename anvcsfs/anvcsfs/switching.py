"""The view shows another room: another stream's, or its own while HEAD is on a commit.

Nothing moves between streams: each room keeps its uncommitted work.  A view whose HEAD is on
a commit stands on a room that only it has, ``~VIEW``; when it returns to a branch, what was
changed there and not committed comes along as one op.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from anvcs.git.objects import ObjectStore
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, SYMLINK, Leaf
from anvcs.model.unit import Step
from anvcs.presence import folder_of
from anvcs.rooms.forking import remove_room
from anvcs.rooms.room import Room
from anvcsfs.carrying import carry
from anvcsfs.farewell import Farewells
from anvcsfs.view import View

log = logging.getLogger(__name__)


class Switcher:
    """Opens the room that HEAD names, and closes the one before."""

    def __init__(
        self,
        view: View,
        farewells: Farewells,
        open_room: Callable[[str, Oid | None, bool], Room],
        room_file: Callable[[str], Path],
    ) -> None:
        self._view = view
        self._farewells = farewells
        self._open_room = open_room
        self._own = f"~{view.folder.name}"
        self._own_file = room_file(self._own)

    def switch(self, stream: str, target: Oid | None, *, detached: bool, gone: Iterable[bytes] = ()) -> set[bytes]:
        """Let the view stand on the room of *stream*, or on its own one; the paths that may look different.

        A branch without a commit starts from what is here but for *gone*, which Git has removed.
        """
        view = self._view
        old, was_own = view.room, view.detached
        if detached and not was_own:
            self.forget_own()  # left by a process that died on its way back
        new = self._open_room(self._own if detached else stream, target, detached)
        try:
            if target is not None and new.base != target:
                new.move_base(target, keep=False)
            if target is None and not detached:
                carry(view.git, old, new)
                for path in gone:
                    if new.entry(path) is not None:
                        new.remove(path, keep_parent=False)
                paths = _differing(view.git, old, new)
            else:
                if was_own and not detached:
                    new.take(list(_brought(view.git, old)))
                paths = _differing(view.git, old, new)
            leave = self._farewells.prepare()
        except BaseException:
            new.close()
            raise
        view.room, view.stream, view.detached = new, stream, detached
        leave()
        view.entered(new)
        old.close()
        if was_own and not detached:
            self.forget_own()
        view.cache.clear()
        what = f"the commit {target.hex()}" if detached and target else f"the stream {stream}"
        log.info("the view now shows %s", what)
        return paths

    def bring_back(self) -> None:
        """Finish a return to a branch that another process began and didn't end."""
        if self._own_file.exists() and not self._view.detached:
            with self._open_room(self._own, None, True) as own:
                self._view.room.take(list(_brought(self._view.git, own)))
            self.forget_own()

    def forget_own(self) -> None:
        """Delete the room of a detached HEAD."""
        remove_room(self._own_file)
        with contextlib.suppress(OSError):  # not there, or not empty: a socket of a dead process harms nobody
            folder_of(self._own_file).rmdir()


def _differing(git: ObjectStore, old: Room, new: Room) -> set[bytes]:
    """Every path at which two rooms may show something else."""
    before, after = (None if room.base is None else git.tree_of(room.base) for room in (old, new))
    paths = {change.path for change in git.diff(before, after)}
    for room in (old, new):
        paths.update(path for entry in room.changed() for path in (entry.path, entry.base_path) if path is not None)
    return paths


def _brought(git: ObjectStore, own: Room) -> Iterator[Step]:
    """What was changed in the room of a detached HEAD and is not committed."""
    tree = None if own.base is None else git.tree_of(own.base)
    paths = dict.fromkeys(path for entry in own.changed() for path in (entry.path, entry.base_path) if path is not None)
    for path in paths:
        entry = own.entry(path)
        if entry is not None and entry.mode == DIRECTORY:
            continue
        leaf = None if tree is None else _leaf(git, tree, path)
        yield Step(
            path=path,
            entry=entry,
            leaf=leaf if entry is None and not own.hides(path) else None,
            data=bytes if entry is None else partial(own.read, entry),
            seen=None if leaf is None or leaf.mode == SYMLINK else partial(git.blob, leaf.oid),
        )


def _leaf(git: ObjectStore, tree: Oid, path: bytes) -> Leaf | None:
    found = git.find(tree, path)
    return None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)
