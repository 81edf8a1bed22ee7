"""Several views of one stream, their work delivered late or never, crashes in between: nothing acknowledged is lost.

The model is a set of marks (`anvcs_tools.bench.marks`): lines that one client wrote and nobody
else touches.  Each that was acknowledged, and not deleted by somebody who saw it, is in
exactly one file in the end, and every view shows the same files.
"""

import os
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from anvcs.rooms.errors import NoSuchPath
from anvcs_tools.bench.marks import Marks, marks_in
from anvcsfs.nodes import Dir, File
from support.fake_kernel import FakeKernel
from support.programs import git
from support.stations import Station, make_stations

pytestmark = pytest.mark.property

VIEWS = 3
START = {
    "a.py": "".join(f"def a{n}():\n    return {n}\n\n" for n in range(6)),
    "b.py": "import os\n\n\ndef b():\n    pass\n",
    "sub/c.py": "x = 1\ndef c():\n    pass\n",
}
PATHS = [b"a.py", b"b.py", b"sub/c.py", b"new.py", b"sub/d.py", b"sub/e.py"]
views = st.integers(0, VIEWS - 1)
paths = st.sampled_from(PATHS)
seeds = st.integers(0, 10**6)


class Seen(NamedTuple):
    ino: int
    text: bytes


class Client:
    """The process that works in one view: what it has read, and what it was promised."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.marks = Marks(station.name)
        self.read: dict[bytes, Seen] = {}

    def ino(self, path: bytes) -> int | None:
        node = self.station.kernel.find(path)
        return node.ino if isinstance(node, File) else None

    def look(self, path: bytes) -> None:
        ino = self.ino(path)
        if ino is not None:
            self.read[path] = Seen(ino, self.station.kernel.read(path))

    def edited(self, path: bytes, seed: int) -> bytes | None:
        """What it wants to save at *path*; ``None`` when it has not read the file that is there."""
        seen = self.read.get(path)
        if seen is None or seen.ino != self.ino(path):
            return None
        return self.marks.edit(seen.text, random.Random(seed))

    def saved(self, path: bytes, buffer: bytes | None) -> None:
        """It goes on from its buffer, as editors do, or (``None``) from what it reads next, as agents do."""
        self.marks.acknowledge()
        del self.read[path]
        ino = self.ino(path)
        if buffer is not None and ino is not None:
            self.read[path] = Seen(ino, buffer)


class Views(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="views-"))
        repository = self.folder / "repository"
        shutil.copytree(self.template, repository)
        self.stations = make_stations(repository, VIEWS)
        self.clients = [Client(station) for station in self.stations]
        self.maybe: set[bytes] = set()
        """Marks whose file somebody deleted after seeing them: a concurrent edit may have kept it."""

    def teardown(self) -> None:
        try:
            self.agree()
        finally:
            for station in self.stations:
                station.crash()
            shutil.rmtree(self.folder)

    # What clients do

    @rule(view=views, path=paths)
    def look(self, view: int, path: bytes) -> None:
        self.clients[view].look(path)

    @rule(view=views, path=paths, seed=seeds, again=st.booleans())
    def rewrite(self, view: int, path: bytes, seed: int, again: bool) -> None:
        client = self.clients[view]
        text = client.edited(path, seed)
        if text is not None:
            client.station.kernel.write(path, text)
            client.saved(path, text if again else None)

    @rule(view=views, path=paths, seed=seeds, again=st.booleans())
    def replace(self, view: int, path: bytes, seed: int, again: bool) -> None:
        client = self.clients[view]
        text = client.edited(path, seed)
        if text is not None:
            client.station.kernel.write(path + b".tmp", text)
            client.station.kernel.rename(path + b".tmp", path)
            client.saved(path, text if again else None)

    @rule(view=views, path=paths, seed=seeds)
    def append(self, view: int, path: bytes, seed: int) -> None:
        client, kernel = self.clients[view], self.stations[view].kernel
        if client.ino(path) is not None:
            handle = kernel.open(path, os.O_WRONLY | os.O_APPEND)
            line = client.marks.append(random.Random(seed))
            kernel.put(handle, line, kernel.stat(path).size)
            kernel.close(handle)
            client.marks.acknowledge()

    @rule(view=views, path=paths, seed=seeds)
    def create(self, view: int, path: bytes, seed: int) -> None:
        client = self.clients[view]
        if client.station.kernel.find(path) is None:
            client.station.kernel.write(path, client.marks.append(random.Random(seed)))
            client.marks.acknowledge()
            client.read.pop(path, None)

    @rule(view=views, old=paths, new=paths)
    def rename(self, view: int, old: bytes, new: bytes) -> None:
        client = self.clients[view]
        if old != new and client.ino(old) is not None and client.station.kernel.find(new) is None:
            with suppress(NoSuchPath):  # a peer has just renamed or deleted it: ENOENT
                client.station.kernel.rename(old, new)

    @rule(view=views, path=paths)
    def unlink(self, view: int, path: bytes) -> None:
        client = self.clients[view]
        if client.ino(path) is not None:
            self.maybe.update(marks_in(client.station.kernel.read(path)))
            with suppress(NoSuchPath):
                client.station.kernel.unlink(path)

    # What happens to views

    @rule(view=views)
    def hear(self, view: int) -> None:
        self.stations[view].hear()

    @rule(view=views)
    def publish(self, view: int) -> None:
        self.stations[view].publish()

    @rule(view=views, crash=st.booleans())
    def restart(self, view: int, crash: bool) -> None:
        station = self.stations[view]
        if crash:
            station.crash()
            station.open()
        else:
            station.remount()
        self.clients[view].read.clear()  # it finds its files gone, and starts again

    # What must be true

    @rule()
    def agree(self) -> None:
        for station in self.stations:
            station.publish()
        for station in self.stations:
            station.hear()
        first, *others = [tree(station) for station in self.stations]
        for other in others:
            assert other == first
        found = marks_in(b"".join(first.values()))
        wanted = {line for client in self.clients for line in client.marks.lines.values()}
        twice = [line for line, count in found.items() if count > 1]
        assert not twice, f"twice there: {twice}"
        assert not wanted - self.maybe - set(found), f"lost: {wanted - self.maybe - set(found)}"
        assert not set(found) - wanted - self.maybe, f"back: {set(found) - wanted}"


def tree(station: Station) -> dict[bytes, bytes]:
    """Every file that a view shows."""
    kernel = station.kernel
    with station.somebody_else():
        return _tree(kernel)


def _tree(kernel: FakeKernel) -> dict[bytes, bytes]:
    files = [path for path in kernel.walk() if not path.startswith((b".anvcs", b".git"))]
    return {path: kernel.read(path) for path in files if not isinstance(kernel.at(path), Dir)}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that each example copies."""
    path = tmp_path_factory.mktemp("views") / "repository"
    git("init", "-q", "-b", "main", str(path), cwd=path.parent)
    for name, text in START.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "start", cwd=path)
    return path


def test_views_converge_and_keep_what_was_acknowledged(template: Path):
    machine = type("Machine", (Views,), {"template": template})
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=25))
