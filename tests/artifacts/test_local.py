"""The embedded store keeps the contract; so does the one that fails on demand."""

import os
import threading

import pytest

from anvcs.artifacts.folders import LocalBlobStore
from support.blob_stores import BlobStoreContract, FaultyStore


class TestLocalBlobStore(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path_factory):
        return LocalBlobStore(tmp_path_factory.mktemp("local") / "blobs")

    def test_a_stored_version_cannot_be_written(self, store, tmp_path):
        stored = self._put(store, tmp_path, "k", b"x")
        assert store.local_file("k", stored["version_id"]).stat().st_mode & 0o222 == 0

    @pytest.mark.parametrize("key", ["..", ".", "a/../b", "x" * 900, "a\nb", "K", "k", "%41", "A"])
    def test_any_key_stays_in_the_folder(self, store, tmp_path, key):
        other = self._put(store, tmp_path, "other", b"other")
        stored = self._put(store, tmp_path, key, key.encode())
        assert b"".join(store.read(key, stored["version_id"])) == key.encode()
        assert store.local_file(key, stored["version_id"]).is_relative_to(store._root)
        assert b"".join(store.read("other", other["version_id"])) == b"other"

    @pytest.mark.parametrize("version", ["../other", "x", "0" * 64, "." * 64])
    def test_a_version_that_was_never_made(self, store, tmp_path, version):
        self._put(store, tmp_path, "k", b"x")
        assert not store.exists("k", version)

    def test_a_file_that_changes_is_stored_as_what_was_copied(self, store, tmp_path):
        file = tmp_path / "log"
        file.write_bytes(bytes(1 << 20))
        stop = threading.Event()

        def write() -> None:
            with file.open("r+b", buffering=0) as stream:
                while not stop.is_set():
                    os.pwrite(stream.fileno(), os.urandom(4096), 1 << 19)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            stored = [store.upload(file, "log") for _ in range(5)]
        finally:
            stop.set()
            thread.join()
        for one in stored:
            again = store.upload(store.local_file("log", one["version_id"]), "again")
            assert again["sha256"] == one["sha256"]


class TestFaultyStore(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path_factory):
        return FaultyStore(tmp_path_factory.mktemp("faulty"))
