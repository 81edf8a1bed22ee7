"""What was fetched has its name before it is on the disk, and is doubted after a power loss."""

import os

import pytest

from anvcs.artifacts.cache import SMALL, ContentCache
from anvcs.artifacts.pieces import digest_chunks

LARGE = SMALL + 1


@pytest.fixture
def cache(tmp_path):
    return ContentCache(tmp_path / "cache")


def fetch(cache: ContentCache, data: bytes) -> str:
    scratch = cache.scratch()
    scratch.write_bytes(data)
    digest = digest_chunks([data]).sha256
    cache.publish(scratch, digest, fetched=True).close()
    return digest


def power_loss(cache: ContentCache) -> ContentCache:
    """The machine boots again."""
    for note in (cache.root / "unsettled").glob("*"):
        note.write_text("another boot")
    return ContentCache(cache.root)


def damage(cache: ContentCache, digest: str) -> None:
    path = cache.path(digest)
    path.chmod(0o600)
    path.write_bytes(bytes(path.stat().st_size))


def test_what_did_not_reach_the_disk_is_absent_after_a_power_loss(cache):
    lost, good = fetch(cache, os.urandom(LARGE)), fetch(cache, os.urandom(LARGE))
    damage(cache, lost)
    cache = power_loss(cache)
    assert cache.open(lost) is None
    assert not cache.has(lost)
    cache.open(good).close()
    assert not cache.unsettled


def test_within_a_boot_nothing_is_doubted(cache):
    digest = fetch(cache, os.urandom(LARGE))
    damage(cache, digest)  # it would be noticed
    ContentCache(cache.root).open(digest).close()


def test_what_is_settled_is_not_doubted(cache, monkeypatch):
    synced = []
    real = os.fsync
    digest = fetch(cache, os.urandom(LARGE))
    gone = fetch(cache, os.urandom(LARGE))
    cache.evict(gone)
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd)))
    assert cache.unsettled.settle() == 2
    assert synced == [cache.path(digest).stat().st_ino]
    assert cache.unsettled.settle() == 0
    assert not power_loss(cache).unsettled


def test_the_note_is_on_the_disk_before_the_name_is(cache, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(fd):
        synced.append((os.readlink(f"/proc/self/fd/{fd}"), any(cache.entries())))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    fetch(cache, os.urandom(LARGE))
    assert [named for _, named in synced] == [False, False]
    assert all(path.startswith(str(cache.root / "unsettled")) for path, _ in synced)


def test_what_was_made_here_is_on_the_disk_at_once(cache):
    cache.take_chunks([os.urandom(LARGE)])
    assert not cache.unsettled
