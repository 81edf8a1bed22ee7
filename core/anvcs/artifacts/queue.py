"""Contents that still have to be uploaded: ``queue/uploads/<sha256>.json`` in the store.

What is queued is in the cache, which never evicts it.  Its key names its content, so the
commit that needs it can be made before: any version of the key will do.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.errors import ArtifactError, NotCached, StoreUnreachable
from anvcs.artifacts.protocol import BlobStore


@dataclass(frozen=True, slots=True)
class Waiting:
    """One stored object on its way."""

    sha256: str
    """Of the bytes as they will be stored."""
    size: int
    key: str
    storage: str
    content: str = ""
    """SHA-256 of the content that these bytes are, packed: nobody can read it elsewhere yet."""
    tries: int = 0
    error: str = ""
    """Why the last try failed."""


class UploadQueue:
    """The folder; for any number of processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, sha256: str) -> bool:
        """Whether this content is not uploaded yet."""
        return self._file(sha256).exists() or self._packed(sha256).exists()

    def add(self, cache: ContentCache, item: Waiting) -> None:
        """Queue a content of the cache; it survives a power loss when this returns."""
        with _held(cache, item.sha256) as lease:
            os.fsync(lease)  # a small one may be in memory only, and nowhere else
            self._folder.mkdir(parents=True, exist_ok=True)
            if item.content:
                self._packed(item.content).touch()
            self._write(item, durable=True)
        cache.release(item.sha256)

    def waiting(self) -> list[Waiting]:
        """Everything that waits, the oldest first; a damaged entry counts as a content of unknown key."""
        found: list[tuple[float, Waiting]] = []
        for path in self._folder.glob("*.json"):
            try:
                found.append((path.stat().st_mtime, Waiting(**json.loads(path.read_bytes()))))
            except FileNotFoundError:  # uploaded since
                continue
            except (ValueError, TypeError):
                found.append((0.0, Waiting(path.stem, 0, "", "", error="the queue's entry is damaged")))
        return [item for _, item in sorted(found, key=lambda pair: (pair[0], pair[1].sha256))]

    def drain(
        self, cache: ContentCache, find_store: Callable[[str], BlobStore]
    ) -> Iterator[tuple[Waiting, ArtifactError | None]]:
        """Upload everything, one by one; what fails stays, with the reason. Ends when the store can't be reached."""
        for item in self.waiting():
            try:
                if not item.key:
                    raise NotCached(item.sha256)
                with _held(cache, item.sha256):
                    find_store(item.storage).upload(cache.path(item.sha256), item.key, sha256=item.sha256)
            except ArtifactError as error:
                if item.key:
                    self._write(replace(item, tries=item.tries + 1, error=str(error)), durable=False)
                yield item, error
                if isinstance(error, StoreUnreachable):
                    return
            else:
                self._file(item.sha256).unlink(missing_ok=True)
                if item.content:
                    self._packed(item.content).unlink(missing_ok=True)
                yield item, None

    def _write(self, item: Waiting, *, durable: bool) -> None:
        file = self._file(item.sha256)
        part = file.with_suffix(f".{os.getpid()}")
        with part.open("w", encoding="utf-8") as writer:
            json.dump({name: getattr(item, name) for name in item.__slots__}, writer)
            writer.flush()
            if durable:
                os.fsync(writer.fileno())
        part.replace(file)
        if durable:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _packed(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.packed"

    def _file(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"


@contextlib.contextmanager
def _held(cache: ContentCache, sha256: str) -> Iterator[int]:
    """A content of the cache, open so that nobody evicts it."""
    lease = cache.open(sha256)
    if lease is None:
        raise NotCached(sha256)
    with lease:
        yield lease.fileno()
