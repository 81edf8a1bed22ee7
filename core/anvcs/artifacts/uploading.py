"""From a content in the cache to a pin: packed if asked for, stored with the list of its pieces."""

import hashlib
from pathlib import Path
from typing import Final

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.errors import NotCached
from anvcs.artifacts.packing import pack
from anvcs.artifacts.pieces import PIECE, Digests, PieceList
from anvcs.artifacts.protocol import BlobStore
from anvcs.model.pin import ZSTD, Pieces, Pin

LONGEST_KEY: Final = 400
"""UTF-8 bytes of a key that is a path; a pointer must stay below 1 KiB."""


class Uploader:
    """Uploads contents of one cache to one store."""

    def __init__(self, cache: ContentCache, store: BlobStore, storage: str, *, compress: bool = False) -> None:
        """*storage* is what pins call the kind of store."""
        self._cache, self._store, self._storage, self._compress = cache, store, storage, compress

    def upload(self, content: Digests, key: str) -> Pin:
        """Store a content, which the cache has; raises a `StoreError`, and then there is no pin."""
        lease = self._cache.open(content.sha256)
        if lease is None:
            raise NotCached(content.sha256)
        with lease:
            if not self._compress:
                return self._store_all(lease.path, content, (), key)
            packed = self._cache.scratch()
            try:
                frames = pack(lease.path, packed)
                return self._store_all(packed, content, frames, key)
            finally:
                packed.unlink(missing_ok=True)

    def _store_all(self, file: Path, content: Digests, frames: tuple[int, ...], key: str) -> Pin:
        # The list first: whoever finds the object finds its list.
        pieces = self._store_list(PieceList(content.pieces, frames)) if content.worth_a_list else None
        stored = self._store.upload(file, key, sha256=None if self._compress else content.sha256)
        return Pin(
            storage=self._storage,
            bucket=self._store.bucket,
            region=self._store.region,
            key=stored["key"],
            version_id=stored["version_id"],
            sha256=content.sha256,
            size=content.size,
            pieces=pieces,
            compress=ZSTD if self._compress else "",
        )

    def _store_list(self, listed: PieceList) -> Pieces:
        data = listed.encode()
        digest = hashlib.sha256(data).hexdigest()
        named = Pieces(size=PIECE, digest=digest)
        scratch = self._cache.scratch()
        try:
            scratch.write_bytes(data)
            stored = self._store.upload(scratch, named.key, sha256=digest)
        finally:
            scratch.unlink(missing_ok=True)
        return Pieces(size=PIECE, digest=digest, version_id=stored["version_id"])


def key_for(path: bytes) -> str:
    """The stable key of the artifact at *path* in the tree."""
    text = path.decode("utf-8", "backslashreplace")
    plain = text.isprintable() and not any(part in {"", ".", ".."} for part in text.split("/"))
    if plain and len(text.encode()) <= LONGEST_KEY and not text.startswith(".anvcs/"):
        return text
    return f".anvcs/paths/{hashlib.sha256(path).hexdigest()}"
