"""The store: the folder ``anvcs`` in a repository's common Git directory.

Its layout is specified in ``docs/reference/formats/store.md``.  Every process that
works on the repository meets the others here, so a store of another version is
refused and never guessed at, and so is a file system that several machines write to:
SQLite's shared memory does not work there.
"""

import os
import shlex
import urllib.parse
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.mounts import mount_of

FOLDER = "anvcs"
FORMAT = 1
_MAGIC = "anvcs store "
_FOLDERS = ("rooms", "objects", "views", "queue")

NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "9p",
        "afs",
        "ceph",
        "lustre",
        "glusterfs",
        "coda",
        "pvfs2",
        "beegfs",
    }
    | {
        f"fuse.{name}"
        for name in ("sshfs", "glusterfs", "rclone", "s3fs", "gcsfuse", "ceph", "smbnetfs", "davfs", "juicefs")
    }
)
"""File system types on which two machines may write at once."""


class StoreMissing(AnvcsError):
    """The repository has no store yet."""

    def __init__(self, common_dir: Path) -> None:
        super().__init__(f"{common_dir} is not prepared for views yet; run: ai-vcs init {shlex.quote(str(common_dir))}")
        self.common_dir = common_dir


class StoreVersionUnknown(AnvcsError):
    """The store was written by a version that lays it out differently."""

    def __init__(self, root: Path, found: str) -> None:
        super().__init__(
            f"the store {root} has version {found!r} and this program reads version {FORMAT}: use the ai-vcs that made it"
        )
        self.root, self.found = root, found


class NetworkFileSystem(AnvcsError):
    """The store would lie where several machines write."""

    def __init__(self, root: Path, kind: str) -> None:
        super().__init__(
            f"{root} is on a network file system ({kind}), where the op log can't be kept safely: "
            "clone the repository to a local disk"
        )
        self.root, self.kind = root, kind


class Store:
    """Paths inside one store, and its version."""

    def __init__(self, common_dir: Path) -> None:
        self.common_dir = common_dir
        self.root = common_dir / FOLDER

    @classmethod
    def open(cls, common_dir: Path) -> "Store":
        """Open the store of a repository; raises when it is missing, foreign or unsafe."""
        store = cls(common_dir)
        store.check_place()
        store.check_version()
        return store

    @classmethod
    def ensure(cls, common_dir: Path) -> tuple["Store", bool]:
        """Open the store, making it when it is missing; also tells whether it was made now."""
        store = cls(common_dir)
        store.check_place()
        if store.version_file.exists():
            store.check_version()
            made = False
        else:
            store.root.mkdir(exist_ok=True)
            made = True
        for name in _FOLDERS:
            (store.root / name).mkdir(exist_ok=True)
        if made:
            # Last: a store is one from the moment its version says so.
            write_durably(store.version_file, f"{_MAGIC}{FORMAT}\n".encode())
        return store, made

    @property
    def version_file(self) -> Path:
        """Says which layout this is."""
        return self.root / "version"

    @property
    def rooms(self) -> Path:
        """Folder of the rooms' op logs."""
        return self.root / "rooms"

    @property
    def objects(self) -> Path:
        """Folder of opaque contents by hash."""
        return self.root / "objects"

    @property
    def views(self) -> Path:
        """Folder with one folder for each view."""
        return self.root / "views"

    def room_file(self, stream: str) -> Path:
        """Where the room of *stream* is or would be."""
        quoted = urllib.parse.quote(stream, safe="", errors="surrogateescape")
        return self.rooms / f"{quoted}.sqlite"

    def streams_with_rooms(self) -> list[str]:
        """Names of the streams that have a room, sorted."""
        files = self.rooms.glob("*.sqlite")
        return sorted(urllib.parse.unquote(file.stem, errors="surrogateescape") for file in files)

    def check_place(self) -> None:
        """Refuse a network file system."""
        mount = mount_of(self.common_dir.resolve())
        if mount is not None and mount.kind in NETWORK:
            raise NetworkFileSystem(self.root, mount.kind)

    def check_version(self) -> None:
        """Refuse a layout that this program does not know."""
        try:
            with self.version_file.open("rb") as file:
                text = file.read(100).decode("ascii", "replace").strip()
        except FileNotFoundError:
            raise StoreMissing(self.common_dir) from None
        if text != f"{_MAGIC}{FORMAT}":
            raise StoreVersionUnknown(self.root, text.removeprefix(_MAGIC))


def write_durably(path: Path, data: bytes) -> None:
    """Replace *path* in one step; it survives power loss when this returns."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
