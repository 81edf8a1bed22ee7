"""What Git's filter ``anvcs`` does: contents of artifacts become pointers, and pointers contents.

A new content is kept in the cache and queued for its store, since Git says nothing of when a
commit is published; `ai-vcs push` and `ai-vcs retry-uploads` send it.  In a view a pointer stays
one: the view takes it as the pin of the file, and no byte is moved.
"""

import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from anvcs.artifacts.pieces import digest_chunks
from anvcs.git.program import git_program
from anvcs.model.pin import Pin, content_key
from anvcs.model.pointer import LIMIT, decode_pointer, encode_pointer, is_pointer
from anvcs.pinning import Pinning

_IN_MEMORY: Final = 8 << 20
_CHUNK: Final = 1 << 20
_AT_ONCE: Final = 16
"""Artifacts that are fetched at the same time."""


class ArtifactFilter:
    """The filter of one work tree."""

    def __init__(
        self,
        pinning: Pinning,
        staged: Callable[[bytes], Iterable[bytes]],
        *,
        in_view: bool = False,
        only_looks: bool = False,
    ) -> None:
        """*staged* gives the blobs that Git's index and HEAD have at a path, the small ones.

        *only_looks*: Git compares, and keeps nothing of what it is given (``diff``, ``status``); neither is kept here.
        """
        self._only_looks = only_looks
        self._pinning = pinning
        self._staged = staged
        self._in_view = in_view
        self._coming: dict[bytes, Exception | None] = {}
        self._asked: dict[bytes, Pin] = {}
        self._done: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._gate = threading.Semaphore(_AT_ONCE)

    def clean(self, path: bytes, content: Iterator[bytes]) -> Iterable[bytes]:
        """The pointer of an artifact; anything else stays as it is."""
        start = _start(content)
        if not start or (len(start) < LIMIT and self._pinning.pointers.read(start, path) is not None):
            return [start]
        whole = chain([start], content)
        if self._pinning.pointers.tracked(path) or self._was_one(path):
            return [self._pointer(path, whole)]
        return self._by_size(path, whole)

    def _was_one(self, path: bytes) -> bool:
        """Whether Git has an artifact there, under a name that no pattern matches: it stays one."""
        pointers = self._pinning.pointers
        return pointers.outside(path) and any(pointers.read(blob, path) is not None for blob in self._staged(path))

    def _by_size(self, path: bytes, whole: Iterator[bytes]) -> Iterable[bytes]:
        """A file that is an artifact only if it is large enough."""
        kept = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # whoever reads the answer closes it
        size = 0
        for chunk in whole:
            kept.write(chunk)
            size += len(chunk)
        kept.seek(0)
        chunks = _closing(kept)
        if not self._pinning.pointers.owns(path, size):
            return chunks
        return [self._pointer(path, chunks)]

    def _pointer(self, path: bytes, whole: Iterator[bytes]) -> bytes:
        """The pointer that stands for a content: the one that is committed, if it is the same."""
        artifacts = self._pinning.artifacts
        content = digest_chunks(whole) if self._only_looks else artifacts.cache.take_chunks(whole)
        for blob in self._staged(path):
            pin = self._pinning.pointers.read(blob, path)
            if pin is not None and pin.sha256 == content.sha256:
                artifacts.cache.release(content.sha256)
                return blob
        known = artifacts.known(content.sha256)
        if self._only_looks and known is None:
            key = content_key(content.sha256)
            known = Pin(storage=artifacts.storage, key=key, sha256=content.sha256, size=content.size)
        return encode_pointer(known or artifacts.pin({path: content}, later=True)[path])

    def smudge(self, path: bytes, content: Iterator[bytes], *, may_wait: bool) -> Iterable[bytes] | None:
        """The bytes of a pointer's artifact; anything else stays as it is."""
        if path in self._asked:  # Git comes back for it, and has nothing to say
            pin, failure = self._asked.pop(path), self._coming.pop(path, None)
            if failure is not None:
                raise failure
            return self._bytes(pin)
        start = _start(content)
        if self._in_view or not is_pointer(start) or len(start) >= LIMIT:
            return chain([start], content)
        pin = decode_pointer(start)
        if may_wait and not self._pinning.artifacts.cache.has(pin.sha256):
            self._asked[path] = pin
            threading.Thread(target=self._fetch, args=(path, pin), daemon=True).start()
            return None
        self._pinning.artifacts.hydrator.ensure(pin)
        return self._bytes(pin)

    def ready(self) -> list[bytes]:
        """Paths that Git may ask for again."""
        if not self._asked.keys() - self._coming.keys() and self._done.empty():
            return []
        found = [self._done.get()]
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def _fetch(self, path: bytes, pin: Pin) -> None:
        with self._gate:
            failure: Exception | None = None
            try:
                self._pinning.artifacts.hydrator.ensure(pin)
            except Exception as error:  # noqa: BLE001  # Git gets it when it asks again
                failure = error
            self._coming[path] = failure
            self._done.put(path)

    def _bytes(self, pin: Pin) -> Iterator[bytes]:
        with self._pinning.artifacts.open(pin) as artifact:
            lease = artifact.whole()
            at = 0
            while chunk := lease.read(at, _CHUNK):
                yield chunk
                at += len(chunk)


def _start(content: Iterator[bytes]) -> bytes:
    """Enough of a content to tell whether it is a pointer."""
    start = b""
    for chunk in content:
        start += chunk
        if len(start) >= LIMIT:
            break
    return start


def _closing(kept: "tempfile.SpooledTemporaryFile[bytes]") -> Iterator[bytes]:
    with kept:
        while chunk := kept.read(_CHUNK):
            yield chunk


class StagedBlobs:
    """Small blobs that the index and HEAD have at a path, asked of one running ``git cat-file``."""

    def __init__(self, work_tree: Path) -> None:
        self._work_tree = work_tree
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, path: bytes) -> Iterator[bytes]:
        """The blobs, the index's first."""
        if b"\n" in path:
            return
        for place in (b":0:", b"HEAD:"):
            name = self._small(place + path)
            if name is not None:
                yield self._git("cat-file", "blob", name)

    def _small(self, place: bytes) -> str | None:
        """The name of the blob at *place*; None when there is none, or a large one."""
        if self._process is None:
            self._process = subprocess.Popen(
                [git_program(), "cat-file", "--batch-check"],
                cwd=self._work_tree,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None and answers is not None  # noqa: PT018  # pipes, as asked for
        asked.write(place + b"\n")
        asked.flush()
        words = answers.readline().split()
        if len(words) != 3 or words[1] != b"blob" or int(words[2]) >= LIMIT:  # else it is missing
            return None
        return words[0].decode()

    def _git(self, *args: str) -> bytes:
        return subprocess.run([git_program(), *args], cwd=self._work_tree, capture_output=True, check=True).stdout

    def close(self) -> None:
        """End the helper."""
        if self._process is not None:
            self._process.communicate()
