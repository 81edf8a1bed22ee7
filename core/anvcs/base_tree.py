"""The room's window on Git: wires `anvcs.git` to the port `anvcs.rooms` asks for."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from anvcs.git.objects import ObjectStore
from anvcs.git.skeleton import Skeleton
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, TreeChange, TreeEntry

_IN_MEMORY = 8 << 20


class GitBaseTree:
    """Base commits as a room sees them: trees, and blobs as ``git checkout`` would write them."""

    def __init__(self, git: ObjectStore, skeleton: Skeleton) -> None:
        self._git = git
        self._skeleton = skeleton

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
        """Length of `show` without reading the blob where no conversion applies."""
        return len(self.show(oid, path)) if self._converts(path) else self._git.header(oid)

    def shown_hash(self, oid: Oid, path: bytes) -> bytes:
        """SHA-256 of `show`; what is large goes over the disk."""
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

    def _converts(self, path: bytes) -> bool:
        """Whether a checkout writes other bytes than the blob's."""
        conversion = self._skeleton.conversion(path)
        return conversion is not None and conversion.smudges
