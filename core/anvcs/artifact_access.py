"""The artifacts of one repository: its cache, its stores and what waits for an upload, wired.

Made once in a process that serves or commits (after any fork); opening it costs nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.errors import ArtifactError, StorageNotConfigured, UploadCancelled
from anvcs.artifacts.known import KnownPins
from anvcs.artifacts.protocol import BlobStore, StoreSettings
from anvcs.artifacts.queue import UploadQueue, Waiting
from anvcs.artifacts.workers import in_parallel
from anvcs.config import Config
from anvcs.model.pin import Pin
from anvcs.store import Store

if TYPE_CHECKING:
    from anvcs.artifacts.hydrating import Artifact, Hydrator, State
    from anvcs.artifacts.pieces import Digests
    from anvcs.artifacts.uploading import Uploader

_UPLOADS: Final = 4
"""Files that are uploaded at the same time; each large one goes up in several parts, too."""


@dataclass(slots=True)
class UploadProgress:
    """How far an upload is; read it from any thread."""

    files: int
    total: int
    """Bytes."""
    files_done: int = 0
    moved: int = 0
    """Bytes, with those of failed tries."""
    wanted: Callable[[], bool] = lambda: True
    """Whether whoever asked for it still waits."""
    stopped: bool = False
    """Nobody waits: what is under way ends with its part."""
    started_s: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> int:
        """Bytes a second, since it began."""
        return int(self.moved / max(time.monotonic() - self.started_s, 0.001))

    def check(self) -> None:
        """Raise `UploadCancelled` if nobody waits any more."""
        if self.stopped or not self.wanted():
            self.stopped = True
            raise UploadCancelled


class Artifacts:
    """One repository's artifacts.  May be used from several threads."""

    def __init__(self, store: Store, config: Config, *, tell: Callable[[str], None] = lambda _: None) -> None:
        """*tell* is told, in a sentence, of every artifact that could not be fetched."""
        self._root, self._config, self._tell = store.root, config, tell
        self.queue = UploadQueue(store.root / "queue" / "uploads")
        self.cache = ContentCache(store.root / "cache", limit=config.storage.cache_size, needed=self.queue.has)
        self._known = KnownPins(store.root / "cache" / "pins")
        self._lock = threading.Lock()
        self._stores: dict[tuple[str, str, str], BlobStore] = {}

    # Reading

    def open(self, pin: Pin) -> "Artifact":
        """An artifact for reading; nothing is fetched before it is read."""
        return self.hydrator.open(pin)

    def state(self, pin: Pin) -> "State":
        """Where its bytes are; looks at the disk only."""
        from anvcs.artifacts.hydrating import State, Where

        if self.queue.has(pin.sha256):
            return State(Where.QUEUED)
        return self.hydrator.state(pin)

    @cached_property
    def hydrator(self) -> "Hydrator":
        """What fetches."""
        from anvcs.artifacts.hydrating import Hydrator
        from anvcs.artifacts.transfers import Limits

        self.cache.clean()
        storage = self._config.storage
        return Hydrator(
            self.cache,
            self.store_of,
            limits=Limits(deadline_s=float(storage.deadline_s)),
            patient=storage.offline == "wait",
            tell=self._tell,
        )

    # Writing

    def keep(self, source: Path) -> "Digests":
        """Copy a file into the cache: what `pin` takes. There it stays, for a day if nobody pins it."""
        return self.cache.take(source)

    def pin(
        self,
        contents: Mapping[bytes, "Digests"],
        *,
        later: bool = False,
        progress: UploadProgress | None = None,
        times: Mapping[bytes, int] = MappingProxyType({}),
    ) -> dict[bytes, Pin]:
        """Pins for contents of the cache, by path: uploaded when this returns, or with *later* queued.

        *times*: when they were written, in nanoseconds.  A content that has a pin keeps that one's time.

        All or none: raises the first `ArtifactError`. What was uploaded already is not uploaded again.
        """
        found: dict[bytes, Pin] = {}
        todo: dict[str, tuple[bytes, Digests]] = {}
        for path, content in contents.items():
            known = self.known(content.sha256)
            if known is not None:
                found[path] = known
            else:
                todo.setdefault(content.sha256, (path, content))
        made = self._queued(todo, times) if later else self._uploaded(todo, times, progress)
        for content in contents.values():
            self.cache.release(content.sha256)  # it is uploaded, or the queue keeps it
        return found | {path: made[content.sha256] for path, content in contents.items() if path not in found}

    def known(self, sha256: str) -> Pin | None:
        """The pin of a content that this machine has uploaded to the store before."""
        known = self._known.get(sha256, self.store.name)
        return known if known is not None and bool(known.compress) == self._config.blobs.compress else None

    def _queued(self, todo: Mapping[str, tuple[bytes, "Digests"]], times: Mapping[bytes, int]) -> dict[str, Pin]:
        return {
            sha256: self._uploader.queue(content, self.queue).written_at(times.get(path, 0))
            for sha256, (path, content) in todo.items()
        }

    def _uploaded(
        self, todo: Mapping[str, tuple[bytes, "Digests"]], times: Mapping[bytes, int], progress: UploadProgress | None
    ) -> dict[str, Pin]:
        from anvcs.artifacts.uploading import key_for

        told = progress or UploadProgress(0, 0)
        told.files, told.total = len(todo), sum(content.size for _, content in todo.values())
        lock = threading.Lock()

        def moved(count: int) -> None:
            with lock:
                told.moved += count
            if told.stopped:
                raise UploadCancelled

        def upload(path: bytes, content: "Digests") -> Pin:
            pin = self._uploader.upload(content, key_for(path), moved).written_at(times.get(path, 0))
            self._known.add(pin, self.store.name)
            with lock:
                told.files_done += 1
            return pin

        try:
            pins = in_parallel([partial(upload, *item) for item in todo.values()], _UPLOADS, told.check)
        except BaseException:
            told.stopped = True
            raise
        return dict(zip(todo, pins, strict=True))

    @cached_property
    def _uploader(self) -> "Uploader":
        from anvcs.artifacts.uploading import Uploader

        return Uploader(self.cache, self.store, self.storage, compress=self._config.blobs.compress)

    def forget(self, sha256: str) -> None:
        """The store has lost a content: whoever commits it next uploads it again."""
        self._known.forget(sha256)

    # What waits

    def unsent(self) -> list[Waiting]:
        """What is pinned and only on this machine."""
        waiting = self.queue.waiting()
        behind = getattr(self.store, "waiting", None) if self._config.storage.mode == "hybrid" else None
        known = {item.sha256 for item in waiting}
        near: dict[str, str] = behind() if behind is not None else {}
        return waiting + [Waiting(one, 0, key, self.storage) for one, key in near.items() if one not in known]

    def retry_uploads(self) -> Iterator[tuple[Waiting, ArtifactError | None]]:
        """Upload what waits, one by one; what fails stays."""
        yield from self.queue.drain(self.cache, self._store_named)
        drain = getattr(self.store, "drain", None) if self._config.storage.mode == "hybrid" else None
        for sha256, key, error in drain() if drain is not None else ():
            yield Waiting(sha256, 0, key, self.storage), error

    # Stores

    @property
    def storage(self) -> str:
        """What new pins call the kind of store."""
        mode = self._config.storage.mode
        return self._config.storage.primary if mode == "hybrid" else mode

    @property
    def store(self) -> BlobStore:
        """Where uploads go."""
        return self._store_named(self.storage)

    def store_of(self, pin: Pin) -> BlobStore:
        """The store that a pin names."""
        return self._store_named(pin.storage, pin.bucket, pin.region)

    def close(self) -> None:
        """Stop what is under way."""
        if "hydrator" in self.__dict__:
            self.hydrator.close()

    def _store_named(self, storage: str, bucket: str = "", region: str = "") -> BlobStore:
        with self._lock:
            name = (storage, bucket, region)
            if name not in self._stores:
                self._stores[name] = self._make(storage, bucket, region)
            return self._stores[name]

    def _make(self, storage: str, bucket: str, region: str) -> BlobStore:
        wanted = self._config.storage
        if wanted.mode != "hybrid" or storage not in {wanted.primary, "hybrid"}:
            return self._plain(storage, bucket, region)
        if "hybrid" in {wanted.primary, wanted.fallback} or wanted.primary == wanted.fallback:
            raise StorageNotConfigured("hybrid", "storage.primary and storage.fallback must name two other stores")
        stores = {"primary": self._plain(wanted.primary, bucket, region), "fallback": self._plain(wanted.fallback)}
        return self._registered("hybrid", {}, stores)

    def _plain(self, storage: str, bucket: str = "", region: str = "") -> BlobStore:
        adapters = self._config.adapters
        known = getattr(adapters, storage, None) if storage in {"s3", "ipfs", "nfs"} else None
        if known is not None:
            options = {item.name: getattr(known, item.name) for item in fields(known)}
            # A pin may name another bucket of the same server: it was there when it was made.
            options |= {name: value for name, value in (("bucket", bucket), ("region", region)) if value}
        else:
            options = dict(adapters.other.get(storage) or {})
        return self._registered(storage, options, {})

    def _registered(self, storage: str, options: Mapping[str, object], stores: Mapping[str, BlobStore]) -> BlobStore:
        from anvcs.artifacts.registry import make_store

        state = self._root / "stores" / storage
        return make_store(StoreSettings(storage, options, state, self._root / "blobs", stores))
