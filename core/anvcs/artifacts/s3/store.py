"""One stable key for each artifact in a bucket that keeps versions."""

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anvcs.artifacts.checks import Check
from anvcs.artifacts.errors import NoSuchVersion, Passing, StoreRefused
from anvcs.artifacts.protocol import Body, Moved, Stored
from anvcs.artifacts.retrying import again, rest
from anvcs.artifacts.s3.client import Client
from anvcs.artifacts.s3.options import S3Options
from anvcs.artifacts.s3.reading import Reading
from anvcs.artifacts.s3.writing import Upload


class S3VersionedBlobStore:
    """Versions of objects in one bucket."""

    def __init__(self, options: S3Options, state: Path) -> None:
        """*state*: a folder that remembers uploads which were cut off."""
        where = f" at {options.endpoint_url}" if options.endpoint_url else ""
        self.name = f"s3 bucket {options.bucket}{where}"
        self.bucket, self.region = options.bucket, options.region
        self.client = Client(options, self.name)
        self._options, self._state = options, state
        self._reading = Reading(self.client)

    def upload(self, local_path: Path, key: str, *, sha256: str | None = None, moved: Moved | None = None) -> Stored:
        """Store a file, in parts when it is large; content that the key has already is not sent."""
        self._again(self.client.ready, "the bucket")
        digest = sha256 or _sha256(local_path)
        upload = Upload(self.client, local_path, key, digest, self._state, moved or (lambda _: None))
        known = self._newest(key)
        if known is not None and known[1:] == (digest, upload.size):
            version = known[0]
        else:
            version = upload.run() or self._version_of(key, digest)
        return Stored(key=key, version_id=version, sha256=digest, size=upload.size)

    def download(self, key: str, version_id: str | None, dest_path: Path) -> None:
        """Write a version to a file; a broken transfer goes on where it broke."""
        part = dest_path.with_name(f".{dest_path.name[:200]}.{secrets.token_hex(4)}")
        try:
            with part.open("xb") as writer:
                for chunk in self._steadily(key, version_id):
                    writer.write(chunk)
            part.replace(dest_path)
        finally:
            part.unlink(missing_ok=True)

    def _steadily(self, key: str, version_id: str | None) -> Iterator[bytes]:
        """All bytes of one version, over as many requests as it takes."""
        version_id = version_id or self._again(lambda: self.client.call("head_object", key).get("VersionId"), key)
        at = failed = 0
        while True:
            before = at
            try:
                for chunk in self.read(key, version_id, at):
                    at += len(chunk)
                    yield chunk
            except Passing as error:
                failed = 1 if at > before else failed + 1
                if failed >= self._options.backoff.allowed(error):
                    raise
                rest(self._options.backoff, failed, key, None)
            else:
                return

    def exists(self, key: str, version_id: str | None = None) -> bool:
        """Whether there is this version, or any."""
        try:
            self._again(lambda: self._look(key, version_id), key)
        except NoSuchVersion:
            return False
        return True

    def delete_version(self, key: str, version_id: str) -> None:
        """Remove one version for good."""
        try:
            self._again(lambda: self.client.call("delete_object", key, version_id), key)
        except NoSuchVersion:
            pass  # some servers complain about what isn't there

    def read(self, key: str, version_id: str | None, start: int = 0, length: int | None = None) -> Body:
        """The bytes of a version from *start*."""
        return self._reading.read(key, version_id, start, length)

    def checks(self) -> Iterator[Check]:
        """Whatever stands between this machine and the bucket."""
        from anvcs.artifacts.s3.checking import checks

        return checks(self.client)

    def details(self) -> dict[str, object]:
        """The connection as it is set up, without secrets."""
        from anvcs.artifacts.s3.checking import details

        return details(self.client)

    def _look(self, key: str, version_id: str | None) -> None:
        try:
            self.client.call("head_object", key, version_id)
        except StoreRefused:
            # A HEAD has no body to say which 400 this is: the version may be no version at all.
            for _ in self._reading.read(key, version_id, 0, 1):
                pass

    def _newest(self, key: str) -> tuple[str, str, int] | None:
        """Version, digest and size of a key's newest version."""
        try:
            found = self._again(lambda: self.client.call("head_object", key), key)
        except NoSuchVersion:
            return None
        version = found.get("VersionId", "null")
        return (version, _digest_in(found), int(found["ContentLength"])) if version != "null" else None

    def _version_of(self, key: str, digest: str) -> str:
        """The version that was just made, from a server that didn't name it."""
        known = self._newest(key)
        if known is None or known[1] != digest:
            raise self.client.unversioned()
        return known[0]

    def _again(self, action: Any, what: str) -> Any:
        return again(action, self._options.backoff, what)


def _digest_in(answer: Any) -> str:
    return str(answer.get("Metadata", {}).get("sha256", ""))


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
