"""Modes, owners, times, sizes, statfs and extended attributes."""

import errno
import os
import stat
import time

import pytest

from support.kernel import fails
from support.places import DATA, TEXT, Place

NS = 1_234_567_890_123_456_789


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.mark.parametrize("wanted", [0o000, 0o400, 0o600, 0o640, 0o644, 0o700, 0o755, 0o777, 0o4755, 0o2755])
@pytest.mark.parametrize("target", ["text", "run"])
def test_modes_of_files(place: Place, target, wanted):
    os.chmod(place / target, wanted)
    assert mode(place / target) == wanted
    os.chmod(place / target, 0o644)
    assert mode(place / target) == 0o644


@pytest.mark.parametrize("wanted", [0o700, 0o750, 0o777, 0o1777, 0o2755])
def test_modes_of_directories(place: Place, wanted):
    os.chmod(place / "sub", wanted)
    assert mode(place / "sub") == wanted
    assert os.listdir(place / "sub") == ["inner"]


def test_mode_through_a_handle(place: Place):
    with open(place / "text", "rb") as file:
        os.fchmod(file.fileno(), 0o751)
        assert os.fstat(file.fileno()).st_mode & 0o7777 == 0o751
    assert mode(place / "text") == 0o751


def test_mode_survives_writing(place: Place):
    os.chmod(place / "text", 0o640)
    with open(place / "text", "ab") as file:
        file.write(b"more\n")
    assert mode(place / "text") == 0o640
    (place / "text").write_bytes(b"other\n")
    assert mode(place / "text") == 0o640


def test_a_write_removes_set_id_bits(place: Place):
    """Only an ordinary user loses them; root keeps its privilege on every file system."""
    os.chmod(place / "run", 0o4755)
    with open(place / "run", "ab") as file:
        file.write(b"# more\n")
    assert mode(place / "run") in ((0o4755,) if os.geteuid() == 0 else (0o755,))


@pytest.mark.parametrize("target", ["text", "data", "empty", "run", "sub"])
def test_times_in_nanoseconds(place: Place, target):
    os.utime(place / target, ns=(NS + 7, NS))
    status = os.stat(place / target)
    assert status.st_mtime_ns == NS
    if place.kind == "native":
        assert status.st_atime_ns == NS + 7


@pytest.mark.parametrize("moment", [0, 1, -1_000_000_000, 4_000_000_000_000_000_000])
def test_times_of_any_age(place: Place, moment):
    os.utime(place / "text", ns=(moment, moment))
    assert os.stat(place / "text").st_mtime_ns == moment


def test_times_of_a_link_itself(place: Place):
    os.utime(place / "link", ns=(NS, NS), follow_symlinks=False)
    assert os.lstat(place / "link").st_mtime_ns == NS
    assert os.stat(place / "text").st_mtime_ns != NS


def test_times_through_a_handle(place: Place):
    with open(place / "text", "rb") as file:
        os.utime(file.fileno(), ns=(NS, NS))
    assert os.stat(place / "text").st_mtime_ns == NS


def test_setting_the_time_to_now(place: Place):
    os.utime(place / "text", ns=(NS, NS))
    before = time.time_ns()
    os.utime(place / "text")
    assert os.stat(place / "text").st_mtime_ns >= before - 20_000_000


def test_a_time_that_was_set_survives_the_close(place: Place):
    """As tar and rsync do it: write, set the time on the handle, close."""
    with open(place / "fresh", "wb", buffering=0) as file:
        file.write(b"content\n")
        os.utime(file.fileno(), ns=(NS, NS))
    assert os.stat(place / "fresh").st_mtime_ns == NS
    assert (place / "fresh").read_bytes() == b"content\n"
    assert os.stat(place / "fresh").st_mtime_ns == NS


def test_writing_moves_the_times(place: Place):
    os.utime(place / "text", ns=(NS, NS))
    before = os.stat(place / "text").st_ctime_ns
    with open(place / "text", "ab") as file:
        file.write(b"more\n")
    status = os.stat(place / "text")
    assert status.st_mtime_ns > NS
    assert status.st_ctime_ns >= before


def test_truncating_moves_the_times(place: Place):
    for size in (3, 3, 10):
        os.utime(place / "text", ns=(NS, NS))
        os.truncate(place / "text", size)
        assert os.stat(place / "text").st_mtime_ns > NS


def test_changing_the_mode_moves_only_ctime(place: Place):
    os.utime(place / "text", ns=(NS, NS))
    before = os.stat(place / "text").st_ctime_ns
    os.chmod(place / "text", 0o600)
    status = os.stat(place / "text")
    assert status.st_mtime_ns == NS
    assert status.st_ctime_ns >= before


def test_reading_moves_no_mtime(place: Place):
    os.utime(place / "text", ns=(NS, NS))
    assert (place / "text").read_bytes() == TEXT
    assert os.stat(place / "text").st_mtime_ns == NS


def test_times_are_stable(place: Place):
    first = os.stat(place / "data").st_mtime_ns
    (place / "other").write_bytes(b"x")
    assert (place / "data").read_bytes() == DATA
    assert os.stat(place / "data").st_mtime_ns == first


def test_sizes_and_blocks(place: Place):
    assert os.stat(place / "data").st_size == len(DATA)
    assert os.lstat(place / "link").st_size == 4
    with open(place / "data", "ab") as file:
        file.write(bytes(100_000))
    status = os.stat(place / "data")
    assert status.st_size == len(DATA) + 100_000
    # `du` and `tar --sparse` read st_blocks: 0 for a file with content makes them think it is a hole.
    assert status.st_blocks > 0


def test_file_system_figures(place: Place):
    figures = os.statvfs(place.path)
    assert figures.f_namemax == 255
    assert figures.f_bsize > 0
    assert figures.f_blocks >= figures.f_bfree >= figures.f_bavail > 0
    assert os.pathconf(place.path, "PC_NAME_MAX") == 255


def test_access(place: Place):
    assert os.access(place / "run", os.X_OK)
    assert not os.access(place / "text", os.X_OK)
    assert os.access(place / "text", os.R_OK | os.W_OK)
    assert not os.access(place / "absent", os.F_OK)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("target", ["text", "sub", "link"])
def test_owners(place: Place, target):
    os.chown(place / target, 12345, 54321, follow_symlinks=False)
    status = os.lstat(place / target)
    assert (status.st_uid, status.st_gid) == (12345, 54321)
    os.chown(place / target, -1, 777, follow_symlinks=False)
    status = os.lstat(place / target)
    assert (status.st_uid, status.st_gid) == (12345, 777)


def test_files_belong_to_us(place: Place):
    """Otherwise Git speaks of dubious ownership."""
    for name in ("text", "sub", "link"):
        status = os.lstat(place / name)
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize("target", ["text", "sub"])
def test_extended_attributes(place: Place, target):
    os.setxattr(place / target, "user.anvcs.one", b"value\0with zero")
    os.setxattr(place / target, "user.two", b"")
    assert os.getxattr(place / target, "user.anvcs.one") == b"value\0with zero"
    assert set(os.listxattr(place / target)) >= {"user.anvcs.one", "user.two"}
    os.setxattr(place / target, "user.two", b"longer", os.XATTR_REPLACE)
    assert os.getxattr(place / target, "user.two") == b"longer"
    os.removexattr(place / target, "user.two")
    assert "user.two" not in os.listxattr(place / target)


def test_errors_of_extended_attributes(place: Place):
    with fails(errno.ENODATA):
        os.getxattr(place / "text", "user.absent")
    with fails(errno.ENODATA):
        os.removexattr(place / "text", "user.absent")
    with fails(errno.ENODATA):
        os.setxattr(place / "text", "user.absent", b"", os.XATTR_REPLACE)
    os.setxattr(place / "text", "user.there", b"")
    with fails(errno.EEXIST):
        os.setxattr(place / "text", "user.there", b"x", os.XATTR_CREATE)
    with fails(errno.EOPNOTSUPP):
        os.setxattr(place / "text", "nonsense.name", b"x")


def test_extended_attributes_follow_a_rename(place: Place):
    os.setxattr(place / "text", "user.kept", b"yes")
    os.rename(place / "text", place / "sub" / "moved")
    assert os.getxattr(place / "sub" / "moved", "user.kept") == b"yes"
    (place / "text").write_bytes(b"new")
    assert "user.kept" not in os.listxattr(place / "text")


def test_inode_numbers_are_stable_and_distinct(place: Place):
    numbers = {name: os.lstat(place / name).st_ino for name in os.listdir(place.path)}
    assert len(set(numbers.values())) == len(numbers)
    assert 0 not in numbers.values()
    assert len({os.lstat(place / name).st_dev for name in numbers}) == 1
    (place / "text").write_bytes(b"changed")
    assert os.lstat(place / "text").st_ino == numbers["text"]
