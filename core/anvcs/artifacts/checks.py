"""Looking at a store from outside: whether it can be reached, and does what it must."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from anvcs.artifacts.errors import ArtifactError
from anvcs.artifacts.protocol import BlobStore


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def check_store(store: BlobStore, scratch: Path) -> Iterator[Check]:
    """What the store says of itself, then a small object's way there and back; ends at the first failure of that.

    A store that is made of two is looked at as each of them: nothing of the small object waits for the other.
    """
    both: tuple[BlobStore, BlobStore] | None = getattr(store, "both", None)
    if both is None:
        yield from _check_one(store, scratch)
        return
    yield from _check_one(both[0], scratch)
    for check in _check_one(both[1], scratch):
        yield check._replace(name=f"fallback {check.name}")


def _check_one(store: BlobStore, scratch: Path) -> Iterator[Check]:
    own: Callable[[], Iterator[Check]] | None = getattr(store, "checks", None)
    failed = False
    for check in own() if own is not None else ():
        failed |= not check.ok
        yield check
    if not failed:
        yield from _round_trip(store, scratch)


def _round_trip(store: BlobStore, scratch: Path) -> Iterator[Check]:
    data = secrets.token_bytes(1000)
    key = f".anvcs/check/{secrets.token_hex(8)}"
    scratch.parent.mkdir(parents=True, exist_ok=True)
    scratch.write_bytes(data)
    name = "put"
    try:
        stored = store.upload(scratch, key)
        yield Check(name, True, f"{len(data)} bytes as {key}")
        name = "get"
        right = b"".join(store.read(key, stored["version_id"])) == data
        yield Check(name, right, "the same bytes came back" if right else "other bytes came back")
        name = "delete"
        store.delete_version(key, stored["version_id"])
        yield Check(name, True, "the version is gone again")
    except (ArtifactError, OSError) as error:
        # Who may not delete works well without: versions are kept on purpose.
        yield Check(name, name == "delete", str(error))
    finally:
        scratch.unlink(missing_ok=True)
