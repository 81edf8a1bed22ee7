"""Verified bytes by their SHA-256, shared by all views: ``cache/sha256/ab/<62 digits>``.

A file that has its name is complete and was verified.  Three rules keep it true after a
power loss: a large file that was made here is on the disk before it gets its name, a
large one that was fetched has a note until it is (`anvcs.artifacts.settling`), a small one
is hashed again whenever it is opened.

``holds/<sha256>`` says of a content that it was made here and is not uploaded yet: it stays.

Whoever reads a file holds ``flock(LOCK_SH)`` on it; whoever removes one needs ``LOCK_EX``
and takes no for an answer.  The kernel lets go for a process that is killed.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from anvcs.artifacts.errors import CacheFull, DigestMismatch
from anvcs.artifacts.parts import Claims, Partial, drop, partials, sweep
from anvcs.artifacts.pieces import Digests, chunks_of, digest_chunks
from anvcs.artifacts.settling import Unsettled

SMALL: Final = 256 << 10
"""Up to this size a file is hashed at each opening, which costs less than a sync when it is stored."""

_LOW_WATER = 0.9
_STALE_S = 24 * 3600.0
"""After so long a hold, or a scratch file, is one that somebody left who died."""
_FORGOTTEN_S = 7 * 24 * 3600.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Cached(NamedTuple):
    """One content in the cache."""

    sha256: str
    size: int
    last_used_s: float


@dataclass(frozen=True, slots=True)
class Evicted:
    """What `ContentCache.shrink` did."""

    files: int
    freed: int
    kept: int
    """Bytes that are in use or not uploaded."""


class Lease:
    """A content that is open for reading and stays while it is."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd, self.path = fd, path
        self.size = os.fstat(fd).st_size

    def fileno(self) -> int:
        """The descriptor, for `os.pread`, `mmap` or a copy."""
        return self._fd

    def read(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes from *offset*."""
        return os.pread(self._fd, size, offset)

    def close(self) -> None:
        """Let go; more than once is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ContentCache:
    """The cache of one store; for any number of threads and processes."""

    def __init__(self, root: Path, *, limit: int = 0, needed: Callable[[str], bool] = lambda _: False) -> None:
        """*limit* in bytes, 0 is none; *needed* says of a content that nobody else may have it (not uploaded)."""
        self.root = root
        # Joined as text: they are asked for with every small file.
        self._contents, self._holds = os.fspath(root / "sha256"), os.fspath(root / "holds")
        self.limit = limit
        self._needed = needed
        self.claims = Claims(root / "parts" / "claims")
        self.unsettled = Unsettled(root / "unsettled", self.path)
        self._doubted = self._doubting = False
        self._doubt_lock = threading.RLock()
        self._made = False
        self._lock = threading.Lock()
        self._room_left = 0
        """Bytes that may be added before the files have to be counted again."""

    def path(self, sha256: str) -> Path:
        """Where a content is or would be."""
        return Path(f"{self._contents}/{sha256[:2]}/{sha256[2:]}")

    def has(self, sha256: str) -> bool:
        """Whether the content is here, by name alone."""
        return self.path(sha256).exists()

    def open(self, sha256: str) -> Lease | None:
        """The content for reading, or None; a damaged small file is removed and counts as absent."""
        path = self.path(sha256)
        if not self._doubted:
            self._doubt()
        while True:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(fd, fcntl.LOCK_SH)
                held = os.fstat(fd)
                if held.st_nlink == 0:  # removed between the two lines above
                    os.close(fd)
                    continue
                if held.st_size <= SMALL and hashlib.sha256(os.pread(fd, SMALL + 1, 0)).hexdigest() != sha256:
                    path.unlink(missing_ok=True)
                    os.close(fd)
                    return None
            except BaseException:
                os.close(fd)
                raise
            _used(fd)
            return Lease(fd, path)

    def scratch(self) -> Path:
        """A new file name on the cache's disk; whoever asks removes the file."""
        folder = self.root / "tmp"
        if not self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made = True
        return folder / f"{os.getpid()}-{secrets.token_hex(8)}"

    def publish(self, verified: Path, sha256: str, *, fetched: bool = False) -> Lease:
        """Give a verified file of the cache's disk its name; it is gone from where it was.

        What was not *fetched* from a store is held until `release`.
        """
        with self._space():
            if not fetched:
                self._hold(sha256)
            fd = os.open(verified, os.O_RDONLY | os.O_CLOEXEC)
            return self._named(fd, os.fspath(verified), sha256, settled=not fetched)

    def put(self, verified: bytes, sha256: str) -> Lease:
        """As `publish`, of a small content that was verified in memory."""
        part = os.fspath(self.scratch())
        with self._space():
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                left = memoryview(verified)
                while left:
                    left = left[os.write(fd, left) :]
            except BaseException:
                os.close(fd)
                Path(part).unlink()
                raise
            try:
                return self._named(fd, part, sha256)
            except BaseException:
                Path(part).unlink(missing_ok=True)
                raise

    def _named(self, fd: int, part: str, sha256: str, *, settled: bool = False) -> Lease:
        """Give the file *part*, which *fd* is, its name; *settled*: only after it is on the disk."""
        target = self.path(sha256)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)  # before it has its name, so that nobody evicts it
            size = os.fstat(fd).st_size
            if size > SMALL and settled:
                os.fsync(fd)
            elif size > SMALL:
                self.unsettled.note(sha256)
            os.fchmod(fd, 0o444)
            try:
                Path(part).rename(target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                Path(part).rename(target)
        except BaseException:
            os.close(fd)
            raise
        lease = Lease(fd, target)
        self.grown(size)
        return lease

    def take(self, source: Path) -> Digests:
        """Copy a file into the cache, hashing it on the way."""
        with source.open("rb", buffering=0) as file:
            return self.take_chunks(chunks_of(file.fileno()))

    def take_chunks(self, chunks: Iterable[bytes]) -> Digests:
        """As `take`, for a content that comes in chunks."""
        part = self.scratch()
        try:
            with self._space(), part.open("xb", buffering=0) as writer:
                found = digest_chunks(_written(chunks, writer.fileno()))
            self.publish(part, found.sha256).close()
        finally:
            part.unlink(missing_ok=True)
        return found

    def link(self, source: Path, sha256: str) -> bool:
        """Share a file of the same disk whose content doesn't change; it is verified. False: it can't be shared."""
        part = self.scratch()
        try:
            os.link(source, part)
        except OSError:  # another disk, or too many links
            return False
        try:
            with part.open("rb", buffering=0) as file:
                got = hashlib.file_digest(file, "sha256").hexdigest()
            if got != sha256:
                raise DigestMismatch(str(source), sha256, got)
            self.publish(part, sha256, fetched=True).close()
        finally:
            part.unlink(missing_ok=True)
        return True

    def release(self, sha256: str) -> None:
        """A content that was made here is uploaded, or something else keeps it now."""
        Path(f"{self._holds}/{sha256}").unlink(missing_ok=True)

    def _hold(self, sha256: str) -> None:
        file = Path(f"{self._holds}/{sha256}")
        try:
            file.touch()
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def _held(self, sha256: str) -> bool:
        try:
            return time.time() - Path(f"{self._holds}/{sha256}").stat().st_mtime < _STALE_S
        except FileNotFoundError:
            return False

    def _doubt(self) -> None:
        """After a power loss, look at what may not have reached the disk; once in a process, and nobody reads before."""
        with self._doubt_lock:
            if self._doubted or self._doubting:
                return
            self._doubting = True
            for sha256 in self.unsettled.doubtful():
                self.verify(sha256)
                self.unsettled.forget(sha256)
            self._doubted = True

    # Looking after it

    def entries(self) -> Iterator[Cached]:
        """Everything in the cache, in no order."""
        for path in (self.root / "sha256").glob("??/*"):
            try:
                found = path.stat()
            except FileNotFoundError:  # evicted since
                continue
            yield Cached(path.parent.name + path.name, found.st_size, found.st_mtime)

    def evict(self, sha256: str) -> int:
        """Remove a content that nobody has open or needs: bytes freed, 0 when it stays."""
        path = self.path(sha256)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            # Under the lock: whoever queues an upload holds the content while doing so.
            if self._held(sha256) or self._needed(sha256) or os.fstat(fd).st_nlink == 0:
                return 0
            size = os.fstat(fd).st_size
            path.unlink(missing_ok=True)
            return size
        finally:
            os.close(fd)

    def partial(self) -> int:
        """Bytes of what is partly here."""
        return sum(one.size for one in partials(self.root / "parts"))

    def shrink(self, limit: int) -> Evicted:
        """Evict the least recently used until the rest, with what is partly here, has at most *limit* bytes."""
        found: list[Cached | Partial] = [*self.entries(), *partials(self.root / "parts")]
        found.sort(key=lambda entry: entry.last_used_s)
        total = sum(entry.size for entry in found)
        files = freed = kept = 0
        for entry in found:
            if total - freed <= limit:
                break
            if isinstance(entry, Partial):
                freed += entry.size if drop(entry.folder) else 0
                continue
            size = self.evict(entry.sha256)
            freed += size
            files += bool(size) or not self.has(entry.sha256)
            kept += entry.size if not size and self.has(entry.sha256) else 0
        return Evicted(files, freed, kept)

    def verify(self, sha256: str) -> bool:
        """Hash a content again; a damaged one is removed. False when it was."""
        lease = self.open(sha256)
        if lease is None:
            return False
        with lease, lease.path.open("rb", buffering=0) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return True
            lease.path.unlink(missing_ok=True)
            return False

    def clean(self, parts_older_s: float = _FORGOTTEN_S) -> None:
        """Remove what processes that died left behind, and what is partly here and nobody went on with."""
        sweep(self.root / "parts", parts_older_s)
        for path in (*(self.root / "tmp").glob("*"), *(self.root / "holds").glob("*")):
            try:
                if time.time() - path.stat().st_mtime > _STALE_S:
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()
            except FileNotFoundError:
                continue

    def grown(self, size: int) -> None:
        """Keep to the limit after *size* more bytes; files are counted only when the last count leaves it open."""
        if not self.limit:
            return
        with self._lock:
            self._room_left -= size
            if self._room_left > 0:
                return
            total = sum(entry.size for entry in self.entries()) + self.partial()
            if total > self.limit:
                total -= self.shrink(int(self.limit * _LOW_WATER)).freed
            # Other processes add files, too: half of the room is taken, then everybody counts again.
            self._room_left = max((self.limit - total) // 2, self.limit // 100)

    def _space(self) -> "_Space":
        return _Space(self.root)


class _Space:
    """Tells a full disk as what it is."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            raise CacheFull(self._root) from error


def _used(fd: int) -> None:
    try:
        os.utime(fd)
    except PermissionError:  # another user's file: it ages from when that user last opened it
        pass


def _written(chunks: Iterable[bytes], fd: int) -> Iterator[bytes]:
    """*chunks*, each written to *fd* before it is passed on."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
        yield chunk
