"""From a content in the cache to a pin: packed if asked for, stored with the list of its pieces."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.errors import NotCached
from anvcs.artifacts.packing import pack
from anvcs.artifacts.pieces import PIECE, Digests, PieceList
from anvcs.artifacts.protocol import BlobStore, Moved, Stored
from anvcs.artifacts.queue import UploadQueue, Waiting
from anvcs.model.pin import ZSTD, Pieces, Pin, content_key, names_content

LONGEST_KEY: Final = 400
"""UTF-8 bytes of a key that is a path; a pointer must stay below 1 KiB."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """What is to be stored for a content."""

    file: Path
    sha256: str | None
    """None: not known yet."""
    listed: PieceList | None


class Uploader:
    """Uploads contents of one cache to one store, or queues them."""

    def __init__(self, cache: ContentCache, store: BlobStore, storage: str, *, compress: bool = False) -> None:
        """*storage* is what pins call the kind of store."""
        self._cache, self._store, self._storage, self._compress = cache, store, storage, compress

    def upload(self, content: Digests, key: str, moved: Moved | None = None) -> Pin:
        """Store a content, which the cache has; raises a `StoreError`, and then there is no pin."""
        return self._packed(content, lambda packed: self._store_all(content, packed, key, moved))

    def queue(self, content: Digests, queue: UploadQueue) -> Pin:
        """Put a content into *queue*: a pin that will do once it is drained. The network is not used."""
        return self._packed(content, lambda packed: self._queue_all(content, packed, queue))

    def _packed(self, content: Digests, use: Callable[[_Packed], Pin]) -> Pin:
        lease = self._cache.open(content.sha256)
        if lease is None:
            raise NotCached(content.sha256)
        with lease:
            if not self._compress:
                listed = PieceList(content.pieces) if content.worth_a_list else None
                return use(_Packed(lease.path, content.sha256, listed))
            packed = self._cache.scratch()
            try:
                frames = pack(lease.path, packed)
                listed = PieceList(content.pieces, frames) if content.worth_a_list else None
                return use(_Packed(packed, None, listed))
            finally:
                packed.unlink(missing_ok=True)

    def _store_all(self, content: Digests, packed: _Packed, key: str, moved: Moved | None) -> Pin:
        # The list first: whoever finds the object finds its list.
        pieces = self._store_list(packed.listed) if packed.listed is not None else None
        stored = self._store.upload(packed.file, key, sha256=packed.sha256, moved=moved)
        return self._pin(content, stored["key"], _lasting(stored), pieces)

    def _store_list(self, listed: PieceList) -> Pieces:
        data = listed.encode()
        named = Pieces(size=PIECE, digest=hashlib.sha256(data).hexdigest())
        scratch = self._cache.scratch()
        try:
            scratch.write_bytes(data)
            stored = self._store.upload(scratch, named.key, sha256=named.digest)
        finally:
            scratch.unlink(missing_ok=True)
        return Pieces(size=PIECE, digest=named.digest, version_id=_lasting(stored))

    def _queue_all(self, content: Digests, packed: _Packed, queue: UploadQueue) -> Pin:
        pieces = None
        if packed.listed is not None:
            taken = self._cache.take_chunks([packed.listed.encode()])
            pieces = Pieces(size=PIECE, digest=taken.sha256)
            queue.add(self._cache, Waiting(taken.sha256, taken.size, pieces.key, self._storage))
        stored = content if packed.sha256 is not None else self._cache.take(packed.file)
        key = content_key(stored.sha256)  # of the stored bytes: packed, they are another object
        packed_from = "" if packed.sha256 is not None else content.sha256
        queue.add(self._cache, Waiting(stored.sha256, stored.size, key, self._storage, packed_from))
        return self._pin(content, key, "", pieces)

    def _pin(self, content: Digests, key: str, version_id: str, pieces: Pieces | None) -> Pin:
        return Pin(
            storage=self._storage,
            bucket=self._store.bucket,
            region=self._store.region,
            key=key,
            version_id=version_id,
            sha256=content.sha256,
            size=content.size,
            pieces=pieces,
            compress=ZSTD if self._compress else "",
        )


def _lasting(stored: Stored) -> str:
    """The version for a pin; a hybrid's own name for what waits for its primary is known on this machine only."""
    provisional = names_content(stored["key"]) and stored["version_id"].startswith("sha256-")
    return "" if provisional else stored["version_id"]


def key_for(path: bytes) -> str:
    """The stable key of the artifact at *path* in the tree."""
    text = path.decode("utf-8", "backslashreplace")
    plain = text.isprintable() and not any(part in {"", ".", ".."} for part in text.split("/"))
    if plain and len(text.encode()) <= LONGEST_KEY and not text.startswith(".anvcs/"):
        return text
    return f".anvcs/paths/{hashlib.sha256(path).hexdigest()}"
