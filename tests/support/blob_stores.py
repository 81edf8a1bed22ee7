"""Stores for tests: the contract that all keep, and one that fails as it is told."""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from anvcs.artifacts.errors import NoSuchVersion, TransferBroken
from anvcs.artifacts.folders import LocalBlobStore
from anvcs.artifacts.protocol import BlobStore, Body, Stored

Fault = Callable[[Body], Body]


class BlobStoreContract:
    """What every store does.  A subclass gives the fixture ``store``."""

    @staticmethod
    def _file(tmp_path: Path, data: bytes, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    def _put(self, store: BlobStore, tmp_path: Path, key: str, data: bytes) -> Stored:
        return store.upload(self._file(tmp_path, data), key)

    def test_what_was_uploaded_is_downloaded(self, store: BlobStore, tmp_path: Path) -> None:
        data = bytes(range(256)) * 5000
        stored = self._put(store, tmp_path, "models/a b+ü.pt", data)
        assert stored["key"] == "models/a b+ü.pt"
        assert stored["size"] == len(data)
        assert stored["version_id"]
        store.download(stored["key"], stored["version_id"], tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == data

    def test_the_digest_is_that_of_the_bytes(self, store: BlobStore, tmp_path: Path) -> None:
        stored = self._put(store, tmp_path, "k", b"abc")
        assert stored["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    def test_versions_stay(self, store: BlobStore, tmp_path: Path) -> None:
        first = self._put(store, tmp_path, "v/k", b"first")
        second = self._put(store, tmp_path, "v/k", b"second")
        assert first["version_id"] != second["version_id"]
        assert b"".join(store.read("v/k", first["version_id"])) == b"first"
        assert b"".join(store.read("v/k", second["version_id"])) == b"second"

    def test_without_a_version_it_is_the_newest(self, store: BlobStore, tmp_path: Path) -> None:
        for data in (b"one", b"two", b"three"):
            self._put(store, tmp_path, "newest", data)
        store.download("newest", None, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"three"
        assert b"".join(store.read("newest", None)) == b"three"

    def test_the_same_content_is_no_new_version(self, store: BlobStore, tmp_path: Path) -> None:
        first = self._put(store, tmp_path, "same", b"content")
        assert self._put(store, tmp_path, "same", b"content")["version_id"] == first["version_id"]

    def test_an_empty_object(self, store: BlobStore, tmp_path: Path) -> None:
        stored = self._put(store, tmp_path, "empty", b"")
        assert b"".join(store.read("empty", stored["version_id"])) == b""
        store.download("empty", stored["version_id"], tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b""

    def test_exists(self, store: BlobStore, tmp_path: Path) -> None:
        assert not store.exists("e/k")
        stored = self._put(store, tmp_path, "e/k", b"x")
        assert store.exists("e/k")
        assert store.exists("e/k", stored["version_id"])
        assert not store.exists("e/other")
        assert not store.exists("e", None)

    def test_an_absent_version(self, store: BlobStore, tmp_path: Path) -> None:
        stored = self._put(store, tmp_path, "gone", b"x")
        store.delete_version("gone", stored["version_id"])
        (tmp_path / "out").write_bytes(b"as it was")
        with pytest.raises(NoSuchVersion):
            store.download("gone", stored["version_id"], tmp_path / "out")
        with pytest.raises(NoSuchVersion):
            b"".join(store.read("gone", stored["version_id"]))
        assert (tmp_path / "out").read_bytes() == b"as it was"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]
        assert not store.exists("gone", stored["version_id"])

    def test_an_absent_key(self, store: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(NoSuchVersion):
            store.download("never", None, tmp_path / "out")
        with pytest.raises(NoSuchVersion):
            b"".join(store.read("never", None))

    def test_deleting_one_version_leaves_the_others(self, store: BlobStore, tmp_path: Path) -> None:
        first = self._put(store, tmp_path, "d/k", b"first")
        second = self._put(store, tmp_path, "d/k", b"second")
        store.delete_version("d/k", second["version_id"])
        store.delete_version("d/k", second["version_id"])
        assert store.exists("d/k")
        assert b"".join(store.read("d/k", None)) == b"first"
        assert b"".join(store.read("d/k", first["version_id"])) == b"first"

    def test_ranges(self, store: BlobStore, tmp_path: Path) -> None:
        data = bytes(range(256)) * 9000
        stored = self._put(store, tmp_path, "ranges", data)

        def read(start: int, length: int | None = None) -> bytes:
            return b"".join(store.read("ranges", stored["version_id"], start, length))

        assert read(0, 10) == data[:10]
        assert read(1_000_001, 70_000) == data[1_000_001:1_070_001]
        assert read(len(data) - 5) == data[-5:]
        assert read(len(data) - 5, 100) == data[-5:]
        assert read(len(data)) == b""
        assert read(len(data) + 7, 3) == b""

    def test_a_body_can_be_left(self, store: BlobStore, tmp_path: Path) -> None:
        stored = self._put(store, tmp_path, "left", bytes(3 << 20))
        for _ in range(20):  # more than any pool of connections
            body = store.read("left", stored["version_id"])
            assert next(body)
            body.close()

    def test_uploads_at_once(self, store: BlobStore, tmp_path: Path) -> None:
        found: list[Stored] = []
        files = [self._file(tmp_path, b"%d" % number, f"f{number}") for number in range(6)]
        threads = [threading.Thread(target=lambda f=f: found.append(store.upload(f, "busy"))) for f in files]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bodies = {b"".join(store.read("busy", one["version_id"])) for one in found}
        assert bodies == {b"%d" % number for number in range(6)}


class FaultyStore(LocalBlobStore):
    """A folder that fails as its script says: each request takes the next fault, then all is well."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.faults: deque[Fault] = deque()
        self.requests: list[tuple[str, int, int | None]] = []
        self.always: Fault | None = None

    def local_file(self, key: str, version_id: str) -> Path | None:
        """Nothing is shared: everything has to be read."""
        return None

    def read(self, key: str, version_id: str | None, start: int = 0, length: int | None = None) -> Body:
        self.requests.append((key, start, length))
        body = super().read(key, version_id, start, length)
        fault = self.faults.popleft() if self.faults else self.always
        return fault(body) if fault is not None else body

    def asked(self, key: str) -> list[tuple[int, int | None]]:
        """The ranges of *key* that were asked for."""
        return [(start, length) for asked, start, length in self.requests if asked == key]


def fine(body: Body) -> Body:
    """No fault."""
    yield from body


def failing(error: Exception) -> Fault:
    """The request fails."""

    def fault(body: Body) -> Body:
        raise error
        yield b""

    return fault


def cut(after: int, error: Exception | None = None) -> Fault:
    """The body ends after so many bytes, with a reset unless *error* says otherwise."""

    def fault(body: Body) -> Body:
        left = after
        for chunk in body:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                raise error or TransferBroken("faulty", "reset")

    return fault


def short(after: int) -> Fault:
    """The body ends after so many bytes and nobody says why."""

    def fault(body: Body) -> Body:
        left = after
        for chunk in body:
            if left > 0:
                yield chunk[:left]
            left -= len(chunk)

    return fault


def flipped(at: int) -> Fault:
    """One bit is wrong."""

    def fault(body: Body) -> Body:
        seen = 0
        for chunk in body:
            if seen <= at < seen + len(chunk):
                wrong = bytearray(chunk)
                wrong[at - seen] ^= 1
                yield bytes(wrong)
            else:
                yield chunk
            seen += len(chunk)

    return fault


class Gate:
    """A fault that holds a body until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, body: Body) -> Body:
        self.reached.set()
        assert self.opened.wait(20)
        yield from body
