"""Which files of a tree are artifacts, and how large: for an index, which notes a work tree's sizes."""

from collections.abc import Iterator

from anvcs.errors import AnvcsError
from anvcs.git.index_format import Listing
from anvcs.git.program import Git
from anvcs.model.pointer import LIMIT, decode_pointer, is_pointer
from anvcs.model.tree import EXECUTABLE, REGULAR

_SHORTEST = 100
_FILES = (REGULAR, EXECUTABLE)


def artifact_sizes(git: Git, listing: Listing) -> dict[int, int]:
    """Sizes of the artifacts among *listing*, by number; every small blob may be one."""
    asked = [
        number
        for number, size in enumerate(listing.sizes)
        if _SHORTEST <= size < LIMIT and listing.modes[number] in _FILES
    ]
    if not asked:
        return {}
    names = b"".join(b"%s\n" % listing.oid(number).hex().encode() for number in asked)
    blobs = _blobs(git.run("cat-file", "--batch", stdin=names).out)
    sizes = ((number, _size(blob)) for number, blob in zip(asked, blobs, strict=True))
    return {number: size for number, size in sizes if size is not None}


def _blobs(answer: bytes) -> Iterator[bytes]:
    """What ``cat-file --batch`` prints: a line that ends with the size, the bytes, a line end."""
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        size = int(answer[at:end].rpartition(b" ")[2])
        yield answer[end + 1 : end + 1 + size]
        at = end + 2 + size


def _size(blob: bytes) -> int | None:
    if not is_pointer(blob):
        return None
    try:
        return decode_pointer(blob).size
    except AnvcsError:  # a damaged one shows as what it is
        return None
