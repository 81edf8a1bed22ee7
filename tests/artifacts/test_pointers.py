"""Which files are artifacts, and how few are looked into to know."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.config.storage import BlobsConfig
from anvcs.git.objects import ObjectStore
from anvcs.git.skeleton import Skeleton
from anvcs.model.ids import Oid
from anvcs.model.pin import Pin
from anvcs.model.pointer import encode_pointer
from anvcs.pointers import Pointers
from support.programs import git

PIN = Pin(storage="local", key="m.pt", sha256="ab" * 32, size=1 << 30)


class Counting(ObjectStore):
    """Counts the blobs that are read."""

    reads = 0

    def blob(self, oid: Oid) -> bytes:
        self.reads += 1
        return super().blob(oid)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    git("init", "-q", "--bare", str(tmp_path / "git"), cwd=tmp_path)
    return Counting(tmp_path / "git")


@pytest.fixture
def skeleton(store: Counting, tmp_path: Path) -> Iterator[Skeleton]:
    found = Skeleton(store.common_dir, tmp_path / "skeleton.git", tmp_path / "skeleton")
    yield found
    found.close()


def test_patterns_decide_and_lfs_comes_first(store: Counting, skeleton: Skeleton):
    skeleton.put(b".gitattributes", b"*.psd filter=lfs\n")
    pointers = Pointers(store, skeleton, BlobsConfig(track=("*.pt", "*.psd", "data/", "*")))
    assert pointers.tracked(b"deep/m.pt")
    assert pointers.tracked(b"data/any")
    for path in (b"x.psd", b".gitattributes", b"deep/.gitignore", b"ai-vcs.config.yaml"):
        assert not pointers.tracked(path), path
    assert not pointers.owns(b"m.pt", 0)
    skeleton.put(b".gitattributes", b"")
    pointers.rules_changed()
    assert pointers.tracked(b"x.psd")


def test_the_loser_of_two_is_an_artifact_too(store: Counting, skeleton: Skeleton):
    pointers = Pointers(store, skeleton, BlobsConfig(track=("*.pt",)))
    for path in (b"m.pt~ann", b"d/m.pt~ann~2"):
        assert pointers.tracked(path)
    for path in (b"m.py~ann", b"~m.pt~/x", b"d~/m.py"):
        assert not pointers.tracked(path)


def test_only_what_may_be_a_pointer_is_read_and_once(store: Counting, skeleton: Skeleton):
    text = encode_pointer(PIN)
    pointer, small, tiny = store.write_blob(text), store.write_blob(b"x" * 500), store.write_blob(b"x")
    large = store.write_blob(b"anvcs artifact 1\n" + b"x" * 2000)
    pointers = Pointers(store, skeleton, BlobsConfig(track=("*.pt",)))
    for path in (b"a.py", b"b.py"):
        assert pointers.pin(small, path) is None
    assert pointers.pin(tiny, b"t.pt") is None
    assert pointers.pin(large, b"l.pt") is None
    assert store.reads == 1  # small, and only once
    for path in (b"m.pt", b"n.pt", b"m.pt"):
        assert pointers.pin(pointer, path) == PIN
        assert pointers.pin(small, path) is None
    assert store.reads == 2
    assert pointers.pin(pointer, b"renamed.bin") == PIN  # known by then


def test_nothing_is_asked_without_patterns(store: Counting, skeleton: Skeleton):
    pointers = Pointers(store, skeleton, BlobsConfig())
    assert not pointers.active
    assert pointers.pin(Oid(b"\1" * 20), b"m.pt") is None  # there is no such blob, and nobody looks
    assert not pointers.owns(b"m.pt", 1 << 40)


def test_size_alone_can_decide(store: Counting, skeleton: Skeleton):
    pointers = Pointers(store, skeleton, BlobsConfig(max_git_size=1000))
    assert pointers.owns(b"any", 1001)
    assert not pointers.owns(b"any", 1000)
    assert pointers.pin(store.write_blob(encode_pointer(PIN)), b"anywhere") == PIN


def test_a_damaged_pointer_is_what_it_is(store: Counting, skeleton: Skeleton, caplog: pytest.LogCaptureFixture):
    damaged = store.write_blob(encode_pointer(PIN)[:-1])
    pointers = Pointers(store, skeleton, BlobsConfig(track=("*.pt",)))
    assert pointers.pin(damaged, b"m.pt") is None
    assert "m.pt: a damaged artifact pointer" in caplog.text
