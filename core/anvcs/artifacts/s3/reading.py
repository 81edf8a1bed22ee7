"""GETs, signed in their headers or in their address."""

import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPException
from typing import Any, Final, NamedTuple

from anvcs.artifacts.errors import StoreRefused, TransferBroken
from anvcs.artifacts.pieces import CHUNK
from anvcs.artifacts.protocol import Body
from anvcs.artifacts.s3.client import CONNECTIONS, Client
from anvcs.artifacts.s3.lines import Lines
from anvcs.artifacts.s3.meaning import NothingThere, meaning, status_meaning
from anvcs.artifacts.s3.signing import Signer

_LONGEST_COMPLAINT: Final = 8 << 10


class _Way(NamedTuple):
    """What all requests of a bucket share."""

    base: str
    """Address of the bucket, without the slash at its end."""
    region: str
    signer: Signer
    send: Callable[[str, Mapping[str, str]], Any]
    """Asks for an address, and gives status, headers, and the body to be read and closed."""


class Reading:
    """Bodies of objects.  Requests are made once each; whoever reads knows what to ask for again.

    Not by the client's ``get_object``: for a small object its parameters, rules and hooks
    cost many times what signing and sending does.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._shared: _Way | None = None

    def read(self, key: str, version_id: str | None, start: int, length: int | None) -> Body:
        """The bytes from *start*; nothing at or after the end."""
        if length == 0:
            return
        with closing(self._send(key, version_id, _range(start, length))) as answer:
            if answer.status >= 300:
                try:
                    raise self._complaint(answer, key, version_id)
                except NothingThere:
                    return
            if start and answer.status != 206:
                raise StoreRefused(self._client.name, "the server doesn't give parts of objects (ranges)")
            yield from self._body(answer, int(answer.headers.get("Content-Length", -1)), key)

    def _body(self, answer: Any, announced: int, key: str) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError

        got = 0
        try:
            while got != announced and (chunk := answer.read(CHUNK)):
                got += len(chunk)
                yield chunk
        except (HTTPError, HTTPException, OSError) as error:
            raise TransferBroken(self._client.name, f"{key} broke off after {got} bytes: {error}") from error
        if announced >= 0 and got != announced:
            raise TransferBroken(self._client.name, f"{key} ended after {got} of {announced} bytes")

    def _send(self, key: str, version_id: str | None, wanted: str | None) -> Any:
        from botocore.exceptions import BotoCoreError

        way, client = self._way(), self._client
        url = f"{way.base}/{urllib.parse.quote(key, safe='/~')}"
        query = f"versionId={urllib.parse.quote(version_id, safe='~')}" if version_id else ""
        # What isn't there when the address is signed isn't part of the signature.
        plain = {"Accept-Encoding": "identity"} | ({"Range": wanted} if wanted else {})
        try:
            asked = f"{url}?{query}" if query else url
            if client.options.use_presigned:
                asked, headers = self._presigned(asked, way.region), {"Host": way.signer.host}
            else:
                headers = way.signer.headers(urllib.parse.urlsplit(url).path, query, client.frozen())
            return way.send(asked, headers | plain)
        except BotoCoreError as error:
            raise meaning(error, client.name, key, version_id) from error

    def _presigned(self, url: str, region: str) -> str:
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("GET", url)
        self._client.presign(request, region)
        return str(request.url)

    def _way(self) -> _Way:
        shared = self._shared
        if shared is None:
            with self._lock:
                shared = self._shared = self._shared or self._connect()
        return shared

    def _connect(self) -> _Way:
        from botocore.exceptions import BotoCoreError

        client = self._client
        client.frozen()  # without credentials it ends here
        try:
            base, region = self._place()
        except BotoCoreError as error:
            raise meaning(error, client.name) from error
        return _Way(base, region, Signer(urllib.parse.urlsplit(base).netloc, region), self._sender(base))

    def _place(self) -> tuple[str, str]:
        """The bucket's address and region."""
        client, options = self._client, self._client.options
        if options.endpoint_url and not options.virtual_hosts:  # clear without a client, which takes 0.3 s to make
            return f"{options.endpoint_url.rstrip('/')}/{options.bucket}", client.region
        # Where the client would send it: it knows all rules about hosts and regions.
        url = client.raw.generate_presigned_url("head_bucket", Params={"Bucket": options.bucket})
        return url.partition("?")[0].rstrip("/"), client.raw.meta.region_name

    def _sender(self, base: str) -> Callable[[str, Mapping[str, str]], Any]:
        """Straight to the server, or through the proxy that the environment names."""
        from botocore.utils import get_environ_proxies

        address, options = urllib.parse.urlsplit(base), self._client.options
        timeouts = (options.connect_timeout_s, options.read_timeout_s)
        proxies = get_environ_proxies(base)
        if address.scheme in proxies:
            return _through_proxy(proxies, timeouts, self._client.ca_file)
        ca_file = self._client.ca_file if address.scheme == "https" else ""
        lines = Lines(base, self._client.name, timeouts, ca_file)
        host = f"{address.scheme}://{address.netloc}"
        return lambda url, headers: lines.get(url.removeprefix(host), headers)

    def _complaint(self, answer: Any, key: str, version_id: str | None) -> Exception:
        from urllib3.exceptions import HTTPError

        try:
            body = answer.read(_LONGEST_COMPLAINT)
        except (HTTPError, HTTPException, OSError):  # the status alone says enough
            body = b""
        return status_meaning(answer.status, answer.headers, body, self._client.name, key, version_id)


def _range(start: int, length: int | None) -> str | None:
    if start == 0 and length is None:
        return None
    return f"bytes={start}-{start + length - 1 if length is not None else ''}"


def _through_proxy(
    proxies: Mapping[str, str], timeouts: tuple[float, float], ca_file: str
) -> Callable[[str, Mapping[str, str]], Any]:
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    session = URLLib3Session(proxies=proxies, timeout=timeouts, max_pool_connections=CONNECTIONS, verify=ca_file)

    def send(url: str, headers: Mapping[str, str]) -> Any:
        return session.send(AWSRequest("GET", url, dict(headers), stream_output=True).prepare()).raw

    return send
