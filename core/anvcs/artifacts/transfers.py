"""One artifact on its way into the cache, shared by everybody in this process who wants some of it.

Locking: one condition for each transfer, held only to look at and change what is wanted,
running and known.  Requests, hashing and disk work happen without it, in the workers.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from anvcs.artifacts.cache import SMALL, ContentCache, Lease
from anvcs.artifacts.errors import HydrationCancelled, HydrationTimedOut
from anvcs.artifacts.fetching import (
    Errand,
    Tally,
    fetch_list,
    fetch_pieces,
    fetch_small,
    fetch_whole,
    finish_pieces,
    keep_frames,
)
from anvcs.artifacts.parts import Part
from anvcs.artifacts.pieces import PieceList, pieces_of
from anvcs.artifacts.protocol import BlobStore
from anvcs.artifacts.retrying import Backoff, Canceller
from anvcs.artifacts.workers import Workers
from anvcs.model.pin import Pin

_REQUEST = 16 << 20
"""Bytes that one request asks for, when so many are wanted in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How hard to try."""

    backoff: Backoff = field(default_factory=Backoff)
    deadline_s: float = 60.0
    """Without any byte for so long, a reader gets an error."""
    parallel: int = 4
    """Requests for one artifact."""


class Progress(NamedTuple):
    """How far a transfer is."""

    here: int
    """Verified bytes (without pieces: received ones)."""
    size: int


class _Need(NamedTuple):
    """What a reader waits for."""

    pieces: range
    ahead: Iterable[int] = ()
    """Pieces that it will want next."""
    whole: bool = False
    """Only the whole content in the cache will do."""
    here: bool = False
    """Whoever waits does it, if nobody does yet."""


class Transfer:
    """Fetches what its readers ask for, in that order, and the rest when they read on."""

    def __init__(
        self,
        pin: Pin,
        cache: ContentCache,
        find_store: Callable[[Pin], BlobStore],
        workers: Workers,
        limits: Limits,
        tell: Callable[[Pin, Exception | None], None],
    ) -> None:
        self.pin = pin
        self._cache, self._find_store, self._workers, self._limits, self._tell = (
            cache,
            find_store,
            workers,
            limits,
            tell,
        )
        self.readers = 0
        self._cond = threading.Condition()
        self._stop = Canceller()
        self._closing = False
        self._part: Part | None = None
        self._list: PieceList | None = None
        self._tally = Tally()
        self._link = False
        """Somebody wants the whole."""
        self._lease: Lease | None = None
        self._wanted: dict[int, None] = {}
        self._running: set[int] = set()
        self._jobs = 0
        self._hand_over: Callable[[Callable[[], None]], None] = workers.submit
        self._failed: Exception | None = None
        self._failures = 0
        self._moved_at = time.monotonic()
        self._received = 0

    @property
    def lease(self) -> Lease | None:
        """The whole content, once it is in the cache."""
        return self._lease

    def read(self, offset: int, size: int, ahead: int, cancel: Canceller | None) -> bytes:
        """Verified bytes; waits for them. *ahead* bytes after them are fetched without waiting."""
        if not 0 <= offset < self.pin.size or size <= 0:
            return b""
        lease = self._lease
        if lease is None:
            self._wait(_Need(pieces_of(self.pin, offset, size), pieces_of(self.pin, offset + size, ahead)), cancel)
            lease = self._lease
        if lease is not None:
            return lease.read(offset, size)
        with self._cond:  # so that nobody closes it meanwhile
            if self._part is None:
                raise HydrationCancelled(self.pin.key)
            return self._part.read(offset, size)

    def ready(self, offset: int, size: int) -> bytes | None:
        """Verified bytes that are here already, else None; waits for nothing."""
        lease = self._lease
        if lease is not None:
            return lease.read(offset, size)
        with self._cond:
            if self._part is None or not self._here(_Need(pieces_of(self.pin, offset, size))):
                return None
            return self._part.read(offset, size)

    def expect(self, offset: int, size: int) -> None:
        """These bytes will be wanted next."""
        with self._cond:
            self._want(_Need(range(0), pieces_of(self.pin, offset, size)))

    def whole(self, cancel: Canceller | None, *, here: bool = False) -> Lease:
        """The content in the cache; waits for all of it.

        *here*: what doesn't need several requests is done by the thread that calls, which may then wait for a network.
        """
        need = _Need(range(max(self.pin.piece_count, 1)), whole=True, here=here and self.pin.pieces is None)
        while (lease := self._lease) is None:
            self._wait(need, cancel)
        return lease

    def look(self) -> Progress:
        """How far it is."""
        if self._lease is not None:
            return Progress(self.pin.size, self.pin.size)
        part, pieces = self._part, self.pin.pieces
        if part is None:
            return Progress(0, self.pin.size)
        here = part.marks().count(1) * pieces.size if pieces is not None else part.received()
        return Progress(min(here, self.pin.size), self.pin.size)

    def relax(self) -> None:
        """Nobody reads on: what isn't requested yet need not come."""
        with self._cond:
            self._wanted.clear()

    def close(self, *, finish: bool = False) -> None:
        """Stop; what is here stays on the disk for the next one.  *finish*: unless all of it has come, just now."""
        with self._cond:
            self._wanted.clear()
            self._closing = True
            if finish and self._lease is None and self._failed is None and self._list is not None and self._all_done():
                if self._jobs == 0:
                    self._start(self._finish)
                return  # whoever is last lets go
        self._stop.cancel()
        with self._cond:
            self._cond.notify_all()
            if self._jobs == 0:
                self._let_go()

    # Waiting

    def _wait(self, need: _Need, cancel: Canceller | None) -> None:
        if cancel is None:
            self._wait_until_here(need, Canceller())
            return
        cancel.then(self._wake)
        try:
            self._wait_until_here(need, cancel)
        finally:
            cancel.forget(self._wake)

    def _wait_until_here(self, need: _Need, cancel: Canceller) -> None:
        try:
            self._wait_for(need, cancel)
        except HydrationTimedOut as error:  # the requests go on, and would tell nobody
            self._tell(self.pin, error)
            raise

    def _wait_for(self, need: _Need, cancel: Canceller) -> None:
        started = time.monotonic()
        mine: list[Callable[[], None]] = []
        with self._cond:
            failures = self._failures
            if need.here:
                self._hand_over = mine.append
            self._want(need)
            self._hand_over = self._workers.submit
        for job in mine:
            job()
        with self._cond:
            while not self._here(need):
                if self._stop.thrown or cancel.thrown:
                    raise HydrationCancelled(self.pin.key)
                if self._failures > failures and self._failed is not None:
                    raise self._failed
                left = max(self._moved_at, started) + self._limits.deadline_s - time.monotonic()
                if left <= 0:
                    raise HydrationTimedOut(self.pin.key, self._limits.deadline_s, self._failed)
                self._cond.wait(left)

    def _here(self, need: _Need) -> bool:
        if self._lease is not None:
            return True
        if need.whole or self.pin.pieces is None or self._part is None or self._list is None:
            return False
        return all(map(self._part.done, need.pieces))

    def _wake(self) -> None:
        with self._cond:
            self._cond.notify_all()

    # Under the condition: what to do next

    def _want(self, need: _Need) -> None:
        """Put what is needed before everything else, and what may be read next after it."""
        if self._lease is not None:
            return
        self._link |= need.whole
        self._wanted = dict.fromkeys(need.pieces) | self._wanted | dict.fromkeys(need.ahead)
        if self._list is None or (need.whole and self._all_done()):
            self._start(self._open)
        self._pump()

    def _all_done(self) -> bool:
        return self._part is not None and 0 not in self._part.marks()

    def _start(self, job: Callable[[], None]) -> None:
        """Run a job that is alone: it finds out what there is, or ends it."""
        if -1 not in self._running:
            self._running.add(-1)
            self._submit(job, (-1,))

    def _pump(self) -> None:
        """Start as many requests as there may be."""
        if self._list is None or self._part is None or self._lease is not None:
            return
        while self._jobs < self._limits.parallel and (run := self._next()):
            self._running.update(run)
            self._submit(lambda run=run: self._fetch(run), run)  # type: ignore[misc]  # mypy can't type the default

    def _next(self) -> range:
        """The first wanted piece and those after it that fit in a request."""
        assert self._part is not None and self.pin.pieces is not None  # noqa: PT018  # `_pump` looked
        most = max(_REQUEST // self.pin.pieces.size, 1)
        while self._wanted:
            first = next(iter(self._wanted))
            del self._wanted[first]
            if first in self._running or self._part.done(first):
                continue
            last = first + 1
            while (
                last - first < most and last in self._wanted and last not in self._running and not self._part.done(last)
            ):
                del self._wanted[last]
                last += 1
            return range(first, last)
        return range(0)

    def _submit(self, job: Callable[[], None], run: Iterable[int]) -> None:
        self._jobs += 1
        self._hand_over(lambda: self._run(job, run))

    # In the workers

    def _run(self, job: Callable[[], None], run: Iterable[int]) -> None:
        failure: Exception | None = None
        try:
            if not self._stop.thrown:
                job()
        except Exception as error:  # noqa: BLE001  # whoever waits gets it, whatever it is
            failure = error
        with self._cond:
            self._jobs -= 1
            self._running.difference_update(run)
            if failure is not None and not self._stop.thrown:
                self._failed, self._failures = failure, self._failures + 1
                self._wanted.clear()
            elif failure is None:
                self._pump()
                self._finish_if_done()
            complete = self._lease is not None
            if self._closing and self._jobs == 0:
                self._let_go()
            self._cond.notify_all()
        if complete or (failure is not None and not self._stop.thrown):
            self._tell(self.pin, failure)

    def _open(self) -> None:
        """Find out what is here; without pieces, fetch it."""
        lease = self._cache.open(self.pin.sha256) or self._linked()
        if lease is None and self.pin.pieces is None and self.pin.size <= SMALL:
            lease = fetch_small(self._errand())
        if lease is None:
            lease = self._open_part()
        self._end(lease)

    def _open_part(self) -> Lease | None:
        if self._part is None:
            self._part = Part(self._cache.root / "parts", self.pin)
        pieces = self.pin.pieces
        if pieces is None:
            return fetch_whole(self._errand(), self._part)
        self._list = fetch_list(self._errand(), self._part)
        self._give(pieces.key, pieces.version_id, self._part.list_file)
        return None

    def _give(self, key: str, version_id: str, file: Path) -> None:
        """Let a store that keeps copies nearby have one."""
        keep = getattr(self._find_store(self.pin), "keep", None)
        if keep is not None:
            keep(key, version_id, file)

    def _linked(self) -> Lease | None:
        """The content, shared with a store that keeps it as a file on this disk."""
        store = self._find_store(self.pin)
        file = getattr(store, "local_file", None)  # only a store on this machine has it
        if file is None or self.pin.compress or not (self._link or self.pin.pieces is None):
            return None
        source = file(self.pin.key, self.pin.version_id)
        if source is None or not self._cache.link(source, self.pin.sha256):
            return None
        return self._cache.open(self.pin.sha256)

    def _fetch(self, run: range) -> None:
        assert self._list is not None and self._part is not None  # noqa: PT018  # there are no jobs before
        fetch_pieces(self._errand(), self._part, self._list, run)
        self._cache.grown(len(run) * self._part.pin.pieces.size if self._part.pin.pieces else 0)
        self._tally.advance(self._part)

    def _finish_if_done(self) -> None:
        if self._lease is None and self._list is not None and self._jobs == 0 and self._all_done():
            self._start(self._finish)

    def _finish(self) -> None:
        assert self._part is not None  # all its pieces are there
        self._end(finish_pieces(self._errand(), self._part, self._tally))

    def _end(self, lease: Lease | None) -> None:
        if lease is None:
            return
        frames = self._frames()
        if self._part is not None:
            self._part.discard()
        with self._cond:
            self._lease = lease
            self._wanted.clear()
            self._cond.notify_all()  # readers needn't wait for what follows
        if self._received and not self.pin.compress:
            self._give(self.pin.key, self.pin.version_id, lease.path)
        if frames is not None:
            try:
                keep_frames(self._errand(), frames)
            finally:
                frames.unlink(missing_ok=True)

    def _frames(self) -> Path | None:
        """The stored bytes of a compressed artifact, taken out of its part."""
        if self._part is None or not self._part.frames_file.exists():
            return None
        taken = self._cache.scratch()
        try:
            self._part.frames_file.rename(taken)
        except FileNotFoundError:  # another process ended this transfer, too
            return None
        return taken

    def _errand(self) -> Errand:
        limits, store = self._limits, self._find_store(self.pin)
        keep = partial(self._give, self.pin.key, self.pin.version_id) if getattr(store, "keeps_copies", False) else None
        return Errand(self.pin, store, self._cache, limits.backoff, self._stop, limits.deadline_s, self._moved, keep)

    def _moved(self, count: int) -> None:
        with self._cond:
            self._moved_at = time.monotonic()
            self._received += count
            self._cond.notify_all()

    def _let_go(self) -> None:
        part, self._part = self._part, None
        lease, self._lease = self._lease, None
        if part is not None:
            part.close()
        if lease is not None:
            lease.close()
