"""What a commit does about artifacts: their bytes go to a store, their pins into the tree and the note."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anvcs.git.objects import ObjectStore
from anvcs.model.ids import Oid
from anvcs.model.pin import Pin, content_key
from anvcs.model.pointer import encode_pointer
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf
from anvcs.pinning import Pinning

if TYPE_CHECKING:
    from anvcs.artifact_access import Artifacts
    from anvcs.artifacts.cache import ContentCache
    from anvcs.artifacts.pieces import Digests

_FILES = (REGULAR, EXECUTABLE)
_HASHES_KEPT = 1000
_MOST_TOLD = 2000


class Wanted(NamedTuple):
    """A file that a commit takes."""

    path: bytes
    mode: int
    old: Leaf | None
    """What the base has there."""
    data: bytes | None
    file: Path | None
    sha256: str
    """Of the bytes in *file*; empty: not known."""
    mtime_ns: int = 0
    """When it was written; 0: not known."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.file.stat().st_size if self.file is not None else len(self.data or b"")


class CommitArtifacts:
    """Makes pins for one committer; in any thread, one commit at a time."""

    def __init__(self, git: ObjectStore, pinning: Pinning) -> None:
        self._git = git
        self._pinning = pinning
        self._hashed: OrderedDict[str, Digests] = OrderedDict()
        """Of contents that were brought into the cache lately: work is saved, and committed a little later."""

    def pins(
        self, files: Iterable[Wanted], *, later: bool | None, awaited: Callable[[], bool] | None = None
    ) -> dict[bytes, Pin]:
        """A pin for each of *files* that is an artifact: uploaded when this returns, or queued.

        *later* None goes by the configuration.  All or none; raises an `ArtifactError`, `UploadCancelled` among them
        when it isn't *awaited* any more.
        """
        wanted = self._artifacts_among(files)
        if not wanted:
            return {}
        from anvcs.artifact_access import UploadProgress

        artifacts = self._pinning.artifacts
        found: dict[bytes, Pin] = {}
        contents: dict[bytes, Digests] = {}
        for item in wanted:
            known = self._known(artifacts, item)
            if known is not None:
                found[item.path] = known
            else:
                contents[item.path] = self._in_cache(artifacts.cache, item)
        queue = not self._pinning.upload_on_commit if later is None else later
        progress = UploadProgress(0, 0, wanted=awaited or (lambda: True))
        with self._pinning.uploading(progress):
            times = {item.path: item.mtime_ns for item in wanted}
            return found | artifacts.pin(contents, later=queue, progress=progress, times=times)

    def provisional(self, files: Iterable[Wanted]) -> dict[bytes, Pin]:
        """Pins that name contents, which are in the cache for now: for work that is saved and not committed."""
        found: dict[bytes, Pin] = {}
        for item in self._artifacts_among(files):
            artifacts = self._pinning.artifacts
            content = self._in_cache(artifacts.cache, item)
            key = content_key(content.sha256)
            found[item.path] = Pin(storage=artifacts.storage, key=key, sha256=content.sha256, size=content.size)
        return found

    def _in_cache(self, cache: "ContentCache", item: Wanted) -> "Digests":
        """Have the content in the cache; it is hashed once."""
        known = self._hashed.get(item.sha256)
        if known is None or not cache.has(item.sha256):
            known = _bring(cache, item)
            self._hashed[known.sha256] = known
            while len(self._hashed) > _HASHES_KEPT:
                self._hashed.popitem(last=False)
        return known

    def leaf(self, mode: int, pin: Pin) -> Leaf:
        """The pointer of *pin* as a tree has it."""
        oid = self._git.write_blob(encode_pointer(pin))
        self._pinning.pointers.note(oid, pin)
        return Leaf(mode, oid)

    def committed(self, pins: dict[bytes, Pin], leaves: dict[bytes, Leaf | None]) -> tuple[dict[str, object], ...]:
        """As `described`, and Git learns of what it has to ask us about."""
        self._tell_git(leaves)
        return self.described(pins, leaves)

    def described(self, pins: dict[bytes, Pin], leaves: dict[bytes, Leaf | None]) -> tuple[dict[str, object], ...]:
        """The full pins of a commit that changes *leaves*, for its note; a renamed artifact is among them.

        Of very many only the first: a note is read as a whole, and the tree has them all.
        """
        pointers = self._pinning.pointers
        found: dict[bytes, Pin] = dict(pins)
        for path, leaf in leaves.items():
            if path not in found and leaf is not None and leaf.mode in _FILES:
                pin = pointers.pin(leaf.oid, path)
                if pin is not None:
                    found[path] = pin
        told: list[dict[str, object]] = [
            {"path": path.decode("utf-8", "backslashreplace"), **pin.document()}
            for path, pin in sorted(found.items())[:_MOST_TOLD]
        ]
        return (*told, {"more": len(found) - _MOST_TOLD}) if len(found) > _MOST_TOLD else tuple(told)

    def _tell_git(self, leaves: Mapping[bytes, Leaf | None]) -> None:
        """Let Git know of artifacts among *leaves*, which were committed, under names that no pattern matches."""
        pointers = self._pinning.pointers
        if not pointers.active:
            return
        outside = [
            path
            for path, leaf in leaves.items()
            if leaf is not None
            and leaf.mode in _FILES
            and pointers.pin(leaf.oid, path) is not None
            and pointers.outside(path)
        ]
        if outside:
            self._pinning.tell_git(self._git.common_dir, outside)

    def _artifacts_among(self, files: Iterable[Wanted]) -> list[Wanted]:
        pointers = self._pinning.pointers
        if not pointers.active:
            return []
        return [
            item
            for item in files
            if item.mode in _FILES and (pointers.owns(item.path, item.size) or (item.size and self._was_one(item)))
        ]

    def _was_one(self, item: Wanted) -> bool:
        """Whether the base has an artifact there, under a name that no pattern matches: it stays one."""
        old = item.old
        return (
            old is not None and old.mode in _FILES and self._pinning.pointers.pin(Oid(old.oid), item.path) is not None
        )

    def _known(self, artifacts: "Artifacts", item: Wanted) -> Pin | None:
        """A pin that there is already: the base's at this path, or one of the same content."""
        if not item.sha256:
            return None
        if item.old is not None and item.old.mode in _FILES:
            pin = self._pinning.pointers.pin(Oid(item.old.oid), item.path)
            if pin is not None and pin.sha256 == item.sha256:
                return pin
        return artifacts.known(item.sha256)


def _bring(cache: "ContentCache", item: Wanted) -> "Digests":
    """Bring the content into the cache, shared with the room's value where the disk can."""
    if item.file is None:
        return cache.take_chunks([item.data or b""])
    from anvcs.artifacts.pieces import digest_file

    part = cache.scratch()
    try:
        os.link(item.file, part)
    except OSError:  # another disk, or too many links
        return cache.take(item.file)
    try:
        found = digest_file(part)
        cache.publish(part, found.sha256).close()
    finally:
        part.unlink(missing_ok=True)
    return found
