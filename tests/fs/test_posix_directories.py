"""Directories: making, removing, listing while they change, their counts and times."""

import errno
import os
import stat
import subprocess
import time

import pytest

from support.kernel import fails
from support.places import Place


def test_make_and_remove(place: Place):
    os.mkdir(place / "new", 0o750)
    assert stat.S_IMODE(os.stat(place / "new").st_mode) == 0o750
    assert os.listdir(place / "new") == []
    os.rmdir(place / "new")
    assert not (place / "new").exists()


@pytest.mark.parametrize("mask", [0o027, 0])
def test_umask_binds(place: Place, mask):
    before = os.umask(mask)
    try:
        os.mkdir(place / "new", 0o777)
        os.close(os.open(place / "file", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mknod(place / "node", stat.S_IFREG | 0o666)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(place / "new").st_mode) == 0o777 & ~mask
    assert stat.S_IMODE(os.stat(place / "file").st_mode) == 0o666 & ~mask
    assert stat.S_IMODE(os.stat(place / "node").st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("call", "target", "number"),
    [
        (os.mkdir, "text", errno.EEXIST),
        (os.mkdir, "sub", errno.EEXIST),
        (os.mkdir, "link", errno.EEXIST),
        (os.mkdir, "absent/below", errno.ENOENT),
        (os.mkdir, "text/below", errno.ENOTDIR),
        (os.mkdir, "n" * 256, errno.ENAMETOOLONG),
        (os.rmdir, "sub", errno.ENOTEMPTY),
        (os.rmdir, "text", errno.ENOTDIR),
        (os.rmdir, "link", errno.ENOTDIR),
        (os.rmdir, "absent", errno.ENOENT),
        (os.rmdir, "sub/.", errno.EINVAL),
        (os.unlink, "sub", errno.EISDIR),
        (os.unlink, "absent", errno.ENOENT),
        (os.unlink, "text/below", errno.ENOTDIR),
        (os.listdir, "text", errno.ENOTDIR),
        (os.listdir, "absent", errno.ENOENT),
    ],
)
def test_errors(place: Place, call, target, number):
    with fails(number):
        call(f"{place.path}/{target}")


def test_a_listing_agrees_with_stat(place: Place):
    with os.scandir(place.path) as entries:
        for entry in entries:
            status = os.lstat(entry.path)
            assert entry.inode() == status.st_ino
            assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(status.st_mode)
            assert entry.is_file(follow_symlinks=False) == stat.S_ISREG(status.st_mode)
            assert entry.is_symlink() == stat.S_ISLNK(status.st_mode)


def test_a_listing_has_dot_and_dotdot(place: Place):
    listed = subprocess.run(["ls", "-ai", place.path], capture_output=True, text=True, check=True).stdout.split()
    numbers = dict(zip(listed[1::2], listed[::2], strict=True))
    assert numbers["."] == str(os.stat(place.path).st_ino)
    assert numbers[".."] == str(os.stat(place.path.parent).st_ino)


def test_a_large_directory(place: Place):
    names = {f"file-with-a-rather-long-name-{number:05}" for number in range(1200)}
    (place / "large").mkdir()
    for name in names:
        os.close(os.open(place / "large" / name, os.O_CREAT | os.O_WRONLY, 0o644))
    listed = os.listdir(place / "large")
    assert len(listed) == len(names)
    assert set(listed) == names


def test_deleting_during_a_listing(place: Place):
    """A cookie stays valid while names before and after it vanish: none is skipped, none comes twice."""
    (place / "many").mkdir()
    for number in range(700):
        (place / "many" / f"{number:04}-{'x' * 60}").write_bytes(b"")
    seen = []
    with os.scandir(place / "many") as entries:
        for entry in entries:
            seen.append(entry.name)
            os.unlink(entry.path)
    assert len(seen) == len(set(seen)) == 700
    os.rmdir(place / "many")


def test_creating_during_a_listing(place: Place):
    (place / "many").mkdir()
    first = {f"{number:04}-{'x' * 60}" for number in range(500)}
    for name in first:
        (place / "many" / name).write_bytes(b"")
    seen = []
    with os.scandir(place / "many") as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number < 200:
                (place / "many" / f"late-{number}").write_bytes(b"")
    assert first <= set(seen)
    assert len(seen) == len(set(seen))
    assert len(os.listdir(place / "many")) == 700


def test_renaming_during_a_listing(place: Place):
    (place / "many").mkdir()
    for number in range(300):
        (place / "many" / f"{number:04}-{'x' * 60}").write_bytes(b"")
    with os.scandir(place / "many") as entries:
        for entry in list(entries)[:150]:
            os.rename(entry.path, place / "many" / ("moved-" + entry.name))
    assert len(os.listdir(place / "many")) == 300


def test_a_listing_is_fresh_each_time(place: Place):
    for number in range(5):
        (place / "sub" / f"{number}").write_bytes(b"")
        assert len(os.listdir(place / "sub")) == number + 2
    for number in range(5):
        os.unlink(place / "sub" / f"{number}")
        assert len(os.listdir(place / "sub")) == 5 - number
        assert not (place / "sub" / f"{number}").exists()


def test_an_open_directory_sees_changes_after_rewinding(place: Place):
    fd = os.open(place / "sub", os.O_RDONLY | os.O_DIRECTORY)
    assert os.listdir(fd) == ["inner"]
    (place / "sub" / "later").write_bytes(b"")
    assert sorted(os.listdir(fd)) == ["inner", "later"]
    os.unlink("inner", dir_fd=fd)
    os.close(fd)
    assert os.listdir(place / "sub") == ["later"]


def test_remove_and_make_again(place: Place):
    for _ in range(3):
        os.unlink(place / "sub" / "inner")
        os.rmdir(place / "sub")
        assert not (place / "sub").exists()
        os.mkdir(place / "sub")
        assert os.listdir(place / "sub") == []
        (place / "sub" / "inner").write_bytes(b"again\n")
    assert (place / "sub" / "inner").read_bytes() == b"again\n"


def test_a_file_where_a_directory_was(place: Place):
    os.unlink(place / "sub" / "inner")
    os.rmdir(place / "sub")
    (place / "sub").write_bytes(b"a file now")
    assert (place / "sub").read_bytes() == b"a file now"
    os.unlink(place / "text")
    os.mkdir(place / "text")
    (place / "text" / "below").write_bytes(b"below")
    assert (place / "text" / "below").read_bytes() == b"below"


def test_a_removed_directory_somebody_stands_in(place: Place):
    before = os.getcwd()
    (place / "gone").mkdir()
    try:
        os.chdir(place / "gone")
        os.rmdir(place / "gone")
        assert os.listdir(".") == []
        with fails(errno.ENOENT):
            os.open("file", os.O_CREAT | os.O_WRONLY, 0o644)
    finally:
        os.chdir(before)


def test_an_empty_directory_stays(place: Place):
    os.unlink(place / "sub" / "inner")
    assert os.listdir(place / "sub") == []
    assert (place / "sub").is_dir()


def test_link_counts(place: Place):
    def links():
        return os.stat(place.path).st_nlink

    before = links()
    os.mkdir(place / "one")
    assert links() == before + 1
    os.mkdir(place / "one" / "below")
    assert (links(), os.stat(place / "one").st_nlink) == (before + 1, 3)
    os.rename(place / "one" / "below", place / "two")
    assert (links(), os.stat(place / "one").st_nlink) == (before + 2, 2)
    os.rmdir(place / "one")
    os.rmdir(place / "two")
    assert links() == before


_COARSE = 5  # CLOCK_REALTIME_COARSE of <time.h>


def _tick() -> None:
    """Let the clock that stamps files move on: coarse kernel clocks step every few milliseconds."""
    start = time.clock_gettime_ns(_COARSE)
    while time.clock_gettime_ns(_COARSE) == start:
        pass


CHANGES = {
    "create": lambda top: (top / "new").write_bytes(b""),
    "unlink": lambda top: os.unlink(top / "text"),
    "mkdir": lambda top: os.mkdir(top / "new"),
    "rename away": lambda top: os.rename(top / "text", top / "sub" / "text"),
    "rename in": lambda top: os.rename(top / "sub" / "inner", top / "inner"),
    "rename here": lambda top: os.rename(top / "text", top / "other"),
    "symlink": lambda top: os.symlink("x", top / "new"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_times_follow_changes(place: Place, change):
    before = os.stat(place.path)
    _tick()
    CHANGES[change](place.path)
    after = os.stat(place.path)
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns


def test_time_stays_when_only_a_file_changes(place: Place):
    before = os.stat(place.path).st_mtime_ns
    _tick()
    (place / "text").write_bytes(b"changed")
    os.chmod(place / "text", 0o600)
    assert os.stat(place.path).st_mtime_ns == before


def test_renamed_directories_know_their_parent(place: Place):
    os.mkdir(place / "other")
    os.rename(place / "sub", place / "other" / "sub")
    fd = os.open(place / "other" / "sub", os.O_RDONLY)
    assert os.stat("..", dir_fd=fd).st_ino == os.stat(place / "other").st_ino
    os.close(fd)


def test_remove_tree(place: Place):
    subprocess.run(["cp", "-a", place.path, place / "copy"], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", place / "copy", place / "sub"], check=True)
    assert sorted(os.listdir(place.path)) == ["data", "empty", "link", "run", "text"]
