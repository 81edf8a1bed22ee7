"""The local halves of shared directories: their shadows on the real disk follow the room's halves."""

import logging
import os
import stat
import time

from anvcs.model.ids import Seq
from anvcs.model.tree import DIRECTORY
from anvcsfs.attributes import PlannedExchange, join, split
from anvcsfs.disk import exchange_on_disk
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


def mark_shadows(view: View, top: bytes) -> None:
    """What was a local directory stands for a shared one from now on, and so do those in it that are shared."""
    for directory, names, _ in os.walk(view.real(top)):
        path = top + directory[len(view.real(top)) :]
        os.chmod(directory, os.stat(directory).st_mode & 0o7777 | stat.S_ISVTX)
        names[:] = [name for name in names if not view.skeleton.ignored(join(path, name), True)]


def move_shadow(view: View, source: bytes, dest: bytes) -> None:
    """Move the local half of a directory, onto an empty shadow if there is one."""
    if view.is_on_disk(source):
        os.rename(view.real(source), view.ensure_real_parent(dest))


def inode_on_disk(view: View, path: bytes) -> int:
    """The number of what the real disk has at *path*; 0 when it has nothing."""
    try:
        return os.lstat(view.real(path)).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return 0


def exchange_shadows(view: View, first: bytes, second: bytes) -> None:
    """The local halves of two directories change places."""
    one, two = view.is_on_disk(first), view.is_on_disk(second)
    if one and two:
        exchange_on_disk(view.real(first), view.real(second))
    elif one:
        os.rename(view.real(first), view.ensure_real_parent(second))
    elif two:
        os.rename(view.real(second), view.ensure_real_parent(first))


def complete_exchange(view: View, plan: PlannedExchange) -> None:
    """An exchange was begun and failed, or we died: the local halves belong where the room's are."""
    done = any(
        op.kind == "exchange" and (op.old_path, op.path) == plan[:2] and op.view == view.author.view
        for op in view.room.ops(Seq(plan.seq))
    )
    as_before = (inode_on_disk(view, plan.first), inode_on_disk(view, plan.second)) == plan[3:]
    if done == as_before:
        exchange_shadows(view, plan.first, plan.second)
    view.attributes.end_exchange(plan, done=done)


def complete_moves(view: View) -> None:
    """Bring to an end what a process of this view began and did not live to complete."""
    for old, new in view.attributes.planned_moves():
        complete_move(view, old, new)
    view.attributes.forget_moves()
    for plan in view.attributes.planned_exchanges():
        complete_exchange(view, plan)


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
