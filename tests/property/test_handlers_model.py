"""The handlers against a plain directory: the same requests, the same errors, the same tree.

Beside the requests there are things that must not show: the kernel forgets, new files
are published, the view is mounted again.
"""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from anvcs.errors import AnvcsError
from anvcsfs.errnos import errno_of
from support.fake_kernel import FakeKernel
from support.handlers import Remounts, make_handled_repository, write_files
from support.kernel import RENAME_EXCHANGE, RENAME_NOREPLACE
from support.kernel import rename as native_rename

pytestmark = pytest.mark.property

NAMES = [b"main.py", b"other.py", b"new.py", b"x.log", b"src", b"lib", b"build", b"link"]
INNER = [b"a.py", b"b.py", b"n.py", b"y.log", b"deep", b"build"]
paths = st.one_of(
    st.sampled_from(NAMES),
    st.builds(lambda top, name: top + b"/" + name, st.sampled_from(NAMES[4:7]), st.sampled_from(INNER)),
    st.builds(lambda top, name: top + b"/deep/" + name, st.sampled_from(NAMES[4:7]), st.sampled_from(INNER[:4])),
)
texts = st.sampled_from([b"", b"x\n", b"one\ntwo\nthree\n", b"one\nTWO\nthree\nfour\n", b"\0\1\2", b"a\n"])


class Handlers(RuleBasedStateMachine):
    """A view and its native twin."""

    repository: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="handlers-")
        top = Path(self.folder.name)
        self.twin = os.fsencode(top / "twin")
        write_files(top / "twin")
        self.remounts = Remounts(self.repository, top)
        self.kernel: FakeKernel = self.remounts(publish_s=0.0)

    def teardown(self) -> None:
        self.remounts.close()
        self.folder.cleanup()

    def native(self, path: bytes) -> bytes:
        return self.twin + b"/" + path

    def both(self, paths: list[bytes], ours, theirs) -> None:
        """Do the same at both places, unless the kernel would follow a symlink to one of *paths*.

        EXDEV is ours alone: tools then copy.
        """
        if any(self.is_below_link(path) for path in paths):
            return
        mine = _outcome(ours)
        if mine == errno.EXDEV:
            return
        assert mine == _outcome(theirs)

    @rule(path=paths, text=texts)
    def write(self, path: bytes, text: bytes) -> None:
        if self.is_link(path):
            return  # the kernel would follow it

        def native() -> None:
            with open(self.native(path), "wb") as file:
                file.write(text)

        self.both([path], lambda: self.kernel.write(path, text), native)

    @rule(path=paths, text=texts)
    def save_by_rename(self, path: bytes, text: bytes) -> None:
        directory = path.rpartition(b"/")[0]
        temporary = (directory + b"/" if directory else b"") + b"4913.tmp"
        if not os.path.isdir(self.native(directory)) or self.is_link(directory) or self.is_below_link(path):
            return
        self.write(temporary, text)
        self.rename(temporary, path, 0)
        if os.path.lexists(self.native(temporary)):
            self.unlink(temporary)

    @rule(path=paths)
    def unlink(self, path: bytes) -> None:
        self.both([path], lambda: self.kernel.unlink(path), lambda: os.unlink(self.native(path)))

    @rule(path=paths)
    def rmdir(self, path: bytes) -> None:
        self.both([path], lambda: self.kernel.rmdir(path), lambda: os.rmdir(self.native(path)))

    @rule(path=paths)
    def mkdir(self, path: bytes) -> None:
        self.both([path], lambda: self.kernel.mkdir(path), lambda: os.mkdir(self.native(path)))

    @rule(path=paths, text=st.sampled_from([b"main.py", b"nowhere"]))
    def symlink(self, path: bytes, text: bytes) -> None:
        self.both([path], lambda: self.kernel.symlink(text, path), lambda: os.symlink(text, self.native(path)))

    @rule(old=paths, new=paths)
    def link(self, old: bytes, new: bytes) -> None:
        if os.path.isdir(self.native(old)):
            return  # the kernel refuses by itself
        self.both(
            [old, new],
            lambda: self.kernel.link(old, new),
            lambda: os.link(self.native(old), self.native(new), follow_symlinks=False),
        )

    @rule(old=paths, new=paths, flags=st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE]))
    def rename(self, old: bytes, new: bytes, flags: int) -> None:
        if new.startswith(old + b"/") or old.startswith(new + b"/"):
            return  # the kernel refuses by itself, before it asks
        self.both(
            [old, new],
            lambda: self.kernel.rename(old, new, flags),
            lambda: native_rename(self.native(old), self.native(new), flags),
        )

    @rule(path=paths, mode=st.sampled_from([0o644, 0o755, 0o600, 0o444]))
    def chmod(self, path: bytes, mode: int) -> None:
        if self.is_link(path):
            return
        self.both([path], lambda: self.kernel.set(path, mode=mode), lambda: os.chmod(self.native(path), mode))

    @rule(path=paths, size=st.integers(0, 20))
    def truncate(self, path: bytes, size: int) -> None:
        if self.is_link(path):
            return
        self.both([path], lambda: self.kernel.set(path, size=size), lambda: os.truncate(self.native(path), size))

    def is_link(self, path: bytes) -> bool:
        return os.path.islink(self.native(path))

    def is_below_link(self, path: bytes) -> bool:
        while b"/" in path:
            path = path.rpartition(b"/")[0]
            if self.is_link(path):
                return True
        return False

    # What must not show

    @rule()
    def forget(self) -> None:
        self.kernel.forget_all()

    @rule()
    def publish(self) -> None:
        self.kernel.call(self.kernel.table.publisher.publish_due)

    @rule()
    def remount(self) -> None:
        self.kernel.table.finish()
        self.kernel = self.remounts(publish_s=0.0)
        self.kernel.table.publisher.recover()

    @invariant()
    def trees_are_equal(self) -> None:
        assert _seen(self.kernel) == _native(self.twin)


def _outcome(verb) -> int | None:
    """None when *verb* succeeds, else its errno."""
    try:
        verb()
    except (OSError, AnvcsError) as error:
        return errno_of(error)
    return None


def _seen(kernel: FakeKernel) -> dict[bytes, object]:
    """Every path with type, mode, content and the first path of the same inode."""
    found: dict[bytes, object] = {}
    first: dict[int, bytes] = {}

    def look(directory: bytes) -> None:
        for name in sorted(kernel.names(directory)):
            path = directory + b"/" + name if directory else name
            if name in (b".", b"..") or path == b".anvcs":
                continue
            status = kernel.stat(path)
            same = first.setdefault(status.ino, path)
            if stat.S_ISDIR(status.mode):
                found[path] = ("directory", status.nlink)
                look(path)
            elif stat.S_ISLNK(status.mode):
                found[path] = ("link", kernel.table.readlink(kernel.at(path).ino), status.nlink, same)
            else:
                data = kernel.read(path)
                assert status.size == len(data)
                found[path] = ("file", oct(status.mode), data, status.nlink, same)

    look(b"")
    return found


def _native(top: bytes) -> dict[bytes, object]:
    found: dict[bytes, object] = {}
    first: dict[int, bytes] = {}

    def look(directory: bytes) -> None:
        for name in sorted(os.listdir(top + b"/" + directory)):
            path = directory + b"/" + name if directory else name
            status = os.lstat(top + b"/" + path)
            same = first.setdefault(status.st_ino, path)
            if stat.S_ISDIR(status.st_mode):
                found[path] = ("directory", 2 + _directories(top + b"/" + path))
                look(path)
            elif stat.S_ISLNK(status.st_mode):
                found[path] = ("link", os.readlink(top + b"/" + path), status.st_nlink, same)
            else:
                with open(top + b"/" + path, "rb") as file:
                    data = file.read()
                found[path] = ("file", oct(status.st_mode), data, status.st_nlink, same)

    look(b"")
    return found


def _directories(path: bytes) -> int:
    """Not what the disk says: btrfs and others count no directories."""
    return sum(entry.is_dir(follow_symlinks=False) for entry in os.scandir(path))


def test_the_handlers_do_what_a_directory_does(tmp_path_factory: pytest.TempPathFactory):
    repository = make_handled_repository(tmp_path_factory.mktemp("model") / "repository")
    machine = type("Machine", (Handlers,), {"repository": repository})
    # A hundred requests at a time would only make failures harder to read.
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=15))
