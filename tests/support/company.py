"""Several views of one room without a mount: each with a kernel in memory that notes what it is told."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path

from anvcs.base_tree import GitBaseTree
from anvcs.git.objects import ObjectStore
from anvcs.git.refs import Refs
from anvcs.git.skeleton import Skeleton
from anvcs.model.room import Author
from anvcs.rooms.room import Room
from anvcsfs.refreshing import Refresher
from anvcsfs.table import Table
from anvcsfs.view import Limits, View
from support.fake_kernel import FakeKernel
from support.handlers import EPOCH_NS


class Told:
    """What a kernel is told, in place of the notifier with its thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.has_requests: Callable[[], bool] = lambda: False

    def content(self, ino: int) -> None:
        self.calls.append(("content", ino))

    def attributes(self, ino: int) -> None:
        self.calls.append(("attributes", ino))

    def entry(self, parent: int, name: bytes) -> None:
        self.calls.append(("entry", parent, name))

    def deleted(self, parent: int, name: bytes, ino: int) -> None:
        self.calls.append(("deleted", parent, name, ino))

    def is_behind(self, _ino: int) -> bool:
        return False

    def wait_for(self, _ino: int) -> None:
        """Everything is told at once."""


class Peer(FakeKernel):
    """A view among others on its room."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.told = Told()
        table.view.notifier = self.told  # type: ignore[assignment]  # the same methods
        self.refresher = Refresher(table.view, table.inodes, table.files, table.handles)

    @property
    def room(self) -> Room:
        return self.table.view.room

    def hear(self, until: float = inf) -> bool:
        """Take in what others did, as the server does when it is woken."""
        self.refresher.take(self.room.catch_up())
        return self.refresher.go_on(until)


@contextmanager
def peers(repository: Path, top: Path, *names: str, publish_s: float = 0.0) -> Iterator[list[Peer]]:
    """A view for each of *names*, all on one room."""
    with ExitStack() as stack:
        yield [_peer(repository, top, name, stack, publish_s) for name in names]


def _peer(repository: Path, top: Path, name: str, stack: ExitStack, publish_s: float) -> Peer:
    store = ObjectStore(repository / ".git")
    folder = top / name
    folder.mkdir(exist_ok=True)
    skeleton = Skeleton(store.common_dir, folder / "skeleton.git", folder / "skeleton")
    stack.callback(skeleton.close)
    author = Author(agent=name, view=name)
    room = Room.open(
        top / "room.sqlite",
        tree=GitBaseTree(store, skeleton),
        objects=top / "objects",
        author=author,
        base=Refs(store).get("refs/heads/main"),
    )
    view = View(
        folder=folder,
        mountpoint="/nowhere",
        git=store,
        refs=Refs(store),
        room=room,
        skeleton=skeleton,
        author=author,
        stream="main",
        detached=False,
        epoch_ns=EPOCH_NS,
        uid=os.getuid(),
        gid=os.getgid(),
        limits=Limits(publish_s=publish_s),
    )
    stack.callback(view.close)
    return Peer(Table(view))


def publish(peer: Peer) -> None:
    """New files of *peer* reach the room."""
    peer.call(peer.table.publisher.publish_due)
