"""A mounted folder keeps the contract while the network misbehaves; a hybrid works without its primary."""

import errno
import os
from collections import deque
from pathlib import Path

import pytest

from anvcs.artifacts import folders
from anvcs.artifacts.composite import CompositeBlobStore
from anvcs.artifacts.errors import AccessDenied, NoSuchBucket, NoSuchVersion, StoreUnreachable, TransferBroken
from anvcs.artifacts.folders import LocalBlobStore
from anvcs.artifacts.nfs import NFSBlobStore
from anvcs.artifacts.retrying import Backoff
from anvcs.model.pin import content_key
from support.blob_stores import BlobStoreContract, failing

QUICK = Backoff(first_s=0.001, longest_s=0.002)


class TestNFSBlobStore(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path_factory):
        return NFSBlobStore(tmp_path_factory.mktemp("share"), QUICK)

    @pytest.fixture
    def trouble(self, monkeypatch):
        """Errors that the next system calls of a kind give."""
        script: dict[str, deque[int]] = {"open": deque(), "copy_file_range": deque(), "replace": deque()}

        def faulty(name, real):
            def call(*args, **kwargs):
                if script[name]:
                    raise OSError(script[name].popleft(), "injected")
                return real(*args, **kwargs)

            return call

        monkeypatch.setattr(folders.os, "open", faulty("open", os.open))
        monkeypatch.setattr(folders.os, "copy_file_range", faulty("copy_file_range", os.copy_file_range))
        monkeypatch.setattr(Path, "replace", faulty("replace", Path.replace))
        return script

    @pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO])
    @pytest.mark.parametrize("call", ["copy_file_range", "replace"])
    def test_a_stale_handle_is_tried_again(self, store, tmp_path, trouble, code, call):
        trouble[call].extend([code, code])
        stored = self._put(store, tmp_path, "k", b"content")
        trouble[call].append(code)
        store.download("k", stored["version_id"], tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"content"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]

    def test_a_read_tells_what_may_pass(self, store, tmp_path, trouble):
        stored = self._put(store, tmp_path, "k", b"content")
        for code, kind in (
            (errno.ESTALE, TransferBroken),
            (errno.ETIMEDOUT, StoreUnreachable),
            (errno.EACCES, AccessDenied),
        ):
            trouble["open"].append(code)
            with pytest.raises(kind):
                b"".join(store.read("k", stored["version_id"]))

    def test_it_gives_up(self, store, tmp_path, trouble):
        trouble["copy_file_range"].extend([errno.ESTALE] * 50)
        with pytest.raises(TransferBroken):
            self._put(store, tmp_path, "k", b"content")
        assert not store.exists("k")

    def test_a_share_that_is_not_mounted_is_no_empty_store(self, tmp_path):
        store = NFSBlobStore(tmp_path / "share", QUICK)
        (tmp_path / "file").write_bytes(b"x")
        for action in (
            lambda: store.exists("k"),
            lambda: store.upload(tmp_path / "file", "k"),
            lambda: b"".join(store.read("k", None)),
        ):
            with pytest.raises(NoSuchBucket, match="mounted"):
                action()
        assert not (tmp_path / "share").exists()


class Switched(LocalBlobStore):
    """A store that can be away."""

    away = False

    def upload(self, *args, **kwargs):
        self._look()
        return super().upload(*args, **kwargs)

    def download(self, *args):
        self._look()
        super().download(*args)

    def exists(self, *args):
        self._look()
        return super().exists(*args)

    def read(self, *args):
        body = super().read(*args)
        return failing(StoreUnreachable("primary", "no route"))(body) if self.away else body

    def _look(self):
        if self.away:
            raise StoreUnreachable("primary", "no route")


class TestCompositeBlobStore(BlobStoreContract):
    @pytest.fixture
    def primary(self, tmp_path_factory):
        return Switched(tmp_path_factory.mktemp("primary"))

    @pytest.fixture
    def store(self, primary, tmp_path_factory):
        return CompositeBlobStore(
            primary, LocalBlobStore(tmp_path_factory.mktemp("near")), tmp_path_factory.mktemp("state"), rest_s=0
        )

    def test_what_was_read_once_is_there_without_the_primary(self, store, primary, tmp_path):
        stored = self._put(store, tmp_path, "k", b"content")
        primary.away = True
        with pytest.raises(StoreUnreachable):
            store.download("k", stored["version_id"], tmp_path / "out")
        primary.away = False
        store.download("k", stored["version_id"], tmp_path / "out")
        primary.away = True
        store.download("k", stored["version_id"], tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == b"content"
        assert b"".join(store.read("k", stored["version_id"], 2, 3)) == b"nte"
        assert store.exists("k", stored["version_id"])

    def test_uploads_wait_for_the_primary(self, store, primary, tmp_path):
        primary.away = True
        stored = self._put(store, tmp_path, "k", b"content")
        assert stored["key"] == content_key(stored["sha256"])
        assert store.waiting() == {stored["sha256"]: stored["key"]}
        for version in (stored["version_id"], None):
            assert b"".join(store.read(stored["key"], version)) == b"content"
        ((*_, error),) = store.drain()
        assert isinstance(error, StoreUnreachable)
        assert list(store.waiting()) == [stored["sha256"]]
        primary.away = False
        assert list(store.drain()) == [(stored["sha256"], stored["key"], None)]
        assert store.waiting() == {}
        assert b"".join(primary.read(stored["key"], None)) == b"content"
        # As another machine sees it, which has no notes of ours.
        other = CompositeBlobStore(primary, LocalBlobStore(tmp_path / "other"), tmp_path / "notes")
        assert b"".join(other.read(stored["key"], None)) == b"content"

    def test_one_that_cannot_be_sent_does_not_keep_the_others_back(self, store, primary, tmp_path):
        primary.away = True
        kept = [self._put(store, tmp_path, "k", b"%d" % number) for number in range(3)]
        primary.away = False
        lost = kept[1]
        store._fallback.delete_version(lost["key"], lost["sha256"])
        errors = {digest: error for digest, _, error in store.drain()}
        assert isinstance(errors.pop(lost["sha256"]), NoSuchVersion)
        assert list(errors.values()) == [None, None]
        assert list(store.waiting()) == [lost["sha256"]]

    def test_a_damaged_note_loses_nothing(self, store, primary, tmp_path):
        primary.away = True
        stored = self._put(store, tmp_path, "k", b"content")
        (note,) = (store._state / "behind").iterdir()
        note.write_bytes(b"{")
        primary.away = False
        assert list(store.drain()) == [(stored["sha256"], stored["key"], None)]
        assert b"".join(primary.read(stored["key"], None)) == b"content"

    def test_a_primary_that_is_away_is_not_asked_each_time(self, primary, tmp_path):
        store = CompositeBlobStore(primary, LocalBlobStore(tmp_path / "near"), tmp_path / "state", rest_s=3600)
        primary.away = True
        self._put(store, tmp_path, "k", b"first")
        primary.away = False
        assert self._put(store, tmp_path, "k", b"second")["version_id"].startswith("sha256-")
        assert [error for *_, error in store.drain()] == [None, None]  # who asks for it, asks
        assert not self._put(store, tmp_path, "k", b"third")["version_id"].startswith("sha256-")

    def test_a_fallback_that_lost_a_version_is_passed_over(self, store, primary, tmp_path):
        stored = self._put(store, tmp_path, "k", b"content")
        store.download("k", stored["version_id"], tmp_path / "out")
        store._fallback.delete_version("k", stored["version_id"])
        assert b"".join(store.read("k", stored["version_id"])) == b"content"
        store.download("k", stored["version_id"], tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == b"content"
