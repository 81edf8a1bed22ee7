"""The benchmark of artifacts: its server speaks S3, and what it can't measure it says."""

import secrets
import subprocess
import sys

import pytest

from anvcs.artifacts.s3.options import S3Options
from anvcs.artifacts.s3.store import S3VersionedBlobStore
from anvcs.model.secret import Secret
from anvcs_tools.bench import artifacts
from anvcs_tools.bench.peers import Peer
from support.blob_stores import BlobStoreContract
from support.s3 import QUICK


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    words = [sys.executable, "-m", "anvcs_tools.bench.s3_server", str(tmp_path_factory.mktemp("server"))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip()
        server.terminate()


def reached(address: str, state, **more: object) -> S3VersionedBlobStore:
    secret = Secret("any")
    options = S3Options(bucket=f"b{secrets.token_hex(4)}", provider="other", region="us-east-1", endpoint_url=address, backoff=QUICK,
                        access_key_id=secret, secret_access_key=secret, **more)  # fmt: skip
    store = S3VersionedBlobStore(options, state)
    store.client.raw.create_bucket(Bucket=store.bucket)
    return store


class TestAgainstThePlainServer(BlobStoreContract):
    @pytest.fixture
    def store(self, address, tmp_path_factory):
        return reached(address, tmp_path_factory.mktemp("state"))


class TestAgainstThePlainServerInParts(BlobStoreContract):
    @pytest.fixture
    def store(self, address, tmp_path_factory):
        return reached(address, tmp_path_factory.mktemp("state"), multipart_threshold=0, part_size=1 << 20)


def test_listings_go_on_at_the_next_page(address, tmp_path):
    store = reached(address, tmp_path / "state")
    raw, bucket = store.client.raw, store.bucket
    for name in ("a/1", "a/2", "a/3", "b & c/1"):
        raw.put_object(Bucket=bucket, Key=f"list/{name}", Body=b"x")
    pages = list(
        raw.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="list/", PaginationConfig={"PageSize": 2})
    )
    assert [len(page["Contents"]) for page in pages] == [2, 2]
    assert pages[-1]["Contents"][-1]["Key"] == "list/b & c/1"
    found = raw.list_objects_v2(Bucket=bucket, Prefix="list/", Delimiter="/")
    assert [one["Prefix"] for one in found["CommonPrefixes"]] == ["list/a/", "list/b & c/"]


def test_a_row_without_its_peer_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(artifacts, "dvc", lambda _: Peer("dvc", None, "'dvc[s3]'"))
    arguments = ["--big", "5", "--small", "3", "--rounds", "1", "--directory", str(tmp_path)]
    assert artifacts.main(["artifacts-dvc-small", "artifacts-small", "--aws", "/bin/true", *arguments]) == 0
    told = capsys.readouterr().out
    assert "3 x 20 KiB, against dvc pull" in told
    assert "not measured: install 'dvc[s3]'" in told
    against_aws = next(row for row in told.splitlines() if "against aws s3 cp" in row)
    assert against_aws.count("MiB") == 1  # the peak memory: it was measured
    assert "peak memory of any of our processes" in told
