"""GETs, signed in their headers or in their address."""

import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final, NamedTuple

from anvcs.artifacts.errors import StoreRefused, TransferBroken
from anvcs.artifacts.pieces import CHUNK
from anvcs.artifacts.protocol import Body
from anvcs.artifacts.s3.client import CONNECTIONS, Client
from anvcs.artifacts.s3.meaning import NothingThere, meaning, status_meaning

_LONGEST_COMPLAINT: Final = 8 << 10


class _Line(NamedTuple):
    """What all requests of a bucket share."""

    base: str
    """Address of the bucket, without the slash at its end."""
    region: str
    http: Any


class Reading:
    """Bodies of objects.  Requests are made once each; whoever reads knows what to ask for again.

    Not by the client's ``get_object``: for a small object its parameters, rules and hooks
    cost twice what signing and sending does.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._shared: _Line | None = None

    def read(self, key: str, version_id: str | None, start: int, length: int | None) -> Body:
        """The bytes from *start*; nothing at or after the end."""
        if length == 0:
            return
        response = self._send(key, version_id, _range(start, length))
        with closing(response.raw):
            if response.status_code >= 300:
                try:
                    raise self._complaint(response, key, version_id)
                except NothingThere:
                    return
            if start and response.status_code != 206:
                raise StoreRefused(self._client.name, "the server doesn't give parts of objects (ranges)")
            yield from self._body(response.raw, int(response.headers.get("Content-Length", -1)), key)

    def _body(self, raw: Any, announced: int, key: str) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError

        got = 0
        try:
            while chunk := raw.read(CHUNK):
                got += len(chunk)
                yield chunk
        except (HTTPError, OSError) as error:
            raise TransferBroken(self._client.name, f"{key} broke off after {got} bytes: {error}") from error
        if announced >= 0 and got != announced:
            raise TransferBroken(self._client.name, f"{key} ended after {got} of {announced} bytes")

    def _send(self, key: str, version_id: str | None, wanted: str | None) -> Any:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        line = self._line()
        url = f"{line.base}/{urllib.parse.quote(key, safe='/~')}"
        presigned = self._client.options.use_presigned
        headers = {"Accept-Encoding": "identity"} | ({"Range": wanted} if wanted else {})
        named = {"versionId": version_id} if version_id else {}
        # What isn't there when the address is signed isn't part of the signature.
        request = AWSRequest("GET", url, {} if presigned else headers, params=named, stream_output=True)
        try:
            if presigned:
                self._client.presign(request, line.region)
                for name, value in headers.items():
                    request.headers[name] = value
            else:
                S3SigV4Auth(self._client.frozen(), "s3", line.region).add_auth(request)
            return line.http.send(request.prepare())
        except BotoCoreError as error:
            raise meaning(error, self._client.name, key, version_id) from error

    def _line(self) -> _Line:
        with self._lock:
            if self._shared is None:
                self._shared = self._connect()
            return self._shared

    def _connect(self) -> _Line:
        from botocore.exceptions import BotoCoreError
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        client, options = self._client, self._client.options
        client.frozen()  # without credentials it ends here
        try:
            # Where the client would send it: it knows all rules about hosts and regions.
            url = client.raw.generate_presigned_url("head_bucket", Params={"Bucket": options.bucket})
        except BotoCoreError as error:
            raise meaning(error, client.name) from error
        http = URLLib3Session(
            verify=client.ca_bundle or True,
            proxies=get_environ_proxies(url),
            timeout=(options.connect_timeout_s, options.read_timeout_s),
            max_pool_connections=CONNECTIONS,
        )
        return _Line(url.partition("?")[0].rstrip("/"), client.raw.meta.region_name, http)

    def _complaint(self, response: Any, key: str, version_id: str | None) -> Exception:
        from urllib3.exceptions import HTTPError

        try:
            body = response.raw.read(_LONGEST_COMPLAINT)
        except (HTTPError, OSError):  # the status alone says enough
            body = b""
        return status_meaning(response.status_code, response.headers, body, self._client.name, key, version_id)


def _range(start: int, length: int | None) -> str | None:
    if start == 0 and length is None:
        return None
    return f"bytes={start}-{start + length - 1 if length is not None else ''}"
