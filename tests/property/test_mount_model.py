"""Random work on files in a view against the plainest model: a native directory doing the same.

Every call must have the same outcome on both sides, value or errno, and the trees must be
equal in the end; remounting and killing the serving process may happen at any time between
two calls.  ``HYPOTHESIS_PROFILE=deep`` looks longer.
"""

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from anvcs_tools.bench.views import MountedView, commit
from support.kernel import RENAME_EXCHANGE, RENAME_NOREPLACE, rename
from support.trees import differences, snapshot

pytestmark = [pytest.mark.fuse, pytest.mark.property]

# Few names, so that they meet: shared ones, an ignored one and a temporary, in few directories.
NAMES = st.sampled_from(["a.py", "b.txt", "c.local", "d", "e.tmp", "f\udcff"])
FOLDERS = st.sampled_from(["", "d", "sub", "build", "sub/d", "build/d"])
PATHS = st.builds(os.path.join, FOLDERS, NAMES)
TEXTS = st.text(st.sampled_from("ab\u00e9\U0001f40d\r\n "), max_size=60).map(str.encode)
DATA = TEXTS | st.binary(max_size=60) | st.integers(0, 9).map(lambda n: b"line %d\n" % n * 50)
MODES = st.sampled_from([0o644, 0o755, 0o600, 0o400])
_numbers = itertools.count()


class MountModel(RuleBasedStateMachine):
    """The machine; ``view`` and ``scratch`` are set by the test."""

    view: MountedView
    scratch: Path

    def __init__(self) -> None:
        super().__init__()
        name = f"example{next(_numbers)}"
        self.native, self.mount = self.scratch / name, self.view.path / name
        self.name = name
        self.handles: list[tuple[int, int]] = []
        self.restarts = 0

    @initialize()
    def begin(self) -> None:
        if not self.view.alive:
            self.view.remount()  # an example that broke it must not fail the next ones
        for top in (self.native, self.mount):
            (top / "sub").mkdir(parents=True)
            (top / "build").mkdir()
            (top / "a.py").write_bytes(b"one\ntwo\nthree\n")

    # The one door: the same call on both sides.

    def same(self, call: Callable[[str], object]) -> object:
        found = outcome(call, self.mount)
        # The boundary between shared and local files is the one thing a plain directory lacks.
        if found == (OSError, errno.EXDEV):
            return found
        expected = outcome(call, self.native)
        assert found == expected, f"native: {expected}, view: {found}"
        return found

    @rule(path=PATHS, data=DATA)
    def write(self, path: str, data: bytes) -> None:
        self.same(lambda top: put(os.path.join(top, path), data, os.O_TRUNC))

    @rule(path=PATHS, data=DATA)
    def append(self, path: str, data: bytes) -> None:
        self.same(lambda top: put(os.path.join(top, path), data, os.O_APPEND))

    @rule(path=PATHS, data=DATA, offset=st.integers(0, 200))
    def write_at(self, path: str, data: bytes, offset: int) -> None:
        self.same(lambda top: put(os.path.join(top, path), data, 0, offset))

    @rule(path=PATHS, data=DATA)
    def save(self, path: str, data: bytes) -> None:
        def call(top: str) -> None:
            aside = os.path.join(top, os.path.dirname(path), ".aside")
            put(aside, data, os.O_TRUNC)
            try:
                os.replace(aside, os.path.join(top, path))
            except OSError:
                os.unlink(aside)
                raise

        self.same(call)

    @rule(path=PATHS, size=st.integers(0, 300))
    def truncate(self, path: str, size: int) -> None:
        self.same(lambda top: os.truncate(os.path.join(top, path), size))

    @rule(old=PATHS | FOLDERS, new=PATHS | FOLDERS, flags=st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE]))
    def rename(self, old: str, new: str, flags: int) -> None:
        if old and new and not self.linked(old) and not self.linked(new):
            self.same(
                lambda top: rename(
                    os.path.join(top, old).encode(errors="surrogateescape"),
                    os.path.join(top, new).encode(errors="surrogateescape"),
                    flags,
                )
            )

    def linked(self, path: str) -> bool:
        """Whether a rename would have to carry a hard link over the boundary, which it may give up."""
        top = self.native / path
        found = [top, *(Path(folder, name) for folder, _, names in os.walk(top) for name in names)]
        return any(os.path.lexists(one) and os.lstat(one).st_nlink > 1 and not one.is_dir() for one in found)

    @rule(path=PATHS)
    def unlink(self, path: str) -> None:
        self.same(lambda top: os.unlink(os.path.join(top, path)))

    @rule(path=PATHS | FOLDERS)
    def mkdir(self, path: str) -> None:
        self.same(lambda top: os.mkdir(os.path.join(top, path)))

    @rule(path=PATHS | FOLDERS)
    def rmdir(self, path: str) -> None:
        if path:
            self.same(lambda top: os.rmdir(os.path.join(top, path)))

    @rule(path=PATHS | FOLDERS)
    def remove_tree(self, path: str) -> None:
        if path:
            self.same(lambda top: shutil.rmtree(os.path.join(top, path)))

    @rule(path=PATHS, to=st.sampled_from(["a.py", "../a.py", "nowhere", "sub"]))
    def symlink(self, path: str, to: str) -> None:
        self.same(lambda top: os.symlink(to, os.path.join(top, path)))

    @rule(old=PATHS, folder=FOLDERS)
    def link(self, old: str, folder: str) -> None:
        # The same suffix keeps it in its class, unless the directory decides otherwise (EXDEV).
        new = os.path.join(folder, "x" + os.path.basename(old))
        self.same(lambda top: os.link(os.path.join(top, old), os.path.join(top, new), follow_symlinks=False))

    @rule(path=PATHS, mode=MODES)
    def chmod(self, path: str, mode: int) -> None:
        self.same(lambda top: os.chmod(os.path.join(top, path), mode))

    @rule(path=PATHS, moment=st.integers(0, 2 * 10**18))
    def utime(self, path: str, moment: int) -> None:
        self.same(
            lambda top: (
                os.utime(os.path.join(top, path), ns=(moment, moment)),
                os.stat(os.path.join(top, path)).st_mtime_ns,
            )
        )

    @rule(path=PATHS)
    def read(self, path: str) -> None:
        self.same(lambda top: read(os.path.join(top, path)))

    @rule(path=FOLDERS)
    def list_folder(self, path: str) -> None:
        self.same(lambda top: sorted(os.listdir(os.path.join(top, path))))

    @rule(path=PATHS)
    def describe(self, path: str) -> None:
        self.same(lambda top: described(os.path.join(top, path)))

    # Handles that stay open over other calls

    @precondition(lambda self: len(self.handles) < 4)
    @rule(path=PATHS, flags=st.sampled_from([os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_APPEND | os.O_CREAT]))
    def open_file(self, path: str, flags: int) -> None:
        opened: list[int] = []
        self.same(lambda top: opened.append(os.open(os.path.join(top, path), flags, 0o644)))
        if len(opened) == 2:
            self.handles.append((opened[0], opened[1]))

    @precondition(lambda self: self.handles)
    @rule(data=DATA, offset=st.integers(0, 100), which=st.integers(0, 3))
    def write_to_handle(self, data: bytes, offset: int, which: int) -> None:
        pair = self.handles[which % len(self.handles)]
        assert os.pwrite(pair[0], data, offset) == os.pwrite(pair[1], data, offset)

    @precondition(lambda self: self.handles)
    @rule(which=st.integers(0, 3))
    def read_from_handle(self, which: int) -> None:
        mine, plain = self.handles[which % len(self.handles)]
        assert os.pread(mine, 1000, 0) == os.pread(plain, 1000, 0)
        assert os.fstat(mine).st_size == os.fstat(plain).st_size
        assert (os.fstat(mine).st_nlink == 0) == (os.fstat(plain).st_nlink == 0)

    @precondition(lambda self: self.handles)
    @rule(which=st.integers(0, 3))
    def close_file(self, which: int) -> None:
        for descriptor in self.handles.pop(which % len(self.handles)):
            os.close(descriptor)

    # What must change nothing

    @precondition(lambda self: self.restarts < 2)
    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        self.restarts += 1
        self.close_all()
        if kill:
            self.view.kill()
        self.view.remount()
        self.compare()

    @rule()
    def commit(self) -> None:
        self.close_all()
        if self.view.control.exists():  # not when a native worktree plays the view
            commit(self.view.path, {"message": "some state", "allow_empty": True})

    @invariant()
    def listings_agree(self) -> None:
        if self.native.exists():
            assert sorted(os.listdir(self.mount)) == sorted(os.listdir(self.native))

    def close_all(self) -> None:
        for pair in self.handles:
            for descriptor in pair:
                os.close(descriptor)
        self.handles.clear()

    def compare(self) -> None:
        lines = differences(snapshot(self.native), snapshot(self.mount))
        assert not lines, "\n".join(lines)

    def teardown(self) -> None:
        self.close_all()
        try:
            self.compare()
        finally:
            for top in (self.native, self.mount):
                shutil.rmtree(top, ignore_errors=True)


def outcome(call: Callable[[str], object], top: Path) -> tuple[object, object]:
    """What a call gave, or how it failed."""
    try:
        return "gave", call(str(top))
    except OSError as failure:
        return OSError, failure.errno


def put(path: str, data: bytes, flags: int, offset: int = 0) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    try:
        if flags & os.O_APPEND:
            os.write(fd, data)
        else:
            os.pwrite(fd, data, offset)
    finally:
        os.close(fd)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def described(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    regular = stat.S_ISREG(status.st_mode)
    return (
        stat.S_IFMT(status.st_mode),
        stat.S_IMODE(status.st_mode),
        status.st_size if regular else 0,
        status.st_nlink if regular else 0,
    )


@pytest.fixture
def machine(repository: Path, tmp_path: Path, mounted) -> type[MountModel]:
    scratch = tmp_path / "native"
    scratch.mkdir()
    view = mounted(repository, tmp_path / "view")
    return type("Machine", (MountModel,), {"view": view, "scratch": scratch})


def test_a_view_behaves_as_a_directory(machine: type[MountModel]):
    examples = max(20, settings.default.max_examples // 4) if settings.default else 20
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40))
