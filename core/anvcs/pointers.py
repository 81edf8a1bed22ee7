"""Which files of a tree are artifacts, and what the pointers in it say.

A blob is a pointer when it is one by its bytes, wherever it lies: an artifact may have been renamed, or
its pattern taken out, and its bytes are still what its readers want.  So small files are read to find
out, those of 100 to 1,023 bytes; a repository without artifacts pays one comparison a file.
"""

import logging
from typing import Final

from anvcs.config.schema import FILE_NAME
from anvcs.config.storage import BlobsConfig
from anvcs.errors import AnvcsError
from anvcs.git.objects import ObjectStore
from anvcs.git.skeleton import Skeleton
from anvcs.model.ids import Oid
from anvcs.model.pin import Pin
from anvcs.model.pointer import LIMIT, decode_pointer, is_pointer
from anvcs.ownership import Ownership

log = logging.getLogger(__name__)

SHORTEST: Final = 100
"""Bytes that a pointer has at least: its digest alone takes 72."""
_GITS: Final = frozenset({b".gitattributes", b".gitignore", b".gitmodules", FILE_NAME.encode()})
"""Files that are read by Git and by us, whatever a pattern says."""
_REMEMBERED: Final = 1 << 14


class Pointers:
    """The rules of one view or one command.  May be asked from several threads."""

    def __init__(self, git: ObjectStore, skeleton: Skeleton, blobs: BlobsConfig) -> None:
        self._git = git
        self._skeleton = skeleton
        self._pins: dict[Oid, Pin] = {}
        self._others: set[Oid] = set()
        """Small blobs that are none."""
        self.configure(blobs)

    def configure(self, blobs: BlobsConfig) -> None:
        """Go by other settings."""
        self.active = bool(blobs.track or blobs.max_git_size)
        """Whether there can be artifacts at all."""
        self._by_size = blobs.max_git_size
        self._ownership = Ownership(blobs.track)
        self._tracked: dict[bytes, bool] = {}

    def outside(self, path: bytes) -> bool:
        """Whether Git's filter has to be told of the artifact at *path*: no pattern matches it."""
        return not self._by_size and not self.tracked(path)

    def rules_changed(self) -> None:
        """Attributes may give other files to LFS now."""
        self._tracked.clear()

    def tracked(self, path: bytes) -> bool:
        """Whether ``blobs.track`` makes the file at *path* an artifact."""
        known = self._tracked.get(path)
        if known is None:
            known = (self._ownership.tracked(path) or self._is_twin(path)) and self._may_be(path)
            if len(self._tracked) >= _REMEMBERED:
                self._tracked.clear()
            self._tracked[path] = known
        return known

    def _is_twin(self, path: bytes) -> bool:
        """Whether this is the loser of two that wrote an artifact (``name~agent``): it is one, too."""
        directory, slash, name = path.rpartition(b"/")
        while b"~" in name[1:]:
            name = name.rpartition(b"~")[0]
            if self._ownership.tracked(directory + slash + name):
                return True
        return False

    def owns(self, path: bytes, size: int) -> bool:
        """Whether a file of *size* bytes at *path* is an artifact; an empty one is Git's."""
        if not self.active or size == 0:
            return False
        return self.tracked(path) or (0 < self._by_size < size and self._may_be(path))

    def _may_be(self, path: bytes) -> bool:
        return path.rpartition(b"/")[2] not in _GITS and self._skeleton.filter_of(path) != b"lfs"

    def pin(self, oid: Oid, path: bytes) -> Pin | None:
        """What blob *oid* at *path* stands for; None: it stands for itself."""
        if not self.active:
            return None
        found = self._pins.get(oid)
        if found is None and oid not in self._others:
            if not SHORTEST <= self._git.header(oid) < LIMIT:
                return None
            found = self.read(self._git.blob(oid), path)
            if found is not None:
                self._pins[oid] = found
            else:
                if len(self._others) >= _REMEMBERED:
                    self._others.clear()
                self._others.add(oid)
        return found if found is not None and self._may_be(path) else None

    def read(self, data: bytes, path: bytes) -> Pin | None:
        """What the text *data*, found at *path*, says; None: it is no pointer, or a damaged one."""
        if not is_pointer(data[:LIMIT]):
            return None
        try:
            return decode_pointer(data)
        except AnvcsError as error:
            log.warning("%s: %s", path.decode(errors="backslashreplace"), error)
            return None

    def note(self, oid: Oid, pin: Pin) -> None:
        """Blob *oid* is a pointer that was just written."""
        self._pins[oid] = pin
