"""zstd, frame by frame: each piece of a compressed artifact is a frame of its own.

Everything that is unpacked comes from a store, so the content's size is known before and
nothing grows beyond it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anvcs.artifacts.errors import DigestMismatch
from anvcs.artifacts.pieces import CHUNK, PIECE

_LEVEL = 3


def pack(source: Path, target: Path) -> tuple[int, ...]:
    """Write *source* as a row of frames, one for each `PIECE` bytes: their lengths."""
    compressor = _zstandard().ZstdCompressor(level=_LEVEL, write_checksum=False)
    lengths: list[int] = []
    with source.open("rb", buffering=0) as reader, target.open("xb") as writer:
        while piece := _exactly(reader, PIECE):
            frame = compressor.compress(piece)
            writer.write(frame)
            lengths.append(len(frame))
    return tuple(lengths)


def unpack_piece(frame: bytes, size: int, what: str) -> bytes:
    """The *size* bytes that a frame holds; anything else is damage."""
    zstandard = _zstandard()
    try:
        # Without a size of its own a frame gets a buffer of what we expect, never what it claims.
        if zstandard.frame_content_size(frame) not in (size, -1):
            raise DigestMismatch(what, f"a frame of {size} bytes", "a frame of another size")
        data: bytes = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise DigestMismatch(what, f"a frame of {size} bytes", str(error)) from error
    return data


def unpack_all(stored: Path, size: int, what: str) -> Iterator[bytes]:
    """The content of a file of frames, at most *size* bytes and one chunk too many."""
    zstandard = _zstandard()
    given = 0
    try:
        with (
            stored.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader,
        ):
            while given <= size and (data := reader.read(CHUNK)):
                given += len(data)
                yield data
    except zstandard.ZstdError as error:
        raise DigestMismatch(what, f"{size} bytes of zstd", str(error)) from error


def longest_packed(size: int) -> int:
    """No sensible packer makes more than this of *size* bytes."""
    return size + size // 64 + (64 << 10)


def _exactly(reader: Any, size: int) -> bytes:
    found = b""
    while len(found) < size and (chunk := reader.read(size - len(found))):
        found = found + chunk if found else chunk
    return found


def _zstandard() -> Any:
    import zstandard  # only where something is compressed

    return zstandard
