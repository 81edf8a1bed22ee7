"""Every step of a verb may be the last before a crash, may find the disk full, or the room busy.

A verb is run again and again; each time another of its steps (a change on the real disk,
in the room, or among the view's records) fails.  After a crash the view must show the
state before or after the verb; a full disk must leave one of them, in memory and on disk
alike, and the verb must work once there is space; a busy room must not show at all.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from anvcs.rooms.errors import RoomBusy, RoomFull
from anvcs.rooms.room import Room
from anvcsfs import attributes, pending
from anvcsfs.shadows import complete_moves
from support.fake_kernel import FakeKernel
from support.kernel import RENAME_EXCHANGE

OF_ROOM = ["write", "write_object", "create_link", "remove", "mkdir", "rmdir", "rename", "rename_tree", "exchange"]
OF_ROOM += ["set_mode"]
OF_DISK = ["rename", "unlink", "mkdir", "rmdir", "symlink", "link"]
OF_RECORDS = [(attributes._Transaction, "__enter__"), (pending.Pending, "_append")]


class Crash(BaseException):
    """The process dies here."""


class Steps:
    """Counts the steps of a verb, and lets one of them fail."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.names: list[str] = []
        self.fail_at = 0
        self.failure: Callable[[str], BaseException] = Crash
        self.only = ""
        self.on = False
        for name in OF_DISK:
            patch.setattr(os, name, self._wrapped(f"disk.{name}", getattr(os, name)))
        for name in OF_ROOM:
            patch.setattr(Room, name, self._wrapped(f"room.{name}", getattr(Room, name)))
        for kind, name in OF_RECORDS:
            patch.setattr(kind, name, self._wrapped(f"records.{name}", getattr(kind, name)))

    def _wrapped(self, name: str, call: Callable) -> Callable:
        def step(*arguments: object, **options: object) -> object:
            if self.on and name.startswith(self.only):
                self.count += 1
                self.names.append(name)
                if self.count == self.fail_at:
                    self.on = False
                    raise self.failure(name)
            was, self.on = self.on, False  # what a step does inside is no step of its own
            try:
                return call(*arguments, **options)
            finally:
                self.on = was

        return step

    @contextmanager
    def running(self, fail_at: int, failure: Callable[[str], BaseException], only: str = "") -> Iterator[None]:
        self.count, self.names, self.fail_at, self.failure, self.only, self.on = 0, [], fail_at, failure, only, True
        try:
            yield
        finally:
            self.on = False


def prepare(kernel: FakeKernel) -> None:
    """Files and directories of all kinds."""
    kernel.write(b"draft.py", b"a draft\n")
    kernel.write(b"second.py", b"a second draft\n")
    kernel.write(b"noise.log", b"noise\n")
    kernel.mkdir(b"build")
    kernel.mkdir(b"build/sub")
    kernel.mkdir(b"build/none")
    kernel.write(b"build/sub/out", b"out\n")
    kernel.write(b"src/new.py", b"new\n")
    kernel.write(b"src/local.log", b"local\n")
    kernel.mkdir(b"empty")
    kernel.mkdir(b"half")
    kernel.write(b"half/local.log", b"half local\n")
    kernel.link(b"draft.py", b"same.py")


VERBS: dict[str, Callable[[FakeKernel], object]] = {
    "create": lambda kernel: kernel.write(b"fresh.py", b"fresh\n"),
    "edit": lambda kernel: kernel.write(b"main.py", b"edited\n"),
    "unlink shared": lambda kernel: kernel.unlink(b"main.py"),
    "unlink new": lambda kernel: kernel.unlink(b"second.py"),
    "unlink local": lambda kernel: kernel.unlink(b"noise.log"),
    "rename shared": lambda kernel: kernel.rename(b"main.py", b"src/moved.py"),
    "rename new": lambda kernel: kernel.rename(b"second.py", b"src/moved.py"),
    "rename local": lambda kernel: kernel.rename(b"noise.log", b"src/noise.log"),
    "rename shared over shared": lambda kernel: kernel.rename(b"main.py", b"other.py"),
    "rename shared over new": lambda kernel: kernel.rename(b"main.py", b"second.py"),
    "rename new over shared": lambda kernel: kernel.rename(b"second.py", b"main.py"),
    "rename local over shared": lambda kernel: kernel.rename(b"noise.log", b"main.py"),
    "rename local to shared": lambda kernel: kernel.rename(b"noise.log", b"noise.py"),
    "rename new to local": lambda kernel: kernel.rename(b"second.py", b"second.log"),
    "rename shared to local": lambda kernel: kernel.rename(b"main.py", b"main.log"),
    "rename shared over local": lambda kernel: kernel.rename(b"main.py", b"noise.log"),
    "rename directory over local empty": lambda kernel: kernel.rename(b"build/sub", b"build/none"),
    "rename half local directory": lambda kernel: kernel.rename(b"src", b"moved"),
    "rename directory of local files": lambda kernel: kernel.rename(b"half", b"moved"),
    "rename directory over empty": lambda kernel: kernel.rename(b"src", b"empty"),
    "rename local directory to shared": lambda kernel: kernel.rename(b"build/sub", b"shown"),
    "exchange shared": lambda kernel: kernel.rename(b"main.py", b"other.py", RENAME_EXCHANGE),
    "exchange half local directories": lambda kernel: kernel.rename(b"src", b"half", RENAME_EXCHANGE),
    "exchange with a half local directory": lambda kernel: kernel.rename(b"empty", b"src", RENAME_EXCHANGE),
    "publish": lambda kernel: kernel.call(kernel.table.publisher.publish_all),
    "mkdir": lambda kernel: kernel.mkdir(b"fresh", 0o700),
    "rmdir": lambda kernel: kernel.rmdir(b"empty"),
    "symlink": lambda kernel: kernel.symlink(b"main.py", b"fresh"),
    "link": lambda kernel: kernel.link(b"main.py", b"linked.py"),
    "chmod": lambda kernel: kernel.set(b"main.py", mode=0o100755),
}
# Two files are two steps here: both names may be there after a crash, and nothing less.
TWO_NAMES = {
    "rename new over shared",
    "rename local over shared",
    "rename shared to local",
    "rename shared over local",
    "rename new to local",
    "rename local to shared",
}

Tree = dict[bytes, tuple[int, bytes]]


def tree(kernel: FakeKernel) -> Tree:
    """Mode and content of everything."""
    found: Tree = {}
    for path in kernel.walk():
        if path.startswith((b".anvcs", b".git")) and path != b".gitignore":
            continue
        status = kernel.stat(path)
        kind = status.mode & 0o170000
        content = b""
        if kind == 0o100000:
            content = kernel.read(path)
        elif kind == 0o120000:
            content = kernel.call(lambda ino=status.ino: kernel.table.readlink(ino))
        found[path] = (status.mode, content)
    return found


def recovered(kernel: FakeKernel) -> FakeKernel:
    """What a mount does before it answers."""
    view = kernel.table.view
    complete_moves(view)
    kernel.table.publisher.recover()
    return kernel


def allowed(found: Tree, before: Tree, after: Tree, name: str) -> bool:
    if found in (before, after):
        return True
    if name == "rename local directory to shared" and found == {**before, b"shown": after[b"shown"]}:
        return True  # the directory that the room has already made
    return name in TWO_NAMES and found in ({**before, **after}, {**after, **before})


class Case:
    """One verb in a fresh view, as often as it has steps."""

    def __init__(self, make_kernel: Callable[..., FakeKernel], top: Path, steps: Steps) -> None:
        self.make_kernel, self.top, self.steps = make_kernel, top, steps

    def fresh(self) -> FakeKernel:
        kernel = self.make_kernel(publish_s=3600.0)  # closes the last one
        kernel.table.view.close()
        for name in ("view", "objects"):
            shutil.rmtree(self.top / name, ignore_errors=True)
        for file in self.top.glob("room.sqlite*"):
            file.unlink()
        return self.reopen(recover=False)

    def reopen(self, *, recover: bool = True) -> FakeKernel:
        kernel = self.make_kernel(publish_s=3600.0)
        return recovered(kernel) if recover else kernel

    def start(self, name: str) -> tuple[FakeKernel, Tree, Tree]:
        kernel = self.fresh()
        prepare(kernel)
        before = tree(kernel)
        VERBS[name](kernel)
        after = tree(kernel)
        assert tree(self.reopen()) == after
        return kernel, before, after


@pytest.fixture
def case(make_kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(make_kernel, tmp_path, Steps(monkeypatch))


@pytest.mark.parametrize("name", VERBS)
def test_a_crash_at_any_step(case: Case, name: str):
    _, before, after = case.start(name)
    for number in range(1, 40):
        kernel = case.fresh()
        prepare(kernel)
        with suppress(Crash), case.steps.running(number, Crash):
            VERBS[name](kernel)
            break
        where = f"crash before {case.steps.names[-1]} (step {number} of {case.steps.names})"
        kernel = case.reopen()
        found = tree(kernel)
        assert allowed(found, before, after, name), (where, difference(found, before, after))
        VERBS["publish"](kernel)
        assert tree(kernel) == found, where
        assert tree(case.reopen()) == found, where
    else:
        raise AssertionError("the verb never ended")


@pytest.mark.parametrize("name", VERBS)
def test_a_full_disk_at_any_step(case: Case, name: str):
    _, before, after = case.start(name)
    for number in range(1, 40):
        kernel = case.fresh()
        prepare(kernel)
        try:
            with case.steps.running(number, full):
                VERBS[name](kernel)
            if case.steps.count < number:
                break
        except RoomBusy:
            continue  # a deletion, which needs no space
        except (OSError, RoomFull):
            where = f"full at {case.steps.names[-1]} (step {number} of {case.steps.names})"
            found = tree(kernel)
            assert allowed(found, before, after, name), (where, difference(found, before, after))
            if found != after:
                with suppress(FileExistsError, FileNotFoundError):
                    VERBS[name](kernel)
                assert tree(kernel) == after, (where, difference(tree(kernel), before, after))
        else:
            where = f"full at step {number} of {case.steps.names}"
            assert tree(kernel) == after, where
        assert tree(case.reopen()) == after, (where, difference(tree(case.reopen()), before, after))
    else:
        raise AssertionError("the verb never ended")


@pytest.mark.parametrize("name", VERBS)
def test_a_busy_room_at_any_step(case: Case, name: str):
    _, before, after = case.start(name)
    for number in range(1, 20):
        kernel = case.fresh()
        prepare(kernel)
        patiently(kernel)
        with case.steps.running(number, lambda _: RoomBusy(Path("room"), None), "room."):
            VERBS[name](kernel)
        if case.steps.count < number:
            break
        where = f"busy at {case.steps.names}"
        assert tree(kernel) == after, (where, difference(tree(kernel), before, after))
        assert tree(case.reopen()) == after, where


def patiently(kernel: FakeKernel) -> None:
    """Call a verb again when the room was busy, as the adapter does."""
    once = kernel.call

    def call(verb: Callable[[], object]) -> object:
        try:
            return once(verb)
        except RoomBusy:
            return once(verb)

    kernel.call = call  # type: ignore[method-assign]


def full(name: str) -> BaseException:
    if name in ("disk.unlink", "disk.rmdir"):
        return RoomBusy(Path("room"), None)  # needs no space: see the test
    return RoomFull(Path("room")) if name.startswith("room.") else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def difference(found: Tree, before: Tree, after: Tree) -> dict[bytes, tuple[object, ...]]:
    paths = found.keys() | before.keys() | after.keys()
    return {
        path: (("is", found.get(path)), ("was", before.get(path)), ("becomes", after.get(path)))
        for path in sorted(paths)
        if not found.get(path) == before.get(path) == after.get(path)
    }
