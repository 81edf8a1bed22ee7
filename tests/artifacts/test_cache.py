"""The cache holds verified bytes, and never lets go of what somebody needs."""

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from anvcs.artifacts.cache import SMALL, ContentCache
from anvcs.artifacts.errors import CacheFull, DigestMismatch


def fill(cache: ContentCache, count: int, size: int = 1000) -> list[str]:
    """*count* contents, the first the least recently used."""
    found = []
    for number in range(count):
        found.append(cache.take_chunks([b"%04d" % number + bytes(size - 4)]).sha256)
        cache.release(found[-1])
        os.utime(cache.path(found[-1]), (1000 + number, 1000 + number))
    return found


@pytest.fixture
def cache(tmp_path):
    return ContentCache(tmp_path / "cache")


def test_what_is_taken_is_found(cache, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 << 20))
    digests = cache.take(file)
    assert digests.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert digests.size == 3 << 20
    with cache.open(digests.sha256) as lease:
        assert lease.read(5, 100) == file.read_bytes()[5:105]
        assert lease.size == 3 << 20
    assert cache.path(digests.sha256).stat().st_mode & 0o777 == 0o444
    assert list((cache.root / "tmp").iterdir()) == []


def test_what_is_absent_is_none(cache):
    assert cache.open("0" * 64) is None


def test_the_least_recently_used_goes_first(cache):
    contents = fill(cache, 5)
    cache.open(contents[0]).close()  # now the newest
    done = cache.shrink(2000)
    assert (done.files, done.freed, done.kept) == (3, 3000, 0)
    assert [cache.has(one) for one in contents] == [True, False, False, False, True]


def test_the_limit_is_kept_by_itself(tmp_path):
    cache = ContentCache(tmp_path, limit=10_000)
    fill(cache, 40)
    assert sum(entry.size for entry in cache.entries()) <= 10_000


def test_what_is_open_stays(cache):
    contents = fill(cache, 3)
    with cache.open(contents[0]), cache.open(contents[0]):
        done = cache.shrink(0)
        assert (done.files, done.kept) == (2, 1000)
        assert cache.has(contents[0])
        assert cache.evict(contents[0]) == 0
    assert cache.evict(contents[0]) == 1000


def test_what_is_needed_stays(tmp_path):
    needed: set[str] = set()
    cache = ContentCache(tmp_path, needed=needed.__contains__)
    contents = fill(cache, 3)
    needed.add(contents[1])
    cache.shrink(0)
    assert [cache.has(one) for one in contents] == [False, True, False]


def test_what_was_made_here_stays_until_it_is_uploaded(cache):
    content = cache.take_chunks([b"made here"]).sha256
    assert cache.shrink(0).kept == 9
    cache.release(content)
    assert cache.evict(content) == 9


def test_a_hold_that_nobody_released_ends(cache):
    content = cache.take_chunks([b"made here"]).sha256
    (hold,) = (cache.root / "holds").iterdir()
    os.utime(hold, (0, 0))
    cache.clean()
    assert not hold.exists()
    assert cache.evict(content) == 9


HOLDER = """
import sys
from pathlib import Path
from anvcs.artifacts.cache import ContentCache
lease = ContentCache(Path(sys.argv[1])).open(sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


def test_another_process_that_has_it_open_keeps_it_until_it_dies(cache):
    (content,) = fill(cache, 1)
    command = [sys.executable, "-c", HOLDER, cache.root, content]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        assert cache.evict(content) == 0
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert cache.evict(content) == 1000


def test_a_small_file_that_is_not_what_it_was_is_absent(cache):
    (content,) = fill(cache, 1)
    path = cache.path(content)
    path.chmod(0o644)
    path.write_bytes(b"")  # what a power loss leaves
    assert cache.open(content) is None
    assert not path.exists()


def test_verify_finds_damage_in_a_large_file(cache):
    content = cache.take_chunks([os.urandom(SMALL + 1)]).sha256
    assert cache.verify(content)
    path = cache.path(content)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"damage")
    assert not cache.verify(content)
    assert not cache.has(content)


def test_a_link_is_verified(cache, tmp_path):
    cache.root.mkdir()
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    with pytest.raises(DigestMismatch):
        cache.link(file, "0" * 64)
    digest = hashlib.sha256(b"abc").hexdigest()
    assert cache.link(file, digest)
    with cache.open(digest) as lease:
        assert lease.read(0, 10) == b"abc"


def test_a_full_disk_is_told_and_leaves_nothing(cache):
    def chunks():
        yield b"some"
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(CacheFull):
        cache.take_chunks(chunks())
    assert list(cache.entries()) == []
    assert list((cache.root / "tmp").iterdir()) == []
