"""GETs, through the client or through presigned addresses."""

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final, NamedTuple

from anvcs.artifacts.errors import StoreRefused, TransferBroken
from anvcs.artifacts.pieces import CHUNK
from anvcs.artifacts.protocol import Body
from anvcs.artifacts.s3.client import Client
from anvcs.artifacts.s3.meaning import NothingThere, meaning, status_meaning

_EXPIRES_S: Final = 900
_LONGEST_COMPLAINT: Final = 8 << 10


class _Answer(NamedTuple):
    status: int
    length: int
    """As announced; -1 when it wasn't."""
    raw: Any


class Reading:
    """Bodies of objects.  Requests are made once each; whoever reads knows what to ask for again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._http: Any = None

    def read(self, key: str, version_id: str | None, start: int, length: int | None) -> Body:
        """The bytes from *start*; nothing at or after the end."""
        if length == 0:
            return
        send = self._send if self._client.options.use_presigned else self._call
        answer = send(key, version_id, _range(start, length))
        if answer is None:
            return
        with closing(answer.raw):
            if start and answer.status != 206:
                raise StoreRefused(self._client.name, "the server doesn't give parts of objects (ranges)")
            yield from self._body(answer.raw, answer.length, key)

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

    def _call(self, key: str, version_id: str | None, wanted: str | None) -> "_Answer | None":
        """One GET, signed in its headers; None when the range has nothing."""
        try:
            found = self._client.call("get_object", key, version_id, **({"Range": wanted} if wanted else {}))
        except NothingThere:
            return None
        status = found["ResponseMetadata"]["HTTPStatusCode"]
        # Not botocore's StreamingBody, whose `close` leaves the connection to be read by the next.
        return _Answer(status, int(found.get("ContentLength", -1)), found["Body"]._raw_stream)  # noqa: SLF001  # as above

    def _send(self, key: str, version_id: str | None, wanted: str | None) -> "_Answer | None":
        """One GET, signed in its address."""
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        client = self._client
        named = {"Bucket": client.options.bucket, "Key": key} | ({"VersionId": version_id} if version_id else {})
        try:
            url = client.raw.generate_presigned_url("get_object", Params=named, ExpiresIn=_EXPIRES_S)
            headers = {"Accept-Encoding": "identity"} | ({"Range": wanted} if wanted else {})
            request = AWSRequest("GET", url, headers=headers, stream_output=True)
            response = self._session(url).send(request.prepare())
        except BotoCoreError as error:
            raise meaning(error, client.name, key, version_id) from error
        if response.status_code < 300:
            return _Answer(response.status_code, int(response.headers.get("Content-Length", -1)), response.raw)
        try:
            raise self._complaint(response, key, version_id)
        except NothingThere:
            return None
        finally:
            response.raw.close()

    def _session(self, url: str) -> Any:
        with self._lock:
            if self._http is None:
                from botocore.httpsession import URLLib3Session
                from botocore.utils import get_environ_proxies

                options = self._client.options
                self._http = URLLib3Session(
                    proxies=get_environ_proxies(url),
                    timeout=(options.connect_timeout_s, options.read_timeout_s),
                    max_pool_connections=32,
                )
            return self._http

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
