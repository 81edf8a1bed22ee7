"""The parts wired: contents in, pins out, and back; what waits for a store; who owns a file."""

import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from anvcs.artifact_access import Artifacts, UploadProgress
from anvcs.artifacts import registry
from anvcs.artifacts.errors import NoSuchVersion, StorageNotConfigured, StoreBusy, StoreUnreachable
from anvcs.artifacts.hydrating import Where
from anvcs.artifacts.pieces import PIECE
from anvcs.artifacts.uploading import key_for
from anvcs.config import parse_config
from anvcs.model.pin import Pin, content_key
from anvcs.model.pointer import decode_pointer, encode_pointer
from anvcs.ownership import Owner, Ownership
from anvcs.store import Store
from support.blob_stores import FaultyStore
from support.waiting import eventually


@pytest.fixture
def make(tmp_path):
    """Artifacts of one repository, made from a configuration."""
    made: list[Artifacts] = []

    def make(config: str = "", top: Path = tmp_path) -> Artifacts:
        artifacts = Artifacts(Store(top), parse_config(config.encode(), env={}))
        made.append(artifacts)
        return artifacts

    yield make
    for artifacts in made:
        artifacts.close()


@pytest.fixture
def content(tmp_path):
    def content(size: int) -> Path:
        path = tmp_path / f"content-{size}"
        path.write_bytes(os.urandom(size))
        return path

    return content


@pytest.mark.parametrize("compress", ["false", "true"])
@pytest.mark.parametrize("size", [0, 100, 2 * PIECE + 5])
def test_a_content_goes_and_comes_back(make, content, size, compress):
    artifacts = make(f"blobs: {{compress: {compress}}}")
    file = content(size)
    digests = artifacts.keep(file)
    progress = UploadProgress(0, 0)
    pin = artifacts.pin({b"models/m.pt": digests}, progress=progress)[b"models/m.pt"]
    assert (pin.key, pin.size, pin.storage) == ("models/m.pt", size, "local")
    assert (progress.files_done, progress.total) == (1, size)
    assert decode_pointer(encode_pointer(pin)) == pin
    assert artifacts.state(pin).where is Where.LOCAL
    artifacts.cache.evict(pin.sha256)
    assert artifacts.state(pin).where is Where.REMOTE
    with artifacts.open(pin) as artifact:
        assert artifact.read(0, size + 1) == file.read_bytes()


def test_the_embedded_store_and_the_cache_share_one_file(make, content):
    artifacts = make()
    digests = artifacts.keep(content(1000))
    pin = artifacts.pin({b"m": digests})[b"m"]
    stored = artifacts.store.local_file(pin.key, pin.version_id)
    assert stored.samefile(artifacts.cache.path(pin.sha256))
    artifacts.cache.evict(pin.sha256)
    artifacts.hydrator.ensure(pin)
    assert stored.samefile(artifacts.cache.path(pin.sha256))


def test_the_same_content_is_stored_once(make, content):
    artifacts = make()
    digests = artifacts.keep(content(1000))
    first = artifacts.pin({b"a": digests, b"b": digests})
    assert first[b"a"] == first[b"b"]
    assert make().pin({b"c": digests})[b"c"] == first[b"a"]


def test_queued_contents_stay_and_are_uploaded_later(make, content, tmp_path):
    artifacts = make("blobs: {compress: true}")
    file = content(2 * PIECE + 5)
    digests = artifacts.keep(file)
    pin = artifacts.pin({b"m": digests}, later=True)[b"m"]
    packed, listed = sorted(artifacts.unsent(), key=lambda item: item.key, reverse=True)
    assert (pin.key, pin.version_id) == (packed.key, "")
    assert packed.key == content_key(packed.sha256) != content_key(digests.sha256)
    assert listed.key == pin.pieces.key
    assert not artifacts.store.exists(pin.key)
    artifacts.cache.shrink(0)
    assert artifacts.state(pin).where is Where.QUEUED
    with artifacts.open(pin) as artifact:  # nobody else has it
        assert artifact.read(0, 10) == file.read_bytes()[:10]
    assert [error for _, error in artifacts.retry_uploads()] == [None, None]
    assert artifacts.unsent() == []
    artifacts.cache.shrink(0)
    assert list(artifacts.cache.entries()) == []
    with artifacts.open(pin) as artifact:
        assert artifact.read(PIECE - 5, 10) == file.read_bytes()[PIECE - 5 : PIECE + 5]


def test_what_is_about_to_be_pinned_stays_in_a_small_cache(make, content):
    artifacts = make("storage: {cache_size: 1MiB}")
    files = {b"%d" % size: content(size) for size in range(600_000, 600_005)}
    kept = {path: artifacts.keep(file) for path, file in files.items()}
    pins = artifacts.pin(kept)
    assert len({pin.sha256 for pin in pins.values()}) == 5
    artifacts.keep(content(10))
    artifacts.cache.shrink(0)
    assert [entry.size for entry in artifacts.cache.entries()] == [10]


def test_a_queued_content_is_not_evicted(make, content):
    artifacts = make()
    digests = artifacts.keep(content(1000))
    pin = artifacts.pin({b"m": digests}, later=True)[b"m"]
    artifacts.cache.shrink(0)
    assert artifacts.state(pin).where is Where.QUEUED
    with artifacts.open(pin) as artifact:
        assert len(artifact.read(0, 2000)) == 1000


def faulty(artifacts: Artifacts, tmp_path: Path) -> FaultyStore:
    store = FaultyStore(tmp_path / "faulty")
    artifacts._stores["local", "", ""] = store
    return store


def test_a_failed_upload_pins_nothing_and_a_queued_one_stays(make, content, tmp_path, monkeypatch):
    artifacts = make()
    store = faulty(artifacts, tmp_path)
    digests = artifacts.keep(content(1000))

    def refuse(*args, **kwargs):
        raise StoreBusy("faulty", "503")

    with monkeypatch.context() as patched:
        patched.setattr(store, "upload", refuse, raising=False)
        with pytest.raises(StoreBusy):
            artifacts.pin({b"m": digests})
        artifacts.pin({b"m": digests}, later=True)
        for tries in (1, 2):
            ((_, error),) = artifacts.retry_uploads()
            assert isinstance(error, StoreBusy)
            (waiting,) = artifacts.unsent()
            assert (waiting.tries, waiting.error) == (tries, str(error))
    assert [error for _, error in artifacts.retry_uploads()] == [None]


def test_without_a_connection_the_queue_is_left_at_once(make, content, tmp_path, monkeypatch):
    artifacts = make()
    store = faulty(artifacts, tmp_path)
    contents = {b"%d" % size: artifacts.keep(content(size)) for size in (100, 101, 102)}
    artifacts.pin(contents, later=True)

    with monkeypatch.context() as patched:
        patched.setattr(store, "upload", away, raising=False)
        assert len(list(artifacts.retry_uploads())) == 1
    assert len(artifacts.unsent()) == 3
    assert len(list(artifacts.retry_uploads())) == 3


def test_a_damaged_entry_of_the_queue_is_told_and_stays(make, content):
    artifacts = make()
    artifacts.pin({b"m": artifacts.keep(content(1000))}, later=True)
    (entry,) = artifacts.queue._folder.iterdir()
    entry.write_bytes(b"{")
    ((waiting, error),) = artifacts.retry_uploads()
    assert "damaged" in waiting.error
    assert error is not None
    assert artifacts.queue.has(entry.stem)


def test_a_hybrid_reads_and_writes_without_its_primary(make, content, tmp_path):
    share = tmp_path / "share"
    config = f"storage: {{mode: hybrid, primary: nfs}}\nadapters: {{nfs: {{mount_path: {share}}}}}"
    share.mkdir()
    artifacts = make(config)
    pin = artifacts.pin({b"m": artifacts.keep(content(100))})[b"m"]
    assert pin.storage == "nfs"
    assert artifacts.unsent() == []
    assert make(config.replace("mode: hybrid", "mode: nfs")).store_of(pin).exists(pin.key, pin.version_id)


def hybrid(share: Path, *, compress: bool = False) -> str:
    return (
        f"storage: {{mode: hybrid, primary: nfs}}\nadapters: {{nfs: {{mount_path: {share}}}}}\n"
        f"blobs: {{compress: {str(compress).lower()}}}"
    )


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [1000, PIECE, 2 * PIECE + 1])
def test_a_hybrid_gives_again_what_it_has_read(make, content, tmp_path, size, compress):
    share = tmp_path / "share"
    share.mkdir()
    artifacts = make(hybrid(share, compress=compress))
    file = content(size)
    pin = artifacts.pin({b"m": artifacts.keep(file)})[b"m"]
    artifacts.cache.shrink(0)
    with artifacts.open(pin) as artifact:
        artifact.whole()
        eventually(lambda: artifacts.store._place(pin.key, pin.version_id))
    eventually(lambda: artifacts.cache.shrink(0).kept == 0)  # a worker may still have it open
    share.rename(tmp_path / "away")
    again = make(hybrid(share, compress=compress))
    assert again.state(pin).where is Where.REMOTE
    with again.open(pin) as artifact:
        assert artifact.read(0, size) == file.read_bytes()


def away(*_: object, **__: object) -> None:
    raise StoreUnreachable("nfs", "no route")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("lost", ["before", "between"])
def test_a_hybrid_goes_on_while_its_primary_is_away(make, content, tmp_path, monkeypatch, compress, lost):
    """Away from the start, or after the list of pieces has come: what is pinned is read, is known as unsent, is sent."""
    share = tmp_path / "share"
    share.mkdir()
    artifacts = make(hybrid(share, compress=compress))
    file, primary = content(PIECE + 5), artifacts.store._primary
    upload = primary.upload

    def interrupted(path: Path, key: str, **more: object) -> object:
        return upload(path, key, **more) if key.startswith(".anvcs/pieces/") and lost == "between" else away()

    with monkeypatch.context() as patched:
        patched.setattr(primary, "upload", interrupted)
        patched.setattr(primary, "read", away)
        pin = artifacts.pin({b"m": artifacts.keep(file)})[b"m"]
        assert pin.version_id == ""
        waiting = {item.key for item in artifacts.unsent()}
        assert pin.key in waiting
        assert (pin.pieces.key in waiting) == (lost == "before")
        artifacts.cache.shrink(0)
        assert artifacts.state(pin).where is Where.REMOTE
        with artifacts.open(pin) as artifact:
            assert artifact.read(0, PIECE + 5) == file.read_bytes()
        ((first, error),) = artifacts.retry_uploads()
        assert first.key in waiting
        assert isinstance(error, StoreUnreachable)
        assert {item.key for item in artifacts.unsent()} == waiting
    assert {item.key for item, error in artifacts.retry_uploads() if error is None} == waiting
    assert artifacts.unsent() == []
    # As somebody sees it who has only the primary.
    other = make(hybrid(share).replace("mode: hybrid", "mode: nfs"), tmp_path / "other")
    with other.open(pin) as artifact:
        assert artifact.read(0, PIECE + 5) == file.read_bytes()


def test_what_a_hybrid_has_nearby_is_read_at_once_while_its_primary_is_away(make, content, tmp_path, monkeypatch):
    share = tmp_path / "share"
    share.mkdir()
    artifacts = make(hybrid(share))
    pins = artifacts.pin({b"%d" % size: artifacts.keep(content(size)) for size in (100, 101)})
    near, far = pins[b"100"], pins[b"101"]
    artifacts.cache.shrink(0)
    with artifacts.open(near) as artifact:
        artifact.whole()
        eventually(lambda: artifacts.store._place(near.key, near.version_id))
    eventually(lambda: artifacts.cache.shrink(0).kept == 0)
    asked = []
    monkeypatch.setattr(artifacts.store._primary, "read", lambda *args: (asked.append(args), away()))
    for _ in range(2):
        with artifacts.open(far) as artifact, pytest.raises(StoreUnreachable):
            artifact.read(0, 5)
        assert len(asked) == 1  # not with every request
        with artifacts.open(near) as artifact:
            assert len(artifact.read(0, 100)) == 100
        artifacts.cache.shrink(0)


def test_frames_with_holes_are_not_given_to_a_fallback(make, content, tmp_path):
    """Whoever began the transfer had no fallback."""
    share = tmp_path / "share"
    share.mkdir()
    plain = make(hybrid(share, compress=True).replace("mode: hybrid, primary: nfs", "mode: nfs"))
    file = content(2 * PIECE + 5)
    pin = plain.pin({b"m": plain.keep(file)})[b"m"]
    plain.cache.shrink(0)
    with plain.open(pin) as artifact:
        artifact.read(0, 10)
    artifacts = make(hybrid(share, compress=True))
    with artifacts.open(pin) as artifact:
        assert artifact.whole().size == pin.size
        eventually(lambda: not list((artifacts.cache.root / "tmp").iterdir()))
    assert artifacts.store._place(pin.key, pin.version_id) is None


def test_a_pin_of_a_store_that_nobody_knows(make):
    pin = Pin(storage="elsewhere", key="k", sha256="0" * 64, size=5)
    with pytest.raises(StorageNotConfigured, match="local, nfs, s3"), make().open(pin) as artifact:
        artifact.read(0, 5)


def test_other_packages_register_stores(make, content, tmp_path, monkeypatch):
    seen = []

    def mine(settings):
        seen.append(settings)
        return FaultyStore(tmp_path / "mine")

    monkeypatch.setattr(EntryPoint, "load", lambda self: mine)
    points = [EntryPoint("mine", "package:make", registry.ENTRY_POINTS)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **wanted: points)
    artifacts = make("storage: {mode: mine}\nadapters: {mine: {colour: blue}}")
    pin = artifacts.pin({b"m": artifacts.keep(content(10))})[b"m"]
    assert pin.storage == "mine"
    assert seen[0].options == {"colour": "blue"}


def test_a_version_that_was_deleted(make, content):
    artifacts = make()
    pin = artifacts.pin({b"m": artifacts.keep(content(100))})[b"m"]
    artifacts.cache.evict(pin.sha256)
    artifacts.store.delete_version(pin.key, pin.version_id)
    with artifacts.open(pin) as artifact, pytest.raises(NoSuchVersion):
        artifact.read(0, 5)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (b"a/b c.pt", "a/b c.pt"),
        ("ü.pt".encode(), "ü.pt"),
        (b"\xff.pt", "\\xff.pt"),
        (b"a" * 401, None),
        (b"a\nb", None),
        (b".anvcs/x", None),
    ],
)
def test_keys_are_stable_and_fit(path, key):
    found = key_for(path)
    assert found == key if key else found.startswith(".anvcs/paths/")
    Pin(storage="s3", key=found, sha256="0" * 64, size=1)


def test_patterns_are_those_of_gitignore():
    rules = Ownership(["*.pt", "/data/", "!small.pt", "logs/**/*.bin"])
    for path, owned in (
        (b"a/m.pt", True),
        (b"small.pt", False),
        (b"data/x/y", True),
        (b"sub/data/x", False),
        (b"logs/a/b/c.bin", True),
        (b"logs/c.bin", True),
        (b"README.md", False),
    ):
        assert (rules.owner(path) is Owner.ARTIFACT) == owned, path


def test_lfs_comes_first_and_size_counts():
    rules = Ownership(["*.pt"], lambda path: path.startswith(b"lfs/"), max_git_size=100)
    assert rules.owner(b"lfs/a.pt") is Owner.LFS
    assert rules.claimed_twice(b"lfs/a.pt")
    assert not rules.claimed_twice(b"lfs/a.bin")
    assert rules.owner(b"lfs/a.bin", 1000) is Owner.LFS
    assert rules.owner(b"a.bin", 101) is Owner.ARTIFACT
    assert rules.owner(b"a.bin", 100) is Owner.GIT
