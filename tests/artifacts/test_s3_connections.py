"""How a bucket is reached and who we are there: names, proxies, TLS, and each source of credentials."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anvcs.artifacts.errors import AccessDenied, CredentialsBad, StoreUnreachable
from anvcs.artifacts.s3.options import S3Options
from anvcs.artifacts.s3.store import S3VersionedBlobStore
from support.aws import Tunnel, certificate, instance_metadata, single_sign_on
from support.s3 import ENDPOINT, QUICK, FaultProxy, signature_is_right

ROLE = "arn:aws:iam::123456789012:role/writer"
DOMAIN = "ANVCS_TEST_S3_DOMAIN"

needs_moto = pytest.mark.skipif(ENDPOINT in os.environ, reason="another server doesn't know credentials made up here")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Nothing of this machine's own set-up."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def store(s3_server, proxy, tmp_path):
    """A store of a new bucket, with no credentials but those of its surroundings."""
    bucket = s3_server.bucket()

    def store(**options: object) -> S3VersionedBlobStore:
        known = {"bucket": bucket, "provider": "other", "region": "us-east-1", "endpoint_url": proxy.url}
        found = S3Options(**known | {"backoff": QUICK, "connect_timeout_s": 2.0, "read_timeout_s": 5.0} | options)
        return S3VersionedBlobStore(found, tmp_path / "state")

    return store


def works(store: S3VersionedBlobStore, folder: Path) -> None:
    """There and back; in parts if the store begins with them at 100 bytes."""
    for name, data in (("small", b"content"), ("large", bytes(200))):
        (folder / name).write_bytes(data)
        stored = store.upload(folder / name, f"a b/{name}+ü")
        store.download(stored["key"], stored["version_id"], folder / "back")
        assert (folder / "back").read_bytes() == data


def keys(proxy: FaultProxy) -> set[str]:
    """Whose requests these were."""
    return {one.headers["Authorization"].partition("Credential=")[2].partition("/")[0] for one in proxy.seen}


def source(store: S3VersionedBlobStore) -> str:
    """What the check says of the credentials."""
    (found,) = [check for check in store.checks() if check.name == "credentials"]
    assert found.ok, found.detail
    return found.detail


# Names


@pytest.mark.skipif(ENDPOINT in os.environ and DOMAIN not in os.environ, reason=f"{DOMAIN} says the server's name")
@pytest.mark.parametrize("presigned", [False, True])
def test_the_bucket_in_the_host_name(s3_server, proxy, tmp_path, monkeypatch, presigned):
    """A proxy stands for DNS: only it can tell where the name leads."""
    domain = os.environ.get(DOMAIN, "s3.localtest")
    options = s3_server.options(
        s3_server.bucket(),
        f"http://{domain}",
        addressing="virtual",
        use_presigned=presigned,
        multipart_threshold=100,
    )
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    proxy.keeps_host = True
    works(S3VersionedBlobStore(options, tmp_path / "state"), tmp_path)
    assert {one.headers["Host"] for one in proxy.seen} == {f"{options.bucket}.{domain}"}
    assert not [one.path for one in proxy.seen if options.bucket in one.path.removeprefix(f"http://{options.bucket}.")]


def test_the_bucket_in_the_path(s3_server, proxy, tmp_path):
    bucket = s3_server.bucket()
    works(S3VersionedBlobStore(s3_server.options(bucket, proxy.url), tmp_path / "state"), tmp_path)
    assert {one.path.split("/")[1].partition("?")[0] for one in proxy.seen} == {bucket}
    assert {one.headers["Host"] for one in proxy.seen} == {proxy.url.removeprefix("http://")}


# Proxies and TLS


@pytest.fixture
def secure(s3_server, tmp_path, monkeypatch):
    """The server behind TLS, as ``localhost``, with a certificate that ``AWS_CA_BUNDLE`` knows."""
    context, trusted = certificate(tmp_path, "localhost")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    made = FaultProxy(s3_server.url, context)
    yield made
    made.close()


@pytest.fixture
def tunnel(secure):
    made = Tunnel(int(secure.url.rpartition(":")[2]))
    yield made
    made.close()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_that_connects_through(s3_server, secure, tunnel, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, tunnel.url)
    store = S3VersionedBlobStore(s3_server.options(s3_server.bucket(), "https://store.test"), tmp_path / "state")
    with pytest.raises(StoreUnreachable, match="hostname"):  # it is somebody else's
        works(store, tmp_path)
    # Under the name of its certificate it is reached, for uploads and for reading.
    store = S3VersionedBlobStore(s3_server.options(s3_server.bucket(), "https://localhost"), tmp_path / "state")
    works(store, tmp_path)
    assert set(tunnel.asked) == {"localhost:443", "store.test:443"}
    proxied = {check.name: check.detail for check in store.checks()}
    assert proxied["proxy"] == f"{tunnel.url} for localhost"


@pytest.mark.parametrize("exception", ["127.0.0.1", "*"])
def test_no_proxy_makes_an_exception(s3_server, secure, tunnel, tmp_path, monkeypatch, exception):
    monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
    monkeypatch.setenv("NO_PROXY", exception)
    store = S3VersionedBlobStore(s3_server.options(s3_server.bucket(), secure.url), tmp_path / "state")
    works(store, tmp_path)
    assert tunnel.asked == []
    found = {check.name: check for check in store.checks()}
    assert found["proxy"].detail == "none"
    assert found["tls"].ok
    assert "certificate by Tests" in found["tls"].detail


def test_a_certificate_that_nobody_knows(s3_server, secure, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE")
    store = S3VersionedBlobStore(s3_server.options(s3_server.bucket(), secure.url), tmp_path / "state")
    with pytest.raises(StoreUnreachable, match=r"(?i)certificate"):
        b"".join(store.read("k", None))
    (tls,) = [check for check in store.checks() if check.name == "tls"]
    assert not tls.ok


def test_a_proxy_that_drops_the_authorization(s3_server, proxy, tmp_path):
    proxy.drops_authorization = True
    bucket = s3_server.bucket()
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(AccessDenied):
        S3VersionedBlobStore(s3_server.options(bucket, proxy.url), tmp_path).upload(tmp_path / "file", "k")
    proxy.seen.clear()
    options = s3_server.options(bucket, proxy.url, use_presigned=True, multipart_threshold=100)
    works(S3VersionedBlobStore(options, tmp_path / "state"), tmp_path)
    assert not [one for one in proxy.seen if not signature_is_right(one, s3_server.secret)]
    assert {one.method for one in proxy.seen} == {"GET", "HEAD", "PUT", "POST"}


# Credentials


def test_credentials_of_the_configuration(s3_server, proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    store = S3VersionedBlobStore(s3_server.options(s3_server.bucket(), proxy.url), tmp_path / "state")
    works(store, tmp_path)
    assert source(store) == "adapters.s3 of the configuration"
    assert keys(proxy) == {s3_server.key}


def test_credentials_of_the_environment(store, s3_server, proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    works(store(), tmp_path)
    assert source(store()) == "from the environment (AWS_ACCESS_KEY_ID)"
    assert keys(proxy) == {s3_server.key}


@pytest.mark.parametrize(("chosen", "file"), [("options", "config"), ("environment", "credentials")])
def test_credentials_of_a_profile(store, s3_server, proxy, tmp_path, monkeypatch, chosen, file):
    section = "models" if file == "credentials" else "profile models"
    lines = f"aws_access_key_id = {s3_server.key}\naws_secret_access_key = {s3_server.secret}\n"
    (tmp_path / file).write_text(f"[{section}]\n{lines}")
    if chosen == "environment":
        monkeypatch.setenv("AWS_PROFILE", "models")
    found = store(profile="models" if chosen == "options" else "")
    works(found, tmp_path)
    assert source(found).startswith("from profile models of ")
    assert keys(proxy) == {s3_server.key}


def test_a_profile_that_is_not_there(store):
    with pytest.raises(CredentialsBad, match="models"):
        b"".join(store(profile="models").read("k", None))


def test_no_credentials_at_all(store, proxy, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    for action in (lambda: store().upload(tmp_path / "file", "k"), lambda: b"".join(store().read("k", None))):
        with pytest.raises(CredentialsBad, match=r"no credentials were found|Unable to locate"):
            action()
    assert proxy.seen == []


@needs_moto
@pytest.mark.parametrize("presigned", [False, True])
def test_credentials_of_a_web_identity(store, s3_server, proxy, tmp_path, monkeypatch, presigned):
    (tmp_path / "token").write_text("header.payload.signature")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_server.url)
    works(store(use_presigned=presigned), tmp_path)
    assert source(store()) == "of a role, by a web identity token (OIDC)"
    assert all("ecurity-" in one.path + " ".join(one.headers).lower() for one in proxy.seen)  # with a session's token


@needs_moto
def test_credentials_of_an_assumed_role(store, s3_server, proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_server.url)
    (tmp_path / "credentials").write_text("[me]\naws_access_key_id = mine\naws_secret_access_key = mine\n")
    (tmp_path / "config").write_text(f"[profile models]\nrole_arn = {ROLE}\nsource_profile = me\nregion = us-east-1\n")
    works(store(profile="models"), tmp_path)
    assert source(store(profile="models")) == "of the role that profile models assumes (STS)"
    assert all(key.startswith("ASIA") for key in keys(proxy))


@needs_moto
def test_a_role_that_cannot_be_assumed(store, proxy, tmp_path, monkeypatch):
    from support.aws import Service

    refused = Service(lambda *_: None)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", refused.url)
    (tmp_path / "credentials").write_text("[me]\naws_access_key_id = mine\naws_secret_access_key = mine\n")
    (tmp_path / "config").write_text(f"[profile models]\nrole_arn = {ROLE}\nsource_profile = me\nregion = us-east-1\n")
    (tmp_path / "file").write_bytes(b"content")
    try:
        for action in (
            lambda: store(profile="models").upload(tmp_path / "file", "k"),
            lambda: b"".join(store(profile="models").read("k", None)),
        ):
            with pytest.raises(CredentialsBad, match="AssumeRole"):
                action()
        (found,) = [check for check in store(profile="models").checks() if check.name == "credentials"]
        assert not found.ok
    finally:
        refused.close()


def test_credentials_of_the_machine(store, s3_server, proxy, tmp_path, monkeypatch):
    service = instance_metadata(s3_server.key, s3_server.secret)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    try:
        found = store()
        if ENDPOINT in os.environ:  # it doesn't know the token that comes with such credentials
            assert source(found) == "of the machine's role (instance metadata)"
            return
        works(found, tmp_path)
        assert source(found) == "of the machine's role (instance metadata)"
        assert {one.headers.get("X-Amz-Security-Token") for one in proxy.seen} == {"of the role"}
    finally:
        service.close()


SIGNED_ON = """
import sys
from pathlib import Path
from anvcs.artifacts.errors import CredentialsBad
from anvcs.artifacts.s3.options import S3Options
from anvcs.artifacts.s3.store import S3VersionedBlobStore
url, bucket, folder = sys.argv[1:]
options = S3Options(bucket=bucket, provider="other", endpoint_url=url, profile="models")
store, file = S3VersionedBlobStore(options, Path(folder, "state")), Path(folder, "file")
file.write_bytes(b"logged in")
try:
    stored = store.upload(file, "k")
    print(store.client.credentials())
    print(b"".join(store.read("k", stored["version_id"])).decode())
except CredentialsBad as error:
    print(error)
"""


@needs_moto
def test_credentials_of_a_single_sign_on(store, s3_server, proxy, tmp_path, monkeypatch):
    start = "https://company.awsapps.example/start"
    service = single_sign_on("logged in", s3_server.key, s3_server.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", service.url)
    (tmp_path / "config").write_text(
        "[profile models]\nsso_account_id = 123456789012\nsso_role_name = writer\n"
        f"sso_start_url = {start}\nsso_region = us-east-1\nregion = us-east-1\n"
    )
    # The folder of log-ins is found when botocore is imported: a process of its own has another home.
    place = proxy.url, s3_server.bucket()
    asked = [sys.executable, "-c", SIGNED_ON, *place, str(tmp_path)]
    try:
        refused = subprocess.run(asked, capture_output=True, text=True, check=True)
        assert "log in again" in refused.stdout
        cache = tmp_path / ".aws" / "sso" / "cache"
        cache.mkdir(parents=True)
        token = {"startUrl": start, "accessToken": "logged in", "expiresAt": "2099-01-01T00:00:00Z"}
        name = hashlib.sha1(start.encode(), usedforsecurity=False).hexdigest()
        (cache / f"{name}.json").write_text(json.dumps(token))
        let_in = subprocess.run(asked, capture_output=True, text=True, check=True)
        assert let_in.stdout == "of the single sign-on of profile models\nlogged in\n"
        assert {one.headers.get("X-Amz-Security-Token") for one in proxy.seen} == {"of the portal"}
    finally:
        service.close()


def test_credentials_of_a_process(store, s3_server, proxy, tmp_path):
    told = {"Version": 1, "AccessKeyId": s3_server.key, "SecretAccessKey": s3_server.secret}
    (tmp_path / "told").write_text(json.dumps(told))
    command = f"{sys.executable} -c 'print(open(\"{tmp_path}/told\").read())'"
    (tmp_path / "config").write_text(f"[profile models]\ncredential_process = {command}\n")
    works(store(profile="models"), tmp_path)
    assert source(store(profile="models")) == "from the credential_process of profile models"
