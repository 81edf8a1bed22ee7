"""Which files of a tree are artifacts, how large and how old: for an index, which notes what a work tree's files are."""

from collections.abc import Iterator

from anvcs.errors import AnvcsError
from anvcs.git.index_format import Listing, Stat
from anvcs.git.program import Git
from anvcs.model.pin import Pin
from anvcs.model.pointer import LIMIT, decode_pointer, is_pointer
from anvcs.model.tree import EXECUTABLE, REGULAR

_SHORTEST = 100
_FILES = (REGULAR, EXECUTABLE)


def artifact_stats(git: Git, listing: Listing, epoch_ns: int) -> dict[int, Stat]:
    """Stat data of the artifacts among *listing*, by number; every small blob may be one."""
    asked = [
        number
        for number, size in enumerate(listing.sizes)
        if _SHORTEST <= size < LIMIT and listing.modes[number] in _FILES
    ]
    if not asked:
        return {}
    names = b"".join(b"%s\n" % listing.oid(number).hex().encode() for number in asked)
    blobs = _blobs(git.run("cat-file", "--batch", stdin=names).out)
    pins = ((number, _pin(blob)) for number, blob in zip(asked, blobs, strict=True))
    return {number: Stat(pin.shown_mtime_ns(epoch_ns), pin.size) for number, pin in pins if pin is not None}


def _blobs(answer: bytes) -> Iterator[bytes]:
    """What ``cat-file --batch`` prints: a line that ends with the size, the bytes, a line end."""
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        size = int(answer[at:end].rpartition(b" ")[2])
        yield answer[end + 1 : end + 1 + size]
        at = end + 2 + size


def _pin(blob: bytes) -> Pin | None:
    if not is_pointer(blob):
        return None
    try:
        return decode_pointer(blob)
    except AnvcsError:  # a damaged one shows as what it is
        return None
