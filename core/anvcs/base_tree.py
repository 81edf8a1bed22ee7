"""The room's window on Git: wires `anvcs.git` to the port `anvcs.rooms` asks for."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from anvcs.git.objects import ObjectStore
from anvcs.git.skeleton import Skeleton
from anvcs.model.ids import Oid
from anvcs.model.pin import Pin
from anvcs.model.tree import DIRECTORY, TreeChange, TreeEntry
from anvcs.pointers import Pointers

_IN_MEMORY = 8 << 20


class GitBaseTree:
    """Base commits as a room sees them: trees, and blobs as ``git checkout`` would write them.

    An artifact has the size and the hash of its content; its bytes, which may be anywhere, are its pointer's.
    """

    def __init__(self, git: ObjectStore, skeleton: Skeleton, pointers: Pointers | None = None) -> None:
        self._git = git
        self._skeleton = skeleton
        self._pointers = pointers

    def find(self, commit: Oid, path: bytes) -> TreeEntry | None:
        """What *commit* has at *path*."""
        return self._git.find(self._git.tree_of(commit), path)

    def names(self, commit: Oid, directory: bytes) -> Iterator[bytes]:
        """The names in *directory* of *commit*."""
        found = self._git.find(self._git.tree_of(commit), directory)
        if found is not None and found.mode == DIRECTORY:
            yield from (entry.name for entry in self._git.tree(found.oid))

    def leaves(self, commit: Oid, prefix: bytes) -> Iterator[tuple[bytes, int, Oid]]:
        """Every leaf of *commit* below the directory *prefix*: full path, mode, blob."""
        tree = self._git.tree_of(commit)
        if prefix:
            found = self._git.find(tree, prefix)
            if found is None or found.mode != 0o040000:
                return
            tree = found.oid
        yield from self._git.walk(tree, prefix)

    def diff(self, old: Oid | None, new: Oid | None) -> Iterator[TreeChange]:
        """Leaves that differ between two commits."""
        return self._git.diff(self._tree(old), self._tree(new))

    def _tree(self, commit: Oid | None) -> Oid | None:
        return None if commit is None else self._git.tree_of(commit)

    def show(self, oid: Oid, path: bytes) -> bytes:
        """Blob *oid* as a checkout would write it at *path*."""
        data = self._git.blob(oid)
        return self._skeleton.smudge(path, data, oid) if self._converts(path) else data

    def shown_size(self, oid: Oid, path: bytes) -> int:
        """Length of `show` without reading the blob where no conversion applies; of an artifact its own."""
        pin = self._pin(oid, path)
        if pin is not None:
            return pin.size
        return len(self.show(oid, path)) if self._converts(path) else self._git.header(oid)

    def shown_hash(self, oid: Oid, path: bytes) -> bytes:
        """SHA-256 of `show`; what is large goes over the disk, and that of an artifact is known."""
        pin = self._pin(oid, path)
        if pin is not None:
            return bytes.fromhex(pin.sha256)
        if self._git.header(oid) <= _IN_MEMORY:
            return hashlib.sha256(self.show(oid, path)).digest()
        with tempfile.TemporaryDirectory(prefix="anvcs-hash-", dir=self._git.common_dir / "anvcs") as folder:
            file = Path(folder, "value")
            if self._converts(path):
                self._skeleton.smudge_file(path, oid, file)
            else:
                self._git.spool_blob(oid, file)
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()

    @property
    def has_wholes(self) -> bool:
        """Whether there can be artifacts."""
        return self._pointers is not None and self._pointers.active

    def is_whole(self, path: bytes, size: int, oid: Oid | None) -> bool:
        """Whether a file of *size* bytes at *path*, where the blob *oid* was, is an artifact."""
        pointers = self._pointers
        if pointers is None or not pointers.active:
            return False
        return pointers.owns(path, size) or (oid is not None and pointers.pin(oid, path) is not None)

    def named_by(self, path: bytes, data: bytes) -> tuple[Oid, int] | None:
        """The artifact that the text *data* at *path* names: its pointer as a blob, and its size."""
        pin = None if self._pointers is None else self._pointers.read(data, path)
        if pin is None or self._pointers is None:
            return None
        oid = self._git.write_blob(data)
        self._pointers.note(oid, pin)
        return oid, pin.size

    def _pin(self, oid: Oid, path: bytes) -> Pin | None:
        return None if self._pointers is None else self._pointers.pin(oid, path)

    def _converts(self, path: bytes) -> bool:
        """Whether a checkout writes other bytes than the blob's."""
        conversion = self._skeleton.conversion(path)
        return conversion is not None and conversion.smudges
