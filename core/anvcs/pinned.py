"""Which artifacts a commit has: the pointers in its tree."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from anvcs.errors import AnvcsError
from anvcs.model.ids import Oid
from anvcs.model.pin import Pin
from anvcs.model.pointer import LIMIT, decode_pointer, is_pointer
from anvcs.model.tree import EXECUTABLE, REGULAR

if TYPE_CHECKING:
    from anvcs.git.objects import ObjectStore

_FILES = (REGULAR, EXECUTABLE)


class Pinned(NamedTuple):
    """One pointer of a tree."""

    path: bytes
    pin: Pin | None
    problem: str = ""
    """Why there is no pin."""


def pinned(objects: "ObjectStore", commit: Oid) -> Iterator[Pinned]:
    """Every pointer of a commit, by path. Only blobs small enough to be one are read."""
    for path, mode, oid in objects.walk(objects.tree_of(commit), b""):
        if mode not in _FILES or objects.header(oid) >= LIMIT:
            continue
        data = objects.blob(oid)
        if not is_pointer(data):
            continue
        try:
            yield Pinned(path, decode_pointer(data))
        except AnvcsError as error:
            yield Pinned(path, None, str(error))
