"""Several views of one stream in one process, each wired as the serving process does it, without a mount."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from anvcs.repository import Repository
from anvcs.views import ViewSpec
from anvcsfs.assembly import Assembly, assemble
from support.fake_kernel import FakeKernel, Process
from support.handlers import EPOCH_NS

_EMPTY_INDEX = bytes.fromhex("444952430000000200000000") + bytes.fromhex("39d890139ee5356c7ef572216cebcd27aa41f9df")
"""Git's index of nothing: there is one, so no child process is started to make it."""


class Station:
    """One view.  Others' work arrives when `hear` is called, and not before."""

    def __init__(self, common_dir: Path, name: str, pid: int) -> None:
        self.name = name
        self._spec = ViewSpec(
            name=name,
            common_dir=common_dir,
            mountpoint=Path("/nowhere") / name,
            stream="main",
            agent=name,
            epoch_ns=EPOCH_NS,
            uid=os.getuid(),
            gid=os.getgid(),
        )
        self._pid = pid
        self._stack: ExitStack | None = None
        admin = self._spec.folder / "git"
        admin.mkdir(parents=True)
        (admin / "index").write_bytes(_EMPTY_INDEX)
        self.open()

    def open(self) -> None:
        """Serve the view."""
        self._stack = ExitStack()
        self.parts: Assembly = assemble(self._spec, self._stack)
        self.kernel = FakeKernel(self.parts.table)
        self.kernel.process = Process(self._pid, os.getuid(), os.getgid())

    @contextmanager
    def somebody_else(self) -> Iterator[None]:
        """Another process of this view makes the requests: what it reads, the usual one has not seen."""
        usual = self.kernel.process
        self.kernel.process = Process(usual.pid + 1000, usual.uid, usual.gid)
        try:
            yield
        finally:
            self.kernel.process = usual

    def remount(self) -> None:
        """Unmount as users do, and mount again."""
        self.parts.close_down()
        self.crash()
        self.open()

    def crash(self) -> None:
        """The process is gone at once: what it has not put on disk is lost."""
        if self._stack is not None:
            # The descriptors go as the kernel would close them; nothing is saved or published.
            self._stack.close()
            self._stack = None

    def hear(self) -> None:
        """Take in what the other views did."""
        self.kernel.call(self.parts.table.follower.follow)

    def publish(self) -> None:
        """New files have lived long enough."""
        self.kernel.call(self.parts.table.publisher.publish_all)


def make_stations(repository: Path, count: int) -> list[Station]:
    """Views of the branch main of *repository*, which gets a store."""
    Repository.init(repository)
    # Numbers that no process has: each view's client has neither parents nor threads.
    return [Station(repository / ".git", f"view{number}", 10**8 + number) for number in range(count)]
