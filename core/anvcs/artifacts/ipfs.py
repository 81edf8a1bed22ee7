"""A node of IPFS as a store: a version's id is its CID, so any node that has it will do.

Bytes go to a node through its RPC API (Kubo's; ``/api/v0``) and are read from a gateway, or
from the node.  Which keys have which CIDs is kept in the node's own files, in the folder
``/anvcs/<key, percent-encoded>/<time>-<CID>``; what lies there is safe from its garbage
collection.  A pinning service, if there is one, is told to keep each upload online.
"""

import hashlib
import http.client
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from anvcs.artifacts.errors import (
    AccessDenied,
    CredentialsBad,
    NoSuchVersion,
    Passing,
    StorageNotConfigured,
    StoreBusy,
    StoreError,
    StoreRefused,
    StoreUnreachable,
    TransferBroken,
)
from anvcs.artifacts.pieces import CHUNK
from anvcs.artifacts.protocol import Body, Moved, Stored, StoreSettings
from anvcs.artifacts.retrying import Backoff, again, rest
from anvcs.model.secret import Secret

_TIMEOUT_S: Final = 30.0
_ANSWER: Final = 1 << 20
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class IPFSBlobStore:
    """Versions on a node of IPFS."""

    bucket = ""
    region = ""

    def __init__(
        self, rpc: str, gateway: str = "", pinning: "PinningService | None" = None, backoff: Backoff | None = None
    ) -> None:
        self.name = f"ipfs at {gateway or rpc}"
        self._rpc, self._gateway = rpc.rstrip("/"), gateway.rstrip("/")
        self._pinning = pinning
        self._backoff = backoff or Backoff()

    def upload(self, local_path: Path, key: str, *, sha256: str | None = None, moved: Moved | None = None) -> Stored:
        """Add a file to the node under *key*, and ask the pinning service to keep it."""
        with local_path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and digest != sha256:  # unlike other stores, this one names a version by what it got
            raise TransferBroken(self.name, f"{local_path} changed")
        cid = again(lambda: self._add(local_path, moved), self._backoff, key)
        versions = self._versions(key)
        if not versions or versions[-1][1] != cid:
            self._file(key, cid, versions)
        if self._pinning is not None:
            again(lambda: self._pinning.add(cid, key), self._backoff, key)  # type: ignore[union-attr]  # looked at above
        return Stored(key=key, version_id=cid, sha256=digest, size=local_path.stat().st_size)

    def download(self, key: str, version_id: str | None, dest_path: Path) -> None:
        """Write a version to a file; a broken transfer goes on where it broke."""
        part = dest_path.with_name(f".{dest_path.name[:200]}.{secrets.token_hex(4)}")
        cid = version_id or self._newest(key)
        try:
            with part.open("xb") as writer:
                failed = 0
                while True:
                    before = writer.tell()
                    try:
                        for chunk in self.read(key, cid, before):
                            writer.write(chunk)
                        break
                    except Passing as error:
                        failed = 1 if writer.tell() > before else failed + 1
                        if failed >= self._backoff.allowed(error):
                            raise
                        rest(self._backoff, failed, key, None)
            part.replace(dest_path)
        finally:
            part.unlink(missing_ok=True)

    def exists(self, key: str, version_id: str | None = None) -> bool:
        """Whether the node has this version of the key, or any."""
        versions = again(lambda: self._versions(key), self._backoff, key)
        return any(version_id in {None, "", cid} for _, cid in versions)

    def delete_version(self, key: str, version_id: str) -> None:
        """Forget a version; the node's garbage collection frees it if nothing else has it."""
        for name, cid in again(lambda: self._versions(key), self._backoff, key):
            if cid == version_id:
                again(lambda name=name: self._call("files/rm", arg=f"{_folder(key)}/{name}"), self._backoff, key)  # type: ignore[misc]  # the default binds the loop's name
        if self._pinning is not None:
            again(lambda: self._pinning.remove(version_id, key), self._backoff, key)  # type: ignore[union-attr]  # looked at above

    def read(self, key: str, version_id: str | None, start: int = 0, length: int | None = None) -> Body:
        """The bytes of a version from *start*."""
        if length == 0:
            return
        cid = version_id or self._newest(key)
        if not is_cid(cid):
            raise NoSuchVersion(self.name, key, version_id)
        if version_id and not self._gateway and not self.exists(key, cid):
            raise NoSuchVersion(self.name, key, version_id)  # the node would look for it in the whole world
        body = (
            self._from_gateway(key, cid, start, length) if self._gateway else self._from_node(key, cid, start, length)
        )
        with closing(body):
            yield from body

    # The gateway

    def _from_gateway(self, key: str, cid: str, start: int, length: int | None) -> Body:
        request = urllib.request.Request(f"{self._gateway}/ipfs/{cid}")  # noqa: S310  # `make` looked at the scheme
        if start or length is not None:
            request.add_header("Range", f"bytes={start}-{start + length - 1 if length is not None else ''}")
        try:
            response = _open(request)
        except urllib.error.HTTPError as error:
            if error.code == 416:
                return
            raise _answered(self.name, error, key, cid) from error
        except (OSError, http.client.HTTPException) as error:
            raise _unreached(self.name, error) from error
        if start and response.status != 206:
            response.close()
            raise StoreRefused(self.name, "the gateway doesn't give parts of objects (ranges)")
        yield from _body(self.name, key, response, int(response.headers.get("Content-Length") or -1))

    def _from_node(self, key: str, cid: str, start: int, length: int | None) -> Body:
        size = int(self._call("files/stat", arg=f"/ipfs/{cid}")["Size"])
        end = min(size, start + length) if length is not None else size
        if start >= end:
            return
        response = self._ask("cat", {"arg": cid, "offset": str(start), "length": str(end - start)})
        yield from _body(self.name, key, response, end - start)

    # The node

    def _add(self, file: Path, moved: Moved | None) -> str:
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = len(head) + file.stat().st_size + len(tail)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}
        parameters = {"pin": "true", "cid-version": "1", "raw-leaves": "true", "quieter": "true"}
        with closing(self._ask("add", parameters, _form(head, file, tail, moved), headers)) as response:
            answer = response.read(_ANSWER)
        return normal_cid(str(_json(self.name, answer.splitlines()[-1] if answer else b"")["Hash"]))

    def _file(self, key: str, cid: str, versions: list[tuple[str, str]]) -> None:
        """Note a version as the key's newest."""
        folder = _folder(key)
        after = max([int(name.partition("-")[0]) for name, _ in versions], default=0)
        name = f"{max(time.time_ns(), after + 1):020d}-{cid}"
        for action in (
            lambda: self._call("files/mkdir", arg=folder, parents="true"),
            lambda: self._once("files/cp", f"/ipfs/{cid}", f"{folder}/{name}"),
        ):
            again(action, self._backoff, key)

    def _once(self, call: str, source: str, target: str) -> None:
        try:
            self._call(call, arg=[source, target])
        except StoreRefused as error:
            if "already" not in str(error):  # an answer that was lost: then it is there
                raise

    def _versions(self, key: str) -> list[tuple[str, str]]:
        """Name and CID of a key's versions, the oldest first."""
        try:
            listed = self._call("files/ls", arg=_folder(key)).get("Entries") or []
        except NoSuchVersion:
            return []
        names = sorted(str(entry["Name"]) for entry in listed)
        return [(name, name.partition("-")[2]) for name in names if name.partition("-")[0].isdigit()]

    def _newest(self, key: str) -> str:
        versions = again(lambda: self._versions(key), self._backoff, key)
        if not versions:
            raise NoSuchVersion(self.name, key, None)
        return versions[-1][1]

    def _call(self, call: str, **parameters: Any) -> dict[str, Any]:
        with closing(self._ask(call, parameters)) as response:
            try:
                answer = response.read(64 * _ANSWER)
            except (OSError, http.client.HTTPException) as error:
                raise TransferBroken(self.name, str(error)) from error
        return _json(self.name, answer) if answer.strip() else {}

    def _ask(
        self, call: str, parameters: dict[str, Any], data: Any = b"", headers: dict[str, str] | None = None
    ) -> Any:
        query = urllib.parse.urlencode(parameters, doseq=True)
        request = urllib.request.Request(  # noqa: S310  # `make` looked at the scheme
            f"{self._rpc}/api/v0/{call}?{query}", data=data, headers=headers or {}, method="POST"
        )
        try:
            return _open(request)
        except urllib.error.HTTPError as error:
            raise _answered(self.name, error, str(parameters.get("arg", call)), None) from error
        except (OSError, http.client.HTTPException) as error:
            raise _unreached(self.name, error) from error


class PinningService:
    """The vendor-neutral pinning-service API, with a token as bearer."""

    def __init__(self, address: str, token: Secret | None) -> None:
        self._address, self._token = address.rstrip("/"), token
        self._name = f"pinning service at {address}"

    def add(self, cid: str, name: str) -> None:
        """Ask it to keep *cid*; asking again is fine."""
        if not self._requests(cid):
            self._ask("POST", "/pins", {"cid": cid, "name": name[:255]})

    def remove(self, cid: str, name: str) -> None:
        """Take the requests for *cid* under this name back."""
        for request, label in self._requests(cid):
            if label == name[:255]:
                try:
                    self._ask("DELETE", f"/pins/{urllib.parse.quote(request, safe='')}")
                except NoSuchVersion:  # somebody was faster
                    continue

    def _requests(self, cid: str) -> list[tuple[str, str]]:
        query = urllib.parse.urlencode({"cid": cid, "status": "queued,pinning,pinned", "limit": "100"})
        found = self._ask("GET", f"/pins?{query}").get("results") or []
        return [(str(one["requestid"]), str(one.get("pin", {}).get("name", ""))) for one in found]

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._address + path, data=data, method=method)  # noqa: S310  # `make` looked
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self._token is not None:
            # Unredirected: another host that we are sent to gets no token.
            request.add_unredirected_header("Authorization", f"Bearer {self._token.reveal()}")
        try:
            with closing(_open(request)) as response:
                answer = response.read(_ANSWER)
        except urllib.error.HTTPError as error:
            raise _answered(self._name, error, path, None) from error
        except (OSError, http.client.HTTPException) as error:
            raise _unreached(self._name, error) from error
        return _json(self._name, answer) if answer.strip() else {}


def normal_cid(text: str) -> str:
    """A CID as version 1 in base32; nodes print base58, too."""
    if text.startswith("z") and len(text) > 1:
        return "b" + _base32(_from_base58(text[1:]))
    if text.startswith("Qm"):
        return "b" + _base32(b"\x01\x70" + _from_base58(text))  # version 1, dag-pb
    return text


def is_cid(text: str) -> bool:
    """Whether a version is a CID as we write them."""
    return text.startswith("b") and len(text) > 20 and all(char in _BASE32 for char in text[1:])


def _from_base58(text: str) -> bytes:
    number = 0
    for char in text:
        number = number * 58 + _BASE58.index(char)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base32(data: bytes) -> str:
    import base64

    return base64.b32encode(data).decode().rstrip("=").lower()


def _folder(key: str) -> str:
    return f"/anvcs/{urllib.parse.quote(key, safe='')}"


def _form(head: bytes, file: Path, tail: bytes, moved: Moved | None) -> Iterator[bytes]:
    yield head
    with file.open("rb") as reader:
        while chunk := reader.read(CHUNK):
            yield chunk
            if moved is not None:
                moved(len(chunk))
    yield tail


def _open(request: urllib.request.Request) -> Any:
    return urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310  # `make` looked at the scheme


def _body(store: str, key: str, response: Any, announced: int) -> Body:
    got = 0
    with closing(response):
        try:
            while chunk := response.read(CHUNK):
                got += len(chunk)
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise TransferBroken(store, f"{key} broke off: {error}") from error
    if announced >= 0 and got != announced:
        raise TransferBroken(store, f"{key} ended after {got} of {announced} bytes")


def _answered(store: str, error: urllib.error.HTTPError, key: str, cid: str | None) -> StoreError:
    """What a node, a gateway or a service says: nodes answer everything with 500 and a sentence."""
    try:
        told = error.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        told = ""
    finally:
        error.close()
    try:
        message = json.loads(told)
        told = str(message.get("Message") or message.get("error") or told) if isinstance(message, dict) else told
    except ValueError:
        pass
    words = " ".join(told.split())[:300] or str(error.code)
    lower = words.lower()
    if error.code in {404, 410} or "does not exist" in lower or "not found" in lower:
        return NoSuchVersion(store, key, cid)
    if error.code == 401:
        return CredentialsBad(store, words)
    if error.code == 403:
        return AccessDenied(store, words)
    if error.code in {429, 502, 503, 504} or (error.code == 500 and not told):
        return StoreBusy(store, words)
    return StoreRefused(store, words)


def _unreached(store: str, error: Exception) -> StoreError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ConnectionResetError | BrokenPipeError | http.client.HTTPException):
        return TransferBroken(store, str(reason) or type(reason).__name__)
    return StoreUnreachable(store, str(reason) or type(reason).__name__)


def _json(store: str, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        raise TransferBroken(store, "an answer that is no JSON") from None
    if not isinstance(found, dict):
        raise StoreRefused(store, "an answer of another form")
    return found


def make(settings: StoreSettings) -> IPFSBlobStore:
    """From the configuration: ``adapters.ipfs``."""
    options = settings.options
    rpc, gateway, service = (str(options.get(name) or "") for name in ("rpc", "gateway", "pinning_service"))
    for name, address in (("rpc", rpc), ("gateway", gateway), ("pinning_service", service)):
        if address and not address.startswith(("http://", "https://")):
            raise StorageNotConfigured("ipfs", f"adapters.ipfs.{name} must begin with https:// or http://")
    token = options.get("api_token")
    if token and service.startswith("http://") and urllib.parse.urlsplit(service).hostname not in _LOOPBACK:
        raise StorageNotConfigured("ipfs", "adapters.ipfs.api_token is sent over https:// or to this machine only")
    if not rpc:
        raise StorageNotConfigured("ipfs", "adapters.ipfs.rpc names no node")
    pinning = PinningService(service, token if isinstance(token, Secret) else None) if service else None
    return IPFSBlobStore(rpc, gateway, pinning)
