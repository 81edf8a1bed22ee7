"""Uploads: in one request, or in parts that a later process can go on with.

An upload in parts is remembered in ``<state>/multipart/<sha256>.json``.  After a death the
parts that the server has are compared with the file by their MD5 and not sent again.
"""

import base64
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from anvcs.artifacts.errors import NoSuchVersion, Passing, StoreError, TransferBroken
from anvcs.artifacts.parts import Claims
from anvcs.artifacts.protocol import Moved
from anvcs.artifacts.retrying import again
from anvcs.artifacts.s3.client import Client
from anvcs.artifacts.workers import in_parallel

_MOST_PARTS: Final = 10_000
_MIB: Final = 1 << 20
_OTHERS_S: Final = 0.1


class Upload:
    """One file on its way to one key."""

    def __init__(self, client: Client, file: Path, key: str, sha256: str, state: Path, moved: Moved) -> None:
        self._client, self._file, self._key, self._sha256, self._moved = client, file, key, sha256, moved
        self._journal = state / "multipart" / f"{sha256}.json"
        self.size = file.stat().st_size

    def run(self) -> str:
        """The new version; empty when the server doesn't name it."""
        if self.size <= self._client.options.multipart_threshold:
            answer = self._again(self._put)
            self._moved(self.size)
        else:
            answer = self._in_parts()
        version = str(answer.get("VersionId") or "")
        if version == "null":
            raise self._client.unversioned()
        return version

    def _put(self) -> Any:
        with self._file.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
            file.seek(0)
            sent = base64.b64encode(digest).decode()
            return self._client.call("put_object", self._key, Body=file, ContentMD5=sent, **self._described())

    def _described(self) -> dict[str, Any]:
        return {"Metadata": {"sha256": self._sha256}} | self._client.options.extra

    # In parts

    def _in_parts(self) -> Any:
        with self._alone() as waited:
            found = self._there() if waited else None
            if found is not None:
                self._moved(self.size)
                return found
            return self._go_on_in_parts()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Have no other thread or process upload the same content; whether one had to be waited for.

        Two would begin two uploads on the server, and one of these would stay there.
        """
        claims, waited = Claims(self._journal.parents[1] / "multipart.lock"), False
        try:
            while not claims.claim(self._sha256):
                waited = True
                self._moved(0)  # raises when nobody wants it any more
                time.sleep(_OTHERS_S)
            yield waited
        finally:
            claims.close()

    def _there(self) -> Any | None:
        """What the server says of this content, if it is the newest version of the key."""
        try:
            found = self._again(lambda: self._client.call("head_object", self._key))
        except NoSuchVersion:
            return None
        return found if found.get("Metadata", {}).get("sha256") == self._sha256 else None

    def _go_on_in_parts(self) -> Any:
        step = self._step()
        upload_id, there = self._resumed(step)
        if upload_id is None:
            upload_id = self._again(
                lambda: self._client.call("create_multipart_upload", self._key, **self._described())
            )["UploadId"]
            self._remember(upload_id, step)
        try:
            etags = self._send_parts(upload_id, step, there)
            answer = self._again(lambda: self._complete(upload_id, etags))
        except Passing:
            raise  # what is there is gone on with
        except StoreError:
            self._abort(upload_id)
            raise
        self._journal.unlink(missing_ok=True)
        return answer

    def _send_parts(self, upload_id: str, step: int, there: dict[int, str]) -> list[str]:
        """Every part's ETag."""

        def send(number: int) -> str:
            with self._client.parts:
                return send_data(number, self._part((number - 1) * step, step))

        def send_data(number: int, data: bytearray) -> str:
            # What the server compares with what it received: a flipped bit on the way is refused.
            digest = hashlib.md5(data, usedforsecurity=False).digest()
            if there.get(number) == digest.hex():
                self._moved(len(data))
                return there[number]
            etag = self._again(
                lambda: self._client.call(
                    "upload_part",
                    self._key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=data,
                    ContentMD5=base64.b64encode(digest).decode(),
                )
            )["ETag"]
            self._moved(len(data))
            return str(etag)

        numbers = range(1, math.ceil(self.size / step) + 1)
        return in_parallel([partial(send, number) for number in numbers], self._client.options.concurrency)

    def _complete(self, upload_id: str, etags: list[str]) -> Any:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        try:
            return self._client.call(
                "complete_multipart_upload", self._key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except NoSuchVersion:
            # An answer that was lost on its way: then the object is there, and its version can be looked up.
            found = self._client.call("head_object", self._key)
            if found.get("Metadata", {}).get("sha256") != self._sha256:
                raise
            return found

    def _step(self) -> int:
        least = math.ceil(self.size / _MOST_PARTS / _MIB) * _MIB
        return max(self._client.options.part_size, least)

    def _resumed(self, step: int) -> tuple[str | None, dict[int, str]]:
        """The upload that an earlier process began, and the MD5 of the parts that it sent."""
        try:
            noted = json.loads(self._journal.read_bytes())
            same = noted["bucket"], noted["key"], noted["step"]
            upload_id = str(noted["upload_id"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None, {}
        if same != (self._client.options.bucket, self._key, step):
            return None, {}
        try:
            return upload_id, self._again(lambda: self._parts(upload_id, step))
        except NoSuchVersion:  # finished or aborted since
            return None, {}

    def _parts(self, upload_id: str, step: int) -> dict[int, str]:
        found: dict[int, str] = {}
        marker = 0
        while True:
            answer = self._client.call("list_parts", self._key, UploadId=upload_id, PartNumberMarker=marker)
            for part in answer.get("Parts", ()):
                if part["Size"] in {step, self.size % step}:
                    found[part["PartNumber"]] = part["ETag"].strip('"')
            if not answer.get("IsTruncated"):
                return found
            marker = answer["NextPartNumberMarker"]

    def _remember(self, upload_id: str, step: int) -> None:
        noted = {"bucket": self._client.options.bucket, "key": self._key, "step": step, "upload_id": upload_id}
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        part = self._journal.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(noted), encoding="utf-8")
        part.replace(self._journal)

    def _abort(self, upload_id: str) -> None:
        self._journal.unlink(missing_ok=True)
        try:
            self._client.call("abort_multipart_upload", self._key, UploadId=upload_id)
        except StoreError:  # the bucket's lifecycle rule removes it; the first error is the one to tell
            pass

    def _part(self, start: int, length: int) -> bytearray:
        data = bytearray(min(length, self.size - start))
        filled = 0
        with self._file.open("rb", buffering=0) as file:
            while got := os.preadv(file.fileno(), [memoryview(data)[filled:]], start + filled):
                filled += got
        if filled != len(data):
            raise TransferBroken(self._client.name, f"{self._file} changed while it was uploaded")
        return data

    def _again(self, action: Callable[[], Any]) -> Any:
        return again(action, self._client.options.backoff, self._key)
