"""The local halves of shared directories: their shadows on the real disk follow the room's halves."""

import logging
import os
import time

from anvcs.model.tree import DIRECTORY
from anvcsfs.attributes import split
from anvcsfs.view import View

log = logging.getLogger(__name__)


def complete_move(view: View, source: bytes, dest: bytes) -> None:
    """A directory's move was begun and we died: its local half belongs where the room's is."""
    if not shows_directory(view, source):
        move_shadow(view, source, dest)
    elif view.is_on_disk(dest) and not view.is_on_disk(source):
        move_shadow(view, dest, source)


def shows_directory(view: View, path: bytes) -> bool:
    """Whether the room shows a directory at *path*."""
    entry = view.room.entry(path)
    if entry is not None:
        return entry.mode == DIRECTORY
    above, name = split(path)
    overlay = view.room.overlay(above)
    if overlay is not None and (name in overlay.dirs or name in overlay.hidden):
        return name in overlay.dirs
    base = view.base_tree()
    found = None if base is None else view.git.find(base, path)
    return found is not None and found.mode == DIRECTORY


def move_shadow(view: View, source: bytes, dest: bytes) -> None:
    """Move the local half of a directory, onto an empty shadow if there is one."""
    if view.is_on_disk(source):
        os.rename(view.real(source), view.ensure_real_parent(dest))


def carry_shadow(view: View, source: bytes, dest: bytes) -> None:
    """The room's half of a directory has gone from *source* to *dest*: what is local in it goes along.

    What can't go, because something local is there already, stays where it is.
    """
    moving = view.pending.inside(source)
    due = time.monotonic() + view.limits.publish_s
    try:
        real = view.ensure_real_parent(dest)
        for path in moving:
            view.pending.add(dest + path[len(source) :], due=due)
        os.rename(view.real(source), real)
    except OSError as error:
        for path in moving:
            view.pending.remove(dest + path[len(source) :])
        log.warning("what is local in %r stays there, although %r is its name now: %s", source, dest, error)
        return
    for path in moving:
        view.pending.remove(path)
