"""Which large contents have their name and are perhaps not on the disk yet.

To wait for the disk takes as long as to fetch.  So a content that was fetched gets its
name first and is synced later; until then a note says so, ``cache/unsettled/<sha256>``,
with the boot that it was written in.  The note is on the disk before the content has its
name.  After a power loss every content with a note of another boot is hashed again.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from anvcs.artifacts.parts import boot_id


class _Note(NamedTuple):
    sha256: str
    boot: str


class Unsettled:
    """The notes of one cache; for any number of threads and processes."""

    def __init__(self, folder: Path, path_of: Callable[[str], Path]) -> None:
        """*path_of*: where a content is."""
        self._folder, self._path_of = folder, path_of

    def note(self, sha256: str) -> None:
        """A content is about to get its name; what it has may be lost with the machine."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{sha256}.{os.getpid()}"
        with part.open("w", encoding="ascii") as file:
            file.write(boot_id())
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / sha256)
        _sync(self._folder)

    def doubtful(self) -> list[str]:
        """What was noted before this boot, and never settled."""
        now = boot_id()
        return [note.sha256 for note in self._notes() if note.boot != now]

    def settle(self) -> int:
        """Sync everything that was noted in this boot: how many there were."""
        now, count = boot_id(), 0
        for note in self._notes():
            if note.boot == now:
                try:
                    _sync(self._path_of(note.sha256))
                except FileNotFoundError:  # evicted
                    pass
                self.forget(note.sha256)
                count += 1
        return count

    def forget(self, sha256: str) -> None:
        """A content is on the disk, or gone."""
        (self._folder / sha256).unlink(missing_ok=True)

    def __bool__(self) -> bool:
        return next(self._notes(), None) is not None

    def _notes(self) -> Iterator[_Note]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            if not name.startswith("."):
                try:
                    yield _Note(name, (self._folder / name).read_text(encoding="ascii"))
                except FileNotFoundError:  # settled since
                    continue


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
