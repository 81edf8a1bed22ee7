"""Wires one view: store, Git, room, table.  Each thing's end is registered when it begins."""

import logging
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from anvcs.base_tree import GitBaseTree
from anvcs.committing import Committer
from anvcs.config import Config
from anvcs.errors import AnvcsError
from anvcs.git import admin, indexing
from anvcs.git.skeleton import Skeleton
from anvcs.merging.apart import ParserProcess
from anvcs.model.ids import Oid
from anvcs.model.room import Author
from anvcs.note_queue import NoteQueue
from anvcs.pinning import Pinning
from anvcs.repository import Repository
from anvcs.rooms.room import Room
from anvcs.views import ViewSpec
from anvcsfs.farewell import Farewells
from anvcsfs.following import Follower, stream_of
from anvcsfs.gitunits import GitUnits
from anvcsfs.readerlog import ReaderLog
from anvcsfs.refreshing import Refresher
from anvcsfs.settling import Settler
from anvcsfs.shadows import complete_moves
from anvcsfs.switching import Switcher
from anvcsfs.table import Table
from anvcsfs.view import Limits, View
from anvcsfs.watching import RefWatch

log = logging.getLogger(__name__)
_READERS = "readers"
"""In the view's folder: which process has read what."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """A view that is ready to be served."""

    view: View
    table: Table
    watch: RefWatch
    readers: ReaderLog

    def close_down(self) -> None:
        """After the unmount: nothing that was acknowledged stays only here."""
        self.table.finish()
        try:
            for job in (self.note_readers(), self.table.follower.wip_job(), self.table.follower.keep_job()):
                if job is not None:
                    job()
            self.table.follower.units.leave_behind()
            self.view.room.checkpoint()
        except (AnvcsError, OSError, sqlite3.Error) as problem:
            log.warning("work in progress, which is in the room, was not saved as a commit too: %s", problem)

    def note_readers(self) -> Callable[[], None] | None:
        """Write down who read what; what is returned, if anything, is to be done in a thread."""
        if self.table.follower.units.unit is not None:
            return None  # a command's copy of the room has numbers of its own
        return self.readers.write(self.view.room.name)


def limits_of(config: Config) -> Limits:
    """The view's limits from the repository's configuration."""
    room = config.room
    return Limits(
        text_bytes=room.text_limit,
        share_bytes=room.max_share_size,
        publish_s=room.publish_after_ms / 1000,
        wip_s=float(room.wip_interval_s),
    )


class _Builder:
    """Makes the parts of a view in the order in which they need each other."""

    def __init__(self, spec: ViewSpec, stack: ExitStack) -> None:
        self._spec = spec
        self._stack = stack
        self._repository = Repository.open(spec.common_dir)
        self._store = self._repository.store
        self._git = self._repository.objects
        self._refs = self._repository.refs
        folder = spec.folder
        self._skeleton = Skeleton(spec.common_dir, folder / "skeleton.git", folder / "skeleton")
        stack.callback(self._skeleton.close)
        self._parser = ParserProcess()
        stack.callback(self._parser.close)
        self._author = Author(agent=spec.agent, model=spec.model, view=spec.name)
        self._admin = folder / "git"

    def _base(self, stream: str) -> Oid | None:
        return self._refs.get(f"refs/heads/{stream}")

    def _mirror(self) -> Path | None:
        """Where readable copies of the notes go; a bare repository has no place for them."""
        work_tree = self._repository.info.work_tree
        return None if work_tree is None else work_tree / ".ai" / "meta"

    def open_room(self, name: str, base: Oid | None, text_bytes: int) -> Room:
        """The room *name*, made at *base* when it is new."""
        return self._open(self._store.room_file(name), base, text_bytes)

    def _open(self, file: Path, base: Oid | None, text_bytes: int) -> Room:
        return Room.open(
            file,
            tree=GitBaseTree(self._git, self._skeleton, self._pinning.pointers),
            objects=self._store.objects,
            author=self._author,
            base=base,
            text_limit=text_bytes,
            broken=self._parser.broken_line,
            patient=False,
        )

    def build(self) -> Assembly:
        """All of it."""
        spec = self._spec
        admin.ensure(spec.common_dir, self._admin, spec.mountpoint, admin.Branch(f"refs/heads/{spec.stream}"))
        head = admin.read_head(self._admin)
        detached = isinstance(head, admin.Detached)
        stream = spec.stream if isinstance(head, admin.Detached) else stream_of(head)
        base = head.oid if isinstance(head, admin.Detached) else self._base(stream)
        config = self._repository.config(stream)
        self._pinning = Pinning(self._store, self._git, self._skeleton, config)
        limits = limits_of(config)
        room = self.open_room(f"~{spec.name}" if detached else stream, base, limits.text_bytes)
        view = View(
            folder=spec.folder,
            mountpoint=os.fspath(spec.mountpoint),
            git=self._git,
            refs=self._refs,
            room=room,
            skeleton=self._skeleton,
            author=self._author,
            stream=stream,
            detached=detached,
            epoch_ns=spec.epoch_ns,
            uid=spec.uid,
            gid=spec.gid,
            limits=limits,
            read_only=spec.read_only,
            stands_still=spec.follow == "manual",
            pinning=self._pinning,
        )
        self._stack.callback(view.close)
        readers = ReaderLog(spec.folder / _READERS, view.bases)
        readers.restore(room.name, room.seq)
        table = Table(view)
        self._connect(view, table, limits)
        table.control.commits.policy = config.agent.commit_policy
        table.control.merges.open_repository = lambda: Repository.open(self._spec.common_dir)
        watch = RefWatch(spec.common_dir, self._admin)
        self._stack.callback(watch.close)
        watch.watch_branch(stream)
        return Assembly(view, table, watch, readers)

    def _connect(self, view: View, table: Table, limits: Limits) -> None:
        spec = self._spec
        committer = Committer(
            git=self._git,
            refs=self._refs,
            skeleton=self._skeleton,
            queue=NoteQueue(self._store.root / "queue" / "notes"),
            mirror=self._mirror(),
            admin_dir=self._admin,
            work_dir=spec.mountpoint,
            agent=spec.agent,
            model=spec.model,
            pinning=self._pinning,
        )
        refresher = Refresher(view, table.inodes, table.files, table.handles)
        units = GitUnits(view, self._admin, lambda file: self._open(file, None, limits.text_bytes))
        farewells = Farewells(view, table.inodes, table.files)
        switcher = Switcher(
            view, farewells, lambda name, base, _: self.open_room(name, base, limits.text_bytes), self._store.room_file
        )
        units.recover(lambda name: self.open_room(name, self._base(name), limits.text_bytes))
        table.follower = Follower(
            view=view,
            refresher=refresher,
            publisher=table.publisher,
            committer=committer,
            admin_dir=self._admin,
            units=units,
            settler=Settler(view, units, refresher, table.inodes, table.files, farewells),
            switcher=switcher,
            stat_job=lambda base: self._index_job(view, base),
        )
        table.follower.save_open_files = table.save_open_files
        table.committer = committer
        table.control.company.keep_follow = self._keep_follow
        table.control.reports.follow = table.follower.follow
        view.notifier.was_shown = table.inodes.was_shown
        table.control.show_git(admin.git_file(self._admin))
        complete_moves(view)
        table.publisher.recover()
        committer.complete_notes()
        table.follower.follow()
        switcher.bring_back()
        table.follower.build_index()

    def _keep_follow(self, mode: str) -> None:
        self._repository.views.update(self._spec.name, follow=mode)

    def _index_job(self, view: View, base: Oid | None) -> Callable[[], None]:
        """The index of a view that has none yet, made by a child with the times the mount reports."""
        if base is None or (self._admin / "index").exists():
            return lambda: None
        looked_at = dict.fromkeys(view.attributes.paths())
        looked_at.update(
            (path, None) for entry in view.room.changed() if (path := entry.path or entry.base_path) is not None
        )
        job = indexing.Job(
            common_dir=self._spec.common_dir,
            admin_dir=self._admin,
            tree=self._git.tree_of(base),
            epoch_ns=view.epoch_ns,
            uid=view.uid,
            gid=view.gid,
            overrides=looked_at,
            fsmonitor_token=view.journal.token.decode(),
            pointers=self._pinning.pointers.active,
        )
        return lambda: _finish(indexing.start(job))


def _finish(child: "subprocess.Popen[bytes]") -> None:
    indexing.finish(child)


def assemble(spec: ViewSpec, stack: ExitStack) -> Assembly:
    """Open everything that the view *spec* needs; *stack* closes it in reverse."""
    return _Builder(spec, stack).build()
