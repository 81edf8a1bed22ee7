"""How pieces come from a store: requested, verified, kept; resumed where it stopped.

Runs in worker threads.  Nothing here is kept that did not hash to what the pin says.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from anvcs.artifacts.cache import ContentCache, Lease
from anvcs.artifacts.errors import DigestMismatch, HydrationTimedOut, NotCached, Passing, TransferBroken
from anvcs.artifacts.packing import longest_packed, unpack_all, unpack_piece
from anvcs.artifacts.parts import Part
from anvcs.artifacts.pieces import CHUNK, PieceList, Span, decode_pieces, piece_span
from anvcs.artifacts.protocol import BlobStore
from anvcs.artifacts.retrying import Backoff, Canceller, again, rest
from anvcs.model.pin import Pin

_OTHERS_S = 0.02
"""How long to wait before looking again what another process has fetched."""
_LIST_LIMIT = 48 << 20


@dataclass(frozen=True, slots=True)
class Errand:
    """What a fetch needs to know and whom it tells."""

    pin: Pin
    store: BlobStore
    cache: ContentCache
    backoff: Backoff
    cancel: Canceller
    deadline_s: float
    moved: Callable[[int], None]
    """Called with the bytes that came."""
    keep: Callable[[Path], None] | None = None
    """Gives the stored bytes of the whole object to a store that keeps copies nearby."""

    @property
    def what(self) -> str:
        """The artifact, as messages name it."""
        return self.pin.key


def fetch_list(errand: Errand, part: Part) -> PieceList:
    """The piece list of a pin that has pieces, from the part's folder or from the store."""
    pin = errand.pin
    found = part.pieces()
    if found is not None:
        return found
    pieces = pin.pieces
    assert pieces is not None  # the caller looked

    def get() -> PieceList:
        data = bytearray()
        with closing(errand.store.read(pieces.key, pieces.version_id or None)) as chunks:
            for chunk in chunks:
                data += chunk
                errand.moved(len(chunk))
                errand.cancel.check(errand.what)
                if len(data) > _LIST_LIMIT:
                    raise DigestMismatch(f"the piece list of {pin.key}", pieces.digest, "something endless")
        listed = decode_pieces(bytes(data), pin, pieces)
        part.keep_list(bytes(data))
        return listed

    return again(get, errand.backoff, errand.what, errand.cancel)


def fetch_pieces(errand: Errand, part: Part, listed: PieceList, run: range) -> None:
    """Have the pieces *run* verified in the part, fetched by this process or by another."""
    first, failed, patience = run.start, 0, _Patience(errand)
    while first < run.stop:
        errand.cancel.check(errand.what)
        if part.done(first):
            first += 1
            patience.renew()
            continue
        if not part.claim(first):
            patience.wait_for_others(part.marks())
            continue
        last = _claim_more(part, first, run.stop)
        try:
            if part.done(first):  # another process did it before we held the lock
                continue
            for index in _verified(errand, part, listed, range(first, last)):
                first, failed = index + 1, 0
                patience.renew()
        except (Passing, DigestMismatch) as error:
            failed += 1
            if failed >= errand.backoff.allowed(error):
                raise
        finally:
            part.release(run.start, len(run))
        if failed:
            patience.check()
            rest(errand.backoff, failed, errand.what, errand.cancel)


def _claim_more(part: Part, first: int, stop: int) -> int:
    """Lock what follows piece *first* up to the first that somebody has or fetches: the end of it."""
    last = first + 1
    while last < stop and not part.done(last) and part.claim(last):
        last += 1
    return last


def _verified(errand: Errand, part: Part, listed: PieceList, run: range) -> Iterator[int]:
    """Fetch pieces with one request; each index as soon as its piece is verified and kept."""
    pin = errand.pin
    starts = listed.starts() if pin.compress else []
    spans = [Span(starts[i], listed.frames[i]) if pin.compress else piece_span(pin, i) for i in run]
    length = sum(span.length for span in spans)
    with closing(errand.store.read(pin.key, pin.version_id or None, spans[0].start, length)) as chunks:
        body = _Cut(errand, chunks)
        for index, span in zip(run, spans, strict=True):
            chunks_of_it = body.next(span.length)
            got = (
                _frame(errand, part, index, span.start, chunks_of_it)
                if pin.compress
                else _plain(part, index, chunks_of_it)
            )
            if got != listed.digests[index]:
                raise DigestMismatch(f"piece {index} of {pin.key}", listed.digests[index].hex(), got.hex())
            part.mark(index)
            yield index


def _plain(part: Part, index: int, body: Iterator[memoryview]) -> bytes:
    """Put a piece where it belongs while it comes, unmarked yet: its digest."""
    digest, at = hashlib.sha256(), piece_span(part.pin, index).start
    for chunk in body:
        digest.update(chunk)
        part.write(chunk, at)
        at += len(chunk)
    return digest.digest()


def _frame(errand: Errand, part: Part, index: int, start: int, body: Iterator[memoryview]) -> bytes:
    """As `_plain`, of the frame that begins at *start* of the stored bytes."""
    span = piece_span(part.pin, index)
    frame = b"".join(body)
    data = unpack_piece(frame, span.length, errand.what)
    part.write(data, span.start)
    if errand.keep is not None:
        part.write_frame(frame, start)
    return hashlib.sha256(data).digest()


class _Cut:
    """A body, cut into pieces without copying it."""

    def __init__(self, errand: Errand, chunks: Iterator[bytes]) -> None:
        self._errand, self._chunks = errand, chunks
        self._rest = memoryview(b"")

    def next(self, length: int) -> Iterator[memoryview]:
        """The next *length* bytes; take them all before the ones after."""
        while length:
            if not self._rest:
                chunk = next(self._chunks, b"")
                if not chunk:
                    raise TransferBroken(self._errand.store.name, f"{self._errand.what} ended early")
                self._errand.moved(len(chunk))
                self._errand.cancel.check(self._errand.what)
                self._rest = memoryview(chunk)
            taken, self._rest = self._rest[:length], self._rest[length:]
            length -= len(taken)
            yield taken


def fetch_small(errand: Errand) -> Lease:
    """A small artifact without pieces, fetched in memory and in one go."""
    pin, failed, patience = errand.pin, 0, _Patience(errand)
    while (lease := errand.cache.open(pin.sha256)) is None:
        errand.cancel.check(errand.what)
        if not errand.cache.claims.claim(pin.sha256):
            patience.wait_for_others(None)
            continue
        try:
            # Looked at again under the lock: another process may have done it.
            return errand.cache.open(pin.sha256) or errand.cache.put(_small(errand), pin.sha256)
        except (Passing, DigestMismatch) as error:
            failed += 1
            if failed >= errand.backoff.allowed(error):
                raise
        finally:
            errand.cache.claims.release(pin.sha256)
        patience.check()
        rest(errand.backoff, failed, errand.what, errand.cancel)
    return lease


def _small(errand: Errand) -> bytes:
    pin = errand.pin
    most = longest_packed(pin.size) if pin.compress else pin.size
    body = bytearray()
    with closing(errand.store.read(pin.key, pin.version_id or None)) as chunks:
        for chunk in chunks:
            body += chunk
            errand.moved(len(chunk))
            errand.cancel.check(errand.what)
            if len(body) > most:
                raise DigestMismatch(pin.key, f"{pin.sha256} ({pin.size} bytes)", "more bytes")
    if len(body) < pin.size and not pin.compress:
        raise TransferBroken(errand.store.name, f"{pin.key} ended after {len(body)} of {pin.size} bytes")
    data = unpack_piece(bytes(body), pin.size, pin.key) if pin.compress and pin.size else bytes(body)
    got = hashlib.sha256(data).hexdigest()
    if got != pin.sha256:
        raise DigestMismatch(pin.key, pin.sha256, got)
    if pin.compress and errand.keep is not None:
        scratch = errand.cache.scratch()
        try:
            scratch.write_bytes(body)
            errand.keep(scratch)
        finally:
            scratch.unlink(missing_ok=True)
    return data


def keep_frames(errand: Errand, frames: Path) -> None:
    """Give a store the frames that came, if they are all there: processes that died may have left holes."""
    pin = errand.pin
    try:
        whole = _hashed(unpack_all(frames, pin.size, pin.key), lambda _: None) == pin.sha256
    except DigestMismatch:
        return
    if whole and errand.keep is not None:
        errand.keep(frames)


def fetch_whole(errand: Errand, part: Part) -> Lease:
    """An artifact without pieces in the cache; resumed from its last byte, verified at the end."""
    failed, patience = 0, _Patience(errand)
    while (lease := errand.cache.open(part.pin.sha256)) is None:
        errand.cancel.check(errand.what)
        if not part.claim(0):
            patience.wait_for_others(part.received())
            continue
        had = part.received()
        try:
            if not errand.cache.has(part.pin.sha256):  # another process may have done it before we held the lock
                part.append(_rest_of(errand, part, had))
                return _judge(errand, part)
        except (Passing, DigestMismatch) as error:
            moved = part.received() > had and not isinstance(error, DigestMismatch)
            failed = 1 if moved else failed + 1
            if failed >= errand.backoff.allowed(error):
                raise
            if moved:
                patience.renew()
        finally:
            part.release(0)
        patience.check()
        rest(errand.backoff, max(failed, 1), errand.what, errand.cancel)
    return lease


def _rest_of(errand: Errand, part: Part, start: int) -> Iterator[bytes]:
    """The stored bytes from *start*; an object longer than its pin ends here."""
    pin = errand.pin
    most = longest_packed(pin.size) if pin.compress else pin.size
    with closing(errand.store.read(pin.key, pin.version_id or None, start)) as chunks:
        for chunk in chunks:
            start += len(chunk)
            if start > most:
                part.stored_file.unlink()
                raise DigestMismatch(pin.key, f"{pin.sha256} ({pin.size} bytes)", "more bytes")
            errand.moved(len(chunk))
            errand.cancel.check(errand.what)
            yield chunk
    if start < pin.size and not pin.compress:
        raise TransferBroken(errand.store.name, f"{pin.key} ended after {start} of {pin.size} bytes")


def _judge(errand: Errand, part: Part) -> Lease:
    """Publish what was received if it is what was pinned, else forget it."""
    pin = errand.pin
    scratch = errand.cache.scratch()
    try:
        if pin.compress:
            with scratch.open("xb") as writer:
                digest = _hashed(unpack_all(part.stored_file, pin.size, pin.key), writer.write)
        else:
            with part.stored_file.open("rb", buffering=0) as stored:
                digest = hashlib.file_digest(stored, "sha256").hexdigest()
        if digest != pin.sha256:
            raise DigestMismatch(pin.key, pin.sha256, digest)
        if pin.compress and errand.keep is not None:
            errand.keep(part.stored_file)
        return errand.cache.publish(scratch if pin.compress else part.stored_file, pin.sha256, fetched=True)
    except DigestMismatch:
        part.stored_file.unlink(missing_ok=True)
        raise
    finally:
        scratch.unlink(missing_ok=True)


def _hashed(chunks: Iterator[bytes], keep: Callable[[bytes], object]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        keep(chunk)
        digest.update(chunk)
    return digest.hexdigest()


class Tally:
    """The hash of a whole, fed in order while its pieces come in any order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._next = 0
        self._lock = threading.Lock()

    def advance(self, part: Part) -> None:
        """Feed what follows, unless another thread does already."""
        if self._lock.acquire(blocking=False):
            try:
                self._feed(part)
            finally:
                self._lock.release()

    def finish(self, part: Part) -> str:
        """The digest, once all pieces are there."""
        with self._lock:
            self._feed(part)
            return self._digest.hexdigest()

    def _feed(self, part: Part) -> None:
        while self._next < part.pin.piece_count and part.done(self._next):
            span = piece_span(part.pin, self._next)
            for at in range(span.start, span.start + span.length, CHUNK):
                self._digest.update(part.read(at, min(CHUNK, span.start + span.length - at)))
            self._next += 1


def finish_pieces(errand: Errand, part: Part, tally: Tally) -> Lease:
    """The whole in the cache, after all its pieces have come; raises `DigestMismatch` when it isn't what was pinned."""
    pin, patience = errand.pin, _Patience(errand)
    while (lease := errand.cache.open(pin.sha256)) is None:
        if not part.claim(0, pin.piece_count):
            patience.wait_for_others(None)
            continue
        try:
            digest = tally.finish(part)
            if digest != pin.sha256:
                # Each piece was right, so the pin contradicts itself: nobody else may find this content.
                raise DigestMismatch(f"the whole of {pin.key}", pin.sha256, digest)
            if not errand.cache.has(pin.sha256) and part.data_file.exists():
                return errand.cache.publish(part.data_file, pin.sha256, fetched=True)
        finally:
            part.release(0, pin.piece_count)
        if not part.data_file.exists() and not errand.cache.has(pin.sha256):
            raise NotCached(pin.sha256)  # published by another process and evicted since
    return lease


class _Patience:
    """How long without any byte a fetch goes on; what other processes fetch counts, too."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._since = time.monotonic()
        self._seen: object = None

    def renew(self) -> None:
        """Something came."""
        self._since = time.monotonic()

    def wait_for_others(self, seen: object) -> None:
        """Wait a moment; *seen* tells whether they have moved."""
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
            self._errand.moved(0)
        self.check()
        self._errand.cancel.wait(_OTHERS_S)

    def check(self) -> None:
        """Raise `HydrationTimedOut` when nothing came for too long."""
        if time.monotonic() - self._since > self._errand.deadline_s:
            raise HydrationTimedOut(self._errand.what, self._errand.deadline_s, None)
