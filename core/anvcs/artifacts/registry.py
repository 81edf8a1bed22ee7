"""Stores by name: ours, and those that other packages register as entry points."""

from collections.abc import Callable
from importlib import import_module
from typing import Final, cast

from anvcs.artifacts.errors import StorageNotConfigured
from anvcs.artifacts.protocol import ENTRY_POINTS, BlobStore, StoreSettings

_OURS: Final = {
    "local": "anvcs.artifacts.folders:make_local",
    "nfs": "anvcs.artifacts.nfs:make",
    "s3": "anvcs.artifacts.s3:make",
    "ipfs": "anvcs.artifacts.ipfs:make",
    "hybrid": "anvcs.artifacts.composite:make",
}
"""By path, so that a store's libraries are imported when it is used."""


def make_store(settings: StoreSettings) -> BlobStore:
    """The store of that name; raises `StorageNotConfigured`."""
    return _maker(settings.name)(settings)


def known_stores() -> list[str]:
    """Names of all stores, ours first."""
    from importlib.metadata import entry_points

    others = sorted(point.name for point in entry_points(group=ENTRY_POINTS) if point.name not in _OURS)
    return [*_OURS, *others]


def _maker(name: str) -> Callable[[StoreSettings], BlobStore]:
    place = _OURS.get(name)
    if place is not None:
        module, _, function = place.partition(":")
        return cast("Callable[[StoreSettings], BlobStore]", getattr(import_module(module), function))
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        return cast("Callable[[StoreSettings], BlobStore]", point.load())
    raise StorageNotConfigured(name, f"there is no store of this name; there are {', '.join(known_stores())}")
