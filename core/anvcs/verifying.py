"""``ai-vcs artifacts verify``: what is here is hashed again, and stores are asked for what pins name, many at a time."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from anvcs.artifacts.errors import ArtifactError, StoreUnreachable
from anvcs.model.pin import Pin

if TYPE_CHECKING:
    from anvcs.artifact_access import Artifacts

_AT_ONCE: Final = 16
"""Questions that are asked at the same time: each waits for the network, or for a disk."""


class Verified(NamedTuple):
    """What was found out about one pin."""

    here: bool
    """It was in the cache."""
    damaged: bool
    """And wrong; it is gone now."""
    problem: str
    """Why the store can't give it; empty: it can, or was not asked."""


def verify(
    artifacts: "Artifacts", pins: Iterable[Pin], *, remote: bool, done: Callable[[int], object] = lambda _: None
) -> dict[Pin, Verified]:
    """Look at each of *pins* once; *done* is told of bytes that were looked at. A store that is away is asked once."""
    away: dict[str, str] = {}
    lock = threading.Lock()

    def look(pin: Pin) -> Verified:
        here = artifacts.cache.has(pin.sha256)
        damaged = here and not artifacts.cache.verify(pin.sha256)
        problem = _problem(artifacts, pin, away) if remote and not artifacts.queue.has(pin.sha256) else ""
        with lock:
            done(pin.size)
        return Verified(here, damaged, problem)

    wanted = list(dict.fromkeys(pins))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="anvcs-verify") as pool:
        try:
            return dict(zip(wanted, pool.map(look, wanted), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _problem(artifacts: "Artifacts", pin: Pin, away: dict[str, str]) -> str:
    """Why the pin's store can't give it."""
    if pin.storage in away:
        return away[pin.storage]
    asked = [(pin.key, pin.version_id)]
    if pin.pieces is not None:  # without its list it can't be read
        asked.append((pin.pieces.key, pin.pieces.version_id))
    try:
        store = artifacts.store_of(pin)
        if all(store.exists(key, version or None) for key, version in asked):
            return ""
    except ArtifactError as error:
        if isinstance(error, StoreUnreachable):
            away[pin.storage] = str(error)
        return str(error)
    artifacts.forget(pin.sha256)
    return "the store doesn't have this version"
