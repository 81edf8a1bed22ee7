"""Artifacts as files to read: verified bytes, fetched when they are asked for.

A `Hydrator` belongs to one process and is used from any thread; processes share what they
fetch through the cache's folder.  The network is used in its worker threads and in
nobody else's, so a reader that is cancelled comes back at once.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from types import TracebackType
from typing import Final, NamedTuple, Self

from anvcs.artifacts.cache import SMALL, ContentCache, Lease
from anvcs.artifacts.crowd import Crowd
from anvcs.artifacts.errors import HydrationCancelled, StoreUnreachable
from anvcs.artifacts.parts import part_name, progress
from anvcs.artifacts.pieces import PIECE
from anvcs.artifacts.protocol import BlobStore
from anvcs.artifacts.retrying import Canceller
from anvcs.artifacts.transfers import Limits, Progress, Transfer
from anvcs.artifacts.workers import Workers
from anvcs.model.pin import Pin

WORKERS: Final = 16
"""Requests that a process makes to one store at the same time."""

_MOST_AHEAD = 64 << 20
_NEAR = 1 << 20
_DOWN_S = 10.0
"""So long after a store could not be reached nobody tries again, and everybody is told at once."""
_FAILURES_KEPT = 20
_SETTLE_S = 5.0
"""A command that only fetches has ended by then, and leaves it to the kernel."""


class Where(Enum):
    """What opening an artifact would cost."""

    REMOTE = "remote"
    HYDRATING = "hydrating"
    LOCAL = "local"
    MODIFIED = "modified"
    QUEUED = "queued"


class State(NamedTuple):
    """Where an artifact's bytes are."""

    where: Where
    share: float = 0.0
    """Of 1, how much has come: only while hydrating."""

    def __str__(self) -> str:
        if self.where is Where.HYDRATING:
            return f"{self.where.value} {int(self.share * 100)}%"
        return str(self.where.value)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an artifact could not be fetched; what `Hydrator.status` tells."""

    key: str
    message: str
    at_s: float


@dataclass(frozen=True, slots=True)
class HydratorStatus:
    """What a process is fetching."""

    transfers: dict[str, Progress]
    """By key."""
    failures: tuple[Failure, ...]
    """The last of each artifact that has not come since."""


class Artifact:
    """An artifact that is open for reading.  Opening fetches nothing; reading fetches what it asks for."""

    def __init__(self, pin: Pin, lease: Lease | None, transfer: Transfer | None, done: Callable[[], None]) -> None:
        self.pin = pin
        self._lease, self._transfer, self._done = lease, transfer, done
        self._next = 0
        """Where the last read ended."""
        self._run = 0
        """Bytes read in a row."""
        self._horizon = 0
        """So far, in pieces, was fetched ahead of what was ready."""
        self._closed = False

    @property
    def lease(self) -> Lease | None:
        """The whole content in the cache, if it is there: its descriptor may be read directly."""
        return self._lease or (self._transfer.lease if self._transfer is not None else None)

    def read(self, offset: int, size: int, cancel: Canceller | None = None) -> bytes:
        """Verified bytes, fewer only at the end; raises an `ArtifactError`."""
        if self._lease is not None:
            return self._lease.read(offset, size)
        assert self._transfer is not None  # one of the two
        data = self._transfer.read(offset, size, self._ahead(offset), cancel)
        self._moved_to(offset, len(data))
        return data

    def ready(self, offset: int, size: int) -> bytes | None:
        """As `read`, when no wait is needed; None when one is."""
        if self._lease is not None:
            return self._lease.read(offset, size)
        assert self._transfer is not None  # one of the two
        data = self._transfer.ready(offset, size)
        if data is not None:
            ahead, end = self._ahead(offset), offset + len(data)
            horizon = (end + ahead) // PIECE
            if ahead and horizon > self._horizon:  # once for a piece is enough
                self._horizon = horizon
                self._transfer.expect(end, ahead)
            self._moved_to(offset, len(data))
        return data

    def _ahead(self, offset: int) -> int:
        """How much to fetch after what is read from *offset*."""
        if offset == self._next:
            # Who has read much in a row will read on; `head` of a large file fetches no more than its piece.
            return min(2 * self._run, _MOST_AHEAD)
        if abs(offset - self._next) > _NEAR:  # a kernel that reads ahead asks a little out of order
            self._run = self._horizon = 0
            assert self._transfer is not None  # who has the whole doesn't ask
            self._transfer.relax()
        return 0

    def _moved_to(self, offset: int, count: int) -> None:
        self._next = offset + count
        self._run += count

    def whole(self, cancel: Canceller | None = None, *, here: bool = False) -> Lease:
        """All of it in the cache; the lease lasts as long as this is open. *here*: in this thread, if that is enough."""
        if self._lease is not None:
            return self._lease
        assert self._transfer is not None  # one of the two
        return self._transfer.whole(cancel, here=here)

    def close(self) -> None:
        """Let go; more than once is fine."""
        if not self._closed:
            self._closed = True
            self._done()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Hydrator:
    """Opens artifacts; one transfer for each, however many read it."""

    def __init__(
        self,
        cache: ContentCache,
        find_store: Callable[[Pin], BlobStore],
        *,
        limits: Limits | None = None,
        patient: bool = False,
        workers: int = WORKERS,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """*patient*: without a connection wait for one until the deadline, instead of failing fast."""
        self.cache = cache
        self._find_store = find_store
        self._patient = patient
        limits = limits or Limits()
        if patient:
            limits = replace(limits, backoff=replace(limits.backoff, unreachable=1 << 30, attempts=1 << 30))
        self._limits = limits
        self._tell = tell
        self._most = workers
        self._workers: dict[tuple[str, str, str], Workers] = {}
        """By store: one that hangs keeps its own."""
        self._lock = threading.Lock()
        self._transfers: dict[str, Transfer] = {}
        self._failures: dict[str, Failure] = {}
        self._down: dict[str, tuple[float, StoreUnreachable]] = {}
        self._closed_down = threading.Event()
        self._settling = False
        if cache.unsettled:
            self._settle_later()

    def open(self, pin: Pin) -> Artifact:
        """The artifact for reading; looks at the disk and not at the network."""
        lease = self.cache.open(pin.sha256)
        if lease is not None:
            return Artifact(pin, lease, None, lease.close)
        name = part_name(pin)
        with self._lock:
            transfer = self._transfers.get(name)
            if transfer is None:
                workers = self._workers.setdefault((pin.storage, pin.bucket, pin.region), Workers(self._most))
                transfer = self._transfers[name] = Transfer(
                    pin, self.cache, self._reachable, workers, self._limits, self._told
                )
            transfer.readers += 1
        return Artifact(pin, None, transfer, lambda: self._closed(name))

    def ensure(self, pin: Pin, cancel: Canceller | None = None, *, here: bool = False) -> None:
        """Have the whole artifact in the cache; *here* as in `Artifact.whole`."""
        with self.open(pin) as artifact:
            artifact.whole(cancel, here=here)

    def ensure_many(
        self,
        pins: Iterable[Pin],
        cancel: Canceller | None = None,
        done: Callable[[Pin, Exception | None], None] = lambda _pin, _error: None,
    ) -> None:
        """Have many artifacts in the cache, several at a time; *done* is told of each, in any thread."""
        Crowd(pins, lambda pin, stop: self._one(pin, stop, done), cancel or Canceller()).run()

    def _one(self, pin: Pin, cancel: Canceller, done: Callable[[Pin, Exception | None], None]) -> None:
        try:
            self.ensure(pin, cancel, here=True)
        except HydrationCancelled:
            return
        except Exception as error:  # noqa: BLE001  # one bad artifact doesn't keep the others
            done(pin, error)
        else:
            done(pin, None)

    def state(self, pin: Pin) -> State:
        """Where its bytes are, as far as the cache knows; looks at the disk only."""
        if self.cache.has(pin.sha256):
            return State(Where.LOCAL)
        found = progress(self.cache.root / "parts", pin)
        if found is not None and found[1]:
            return State(Where.HYDRATING, found[0])
        return State(Where.REMOTE)

    def status(self) -> HydratorStatus:
        """What is under way and what went wrong, for people."""
        with self._lock:
            transfers = list(self._transfers.values())
            failures = tuple(self._failures.values())
        return HydratorStatus({transfer.pin.key: transfer.look() for transfer in transfers}, failures)

    def close(self) -> None:
        """Stop everything; what has come so far is kept."""
        with self._lock:
            transfers, self._transfers = list(self._transfers.values()), {}
            pools = list(self._workers.values())
        self._closed_down.set()
        for transfer in transfers:
            transfer.close()
        for workers in pools:
            workers.close()

    def _settle_later(self) -> None:
        """Bring what was fetched to the disk, a while after nobody waits for it."""
        with self._lock:
            if self._settling:
                return
            self._settling = True
        threading.Thread(target=self._settle, name="anvcs-settle", daemon=True).start()

    def _settle(self) -> None:
        try:
            while not self._closed_down.wait(_SETTLE_S) and self.cache.unsettled.settle():
                pass
        except OSError as error:
            self._tell(f"what was fetched could not be written to the disk ({error}): it will be verified again")
        finally:
            with self._lock:
                self._settling = False

    def _closed(self, name: str) -> None:
        with self._lock:
            transfer = self._transfers.get(name)
            if transfer is None:
                return
            transfer.readers -= 1
            if transfer.readers:
                return
            del self._transfers[name]
        transfer.close(finish=True)

    def _reachable(self, pin: Pin) -> BlobStore:
        """The pin's store; raises `StoreUnreachable` at once while it is known to be away."""
        with self._lock:
            until, error = self._down.get(pin.storage, (0.0, None))
        away = error is not None and time.monotonic() < until
        store = self._find_store(pin)
        if error is not None and away and not getattr(store, "keeps_copies", False):
            raise error  # one that has copies nearby knows by itself what it can do without a connection
        return store

    def _told(self, pin: Pin, failure: Exception | None) -> None:
        """A transfer has ended, well or not."""
        if failure is None:
            with self._lock:
                self._failures.pop(pin.key, None)
                self._down.pop(pin.storage, None)
            if pin.size > SMALL:
                self._settle_later()
            return
        with self._lock:
            known = self._failures.pop(pin.key, None)
            self._failures[pin.key] = Failure(pin.key, str(failure), time.time())
            while len(self._failures) > _FAILURES_KEPT:
                del self._failures[next(iter(self._failures))]
            if isinstance(failure, StoreUnreachable) and not self._patient:
                now = time.monotonic()
                if self._down.get(pin.storage, (0.0, failure))[0] <= now:  # not what we told them ourselves
                    self._down[pin.storage] = (now + _DOWN_S, failure)
        if known is None or known.message != str(failure):
            self._tell(str(failure))
