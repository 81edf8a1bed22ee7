"""Following Git: commits made by others, branch switches, and the index of the view.

The view's HEAD says which stream it shows.  When that stream's ref moves, the room's
base moves with it: if Git in this very view moved it (its HEAD's log says so), the
work tree is already what Git wants and stays; otherwise unchanged files follow.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from anvcs.committing import CommitResult, Committer
from anvcs.errors import AnvcsError
from anvcs.git import admin, indexing
from anvcs.git.program import Git
from anvcs.git.trees import EMPTY_TREE
from anvcs.model.ids import Oid
from anvcs.work_in_progress import WorkInProgress
from anvcsfs.gitcommands import builds_on_head
from anvcsfs.gitunits import GitUnits, Unit
from anvcsfs.indexjobs import IndexJobs
from anvcsfs.later import Later
from anvcsfs.movers import Movers
from anvcsfs.publishing import Publisher
from anvcsfs.refreshing import Refresher
from anvcsfs.settling import Settler
from anvcsfs.switching import Switcher
from anvcsfs.view import View

log = logging.getLogger(__name__)
_PAUSE_S = 0.005
_PATIENCE_S = 5.0
"""How long another view may take to bring the room to where it moved the branch."""
_SLICE_S = 0.003
"""How long taking in other processes' ops may hold requests up at a time."""


def stream_of(head: admin.Branch) -> str:
    """The stream that a view whose HEAD is *head* shows."""
    return head.name.removeprefix("refs/heads/")


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


class Follower:
    """Keeps room, base and index in step with Git."""

    def __init__(
        self,
        *,
        view: View,
        refresher: Refresher,
        publisher: Publisher,
        committer: Committer,
        admin_dir: Path,
        units: GitUnits,
        settler: Settler,
        switcher: Switcher,
        stat_job: Callable[[Oid | None], Callable[[], None]],
    ) -> None:
        self._view = view
        self.refresher = refresher
        self._publisher = publisher
        self._committer = committer
        self._admin = self.admin_dir = admin_dir
        self.units = units
        units.moved_on = self.follow
        units.catch_up = self._before_unit
        self._settler = settler
        self._switcher = switcher
        self._stat_job = stat_job
        self.index = IndexJobs()
        self.committing = False
        self._movers = Movers(view.folder, admin_dir)
        self.waiting_since: float | None = None
        """When it was seen that another view moved the branch and has not brought the room along yet."""
        self.switching = False
        """Whether HEAD was moved by us, who then bring the index along."""
        self.save_open_files: Callable[[], None] = lambda: None
        """Saves what is written and not yet closed."""
        self._starting = True
        self.behind: CommitResult | None = None
        """A commit of ours that the room, busy then, has not taken in."""
        self._index_base = view.folder / "index-base"
        self._index_stamp = 0
        self._forced: tuple[int, list[bytes]] | None = None
        self._known = view.room.base
        """The commit that the index is brought to, by jobs that wait perhaps.

        The room's base may be further: a write of ours takes in what others did before it.
        """
        self._wip_seq = view.room.seq
        self._kept: tuple[int, ...] = ()

    # Following refs

    def follow(self) -> None:
        """Compare Git's refs with the room's base, and catch up; not while a commit of ours is under way."""
        if self.committing:
            return
        view = self._view
        if not view.find_store():
            return
        if self.behind is not None:
            self.committed(self.behind)
            self.behind = None
        over = self.units.is_over  # first: a command that moves HEAD between the two looks has not ended
        head = admin.read_head(self._admin)  # once: a rebase leaves its branch, and may be back at the next look
        if self.units.unit is not None and not self._settle(self.units.unit, head, over=over):
            return
        detached = isinstance(head, admin.Detached)
        stream = view.stream if isinstance(head, admin.Detached) else stream_of(head)
        target = head.oid if isinstance(head, admin.Detached) else view.refs.get(f"refs/heads/{stream}")
        self._take_all_in()
        same = (stream, detached) == (view.stream, view.detached)
        if view.room.held and same and (target in (None, view.room.base) or not self._moved_here(target)):
            return  # what others committed is shown at the next sync
        self._let_go()
        if not same:
            self._switch(stream, target, detached=detached)
        elif target is not None and target != view.room.base:
            if self._another_brings_it(target):
                return
            self._follow_to(target)
        self.waiting_since = None
        self._movers.note(view.room.base)
        self._stand_still()

    # Standing still

    def sync(self) -> int:
        """Show what others did, also in a view that stands still; how many of their ops that are."""
        held_back = self._view.room.held_back
        self._let_go()
        self.follow()
        self._stand_still()
        return held_back

    def stand(self, *, still: bool) -> None:
        """Whether the view is to show peers' work only when it is asked for."""
        self._view.stands_still = still
        if still:
            self._stand_still()
        else:
            self.sync()

    def _stand_still(self) -> None:
        view = self._view
        if view.stands_still and self.units.unit is None and not view.room.held:
            self._take_all_in()
            view.room.hold()

    def _let_go(self) -> None:
        """Show everything that was held back."""
        room = self._view.room
        if room.held:
            room.release()
            self._take_all_in()

    def _settle(self, unit: Unit, head: admin.Head, *, over: bool) -> bool:
        """Bring what a command of Git wrote into the room if the command has ended; whether it has."""
        stays = unit.is_home(head)
        if stays and not over:
            return False
        target = self._view.refs.get(f"refs/heads/{unit.record.stream}") if stays else None
        if target is not None and target != unit.copy.base:
            self._publish_tracked(target)
        before = unit.copy.base
        self._settler.settle(target, stays=stays)
        after = unit.room.base
        if stays and after is not None and after != before:
            self._known = after
            self._base_was_moved(before, after)
        return True

    # Other processes' ops

    def _before_unit(self) -> None:
        """A command of Git begins: it works on everything that the room has."""
        self._let_go()
        self._take_all_in()

    def _take_all_in(self) -> None:
        while not self.take_in():
            pass

    def take_in(self) -> bool:
        """Show what other processes appended, for some milliseconds at most; whether that was all."""
        view = self._view
        view.presence.drain()
        until = time.monotonic() + _SLICE_S
        told, complete = view.room.catch_up_until(until)
        self.refresher.take(told)
        base, before = view.room.base, self._known
        if base is not None and base != before and self.units.unit is None:
            self._known = base
            self._base_was_moved(before, base)
        return self.refresher.go_on(until) and complete

    def hear(self) -> None:
        """`take_in`, before a request that came after an announcement; whatever fails is not the request's fault."""
        try:
            if not self.take_in():
                self._view.presence.poke()
        except (AnvcsError, OSError, sqlite3.Error) as problem:
            log.warning("what another process did could not be taken in yet: %s", problem)

    def hear_git(self) -> None:
        """A command of Git has ended, before a request: the next program shall see what it left."""
        try:
            self.follow()
        except (AnvcsError, OSError, sqlite3.Error, Later) as problem:
            log.info("what a command of git did could not be taken in yet: %s", problem)

    def _base_was_moved(self, before: Oid | None, base: Oid) -> None:
        """Another process has brought the room to the commit *base*: the index follows."""
        if self._moved_here(base) and not self.committing:
            self._index_by_git(before, base)
        else:
            self._update_index(before, base, [], keep_staged=True)

    def _index_by_git(self, before: Oid | None, base: Oid) -> None:
        """Git moved the branch in this view, and has brought its index along from where the branch was then."""
        origin = self._movers.origin()
        if origin is not None and origin != before:  # others committed in between
            self._update_index(before, origin, [], keep_staged=True)
        self.note_index(base)

    def _follow_to(self, target: Oid) -> None:
        """The stream's ref is elsewhere: Git moved it in this view, or somebody else did anywhere."""
        before = self._view.room.base
        here = self._moved_here(target)
        self._move(before, target, keep=here)
        if self._view.room.base != target:
            self._take_all_in()  # somebody has brought it further
            return
        self._known = target
        if here and self._starting:
            pass  # a commit of ours, perhaps, whose process died before the index: `build_index` looks
        elif here:
            self._index_by_git(before, target)
        else:
            self._update_index(before, target, [], keep_staged=True)

    def _moved_here(self, target: Oid) -> bool:
        """Whether Git in this view brought the branch to *target*."""
        return self._movers.here(target)

    def _another_brings_it(self, target: Oid) -> bool:
        """Whether Git moved the branch in another view, whose process knows what that means for the files."""
        now = time.monotonic()
        if self._starting or self.waiting_since is None:
            if self._starting or self._moved_here(target) or not self._movers.elsewhere(self._view.stream, target):
                return False
            self.waiting_since = now
        return now - self.waiting_since < _PATIENCE_S

    def _move(self, before: Oid | None, target: Oid, *, keep: bool) -> None:
        view = self._view
        self._publish_tracked(target)
        times = {entry.path: entry.mtime_ns for entry in view.room.changed() if entry.path is not None}
        moved = view.room.advance_base(before, target, keep=keep)
        self.refresher.apply(moved.paths)
        self.refresher.remember_times(times)
        log.info("base moved to %s (%s)", target.hex(), "work tree kept" if keep else "followed")

    def _publish_tracked(self, target: Oid) -> None:
        """Files on the disk that *target* has are shared now: the room must know them before it compares."""
        view = self._view
        base = view.room.base
        before = None if base is None else view.git.tree_of(base)
        for change in view.git.diff(before, view.git.tree_of(target)):
            if change.new is not None and change.old is None and view.is_on_disk(change.path):
                self._publisher.publish(change.path, force=True)

    def adopt_forced(self) -> None:
        """Ignored files that ``git add -f`` has put into the index become shared: a commit wants them.

        Raises:
            Later: Git has written the index since, and is asked in a thread.
        """
        stamp = self._stamp()
        if stamp == self._index_stamp:
            return
        if self._forced is None or self._forced[0] != stamp:
            raise Later(lambda: self._ask_forced(stamp))
        self._index_stamp = stamp
        for path in self._forced[1]:
            if self._view.is_on_disk(path):
                self._publisher.publish(path, force=True)

    def _stamp(self) -> int:
        """Tells one state of the index from another."""
        try:
            return os.stat(self._admin / "index").st_mtime_ns
        except FileNotFoundError:
            return 0

    def _ask_forced(self, stamp: int) -> None:
        base = self._view.room.base
        against = EMPTY_TREE if base is None else base
        git = Git(self._admin)
        done = git.run("diff-index", "--cached", "--name-only", "--diff-filter=A", "--no-renames", "-z", against.hex())
        self._forced = stamp, [path for path in done.out.split(b"\0") if path]

    def committed(self, result: CommitResult) -> None:
        """A commit of ours is on the stream: what it took is no longer a change."""
        for path, value in result.values.items():
            if (leaf := result.leaves[path]) is not None:
                self._view.room.note_value(path, leaf, value)
        room = self._view.room
        self._let_go()
        self._take_all_in()
        self._move(result.base, result.commit, keep=True)
        if room.base != result.commit:
            self._take_all_in()  # somebody else committed on top of it, and the index goes there at once
            self._stand_still()
            return
        self._known = room.base
        # What was saved since, or was left out of a commit of one agent's own work, Git has to look at.
        clean = [path for path in result.paths if room.entry(path) is None and not room.hides(path)]
        self._update_index(result.base, result.commit, clean, keep_staged=False)
        self._stand_still()

    def _switch(self, stream: str, target: Oid | None, *, detached: bool) -> None:
        """HEAD names something else: another room."""
        self.save_open_files()  # what is written so far belongs to the room it was written in
        self._publisher.publish_all()
        leaving = self.wip_job()
        if leaving is not None:
            self.index.add(leaving)
        paths = self._switcher.switch(stream, target, detached=detached, gone=self._settler.gone)
        self._settler.gone = []
        self._wip_seq = self._view.room.seq
        self._known = self._view.room.base
        if target is not None and not self.switching:
            self.note_index(target)
        self._settler.show(paths)

    # The index

    def _update_index(self, old: Oid | None, new: Oid, paths: Iterable[bytes], *, keep_staged: bool) -> None:
        """Give the paths that differ their new entries, with what ``stat`` says of *paths*."""
        stats = self.refresher.index_stats(paths)
        owner = (self._view.uid, self._view.gid)

        def update() -> None:
            untouched = self._stamp() == self._index_stamp
            noted = self._noted_index() if self.index.behind else None
            start, keep = (old, keep_staged) if noted is None else (noted, True)
            indexing.update_after_commit(self._admin, start, new, stats, owner, keep_staged=keep)
            self.index.caught_up()
            self.note_index(new)
            if untouched:  # what is new in it is ours: nothing that Git was told to add
                self._index_stamp = self._stamp()

        self.index.add(update)

    def note_index(self, commit: Oid) -> None:
        """Remember which commit the index was last brought to: after a crash it may be behind."""
        part = self._index_base.with_suffix(".part")
        part.write_text(commit.hex())
        part.rename(self._index_base)

    def build_index(self) -> None:
        """Make the index of a new view, or find that it is there."""
        self._starting = False
        base = self._view.room.base
        if base is None:
            return
        noted = self._noted_index()
        if noted is None or not (self._admin / "index").exists():
            self._make_index(base)
        elif noted != base:
            self._update_index(noted, base, [], keep_staged=True)
        else:
            self.index.caught_up()

    def _make_index(self, base: Oid) -> None:
        build = self._stat_job(base)

        def make() -> None:
            build()
            self.index.caught_up()
            self.note_index(base)
            self._index_stamp = self._stamp()

        self.index.add(make)

    def _noted_index(self) -> Oid | None:
        try:
            return Oid(bytes.fromhex(self._index_base.read_text()))
        except FileNotFoundError:
            return None

    @property
    def _lacks_index(self) -> bool:
        """Whether it couldn't be made or brought along, on a full disk or a locked one, and that may be over."""
        index = self.index
        if index.waiting or index.resting or not (index.behind or not (self._admin / "index").exists()):
            return False
        return not (self._admin / "index.lock").exists()

    def meet_git(self, pid: int) -> None:
        """The process *pid*, Git perhaps, looks for the repository: what it is going to build on is shown first.

        In a view that stands still the branch may be further than the files and Git's index, to
        which what peers committed would be something to undo.
        """
        if self._view.room.held and builds_on_head(pid):
            self.sync()

    def wait_ready(self) -> None:
        """Called when Git opens the view's ``.git``: refs followed, index right.

        Raises:
            Later: the index is being written, or much is to be taken in.
        """
        if not self.take_in():
            raise Later(lambda: None)  # other requests come in between
        self.follow()
        if self.waiting_since is not None:
            raise Later(lambda: time.sleep(_PAUSE_S))
        if self._lacks_index:
            self.build_index()
        if self.index.waiting:
            raise Later(self.index.run)

    # Work in progress

    def keep_job(self) -> Callable[[], None] | None:
        """What keeps staged and detached work from Git's gc; ``None`` when Git has written nothing since."""
        stamps = tuple(_stamp(self._admin / name) for name in ("index", "HEAD", "logs/HEAD"))
        if stamps == self._kept:
            return None
        self._kept = stamps
        name = self._view.folder.name

        def keep() -> None:
            admin.keep(self._admin, name)

        return keep

    def wip_job(self) -> Callable[[], None] | None:
        """What saves uncommitted work as a commit that plain Git can read; ``None`` when it is saved."""
        view = self._view
        if view.room.seq == self._wip_seq or view.detached or self.units.unit is not None or view.room.stands_behind:
            return None
        self._wip_seq = view.room.seq
        room, stream = view.room, view.stream
        work = WorkInProgress(view.git, view.refs, self._committer)

        def save() -> None:
            if room.file.exists():  # a stream may be deleted as soon as no view shows it
                work.save_room(room, stream, most=view.limits.share_bytes)

        return save
