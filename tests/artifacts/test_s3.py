"""The S3 store against a real server process, through a proxy that injects faults."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.errors import (
    AccessDenied,
    BucketUnversioned,
    ClockSkewed,
    CredentialsBad,
    DigestMismatch,
    NoSuchBucket,
    NoSuchVersion,
    StoreBusy,
    StoreUnreachable,
    TransferBroken,
)
from anvcs.artifacts.hydrating import Hydrator
from anvcs.artifacts.pieces import PIECE
from anvcs.artifacts.s3.store import S3VersionedBlobStore
from anvcs.artifacts.transfers import Limits
from anvcs.artifacts.uploading import Uploader
from anvcs.model.pin import Pin
from support.blob_stores import BlobStoreContract
from support.s3 import QUICK, breaks, flips, says, signature_is_right, without

MIB = 1 << 20


class TestS3VersionedBlobStore(BlobStoreContract):
    @pytest.fixture
    def store(self, s3):
        return s3()


class TestS3InPartsAndPresigned(BlobStoreContract):
    @pytest.fixture
    def store(self, s3, proxy):
        proxy.drops_authorization = True
        return s3(multipart_threshold=0, use_presigned=True)


@pytest.fixture
def file(tmp_path):
    def file(size: int) -> Path:
        path = tmp_path / f"file-{size}"
        path.write_bytes(os.urandom(size))
        return path

    return file


@pytest.fixture
def hydrated(tmp_path) -> Iterator[object]:
    """Uploads a content to a store and reads it with a hydrator."""
    made: list[Hydrator] = []

    def hydrated(store: S3VersionedBlobStore, data: bytes) -> tuple[Hydrator, Pin]:
        source = ContentCache(tmp_path / "source")
        pin = Uploader(source, store, "s3").upload(source.take_chunks([data]), "m.pt")
        hydrator = Hydrator(
            ContentCache(tmp_path / "cache"), lambda pin: store, limits=Limits(backoff=QUICK, deadline_s=20)
        )
        made.append(hydrator)
        return hydrator, pin

    yield hydrated
    for hydrator in made:
        hydrator.close()


def content(store: S3VersionedBlobStore, key: str, version: str | None) -> bytes:
    return b"".join(store.read(key, version))


def test_a_large_file_goes_up_in_parts(s3, proxy, file, tmp_path):
    store = s3(multipart_threshold=6 * MIB, part_size=5 * MIB)
    source = file(11 * MIB + 5)
    moved: list[int] = []
    stored = store.upload(source, "k", moved=moved.append)
    assert len(proxy.asked("PUT", "partNumber")) == 3
    assert sum(moved) == 11 * MIB + 5
    store.download("k", stored["version_id"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == source.read_bytes()
    assert store.upload(source, "k") == stored
    assert len(proxy.asked("PUT", "partNumber")) == 3


def test_a_server_that_names_no_version_of_parts(s3, proxy, file):
    store = s3(multipart_threshold=6 * MIB, part_size=5 * MIB)
    proxy.fault("POST", "uploadId=", without("x-amz-version-id", "etag"))
    source = file(7 * MIB)
    stored = store.upload(source, "k")
    assert hashlib.sha256(content(store, "k", stored["version_id"])).hexdigest() == stored["sha256"]


@pytest.mark.parametrize("fault", [says(503, "SlowDown"), says(500), breaks(0)], ids=["503", "500", "reset"])
def test_uploads_are_tried_again(s3, proxy, file, tmp_path, fault):
    store = s3(multipart_threshold=6 * MIB, part_size=5 * MIB)
    for method, part in (("GET", "versioning"), ("HEAD", "k"), ("PUT", "partNumber=1"), ("POST", "uploads")):
        proxy.fault(method, part, fault, 2)
    source = file(6 * MIB + 1)
    stored = store.upload(source, "k")
    store.download("k", stored["version_id"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == source.read_bytes()


def test_small_uploads_are_tried_again(s3, proxy, file, tmp_path):
    store = s3()
    for fault in (says(400, "RequestTimeout"), says(503, "SlowDown"), breaks(0)):
        proxy.fault("PUT", "k", fault)
    stored = store.upload(file(10), "k")
    store.download("k", stored["version_id"], tmp_path / "out")
    assert (tmp_path / "out").stat().st_size == 10


def test_a_lost_answer_makes_no_second_upload(s3, proxy, file):
    store = s3(multipart_threshold=6 * MIB, part_size=5 * MIB)
    proxy.fault("POST", "uploadId=", breaks(0))  # the server has done it
    stored = store.upload(file(7 * MIB), "k")
    assert stored["version_id"]
    assert len(proxy.asked("POST", "uploads")) == 1


def test_it_gives_up_in_the_end(s3, proxy, file):
    store = s3()
    store.client.ready()
    proxy.fault("PUT", "k", says(503, "SlowDown"), 100)
    with pytest.raises(StoreBusy, match="SlowDown"):
        store.upload(file(10), "k")
    assert len(proxy.asked("PUT", "/k")) == QUICK.attempts


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from anvcs.artifacts.s3.store import S3VersionedBlobStore
from support.s3 import Server
server = Server(sys.argv[2], *sys.argv[6:8])
options = server.options(sys.argv[3], part_size=5 << 20, multipart_threshold=5 << 20, concurrency=1)
store = S3VersionedBlobStore(options, Path(sys.argv[4]))
def moved(count):
    print("part", flush=True)
    if moved.parts == 1:
        sys.stdin.read()
    moved.parts += 1
moved.parts = 0
store.upload(Path(sys.argv[5]), "k", moved=moved)
"""


def test_an_upload_that_was_killed_goes_on(s3, s3_server, proxy, file):
    store = s3(part_size=5 * MIB, multipart_threshold=5 * MIB)
    source = file(16 * MIB)
    support = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", KILLED, support, proxy.url, store.bucket, store._state, source]
    command += [s3_server.key, s3_server.secret]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert [child.stdout.readline() for _ in range(2)] == ["part\n"] * 2
        child.kill()
    assert not store.exists("k")
    proxy.seen.clear()
    stored = store.upload(source, "k")
    assert len(proxy.asked("PUT", "partNumber")) == 2
    assert content(store, "k", stored["version_id"]) == source.read_bytes()
    assert not list((store._state / "multipart").iterdir())


def test_a_download_goes_on_where_it_broke(s3, proxy, file, tmp_path):
    store = s3()
    source = file(5 * MIB)
    stored = store.upload(source, "k")
    proxy.fault("GET", "/k", breaks(2 * MIB, reset=False))  # what a reset drops differs from run to run
    proxy.fault("GET", "/k", breaks(MIB, reset=False))
    proxy.fault("GET", "/k", says(503, "SlowDown"))
    store.download("k", stored["version_id"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == source.read_bytes()
    ranges = [one.headers.get("Range") for one in proxy.asked("GET", "/k")]
    assert ranges == [None, f"bytes={2 * MIB}-", f"bytes={3 * MIB}-", f"bytes={3 * MIB}-"]


@pytest.mark.parametrize("presigned", [False, True])
def test_hydration_survives(s3, proxy, hydrated, presigned):
    data = os.urandom(2 * PIECE + 5)
    hydrator, pin = hydrated(s3(use_presigned=presigned), data)
    for fault in (breaks(PIECE + 9), breaks(PIECE + 9, reset=False), flips(9), says(503), breaks(0)):
        proxy.fault("GET", "m.pt", fault)
    with hydrator.open(pin) as artifact:
        assert artifact.read(0, len(data)) == data


def test_wrong_bytes_never_reach_a_reader(s3, proxy, hydrated):
    data = os.urandom(PIECE + 5)
    hydrator, pin = hydrated(s3(), data)
    proxy.fault("GET", "m.pt", flips(0), 100)
    with hydrator.open(pin) as artifact, pytest.raises(DigestMismatch):
        artifact.read(0, 10)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (says(403, "AccessDenied"), AccessDenied, "ask the owner"),
        (says(403, "ExpiredToken"), CredentialsBad, "log in again"),
        (says(400, "ExpiredToken"), CredentialsBad, "log in again"),
        (says(403, "InvalidAccessKeyId"), CredentialsBad, "storage doctor"),
        (says(403, "RequestTimeTooSkewed"), ClockSkewed, "timedatectl"),
        (says(404, "NoSuchKey"), NoSuchVersion, "no version"),
        (says(404, "NoSuchVersion"), NoSuchVersion, "no version"),
        (says(404), NoSuchVersion, "no version"),
        (says(404, "NoSuchBucket"), NoSuchBucket, "no such bucket"),
        (says(503, "SlowDown"), StoreBusy, "SlowDown"),
    ],
)
def test_what_answers_mean(s3, proxy, hydrated, fault, kind, words):
    hydrator, pin = hydrated(s3(), b"content")
    proxy.fault("GET", "m.pt", fault, 100)
    with hydrator.open(pin) as artifact, pytest.raises(kind, match=words):
        artifact.read(0, 10)


def test_a_clock_that_is_off_is_told_before_anything_is_sent(s3, proxy, file):
    proxy.clock_s = 20 * 60
    with pytest.raises(ClockSkewed, match="20 minutes behind"):
        s3().upload(file(10), "k")
    assert proxy.asked("PUT", "/k") == []


def test_a_clock_that_is_off_explains_a_refusal(s3, proxy, hydrated):
    hydrator, pin = hydrated(s3(), b"content")
    late = says(403, "AccessDenied", Date="Mon, 01 Jan 2024 00:00:00 GMT")
    proxy.fault("GET", "m.pt", late, 100)
    with hydrator.open(pin) as artifact, pytest.raises(ClockSkewed, match="ahead of"):
        artifact.read(0, 10)


def test_a_bucket_without_versions_is_refused_with_the_command_that_helps(s3_server, file, tmp_path):
    bucket = s3_server.bucket(versioned=False)
    store = S3VersionedBlobStore(s3_server.options(bucket), tmp_path / "state")
    with pytest.raises(BucketUnversioned, match=f"put-bucket-versioning --bucket {bucket}.*--endpoint-url"):
        store.upload(file(10), "k")
    assert "Contents" not in s3_server.admin().list_objects_v2(Bucket=bucket)


def test_who_may_not_see_the_versioning_still_learns_it(s3_server, proxy, file, tmp_path):
    bucket = s3_server.bucket(versioned=False)
    store = S3VersionedBlobStore(s3_server.options(bucket, proxy.url), tmp_path / "state")
    proxy.fault("GET", "versioning", says(403, "AccessDenied"))
    with pytest.raises(BucketUnversioned):
        store.upload(file(10), "k")


def test_a_bucket_that_is_not_there(s3_server, tmp_path, file):
    store = S3VersionedBlobStore(s3_server.options("anvcs-no-such-bucket"), tmp_path / "state")
    with pytest.raises(NoSuchBucket):
        store.upload(file(10), "k")


def test_a_server_that_is_away(s3_server, tmp_path, file):
    for url in ("http://127.0.0.1:9", "http://anvcs.invalid"):
        store = S3VersionedBlobStore(s3_server.options("b", url), tmp_path / "state")
        with pytest.raises(StoreUnreachable):
            b"".join(store.read("k", "v"))
        with pytest.raises(StoreUnreachable):
            store.upload(file(10), "k")


def test_a_server_that_says_nothing_is_left(s3_server, tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = S3VersionedBlobStore(s3_server.options("b", url, read_timeout_s=0.05), tmp_path / "state")
        with pytest.raises((StoreUnreachable, TransferBroken)):
            b"".join(store.read("k", "v"))


@pytest.mark.skipif("ANVCS_TEST_S3_ENDPOINT" in os.environ, reason="it may take an unknown host for a bucket's")
def test_a_proxy_of_the_environment_is_used(s3_server, proxy, tmp_path, monkeypatch):
    """Requests for a host that only the proxy knows."""
    bucket = s3_server.bucket()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    store = S3VersionedBlobStore(s3_server.options(bucket, "http://store.invalid"), tmp_path / "state")
    (tmp_path / "file").write_bytes(b"content")
    stored = store.upload(tmp_path / "file", "k")
    assert content(store, "k", stored["version_id"]) == b"content"
    assert proxy.asked("PUT", "http://store.invalid/")


def test_encryption_and_class_are_asked_for(s3, proxy, file):
    store = s3(encryption="aws:kms:alias/k", storage_class="STANDARD_IA", multipart_threshold=0)
    store.upload(file(10), "parts")
    s3(encryption="AES256").upload(file(20), "whole")
    (begun,) = proxy.asked("POST", "uploads")
    (put,) = proxy.asked("PUT", "/whole")
    assert begun.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert begun.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/k"
    assert begun.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert put.headers["x-amz-server-side-encryption"] == "AES256"


def test_presigned_reads_carry_nothing_of_aws_in_their_headers(s3, proxy, file):
    store = s3(use_presigned=True)
    stored = store.upload(file(10), "k")
    content(store, "k", stored["version_id"])
    (get,) = proxy.asked("GET", "/k?")
    assert "X-Amz-Signature" in get.path
    assert not [name for name in get.headers if name.lower().startswith(("x-amz", "authorization"))]


@pytest.mark.parametrize("presigned", [False, True])
def test_every_request_is_signed(s3, s3_server, proxy, file, presigned):
    store = s3(use_presigned=presigned, multipart_threshold=100)
    for key in ("plain", "a b+c/ü%41~(!'*).pt", "=&?#;,:@$"):
        stored = store.upload(file(10), key)
        store.upload(file(200), key)
        assert len(content(store, key, stored["version_id"])) == 10
        assert len(b"".join(store.read(key, None, 5, 10))) == 10
        store.delete_version(key, stored["version_id"])
    assert {one.method for one in proxy.seen} == {"GET", "PUT", "POST", "HEAD", "DELETE"}
    assert [one.path for one in proxy.seen if not signature_is_right(one, s3_server.secret)] == []
    assert not signature_is_right(proxy.seen[0], "another")


def test_secrets_stay_secret(s3, proxy, hydrated):
    store = s3()
    hydrator, pin = hydrated(store, b"content")
    proxy.fault("GET", "m.pt", says(403, "SignatureDoesNotMatch"), 100)
    with hydrator.open(pin) as artifact, pytest.raises(CredentialsBad) as caught:
        artifact.read(0, 10)
    assert "testing" not in str(caught.value) + repr(store._options)
