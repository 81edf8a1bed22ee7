"""Hard links, symlinks, fifos, sockets, device nodes."""

import errno
import os
import socket
import stat
import threading

import pytest

from support.kernel import fails
from support.places import DATA, TEXT, Place


def test_a_hard_link_is_the_file(place: Place):
    os.link(place / "text", place / "second")
    assert os.path.samefile(place / "text", place / "second")
    assert os.stat(place / "text").st_nlink == os.stat(place / "second").st_nlink == 2
    with open(place / "second", "ab") as file:
        file.write(b"through the second\n")
    assert (place / "text").read_bytes() == TEXT + b"through the second\n"
    (place / "text").write_bytes(b"through the first\n")
    assert (place / "second").read_bytes() == b"through the first\n"


def test_a_hard_link_outlives_the_first_name(place: Place):
    os.link(place / "text", place / "sub" / "second")
    os.unlink(place / "text")
    assert (place / "sub" / "second").read_bytes() == TEXT
    assert os.stat(place / "sub" / "second").st_nlink == 1
    assert not (place / "text").exists()


def test_replacing_one_name_leaves_the_other(place: Place):
    os.link(place / "text", place / "second")
    (place / "temporary").write_bytes(b"replaced\n")
    os.rename(place / "temporary", place / "text")
    assert (place / "second").read_bytes() == TEXT
    assert (place / "text").read_bytes() == b"replaced\n"
    assert os.stat(place / "second").st_nlink == 1


def test_modes_and_times_are_shared_by_links(place: Place):
    os.link(place / "data", place / "second")
    os.chmod(place / "second", 0o600)
    os.utime(place / "second", ns=(5, 7_000_000_001))
    status = os.stat(place / "data")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o600, 7_000_000_001)


def test_many_links(place: Place):
    for number in range(20):
        os.link(place / "data", place / f"link{number}")
    assert os.stat(place / "data").st_nlink == 21
    for number in range(0, 20, 2):
        os.unlink(place / f"link{number}")
    assert os.stat(place / "data").st_nlink == 11
    assert (place / "link1").read_bytes() == DATA


def test_renaming_one_link_onto_another_of_the_same_file_does_nothing(place: Place):
    os.link(place / "text", place / "second")
    os.rename(place / "text", place / "second")
    assert (place / "text").exists()
    assert (place / "second").exists()


def test_a_link_of_an_open_unlinked_file_is_refused(place: Place):
    with open(place / "text", "rb") as file:
        os.unlink(place / "text")
        with fails(errno.ENOENT, errno.EXDEV):
            os.link(f"/proc/self/fd/{file.fileno()}", place / "back", follow_symlinks=True)


@pytest.mark.parametrize(
    ("source", "target", "numbers"),
    [
        ("absent", "new", [errno.ENOENT]),
        ("text", "data", [errno.EEXIST]),
        ("text", "sub", [errno.EEXIST]),
        ("sub", "new", [errno.EPERM]),
        ("text", "absent/new", [errno.ENOENT]),
        ("text", "data/new", [errno.ENOTDIR]),
        ("text", "n" * 256, [errno.ENAMETOOLONG]),
    ],
)
def test_errors_of_hard_links(place: Place, source, target, numbers):
    with fails(*numbers):
        os.link(place / source, place / target)


@pytest.mark.parametrize(
    "target", ["text", "does/not/exist", "../..", "/etc/passwd", "x" * 4095, "not-utf8-\udcff", "with\nnewline"]
)
def test_a_symlink_keeps_its_target(place: Place, target):
    os.symlink(target, place / "new")
    assert os.readlink(place / "new") == target
    assert os.lstat(place / "new").st_size == len(os.fsencode(target))
    assert stat.S_ISLNK(os.lstat(place / "new").st_mode)


def test_symlinks_are_followed(place: Place):
    assert (place / "link").read_bytes() == TEXT
    (place / "link").write_bytes(b"through the link\n")
    assert (place / "text").read_bytes() == b"through the link\n"
    assert os.readlink(place / "link") == "text"
    os.symlink("sub", place / "directory")
    assert os.listdir(place / "directory") == ["inner"]
    assert (place / "directory" / "inner").read_bytes() == b"inner\n"


def test_removing_a_symlink_leaves_its_target(place: Place):
    os.unlink(place / "link")
    assert (place / "text").read_bytes() == TEXT


def test_replacing_a_symlink_by_a_file_and_back(place: Place):
    os.unlink(place / "link")
    (place / "link").write_bytes(b"a file\n")
    assert (place / "link").read_bytes() == b"a file\n"
    os.symlink("data", place / "temporary")
    os.rename(place / "temporary", place / "link")
    assert os.readlink(place / "link") == "data"


def test_symlink_errors(place: Place):
    with fails(errno.EEXIST):
        os.symlink("x", place / "text")
    with fails(errno.EINVAL):
        os.readlink(place / "text")
    os.symlink("two", place / "one")
    os.symlink("one", place / "two")
    with fails(errno.ELOOP):
        os.stat(place / "one")


def test_a_hard_link_of_a_symlink(place: Place):
    os.link(place / "link", place / "link2", follow_symlinks=False)
    assert os.readlink(place / "link2") == "text"
    assert os.lstat(place / "link2").st_ino == os.lstat(place / "link").st_ino


def test_a_fifo_carries_bytes(place: Place):
    os.mkfifo(place / "pipe", 0o600)
    assert stat.S_ISFIFO(os.stat(place / "pipe").st_mode)
    assert stat.S_IMODE(os.stat(place / "pipe").st_mode) == 0o600
    received = []
    reader = threading.Thread(target=lambda: received.append((place / "pipe").read_bytes()))
    reader.start()
    (place / "pipe").write_bytes(b"through the pipe")
    reader.join(10)
    assert received == [b"through the pipe"]
    os.rename(place / "pipe", place / "pipe2")
    os.unlink(place / "pipe2")
    assert "pipe2" not in os.listdir(place.path)


def test_a_socket_listens(place: Place):
    before = os.getcwd()
    # A socket's address holds 107 bytes: bind by a short relative name.
    try:
        os.chdir(place.path)
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind("socket")
            server.listen()
            assert stat.S_ISSOCK(os.stat("socket").st_mode)
            client.connect("socket")
            connection, _ = server.accept()
            with connection:
                client.sendall(b"hello")
                assert connection.recv(5) == b"hello"
        os.unlink("socket")
    finally:
        os.chdir(before)
    assert not (place / "socket").exists()


def test_a_device_node_or_a_clean_refusal(place: Place):
    try:
        os.mknod(place / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError as refusal:
        number = refusal.errno
        if number not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
    else:
        assert stat.S_ISCHR(os.stat(place / "null").st_mode)


def test_mknod_makes_a_file(place: Place):
    os.mknod(place / "made", stat.S_IFREG | 0o640)
    assert (place / "made").read_bytes() == b""
    assert stat.S_IMODE(os.stat(place / "made").st_mode) == 0o640
