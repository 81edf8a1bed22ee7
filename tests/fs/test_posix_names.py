"""Names are bytes: whatever Linux allows works and comes back as it was."""

import errno
import os
import subprocess

import pytest

from support.places import TEXT, Place
from support.repositories import ODD_NAMES

NAMES = [
    *ODD_NAMES,
    b"...",
    b"\x01\x7f",
    b"con:aux?*|<>",
    "\u202ertl".encode(),
    b".hidden",
    b"%2Fencoded",
    b"a" * 254 + b"\xff",
]


@pytest.fixture(params=NAMES, ids=[ascii(name[:12]) for name in NAMES])
def odd(request, place: Place):
    return os.fsencode(place.path) + b"/" + request.param


def test_files(odd, place: Place):
    with open(odd, "wb") as file:
        file.write(b"content\n")
    assert os.path.basename(odd) in os.listdir(os.fsencode(place.path))
    with open(odd, "rb") as file:
        assert file.read() == b"content\n"
    os.rename(odd, os.fsencode(place / "plain"))
    assert (place / "plain").read_bytes() == b"content\n"
    os.rename(os.fsencode(place / "text"), odd)
    assert os.stat(odd).st_size == len(TEXT)
    os.unlink(odd)
    assert not os.path.lexists(odd)


def test_directories_and_links(odd, place: Place):
    os.mkdir(odd)
    with open(odd + b"/below", "wb") as file:
        file.write(b"below\n")
    assert os.listdir(odd) == [b"below"]
    os.symlink(os.path.basename(odd), os.fsencode(place / "to"))
    assert os.readlink(os.fsencode(place / "to")) == os.path.basename(odd)
    assert (place / "to" / "below").read_bytes() == b"below\n"
    subprocess.run([b"rm", b"-rf", b"--", odd], check=True)
    assert not os.path.lexists(odd)


def test_names_that_look_alike_are_different(place: Place):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name in (composed, decomposed, "Cafe", "cafe"):
        (place / name).write_text(name)
    for name in (composed, decomposed, "Cafe", "cafe"):
        assert (place / name).read_text() == name


def descend(place: Place, levels: int) -> int:
    """Make directories inside one another, step by step; a descriptor of the deepest."""
    fd = os.open(place.path, os.O_RDONLY)
    try:
        for _ in range(levels):
            os.mkdir("d" * 250, dir_fd=fd)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
    except OSError:
        os.close(fd)
        raise
    return fd


def test_a_long_path(place: Place):
    fd = descend(place, 12)
    bottom = os.open("bottom", os.O_CREAT | os.O_RDWR, 0o644, dir_fd=fd)
    os.write(bottom, b"deep")
    assert os.pread(bottom, 4, 0) == b"deep"
    os.close(bottom)
    os.close(fd)
    path = place.path.joinpath(*["d" * 250] * 12, "bottom")
    assert path.read_bytes() == b"deep"
    subprocess.run(["rm", "-rf", place / ("d" * 250)], check=True)
    assert not (place / ("d" * 250)).exists()


def test_a_path_beyond_the_limit_works_or_is_refused(place: Place):
    """Git cannot hold a path of more than PATH_MAX; a view may say so, by the right name."""
    try:
        os.close(descend(place, 20))
    except OSError as refusal:
        if refusal.errno != errno.ENAMETOOLONG or not place.is_view:
            raise
    subprocess.run(["rm", "-rf", place / ("d" * 250)], check=True)
    assert not (place / ("d" * 250)).exists()
