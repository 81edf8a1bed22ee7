"""What a rename means depends on both names: shared, new and local ones in every combination."""

import errno
import os

import pytest

from anvcsfs.nodes import Place
from support.fake_kernel import FakeKernel
from support.kernel import RENAME_EXCHANGE, RENAME_NOREPLACE

SOURCES = {"shared": b"main.py", "new": b"draft.py", "local": b"noise.log"}
TARGETS = {
    "nothing shared": b"fresh.py",
    "nothing local": b"fresh.log",
    "shared": b"other.py",
    "new": b"second.py",
    "local": b"second.log",
}
TEXTS = {
    b"main.py": b"one\ntwo\nthree\n",
    b"other.py": b"other\n",
    b"draft.py": b"a draft\n",
    b"second.py": b"a second draft\n",
    b"noise.log": b"noise\n",
    b"second.log": b"more noise\n",
}
BASE = {b"main.py", b"other.py"}


def refused(number: int):
    """The request fails with errno *number*."""
    return pytest.raises(OSError, check=lambda error: error.errno == number)


@pytest.fixture
def full(kernel: FakeKernel) -> FakeKernel:
    """Files of all three kinds."""
    for name, text in TEXTS.items():
        if name not in BASE:
            kernel.write(name, text)
    return kernel


def statuses(kernel: FakeKernel) -> dict[bytes, str]:
    """What a commit would say of each changed path."""
    return {change.path: change.status for change in kernel.table.view.room.changes()}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_file_takes_its_new_name(full: FakeKernel, source: str, target: str):
    old, new = SOURCES[source], TARGETS[target]
    before = full.at(old)
    replaced = full.find(new)
    seen = full.open(new) if replaced else None
    full.rename(old, new)
    assert full.at(new) is before
    if seen is not None:
        assert full.get(seen) == TEXTS[new]  # an open file is what it was
        full.close(seen)
    _check_renamed(full, old, new, before.ino)
    full.forget_all()  # as after a remount: only the room and the disk tell
    _check_renamed(full, old, new, before.ino)
    full.table.publisher.publish_all()
    full.forget_all()
    _check_renamed(full, old, new, None)
    assert not list(full.table.view.pending)


def _check_renamed(kernel: FakeKernel, old: bytes, new: bytes, ino: int | None) -> None:
    names = kernel.names()
    assert new in names
    assert old not in names
    assert kernel.find(old) is None
    assert kernel.read(new) == TEXTS[old]
    assert kernel.stat(new).size == len(TEXTS[old])
    # What changes sides gets the number of its new side once it has been forgotten.
    if ino is not None and kernel.at(new).place is Place.SHARED and old in BASE:
        assert kernel.stat(new).ino == ino


@pytest.mark.parametrize(
    ("source", "target", "place"),
    [
        ("shared", "nothing shared", Place.SHARED),
        ("shared", "nothing local", Place.LOCAL),
        ("shared", "shared", Place.SHARED),
        ("shared", "new", Place.SHARED),
        ("shared", "local", Place.LOCAL),
        ("new", "nothing shared", Place.PENDING),
        ("new", "nothing local", Place.LOCAL),
        ("new", "shared", Place.SHARED),
        ("new", "new", Place.PENDING),
        ("new", "local", Place.LOCAL),
        ("local", "nothing shared", Place.PENDING),
        ("local", "nothing local", Place.LOCAL),
        ("local", "shared", Place.SHARED),
        ("local", "new", Place.PENDING),
        ("local", "local", Place.LOCAL),
    ],
)
def test_the_new_name_decides_the_side(full: FakeKernel, source: str, target: str, place: Place):
    old, new = SOURCES[source], TARGETS[target]
    full.rename(old, new)
    assert full.at(new).place is place
    expected = {}
    if old in BASE:
        expected[old] = "D"
    if new in BASE:
        expected[new] = "M"
    if place is Place.SHARED and new not in BASE:
        expected[new] = "A"
    assert statuses(full) == expected
    assert (new in full.table.view.pending) == (place is Place.PENDING)
    assert old not in full.table.view.pending


def test_a_temporary_renamed_over_a_file_is_one_edit_of_it(full: FakeKernel):
    room = full.table.view.room
    before = room.seq
    full.write(b"main.py.tmp", b"one\nTWO\nthree\n")
    full.rename(b"main.py.tmp", b"main.py")
    assert [(op.kind, op.path) for op in room.ops(before)] == [("edit", b"main.py")]
    assert statuses(full) == {b"main.py": "M"}


def test_an_open_writer_follows_its_file_over_the_border(full: FakeKernel):
    handle = full.open(b"draft.py", os.O_RDWR)
    full.put(handle, b"A DRAFT\n")
    full.rename(b"draft.py", b"other.py")
    full.put(handle, b"b")
    full.close(handle)
    full.forget_all()
    assert full.read(b"other.py") == b"b DRAFT\n"


def test_flags_are_respected(full: FakeKernel):
    with refused(errno.EEXIST):
        full.rename(b"main.py", b"other.py", RENAME_NOREPLACE)
    with refused(errno.ENOENT):
        full.rename(b"main.py", b"nothing", RENAME_EXCHANGE)
    with refused(errno.ENOENT):
        full.rename(b"nothing", b"main.py")
    full.rename(b"main.py", b"main.py")
    assert full.read(b"main.py") == TEXTS[b"main.py"]


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in SOURCES for b in ("shared", "new", "local")])
def test_exchange_stays_on_one_side(full: FakeKernel, first: str, second: str):
    one, two = SOURCES[first], TARGETS[second]
    if (first == "local") != (second == "local"):
        with refused(errno.EXDEV):
            full.rename(one, two, RENAME_EXCHANGE)
        expected = TEXTS[one], TEXTS[two]
        assert statuses(full) == {}
    else:
        full.rename(one, two, RENAME_EXCHANGE)
        expected = TEXTS[two], TEXTS[one]
    for _ in range(2):
        assert (full.read(one), full.read(two)) == expected
        full.forget_all()


def test_rules_hold_from_the_moment_their_file_has_its_name(full: FakeKernel):
    def ignored(name: bytes) -> bool:
        return full.table.view.skeleton.ignored(name, False)

    full.write(b"rules", b"*.tmp\n")
    full.rename(b"rules", b".gitignore")
    assert ignored(b"x.tmp")
    assert not ignored(b"x.log")
    full.rename(b".gitignore", b"rules")
    assert not ignored(b"x.tmp")
    full.write(b".gitignore", b"*.bak\n")
    full.rename(b"rules", b".gitignore", RENAME_EXCHANGE)
    assert ignored(b"x.tmp")
    assert not ignored(b"x.bak")


def test_a_directory_takes_its_rules_along(full: FakeKernel):
    full.write(b"src/.gitignore", b"*.tmp\n")
    full.rename(b"src", b"lib")
    full.mkdir(b"src")
    full.write(b"src/x.tmp", b"x")
    full.write(b"lib/x.tmp", b"x")
    assert full.at(b"src/x.tmp").place is Place.PENDING
    assert full.at(b"lib/x.tmp").place is Place.LOCAL


# Directories


def test_a_directory_moves_with_all_that_is_in_it(full: FakeKernel):
    full.write(b"src/new.py", b"new\n")
    full.write(b"src/noise.log", b"noise\n")
    full.write(b"src/a.py", b"changed\n")
    inner = full.at(b"src/deep/c.py").ino
    full.rename(b"src", b"lib")
    full.table.publisher.publish_all()
    for _ in range(2):
        assert full.find(b"src") is None
        assert sorted(full.names(b"lib")) == [b".", b"..", b"a.py", b"b.py", b"deep", b"new.py", b"noise.log"]
        assert [full.read(b"lib/" + name) for name in (b"a.py", b"new.py", b"noise.log")] == [
            b"changed\n",
            b"new\n",
            b"noise\n",
        ]
        assert full.stat(b"lib/deep/c.py").ino == inner
        full.rename(b"lib", b"src2")
        full.rename(b"src2", b"lib")


def test_a_directory_moves_over_an_empty_one_only(full: FakeKernel):
    full.mkdir(b"empty")
    full.rename(b"src", b"empty")
    assert full.read(b"empty/a.py") == b"a\n"
    full.mkdir(b"full")
    full.write(b"full/x", b"x")
    with refused(errno.ENOTEMPTY):
        full.rename(b"empty", b"full")


def test_a_directory_is_no_file(full: FakeKernel):
    with refused(errno.EISDIR):
        full.rename(b"main.py", b"src")
    with refused(errno.ENOTDIR):
        full.rename(b"src", b"main.py")
    with refused(errno.EINVAL):
        full.rename(b"src", b"src/deep/inside")


def test_a_shared_directory_is_copied_and_not_moved_to_an_ignored_name(full: FakeKernel):
    with refused(errno.EXDEV):
        full.rename(b"src", b"build")


def test_a_local_directory_with_a_shared_name_is_shared(full: FakeKernel):
    full.mkdir(b"build")
    full.mkdir(b"build/inner")
    full.write(b"build/inner/x.py", b"x\n")
    full.write(b"build/x.log", b"x\n")
    full.rename(b"build", b"made")
    assert full.at(b"made/inner/x.py").place is Place.PENDING
    assert full.at(b"made/x.log").place is Place.LOCAL
    full.table.publisher.publish_all()
    assert statuses(full)[b"made/inner/x.py"] == "A"
    assert b"made/x.log" not in statuses(full)
    full.forget_all()
    assert full.read(b"made/inner/x.py") == b"x\n"
    assert full.read(b"made/x.log") == b"x\n"
