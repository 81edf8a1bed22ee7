"""Artifacts as a view or a commit meets them: the pointers in a tree, and the bytes they stand for."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from anvcs.config import Config
from anvcs.errors import AnvcsError
from anvcs.git.filter_setup import filter_program, install_filter
from anvcs.git.objects import ObjectStore
from anvcs.git.skeleton import Skeleton
from anvcs.pointers import Pointers
from anvcs.store import Store

if TYPE_CHECKING:
    from anvcs.artifact_access import Artifacts, UploadProgress

log = logging.getLogger(__name__)


class Pinning:
    """Pointers and artifacts under one configuration.  May be used from several threads."""

    def __init__(self, store: Store, git: ObjectStore, skeleton: Skeleton, config: Config) -> None:
        self.pointers = Pointers(git, skeleton, config.blobs)
        self._store = store
        self._config = config
        self._left: list[Artifacts] = []
        self._uploads: list[UploadProgress] = []

    @cached_property
    def artifacts(self) -> "Artifacts":
        """The bytes: made when somebody asks, and in the process that asks."""
        from anvcs.artifact_access import Artifacts

        return Artifacts(self._store, self._config, tell=log.warning)

    @property
    def upload_on_commit(self) -> bool:
        """Whether a commit uploads what it pins, if its request doesn't say."""
        return self._config.blobs.upload_on_commit

    def configure(self, config: Config) -> bool:
        """Go by another configuration, what is open goes on under the old one; whether other files are artifacts."""
        old, self._config = self._config, config
        if config.blobs != old.blobs:
            self.pointers.configure(config.blobs)
        known = self.__dict__.get("artifacts")
        if known is not None and (config.storage, config.adapters, config.blobs) != (
            old.storage,
            old.adapters,
            old.blobs,
        ):
            self._left.append(known)
            del self.__dict__["artifacts"]
        return config.blobs != old.blobs

    def tell_git(self, common_dir: Path, outside: Iterable[bytes] = ()) -> None:
        """Let Git ask the filter about the files that are artifacts now; *outside*: ones that no pattern matches."""
        blobs = self._config.blobs
        everything = bool(blobs.max_git_size)
        try:
            install_filter(common_dir, blobs.track, everything=everything, program=filter_program(), outside=outside)
        except (AnvcsError, OSError):
            log.warning("Git could not be told which files are artifacts; `ai-vcs init` does that", exc_info=True)

    @contextmanager
    def uploading(self, progress: "UploadProgress") -> Iterator[None]:
        """Tell of *progress* meanwhile."""
        self._uploads.append(progress)
        try:
            yield
        finally:
            self._uploads.remove(progress)

    def report(self) -> dict[str, object] | None:
        """What is under way and what went wrong, for a status; None: nothing has been asked of any store here."""
        artifacts = self.__dict__.get("artifacts")
        if artifacts is None or not self.pointers.active:
            return None
        status = artifacts.hydrator.status()
        return {
            "fetching": [
                {"key": key, "here": progress.here, "size": progress.size}
                for key, progress in sorted(status.transfers.items())
            ],
            "failures": [
                {"key": failure.key, "message": failure.message, "at": int(failure.at_s)} for failure in status.failures
            ],
            "uploading": [
                {
                    "files": one.files,
                    "files_done": one.files_done,
                    "bytes": one.total,
                    "bytes_moved": one.moved,
                    "bytes_per_s": one.rate,
                }
                for one in self._uploads
            ],
            "queued": len(artifacts.queue.waiting()),
        }

    def close(self) -> None:
        """Stop what is under way; readers that wait get an error."""
        known = self.__dict__.get("artifacts")
        for artifacts in [*self._left, *([known] if known is not None else [])]:
            artifacts.close()
