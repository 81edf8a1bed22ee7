"""The IPFS store against a fake of the protocol, and against a real node where one is installed."""

from pathlib import Path

import pytest

from anvcs.artifacts.errors import (
    CredentialsBad,
    NoSuchVersion,
    StorageNotConfigured,
    StoreBusy,
    StoreUnreachable,
    TransferBroken,
)
from anvcs.artifacts.ipfs import IPFSBlobStore, PinningService, is_cid, make, normal_cid
from anvcs.artifacts.protocol import StoreSettings
from anvcs.artifacts.retrying import Backoff
from anvcs.model.secret import Secret
from support.blob_stores import BlobStoreContract
from support.ipfs import TOKEN

QUICK = Backoff(first_s=0.001, longest_s=0.002)


class TestThroughTheNode(BlobStoreContract):
    @pytest.fixture
    def store(self, ipfs_node):
        return IPFSBlobStore(ipfs_node.url, backoff=QUICK)


class TestThroughAGateway(BlobStoreContract):
    @pytest.fixture
    def store(self, ipfs_node):
        service = PinningService(f"{ipfs_node.url}/psa", Secret(TOKEN))
        return IPFSBlobStore(ipfs_node.url, ipfs_node.url, service, backoff=QUICK)


class TestARealNode(BlobStoreContract):
    """js-ipfs keeps keys over tests: each test has a prefix of its own."""

    @pytest.fixture
    def store(self, real_ipfs, request):
        return Prefixed(IPFSBlobStore(real_ipfs, backoff=QUICK), request.node.name)


class Prefixed:
    """A store in which every key begins with the test's name."""

    def __init__(self, store, prefix):
        self._store, self._prefix = store, prefix

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*arguments, **more):
            place = 1 if name == "upload" else 0
            named = [f"{self._prefix}/{one}" if at == place else one for at, one in enumerate(arguments)]
            found = method(*named, **more)
            return {**found, "key": arguments[1]} if name == "upload" else found

        return call


@pytest.fixture
def store(ipfs_node):
    service = PinningService(f"{ipfs_node.url}/psa", Secret(TOKEN))
    return IPFSBlobStore(ipfs_node.url, ipfs_node.url, service, backoff=QUICK)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content" * 1000)
    return path


def test_the_service_is_asked_once_and_told_when_it_is_over(store, ipfs_node, file):
    stored = store.upload(file, "models/m.pt")
    store.upload(file, "models/m.pt")
    assert list(ipfs_node.pins.values()) == [{"cid": stored["version_id"], "name": "models/m.pt"}]
    store.delete_version("models/m.pt", stored["version_id"])
    assert ipfs_node.pins == {}


def test_a_wrong_token_is_told_without_it(ipfs_node, file):
    service = PinningService(f"{ipfs_node.url}/psa", Secret("wrong"))
    with pytest.raises(CredentialsBad) as caught:
        IPFSBlobStore(ipfs_node.url, "", service, backoff=QUICK).upload(file, "k")
    assert "wrong" not in str(caught.value)


def test_what_passes_is_tried_again(store, ipfs_node, file, tmp_path):
    ipfs_node.failing.extend([503, 502])
    stored = store.upload(file, "k")
    ipfs_node.failing.append(503)
    ipfs_node.cut.extend([3000, 2000])
    store.download("k", stored["version_id"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()


def test_a_read_tells_what_happened(store, ipfs_node, file):
    stored = store.upload(file, "k")
    ipfs_node.failing.append(503)
    with pytest.raises(StoreBusy):
        b"".join(store.read("k", stored["version_id"]))
    ipfs_node.cut.append(100)
    with pytest.raises(TransferBroken):
        b"".join(store.read("k", stored["version_id"]))
    for version in ("../../etc", "Qm", "b" + "a" * 60):
        with pytest.raises(NoSuchVersion):
            b"".join(store.read("k", version))


def test_a_node_that_is_away(file):
    store = IPFSBlobStore("http://127.0.0.1:9", "http://127.0.0.1:9", backoff=QUICK)
    with pytest.raises(StoreUnreachable):
        store.upload(file, "k")
    with pytest.raises(StoreUnreachable):
        b"".join(store.read("k", "b" + "a" * 60))


@pytest.mark.parametrize(
    ("printed", "normal"),
    [
        (
            "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n",
            "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        ),
        ("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",) * 2,
        (
            "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA",
            "bafkreidon73zkcrwdb5iafqtijxildoonbwnpv7dyd6ef3qdgads2jc4su",
        ),
    ],
)
def test_cids_are_brought_to_one_form(printed, normal):
    assert normal_cid(printed) == normal
    assert is_cid(normal)


@pytest.mark.parametrize(
    "options",
    [
        {"rpc": "file:///etc"},
        {"rpc": "http://127.0.0.1:5001", "gateway": "ftp://x"},
        {"rpc": ""},
        {"rpc": "http://127.0.0.1:5001", "pinning_service": "http://far.example", "api_token": Secret("x")},
    ],
)
def test_addresses_are_looked_at(options):
    with pytest.raises(StorageNotConfigured):
        make(StoreSettings("ipfs", options, Path("state"), Path("local")))
