"""Files that Git or LFS has become artifacts: a change of the stream, to be committed; history stays as it is."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from anvcs.artifacts.errors import DigestMismatch
from anvcs.errors import AnvcsError
from anvcs.model.ids import Oid
from anvcs.model.pointer import LIMIT, encode_pointer
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf

if TYPE_CHECKING:
    from anvcs.artifacts.pieces import Digests
    from anvcs.pinning import Pinning
    from anvcs.repository import OpenRoom, Repository

_FILES = (REGULAR, EXECUTABLE)
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:[^\n]*\n)*?oid sha256:(?P<oid>[0-9a-f]{64})\n")


class NothingToImport(AnvcsError):
    """No file of the last commit has to become an artifact."""

    def __init__(self) -> None:
        super().__init__(
            "no file in the last commit matches that is not an artifact already; what .gitattributes gives to LFS stays "
            "there until its filter=lfs is gone"
        )


def take_in(repository: "Repository", stream: str, from_work_tree: bool) -> list[bytes]:
    """Let the stream's room show pins in place of matching files of its last commit; their paths.

    *from_work_tree*: the patterns are those of the ordinary work tree's configuration, not the room's.
    Uploads (or queues, as configured); raises an `ArtifactError` and `NothingToImport`.
    """
    with repository.room(stream) as opened:
        if from_work_tree:
            repository.configure_from_work_tree(opened.pinning)
        wanted = _wanted(repository, opened)
        if not wanted:
            raise NothingToImport
        contents = {path: _content(repository, opened.pinning, leaf.oid) for path, leaf in wanted.items()}
        later = not opened.pinning.upload_on_commit
        pins = opened.pinning.artifacts.pin(contents, later=later)
        for path, pin in pins.items():
            oid = repository.objects.write_blob(encode_pointer(pin))
            opened.pinning.pointers.note(oid, pin)
            opened.room.put_leaf(path, Leaf(wanted[path].mode, oid), pin.size, 0)
        opened.room.sync()
    return sorted(wanted)


def _wanted(repository: "Repository", opened: "OpenRoom") -> dict[bytes, Leaf]:
    """Files of the room's base that are to be artifacts, are none, and nobody has changed since."""
    base, pointers = opened.room.base, opened.pinning.pointers
    found: dict[bytes, Leaf] = {}
    if base is None:
        return found
    objects = repository.objects
    for path, mode, oid in objects.walk(objects.tree_of(base)):
        if mode not in _FILES or opened.room.entry(path) is not None or opened.room.hides(path):
            continue
        if pointers.owns(path, objects.header(oid)) and pointers.pin(oid, path) is None:
            found[path] = Leaf(mode, oid)
    return found


def _content(repository: "Repository", pinning: "Pinning", oid: Oid) -> "Digests":
    """The content of a blob, or of what it is LFS's pointer to, in the cache."""
    objects, cache = repository.objects, pinning.artifacts.cache
    if objects.header(oid) < LIMIT:
        data = objects.blob(oid)
        known = _LFS.match(data)
        if known is None:
            return cache.take_chunks([data])
        name = known["oid"].decode()
        stored = repository.info.common_dir / "lfs" / "objects" / name[:2] / name[2:4] / name
        if not stored.exists():
            raise FileNotFoundError(2, "LFS has not fetched it: run `git lfs fetch`", str(stored))
        taken = cache.take(stored)
        if taken.sha256 != name:
            cache.release(taken.sha256)
            raise DigestMismatch(str(stored), name, taken.sha256)
        return taken
    with tempfile.TemporaryDirectory(prefix="anvcs-import-", dir=repository.store.root) as folder:
        file = Path(folder, "blob")
        objects.spool_blob(oid, file)
        return cache.take(file)
