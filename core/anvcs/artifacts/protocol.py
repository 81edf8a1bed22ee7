"""What an object store must be able to do.  The contract tests say the rest.

A program of somebody else's registers a store under the entry point group
``anvcs.blob_stores``: a callable that takes a `StoreSettings` and gives a `BlobStore`.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypedDict

ENTRY_POINTS = "anvcs.blob_stores"

Body = Generator[bytes, None, None]
"""The bytes of an object as they come."""


Moved = Callable[[int], None]
"""Is told how many more bytes went over the line."""


class Stored(TypedDict):
    """What a store says of an object that it has."""

    key: str
    version_id: str
    sha256: str
    """Of the stored bytes."""
    size: int
    """Of the stored bytes."""


class BlobStore(Protocol):
    """Versions of objects by key.  May be used from several threads; other machines may use the same store."""

    @property
    def name(self) -> str:
        """The store as messages name it, without secrets."""

    @property
    def bucket(self) -> str:
        """What a pin records to find the store again; may be empty."""

    @property
    def region(self) -> str:
        """As `bucket`."""

    def upload(self, local_path: Path, key: str, *, sha256: str | None = None, moved: Moved | None = None) -> Stored:
        """Store a file as a new version of *key*; content that its newest version has already makes none.

        *sha256* is the file's, if the caller knows it.  Nothing is visible before all of it is stored.  *moved* is
        told of bytes as they are sent, by whatever thread.
        """

    def download(self, key: str, version_id: str | None, dest_path: Path) -> None:
        """Write one version (None or empty: the newest) to *dest_path*, whole or not at all.

        Not verified against any pin.  Raises `NoSuchVersion`.
        """

    def exists(self, key: str, version_id: str | None = None) -> bool:
        """Whether there is this version, or any at all."""

    def delete_version(self, key: str, version_id: str) -> None:
        """Remove one version for good; one that isn't there is no error."""

    def read(self, key: str, version_id: str | None, start: int = 0, length: int | None = None) -> Body:
        """The bytes from *start*, as they come; nothing when *start* is at or after the end.

        Makes one request and tries nothing twice: whoever calls knows what it has already.  Closing the iterator ends
        the request.  Raises `TransferBroken` when the body is shorter than was announced.
        """


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What a store is made from."""

    name: str
    options: Mapping[str, object]
    """Its part of ``adapters`` in the configuration; secrets are wrapped in `anvcs.config.Secret`."""
    state: Path
    """A folder of its own for what it must remember on this machine; made by whoever uses it."""
    local: Path
    """Where the embedded store of this repository lies."""
    stores: Mapping[str, BlobStore] = field(default_factory=dict)
    """Other stores, for one that is made of several."""
