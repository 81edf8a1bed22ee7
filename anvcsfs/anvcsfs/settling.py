"""After a command of Git, or on the way to another stream: the nodes show the room again."""

from collections.abc import Iterable, Mapping

from anvcs.model.ids import Oid, Seq
from anvcsfs.farewell import Farewells
from anvcsfs.gitunits import GitUnits
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, File, Place
from anvcsfs.refreshing import Refresher
from anvcsfs.shared import SharedFiles
from anvcsfs.view import View

_Times = tuple[int, int, int]
"""Modification and change time, and size."""


class Settler:
    """Ends a command's time apart, and keeps what Git's index says of the files that it wrote right."""

    def __init__(
        self,
        view: View,
        units: GitUnits,
        refresher: Refresher,
        inodes: Inodes,
        files: SharedFiles,
        farewells: Farewells,
    ) -> None:
        self._view = view
        self._farewells = farewells
        self._units = units
        self._refresher = refresher
        self._inodes = inodes
        self._files = files
        self._times: dict[bytes, _Times] = {}
        self._unshown: set[bytes] = set()
        self.gone: list[bytes] = []
        """What the last command that went to another branch had removed before."""

    def settle(self, target: Oid | None, *, stays: bool) -> None:
        """The command has ended; without *stays* another room is shown next, and only then anything looks different."""
        unit = self._units.unit
        assert unit is not None  # who calls has looked
        outcome = self._units.settle(target, stays=stays)
        self._times = dict(self._times_of(outcome.by_git))
        copy = unit.copy
        self.gone = [path for path in outcome.by_git if not stays and copy.entry(path) is None and copy.hides(path)]
        since = Seq(unit.record.since)
        leave = self._farewells.prepare(since)
        self._units.close()
        leave()
        self._view.cache.clear()  # the copy numbered its versions as the room now numbers others
        for path in outcome.touched:
            self._renumber(path, since)
        self._unshown |= outcome.touched
        if stays:
            told = self._view.room.catch_up()
            self.show({path for moved in told for path in moved.paths})

    def show(self, paths: Iterable[bytes]) -> None:
        """*paths* may look different, and all that waited to be shown."""
        self._unshown |= set(paths)
        self._refresher.apply(self._unshown)
        self._unshown = set()
        self._keep(self._times)
        self._times = {}

    def _times_of(self, paths: Iterable[bytes]) -> Iterable[tuple[bytes, _Times]]:
        for path in paths:
            node = self._inodes.find_loaded(path)
            if isinstance(node, File) and node.place is Place.SHARED:
                yield path, (node.mtime_ns, node.ctime_ns, self._files.size(node))

    def _keep(self, times: Mapping[bytes, _Times]) -> None:
        """What still is as Git wrote it keeps the times that Git's index has of it."""
        view = self._view
        for path, (mtime_ns, ctime_ns, size) in times.items():
            node = self._inodes.find_loaded(path)
            if view.room.entry(path) is not None or not isinstance(node, File) or node.place is not Place.SHARED:
                continue
            if self._files.size(node) != size:
                continue
            node.mtime_ns, node.ctime_ns = mtime_ns, ctime_ns
            node.reply = None
            view.attributes.update(path, mtime_ns=mtime_ns)
            parent = node.parent
            if isinstance(parent, Dir):
                parent.overrides = True

    def _renumber(self, path: bytes, since: int) -> None:
        """Who read or writes the file saw a version of the copy: that is the room's current one."""
        node = self._inodes.find_loaded(path)
        if not isinstance(node, File):
            return
        entry = self._view.room.entry(path)
        now = self._view.version(path, entry)
        self._view.bases.renumber(path, since, now)
        if node.work is not None and node.work.base is not None and node.work.base > since:
            node.work.base = now
