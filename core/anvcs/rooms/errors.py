"""What can go wrong with a room.

AnvcsError
└── RoomError
    ├── RoomBusy           another process holds the writer's lock
    ├── RoomFull           the disk is full; nothing changed
    ├── RoomReadOnly       the room can't be written from here
    ├── RoomDamaged        the file or a record in it isn't what was written
    ├── StoreVersion       the file was written by another version of the format
    ├── NotCompared        a large value has to be hashed first, in a thread
    ├── NoSuchPath         nothing is shown at a path
    ├── PathInUse          something that doesn't allow the request is at a path
    ├── DirectoryNotEmpty  a directory still shows something
    └── NoSuchConflict     no conflict record has a name
"""

from collections.abc import Callable
from pathlib import Path

from anvcs.errors import AnvcsError


class RoomError(AnvcsError):
    """Something about a room that a caller can act on."""


class RoomBusy(RoomError):
    """Another process is inside its append and holds the lock."""

    def __init__(self, file: Path, holder: int | None, why: str = "") -> None:
        who = f"process {holder}" if holder else "another process"
        super().__init__(f"{file.name}: {why}, try again" if why else f"{file.name} is being written by {who}")
        self.file, self.holder = file, holder


class RoomFull(RoomError):
    """No space left for the record or the object; nothing has changed."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"no space left to write {file.name}")
        self.file = file


class RoomReadOnly(RoomError):
    """The room was opened for reading, or its disk can only be read."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file.name} can only be read")
        self.file = file


class RoomDamaged(RoomError):
    """The room's file holds something that was never written there."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(f"{file.name} is damaged: {what}; `ai-vcs fsck` can repair it")
        self.file, self.what = file, what


class StoreVersion(RoomError):
    """The room's file has a format that this program doesn't know."""

    def __init__(self, file: Path, found: int, supported: int) -> None:
        age = "newer" if found > supported else "older"
        super().__init__(f"{file.name} was written in format {found}, {age} than format {supported} of this program")
        self.file, self.found, self.supported = file, found, supported


class NotCompared(RoomError):
    """Whether a large value is the base's isn't known; nothing has changed, and *job* finds out, in any thread."""

    def __init__(self, path: bytes, job: Callable[[], None]) -> None:
        super().__init__(f"{path!r} must be compared with the base first")
        self.path, self.job = path, job


class NoSuchPath(RoomError):
    """Nothing is shown at the path."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"nothing at {path!r}")
        self.path = path


class PathInUse(RoomError):
    """What is shown at the path doesn't allow the request (a directory for a file, or the reverse)."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{path!r} is of another type")
        self.path = path


class DirectoryNotEmpty(RoomError):
    """The directory still shows something."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{path!r} is not empty")
        self.path = path


class NoSuchConflict(RoomError):
    """No conflict record has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no conflict {name}; `ai-vcs conflicts --all` lists all records")
        self.name = name
