"""Every ref and every commit as a read-only directory."""

import stat as st
from collections.abc import Callable

from anvcs.git.objects import AmbiguousPrefix, NoSuchCommit, ObjectStore
from anvcs.git.refs import Refs
from anvcs.model.ids import Oid
from anvcsfs.control_nodes import ControlDir
from anvcsfs.inodes import Inodes
from anvcsfs.nodes import Dir, Node, Place
from anvcsfs.view import View

_LISTED = 50
"""How many recent commits ``commits/`` lists; any other can still be entered."""
_KINDS = (b"heads", b"tags", b"remotes")


class History:
    """Finds the trees behind names; the trees themselves load like any directory."""

    def __init__(self, view: View, inodes: Inodes, number: Callable[[], int]) -> None:
        self._view = view
        self._inodes = inodes
        self._number = number
        self._roots: dict[tuple[bytes, Oid], Dir] = {}
        self._dirs: dict[bytes, ControlDir] = {}

    @property
    def _git(self) -> ObjectStore:
        return self._view.git

    @property
    def _refs(self) -> Refs:
        return self._view.refs

    def refs(self, top: Dir) -> ControlDir:
        """``refs/``, with its three kinds even while they are empty."""
        node = ControlDir(
            self._number(), top, b"refs", lambda parent, name: self._ref(parent, b"refs/" + name), lambda: list(_KINDS)
        )
        self._dirs[b"refs"] = node
        return node

    def _ref(self, parent: ControlDir, path: bytes) -> Node | None:
        """The tree of the ref *path*, or the directory of refs that start with it."""
        found = self._refs.list(path.decode("utf-8", "surrogateescape"))
        oid = found.get(path.decode("utf-8", "surrogateescape"))
        if oid is not None:
            return self._root(parent, path.rpartition(b"/")[2], oid)
        prefix = path + b"/"
        names = {name.encode("utf-8", "surrogateescape") for name in found}
        if path.count(b"/") > 1 and not any(name.startswith(prefix) for name in names):
            return None
        if path.count(b"/") == 1 and path.rpartition(b"/")[2] not in _KINDS:
            return None
        return self._ref_dir(parent, path)

    def _ref_dir(self, parent: ControlDir, path: bytes) -> ControlDir:
        known = self._dirs.get(path)
        if known is None:
            known = ControlDir(
                self._number(),
                parent,
                path.rpartition(b"/")[2],
                lambda here, name: self._ref(here, path + b"/" + name),
                lambda: self._ref_names(path),
            )
            self._own(known, self._view.epoch_ns)
            self._dirs[path] = known
        return known

    def _ref_names(self, path: bytes) -> list[bytes]:
        prefix = path + b"/"
        names = (
            name.encode("utf-8", "surrogateescape")
            for name in self._refs.list(prefix.decode("utf-8", "surrogateescape"))
        )
        return list(dict.fromkeys(name[len(prefix) :].partition(b"/")[0] for name in names if name.startswith(prefix)))

    def commits(self, top: Dir) -> ControlDir:
        """``commits/``: any commit by its id or a unique prefix; the recent ones are listed."""
        return ControlDir(self._number(), top, b"commits", self._commit, self._recent)

    def _commit(self, parent: ControlDir, name: bytes) -> Node | None:
        try:
            oid = self._git.commit_by_prefix(name.decode("ascii"))
        except (NoSuchCommit, AmbiguousPrefix, UnicodeDecodeError):
            return None
        return self._root(parent, name, oid)

    def _recent(self) -> list[bytes]:
        """The newest commits of the stream, along first parents."""
        names: list[bytes] = []
        head = self._view.room.base
        while head is not None and len(names) < _LISTED:
            names.append(head.hex().encode())
            parents = self._git.commit_info(head).parents
            head = parents[0] if parents else None
        return names

    def _root(self, parent: Dir, name: bytes, commit: Oid) -> Dir:
        """The top directory of *commit*, under *name* in *parent*."""
        key = (parent.path + b"/" + name, commit)
        known = self._roots.get(key)
        if known is not None and self._inodes.has(known):
            return known
        info = self._git.commit_info(commit)
        node = Dir(self._number() | (1 << 32), parent, name, Place.HISTORY, st.S_IFDIR | 0o755)
        node.tree = info.tree
        self._own(node, info.committer.time_s * 1_000_000_000)
        self._roots[key] = node
        return node

    def _own(self, node: Node, time_ns: int) -> None:
        node.uid, node.gid = self._view.uid, self._view.gid
        node.mtime_ns = node.ctime_ns = node.atime_ns = time_ns
        self._inodes.add(node)
