"""What stands between this machine and a bucket, looked at step by step."""

import os
import socket
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

from anvcs.artifacts.checks import Check
from anvcs.artifacts.errors import ArtifactError
from anvcs.artifacts.s3.client import Client
from anvcs.artifacts.s3.meaning import SKEW_S, skew_of, skewed

_TIMEOUT_S: Final = 5.0


def checks(client: Client) -> Iterator[Check]:
    """Proxy, DNS, TLS, credentials, clock, bucket and versioning, in the order in which they fail."""
    address = urllib.parse.urlsplit(client.raw.meta.endpoint_url)
    host = _host(client, address)
    proxy = _proxy(address.scheme, host)
    yield Check("proxy", True, f"{_without_login(proxy)} for {host}" if proxy else "none")
    if not proxy:
        port = address.port or (443 if address.scheme == "https" else 80)
        yield _tried("dns", lambda: _resolved(host, port))
        if address.scheme == "https":
            yield _tried("tls", lambda: _chain(host, port, client.ca_file))
        else:
            yield Check("tls", True, "not used: the address begins with http://")
    yield _tried("credentials", client.credentials)
    yield from _bucket(client)


def _bucket(client: Client) -> Iterator[Check]:
    """One request tells about the clock, the bucket and its versions."""
    try:
        answer = client.call("get_bucket_versioning")
    except ArtifactError as error:
        yield Check("bucket", False, str(error))
        return
    skew = skew_of(answer["ResponseMetadata"]["HTTPHeaders"])
    if skew is None:
        yield Check("clock", True, "the server doesn't tell its time")
    else:
        right = abs(skew) <= SKEW_S
        yield Check("clock", right, f"{skew:+.0f} s" if right else f"{skewed(skew)}; set it: timedatectl set-ntp true")
    yield Check("bucket", True, client.name)
    status = answer.get("Status", "off")
    yield Check("versioning", status == "Enabled", "on" if status == "Enabled" else str(client.unversioned()))


def details(client: Client) -> dict[str, object]:
    """What was found out about the connection, without secrets."""
    options = client.options
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "AWS_CA_BUNDLE")
    return {
        "endpoint": client.raw.meta.endpoint_url,
        "region": client.raw.meta.region_name,
        "bucket": options.bucket,
        "addressing": "virtual" if options.virtual_hosts else "path",
        "presigned": options.use_presigned,
        "environment": {name: _without_login(os.environ[name]) for name in names if name in os.environ},
    }


def _tried(name: str, action: Callable[[], str]) -> Check:
    try:
        return Check(name, True, action())
    except (OSError, ArtifactError) as error:
        return Check(name, False, str(error))


def _host(client: Client, address: urllib.parse.SplitResult) -> str:
    host = address.hostname or ""
    return f"{client.options.bucket}.{host}" if client.options.virtual_hosts else host


def _proxy(scheme: str, host: str) -> str:
    if urllib.request.proxy_bypass(host):
        return ""
    return urllib.request.getproxies().get(scheme, "")


def _without_login(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()


def _resolved(host: str, port: int) -> str:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return f"{host} is {', '.join(sorted({str(one[4][0]) for one in found}))}"


def _chain(host: str, port: int, trusted: str | None) -> str:
    context = ssl.create_default_context(cafile=trusted)
    with (
        socket.create_connection((host, port), _TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        found: Any = tls.getpeercert() or {}
        issuer = dict(pair for row in found.get("issuer", ()) for pair in row)
        days = (ssl.cert_time_to_seconds(str(found["notAfter"])) - time.time()) / 86_400
        who = issuer.get("organizationName", issuer.get("commonName", "?"))
        return f"{tls.version()}, certificate by {who}, valid for {days:.0f} more days"
