"""Two stores as one: the primary counts, the fallback is near and works without a network.

While the primary can't be reached it is asked once in a while, not with every request.

*Read-through.*  What was fetched from the primary is given to the fallback, and read from
there the next time.  *Write-behind.*  While the primary can't be reached, uploads go to
the fallback under a key that names the content, and `drain` brings them to the primary.
Such a version is called ``sha256-<digest>``; it needs no other name anywhere, since every
version of that key is this content.
"""

import json
import os
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from anvcs.artifacts.errors import ArtifactError, NoSuchVersion, Passing, StorageNotConfigured, StoreUnreachable
from anvcs.artifacts.pieces import digest_file
from anvcs.artifacts.protocol import BlobStore, Body, Moved, Stored, StoreSettings
from anvcs.model.pin import content_key, names_content

T = TypeVar("T")

_BEHIND = "sha256-"
_LISTS = ".anvcs/pieces/"
_REST_S = 10.0


class Place(NamedTuple):
    """Where the fallback has a version."""

    key: str
    version_id: str


class CompositeBlobStore:
    """Primary and fallback."""

    keeps_copies = True
    """Whoever has all stored bytes of a version gives them to `keep`."""

    def __init__(self, primary: BlobStore, fallback: BlobStore, state: Path, *, rest_s: float = _REST_S) -> None:
        """*state*: a folder for what waits for the primary and what the fallback has.

        *rest_s*: so long a primary that could not be reached is not asked again.
        """
        self._primary, self._fallback, self._state = primary, fallback, state
        self.name = f"{primary.name}, else {fallback.name}"
        self.bucket, self.region = primary.bucket, primary.region
        self._rest_s = rest_s
        self._down: tuple[float, StoreUnreachable] | None = None

    @property
    def both(self) -> tuple[BlobStore, BlobStore]:
        """Primary and fallback."""
        return self._primary, self._fallback

    def details(self) -> dict[str, object]:
        """The primary's set-up, and the fallback's."""

        def of(store: BlobStore) -> dict[str, object]:
            own: Callable[[], dict[str, object]] | None = getattr(store, "details", None)
            return own() if own is not None else {}

        return of(self._primary) | {"fallback": {"name": self._fallback.name} | of(self._fallback)}

    def upload(self, local_path: Path, key: str, *, sha256: str | None = None, moved: Moved | None = None) -> Stored:
        """Store in the primary; while it can't be reached, in the fallback for later."""
        try:
            stored = self._asked(lambda: self._primary.upload(local_path, key, sha256=sha256, moved=moved))
        except Passing:
            digest = sha256 or digest_file(local_path).sha256
            named = key if names_content(key) else content_key(digest)
            near = self._fallback.upload(local_path, named, sha256=digest)
            self._note("behind", digest, Place(named, near["version_id"]))
            return Stored(key=named, version_id=_BEHIND + digest, sha256=digest, size=near["size"])
        if key.startswith(_LISTS):  # the object may have to wait, and can't be read without its list
            self.keep(key, stored["version_id"], local_path)
        return stored

    def download(self, key: str, version_id: str | None, dest_path: Path) -> None:
        """From the fallback if it has the version, else from the primary; the fallback has it then."""
        place = self._place(key, version_id)
        if place is not None and _has(lambda: self._fallback.download(*place, dest_path)):
            return
        self._asked(lambda: self._primary.download(key, _at_primary(version_id), dest_path))
        if version_id:
            self.keep(key, version_id, dest_path)

    def read(self, key: str, version_id: str | None, start: int = 0, length: int | None = None) -> Body:
        """As `download`, of a part; the fallback gets nothing."""
        place = self._place(key, version_id)
        if place is not None:
            body = self._fallback.read(*place, start, length)
            try:
                first = next(body, b"")
            except ArtifactError:  # it has lost what it had
                pass
            else:
                if first:
                    yield first
                yield from body
                return

        def begin() -> tuple[bytes, Body]:
            body = self._primary.read(key, _at_primary(version_id), start, length)
            return next(body, b""), body

        first, body = self._asked(begin)
        if first:
            yield first
        yield from body

    def _asked(self, action: Callable[[], T]) -> T:
        """What the primary says; `StoreUnreachable` at once while it is known to be away."""
        if self._down is not None and time.monotonic() < self._down[0]:
            raise self._down[1]
        try:
            found = action()
        except StoreUnreachable as error:
            self._down = time.monotonic() + self._rest_s, error
            raise
        self._down = None
        return found

    def keep(self, key: str, version_id: str, file: Path) -> None:
        """Give the fallback the content of a version, stored as it is in *file*."""
        if self._place(key, version_id) is None:
            try:
                stored = self._fallback.upload(file, key)
            except (ArtifactError, OSError):  # its copy is a convenience, the bytes are here already
                return
            self._note("links", _link(key, version_id), Place(key, stored["version_id"]))

    def exists(self, key: str, version_id: str | None = None) -> bool:
        """Whether one of them has it."""
        place = self._place(key, version_id)
        if place is not None and self._fallback.exists(*place):
            return True
        return self._asked(lambda: self._primary.exists(key, _at_primary(version_id)))

    def delete_version(self, key: str, version_id: str) -> None:
        """Remove it from both."""
        place = self._place(key, version_id)
        if place is not None:
            self._fallback.delete_version(*place)
        if not version_id.startswith(_BEHIND):
            self._primary.delete_version(key, version_id)
        elif self._primary.exists(key):
            raise NoSuchVersion(self.name, key, version_id)  # every version of the key is this content
        for folder, name in (("links", _link(key, version_id)), ("behind", version_id.removeprefix(_BEHIND))):
            (self._state / folder / f"{name}.json").unlink(missing_ok=True)

    def waiting(self) -> dict[str, str]:
        """What only the fallback has: digests, and the keys that pins have for them."""
        found = {path.stem: self._noted("behind", path.stem) for path in (self._state / "behind").glob("*.json")}
        return {
            digest: place.key if place is not None else content_key(digest) for digest, place in sorted(found.items())
        }

    def drain(self) -> Iterator[tuple[str, str, ArtifactError | None]]:
        """Bring what waits to the primary, one by one: digest, key and why it stays. Ends when there is no connection."""
        for digest, key in self.waiting().items():
            try:
                self._bring(digest)
            except ArtifactError as error:
                yield digest, key, error
                if isinstance(error, StoreUnreachable):
                    return
            else:
                yield digest, key, None

    def _bring(self, digest: str) -> None:
        place = self._noted("behind", digest)
        if place is None:
            # The note was damaged by a crash; what it was about has a key that says what it is.
            place = Place(content_key(digest), "")
        scratch = self._state / f"drain-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._fallback.download(*place, scratch)
            self._primary.upload(scratch, place.key, sha256=digest)
        finally:
            scratch.unlink(missing_ok=True)
        self._down = None
        self._note("links", _link(place.key, _BEHIND + digest), place)
        (self._state / "behind" / f"{digest}.json").unlink(missing_ok=True)

    def _place(self, key: str, version_id: str | None) -> Place | None:
        if version_id and version_id.startswith(_BEHIND):
            waits = self._noted("behind", version_id.removeprefix(_BEHIND))
            if waits is not None:
                return waits
        known = self._noted("links", _link(key, version_id)) if version_id else None
        if known is None and names_content(key) and self._fallback.exists(key):
            return Place(key, "")  # every version of it is this content
        return known

    def _note(self, folder: str, name: str, place: Place) -> None:
        file = self._state / folder / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(place._asdict()), encoding="utf-8")
        part.replace(file)

    def _noted(self, folder: str, name: str) -> Place | None:
        try:
            found = json.loads((self._state / folder / f"{name}.json").read_bytes())
            return Place(found["key"], found["version_id"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # lost to a crash: the primary decides
            return None


def _at_primary(version_id: str | None) -> str | None:
    return None if version_id is None or version_id.startswith(_BEHIND) else version_id


def _link(key: str, version_id: str) -> str:
    name = urllib.parse.quote(f"{key}@{version_id}", safe="@")
    if len(name) <= 200:  # a file system's limit is 255
        return name
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


def _has(action: Callable[[], object]) -> bool:
    try:
        action()
    except ArtifactError:
        return False
    return True


def make(settings: StoreSettings) -> CompositeBlobStore:
    """From the configuration: ``storage.primary`` and ``storage.fallback``."""
    found = [settings.stores.get(name) for name in ("primary", "fallback")]
    primary, fallback = found
    if primary is None or fallback is None:
        raise StorageNotConfigured("hybrid", "storage.primary and storage.fallback must name two other stores")
    return CompositeBlobStore(primary, fallback, settings.state)
