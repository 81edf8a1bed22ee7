"""Artifacts in a view: files of their true size whose bytes come when somebody reads them.

What is not on this machine is fetched by a `Later` of its own kind (`Fetching`): it may take as
long as a network takes, so it waits in threads that no other request needs.
"""

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from anvcs.artifacts.retrying import Canceller
from anvcs.model.ids import Oid
from anvcs.model.pin import Pin
from anvcs.model.pointer import LIMIT
from anvcs.model.room import Content, Entry
from anvcs.model.tree import EXECUTABLE, REGULAR, TreeEntry
from anvcs.pinning import Pinning
from anvcs.pointers import SHORTEST
from anvcsfs.handles import FileHandle
from anvcsfs.later import Fetching
from anvcsfs.nodes import File
from anvcsfs.status import Status
from anvcsfs.working import Working

if TYPE_CHECKING:  # a view of a repository without artifacts starts without it
    from anvcs.artifacts.hydrating import Artifact, State

_FILES = (REGULAR, EXECUTABLE)
_OLD_NS = 2_000_000_000
"""Git compares whole seconds, and looks into a file that is no older than its index."""


class ArtifactFiles:
    """The view's side of artifacts; without *pinning* there are none."""

    def __init__(self, pinning: Pinning | None) -> None:
        self.pinning = pinning
        self._read: dict[tuple[int, int, int], bytes] = {}
        self._copies: dict[str, Working] = {}
        self._wholes: dict[str, bytes] = {}
        self._stopped = False

    @property
    def active(self) -> bool:
        """Whether there can be artifacts."""
        return self.pinning is not None and self.pinning.pointers.active

    def rules_changed(self) -> None:
        """Attributes or settings may make other files artifacts."""
        if self.pinning is not None:
            self.pinning.pointers.rules_changed()

    def tell_git(self, common_dir: Path) -> None:
        """Other files are artifacts now: Git learns that a moment later."""
        assert self.pinning is not None  # the caller has looked
        threading.Thread(target=self.pinning.tell_git, args=(common_dir,), name="anvcs-filter", daemon=True).start()

    def pin(self, oid: Oid, path: bytes) -> Pin | None:
        """What blob *oid* at *path* stands for."""
        return None if self.pinning is None else self.pinning.pointers.pin(oid, path)

    def pin_of(self, source: object, path: bytes) -> Pin | None:
        """The artifact that the file at *path*, made from *source*, is; None: it is none."""
        if not self.active:
            return None
        if isinstance(source, TreeEntry):
            return self.pin(source.oid, path) if source.mode in _FILES else None
        if isinstance(source, Entry) and source.content is Content.GIT and source.mode in _FILES:
            # Where it was before a rename, patterns may have named it.
            return self.pin(Oid(source.ref), path) or self.pin(Oid(source.ref), source.base_path or path)
        return None

    def as_it_will_be(self, path: bytes, real: bytes, status: Status) -> Status:
        """The *status* of a new file once it is published: a pointer shows its artifact.

        A pointer is made older than Git's index will be, or Git would read the whole artifact at its next look.
        """
        assert self.pinning is not None  # the caller has looked
        if not SHORTEST <= status.size < LIMIT or not self.pinning.pointers.owns(path, status.size):
            return status
        time_ns = status.mtime_ns
        try:
            with open(real, "rb") as file:
                pin = self.pinning.pointers.read(file.read(LIMIT), path)
            if pin is None:
                return status
            if time_ns > time.time_ns() - _OLD_NS:
                time_ns -= _OLD_NS
                os.utime(real, ns=(status.atime_ns, time_ns))
        except FileNotFoundError:
            return status
        return status._replace(size=pin.size, mtime_ns=time_ns, ctime_ns=time_ns)

    # Reading

    def read(self, handle: FileHandle, pin: Pin, source: object, offset: int, length: int) -> bytes:
        """Verified bytes of the version that *source* is.

        Raises:
            Fetching: they have to be fetched first.
        """
        artifact = handle.artifact
        if artifact is None or handle.fd_source is not source:
            handle.close_fd()
            artifact = handle.artifact = self._open(pin)
            handle.fd_source = source
        lease = artifact.lease
        if lease is not None:
            return lease.read(offset, length)
        if offset >= pin.size:
            return b""
        key = handle.number, offset, length
        ready = self._read.pop(key, None) if self._read else None
        if ready is None:
            ready = artifact.ready(offset, length)
        if ready is not None:
            return ready

        def fetch(cancel: Canceller) -> None:
            self._read[key] = artifact.read(offset, length, cancel)

        raise Fetching(fetch)

    def content(self, pin: Pin) -> bytes:
        """All of a small artifact.

        Raises:
            Fetching: it has to be fetched first.
        """
        ready = self._wholes.pop(pin.sha256, None)
        if ready is not None:
            return ready

        def fetch(cancel: Canceller) -> None:
            with self._open(pin) as artifact:
                self._wholes[pin.sha256] = artifact.whole(cancel).read(0, pin.size)

        raise Fetching(fetch)

    def copy(self, pin: Pin, scratch: Path) -> Working:
        """A working copy of an artifact, blocks shared with the cache where the disk can.

        Raises:
            Fetching: it has to be fetched and copied first.
        """
        ready = self._copies.pop(pin.sha256, None)
        if ready is not None:
            return ready

        def copy(cancel: Canceller) -> None:
            with self._open(pin) as artifact:
                self._copies[pin.sha256] = Working.from_file(scratch, artifact.whole(cancel).path)

        raise Fetching(copy)

    def _open(self, pin: Pin) -> "Artifact":
        assert self.pinning is not None  # there was a pin
        return self.pinning.artifacts.open(pin)

    # Telling

    def state(self, node: File, pin: Pin | None, size: int) -> "State | None":
        """What opening *node*, which shows *pin*, would cost; None: it is no artifact."""
        if self.pinning is None or not self.active:
            return None
        from anvcs.artifacts.hydrating import State, Where

        if pin is not None:
            return self.pinning.artifacts.state(pin)
        own = isinstance(node.source, Entry) or node.on_disk or node.work is not None
        return State(Where.MODIFIED) if own and self.pinning.pointers.owns(node.path, size) else None

    def stop(self) -> None:
        """Whoever waits for bytes need not any more; returns at once."""
        if self.pinning is not None and not self._stopped:
            self._stopped = True
            threading.Thread(target=self.pinning.close, name="anvcs-stop", daemon=True).start()

    def close(self) -> None:
        """Stop what is under way."""
        for work in self._copies.values():
            work.close()
        if self.pinning is not None:
            self.pinning.close()
