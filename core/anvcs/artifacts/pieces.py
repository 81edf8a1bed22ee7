"""The list of an artifact's pieces: what each must hash to, and where it is stored.

``docs/reference/formats/artifact-pointer.md`` specifies the bytes.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from anvcs.artifacts.errors import DigestMismatch
from anvcs.model.pin import Pieces, Pin

PIECE: Final = 4 << 20
"""Bytes of a piece of what this program uploads."""

CHUNK: Final = 1 << 20
_MAGIC = b"anvcs pieces 1\n"
_PLAIN, _FRAMED = 32, 40


class Span(NamedTuple):
    """Where something lies: first byte and length."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class PieceList:
    """Digests of the pieces, and for compressed ones the lengths of their frames."""

    digests: tuple[bytes, ...]
    frames: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The bytes whose SHA-256 the pin has."""
        if not self.frames:
            return _MAGIC + b"".join(self.digests)
        rows = zip(self.digests, self.frames, strict=True)
        return _MAGIC + b"".join(digest + length.to_bytes(8, "big") for digest, length in rows)

    def starts(self) -> list[int]:
        """Where each frame begins in the stored object; the last number is its end."""
        found = [0]
        for length in self.frames:
            found.append(found[-1] + length)
        return found


def decode_pieces(data: bytes, pin: Pin, pieces: Pieces) -> PieceList:
    """The list for *pin*; raises `DigestMismatch` for anything else than what was pinned."""
    got = hashlib.sha256(data).hexdigest()
    width = _FRAMED if pin.compress else _PLAIN
    body = data[len(_MAGIC) :]
    # A list that hashes to the pin's digest and doesn't fit its size was pinned by somebody who meant harm.
    if got != pieces.digest or not data.startswith(_MAGIC) or len(body) != width * pin.piece_count:
        raise DigestMismatch(f"the piece list of {pin.key}", pieces.digest, got)
    rows = [body[at : at + width] for at in range(0, len(body), width)]
    frames = tuple(int.from_bytes(row[32:], "big") for row in rows) if pin.compress else ()
    if any(not 0 < length <= 2 * pieces.size for length in frames):
        raise DigestMismatch(f"the piece list of {pin.key}", pieces.digest, "a frame of an impossible length")
    return PieceList(tuple(row[:32] for row in rows), frames)


def piece_span(pin: Pin, index: int) -> Span:
    """Where a piece lies in the content."""
    size = pin.pieces.size if pin.pieces is not None else pin.size
    start = index * size
    return Span(start, min(size, pin.size - start))


def pieces_of(pin: Pin, offset: int, length: int) -> range:
    """Which pieces hold these bytes of the content; none for bytes after its end."""
    size = pin.pieces.size if pin.pieces is not None else max(pin.size, 1)
    end = min(offset + length, pin.size)
    return range(offset // size, -(-end // size)) if offset < end else range(0)


class Digests(NamedTuple):
    """What a content hashes to."""

    sha256: str
    size: int
    pieces: tuple[bytes, ...]
    """Of `PIECE` bytes each."""

    @property
    def worth_a_list(self) -> bool:
        """Whether there is more than one piece."""
        return len(self.pieces) > 1


def digest_chunks(chunks: Iterable[bytes]) -> Digests:
    """Hash a content as a whole and piece by piece; the two run side by side."""
    whole, size = hashlib.sha256(), 0
    cutter = _Cutter()
    with ThreadPoolExecutor(1, thread_name_prefix="anvcs-pieces") as helper:
        ahead: Future[None] | None = None
        for chunk in chunks:
            if ahead is not None:
                ahead.result()
            # Only when there is something to gain: a small file is one chunk.
            if len(chunk) >= CHUNK:
                ahead = helper.submit(cutter.feed, chunk)
            else:
                ahead = None
                cutter.feed(chunk)
            whole.update(chunk)
            size += len(chunk)
        if ahead is not None:
            ahead.result()
    return Digests(whole.hexdigest(), size, cutter.finish())


def digest_file(path: Path) -> Digests:
    """`digest_chunks` of a file."""
    with path.open("rb", buffering=0) as file:
        return digest_chunks(chunks_of(file.fileno()))


def chunks_of(fd: int) -> Iterator[bytes]:
    """The content of an open file from its start."""
    at = 0
    while chunk := os.pread(fd, CHUNK, at):
        yield chunk
        at += len(chunk)


class _Cutter:
    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._current = hashlib.sha256()
        self._filled = 0

    def feed(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            part = rest[: PIECE - self._filled]
            self._current.update(part)
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == PIECE:
                self._cut()

    def _cut(self) -> None:
        self._done.append(self._current.digest())
        self._current, self._filled = hashlib.sha256(), 0

    def finish(self) -> tuple[bytes, ...]:
        if self._filled:
            self._cut()
        return tuple(self._done)
