"""Everything one mounted view stands on, wired together; no request handling here."""

import logging
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from anvcs.config import FILE_NAME, ConfigInvalid, parse_config
from anvcs.git.objects import ObjectStore
from anvcs.git.refs import Refs
from anvcs.git.skeleton import Skeleton
from anvcs.model.ids import Oid, Seq
from anvcs.model.room import Author, Entry
from anvcs.model.tree import DIRECTORY, SYMLINK, TreeEntry
from anvcs.pinning import Pinning
from anvcs.presence import Presence
from anvcs.rooms.room import Room
from anvcsfs.artifacts import ArtifactFiles
from anvcsfs.attributes import AttributeStore, join
from anvcsfs.bases import Bases
from anvcsfs.deep import DEEP_BYTES, DeepNames
from anvcsfs.hearing import LogWatch
from anvcsfs.journal import Journal
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, File
from anvcsfs.notifier import Notifier
from anvcsfs.pending import Pending

log = logging.getLogger(__name__)
BIG_BYTES = 8 << 20
"""Blobs above this are read through a file on disk and never as one value in memory."""
_CACHE_BYTES = 32 << 20
SHADOW_MODE = 0o1755
"""Of a directory on the real disk that only stands for a shared one: the sticky bit marks it."""
_CONFIG = FILE_NAME.encode()
RULE_FILES = (b".gitignore", b".gitattributes", _CONFIG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes and delays of a view, from the configuration."""

    text_bytes: int = 4 << 20
    share_bytes: int = 64 << 20
    """A new file above this stays local until it is committed."""
    publish_s: float = 0.5
    """How long a new file lives before the room hears of it."""
    wip_s: float = 60.0
    """How often uncommitted work is saved as a commit under ``refs/anvcs/wip``."""


_NOTICE_NS = 1_000_000_000
"""How long an edit by somebody else counts as unknown to who has not read it."""
_ITEM_BYTES = 250
"""What the cache needs for an item beside its content."""


class ContentCache:
    """Recently read contents, uncompressed, up to a number of bytes."""

    def __init__(self, limit: int = _CACHE_BYTES) -> None:
        self._items: OrderedDict[object, bytes] = OrderedDict()
        self._limit = limit
        self._held = 0

    def get(self, key: object) -> bytes | None:
        """The content under *key*, now the most recent."""
        data = self._items.get(key)
        if data is not None:
            self._items.move_to_end(key)
        return data

    def put(self, key: object, data: bytes) -> None:
        """Keep *data* unless it alone would fill a quarter of the cache."""
        if len(data) > self._limit // 4 or key in self._items:
            return
        self._items[key] = data
        self._held += len(data) + _ITEM_BYTES
        while self._held > self._limit:
            _, old = self._items.popitem(last=False)
            self._held -= len(old) + _ITEM_BYTES

    def clear(self) -> None:
        """Forget everything (conversion rules changed)."""
        self._items.clear()
        self._held = 0


def is_shadow(found: os.stat_result) -> bool:
    """Whether a directory on the real disk was made to stand for one of the room."""
    return bool(found.st_mode & stat.S_ISVTX)


class View:
    """The state of one view: its room, its local files, its caches."""

    def __init__(
        self,
        *,
        folder: Path,
        git: ObjectStore,
        refs: Refs,
        room: Room,
        skeleton: Skeleton,
        author: Author,
        mountpoint: str,
        stream: str,
        detached: bool,
        epoch_ns: int,
        uid: int,
        gid: int,
        limits: Limits,
        read_only: bool = False,
        stands_still: bool = False,
        pinning: Pinning | None = None,
    ) -> None:
        self.folder = folder
        self.git = git
        self.refs = refs
        self.room = room
        self.skeleton = skeleton
        self.author = author
        self.mountpoint = mountpoint
        self.stream = stream
        self.detached = detached
        """Whether HEAD is on a commit and not on a stream."""
        self.behind: Seq | None = None
        """The last op before those of others that some file in memory does not show yet."""
        self.by_git = False
        """Whether the request that is being answered comes from a command of Git that writes apart from the room."""
        self.git_problem: str | None = None
        """Why Git can't be followed at the moment, for the status."""
        self.epoch_ns = epoch_ns
        self.uid, self.gid = uid, gid
        self.limits, self.read_only = limits, read_only
        self.stands_still = stands_still
        """Whether peers' work is shown only when it is asked for (``follow`` is ``manual``)."""
        self.artifacts = ArtifactFiles(pinning)
        self._config: bytes | None = None
        self.shown_time: Callable[[bytes], int | None] = lambda _: None
        """The modification time of a directory that is in memory."""
        self._open_folder(folder)
        self._meet_others(room)

    def _open_folder(self, folder: Path) -> None:
        """What the view keeps on disk, and what it has read of it."""
        self.local = os.fsencode(folder / "local")
        os.makedirs(self.local, exist_ok=True)
        self._deep = DeepNames(self.real)
        at = os.stat(folder)
        self._identity = at.st_dev, at.st_ino
        self.lost = False
        """Whether the store was moved or removed: then nothing can be changed."""
        self.scratch = folder / "work"
        self.bases = Bases()
        self.attributes = AttributeStore(folder / "view.sqlite")
        self.cache = ContentCache()
        self.pending = Pending(folder / "pending")
        self.pending.seen = self.seen
        self.journal = Journal()
        self._sizes: dict[tuple[bytes, bytes], int] = {}
        self._spooling = folder / "blobs"

    def _meet_others(self, room: Room) -> None:
        """The kernel, and the other processes in the room."""
        self.notifier = Notifier()
        self._last_edit: tuple[Path, int, int] = room.file, 0, 0
        self._entered = room.file
        self.presence = Presence(room.file, self.folder.name)
        self.log_watch = LogWatch(room.file)
        self.entered(room)

    def close(self) -> None:
        """Close what the view holds open."""
        self.artifacts.close()
        self.presence.close()
        self.log_watch.close()
        self.pending.close()
        self.attributes.close()
        self.room.close()

    @property
    def told(self) -> Seq:
        """The last op of others that all files in memory show, and with it what requests can know of."""
        return self.room.told if self.behind is None else min(self.behind, self.room.told)

    def version(self, path: bytes, entry: object) -> Seq:
        """Names the content that the file at *path* shows; *entry* is the room's for it, if it has one."""
        if isinstance(entry, Entry):
            return entry.content_seq
        # As in the base: that moves, so what tells when it was seen is the last op that is shown,
        # unless this view itself has made it so later.
        return max(self.told, self.room.cleared(path))

    def seen(self, *files: object) -> Seq | None:
        """What who asks for a change of *files* (nodes) can have known of the room (`Room.told`).

        An edit by somebody else is not known to a view in which nobody has asked about the
        file since; nor is it at once to who only asked for its attributes.
        """
        if self.by_git:
            return None  # a command of Git works on a copy, and is merged as a whole
        unread = [seen for file in files if isinstance(file, File) for seen in self._unread(file)]
        return min([self.told, *unread])

    def seen_of(self, file: File) -> Seq | None:
        """`seen` by who asks for the deletion of *file* and may have read more of it than of the rest."""
        seen, entry = self.seen(file), self.room.entry(file.path)
        if seen is not None and entry is not None and file.opened >= entry.content_seq:
            seen = max(seen, entry.content_seq)
        return seen

    def _unread(self, file: File) -> Iterator[Seq]:
        """The last op before what somebody else did to *file* unnoticed."""
        if file.unasked is not None:
            yield file.unasked
        entry = self.room.entry(file.path)
        if entry is None or file.opened >= entry.content_seq:
            return
        if time.time_ns() - self._foreign_edit(entry.content_seq) < _NOTICE_NS:
            yield Seq(entry.content_seq - 1)

    def _foreign_edit(self, seq: Seq) -> int:
        """When op *seq* was written if it is an edit by somebody else, else 0."""
        # An op may be about thousands of files, which are then asked about one by one.
        room, known, when = self._last_edit
        if (room, known) != (self.room.file, seq):
            when = 0
            for op in self.room.ops(Seq(seq - 1), 1):
                if op.view != self.author.view and op.kind != "create":
                    when = op.time_ns
            self._last_edit = self.room.file, seq, when
        return when

    def entered(self, room: Room) -> None:
        """The view shows *room* now: be woken by those who write there, and wake them."""
        if room.file != self._entered:
            self.presence.move(room.file)
            self.log_watch.move(room.file)
            self.bases.forget()
            self._entered = room.file
        self.shared_room = room
        room.on_append(lambda: self._appended(room))

    def _appended(self, room: Room) -> None:
        """Others hear of an op of this view; so does it itself when the op touched more names than were asked for."""
        self.presence.bell.ring()
        if room.told < room.seq:
            try:
                self.presence.poke()
            except OSError as error:  # the next announcement or the log's own watch wakes us
                log.debug("could not wake this view: %s", error)

    # Local files

    def real(self, path: bytes) -> bytes:
        """Where the local file *path* lies on the real disk, for one system call.

        Below PATH_MAX that is its full name; deeper, one that starts at an open directory.
        """
        if len(path) > DEEP_BYTES:
            return self._deep.name(path)
        return self.local + b"/" + path if path else self.local

    def directory_changed(self, node: Dir) -> None:
        """A name in the shared directory *node* changed: so did its times, durably.

        The directory's shadow on the real disk keeps them where there is one.
        """
        now = time.time_ns()
        self.set_directory_time(node, now)
        node.ctime_ns = now
        node.reply = None

    def set_directory_time(self, node: Dir, mtime_ns: int) -> None:
        """Give a shared directory the modification time *mtime_ns*."""
        node.mtime_ns = mtime_ns
        path = node.path
        try:
            os.utime(self.real(path), ns=(mtime_ns, mtime_ns))
        except FileNotFoundError:
            self.attributes.update(path, mtime_ns=mtime_ns)
            if node.parent is not None:
                node.parent.overrides = True

    def is_on_disk(self, path: bytes) -> bool:
        """Whether the real disk has something at *path*."""
        try:
            return os.path.lexists(self.real(path))
        except FileNotFoundError:  # the upper part of a deep path
            return False

    def drop_empty(self, directory: bytes) -> bool:
        """Remove what only stood for the shared *directory* if it has nothing but such in it; whether it had.

        What somebody made is kept, also when it is empty.
        """
        real = self.real(directory)
        found = []
        for each, _, files in os.walk(real):
            if files or not is_shadow(os.stat(each)):
                return False
            found.append(each)
        above = os.path.dirname(real)
        before = os.stat(above)
        for each in reversed(found):
            os.rmdir(each)
        os.utime(above, ns=(before.st_atime_ns, before.st_mtime_ns))
        return True

    def find_store(self) -> bool:
        """Whether the view's folder is where it was: a repository may be moved or removed under us."""
        try:
            found = os.stat(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            here = False
        else:
            here = (found.st_dev, found.st_ino) == self._identity
        if self.lost == here:
            self.lost = not here
            log.warning("the repository's store is %s: %s", "back" if here else "gone", self.folder)
        self.git_problem = None if here else f"{self.folder} is gone: nothing can be changed until it is back"
        return here

    def ensure_real_parent(self, path: bytes) -> bytes:
        """`real`, after making the directories above it, which get the times that the view shows."""
        directory = path.rpartition(b"/")[0]
        if not self.is_on_disk(directory):
            real = self.ensure_real_parent(directory)
            above = os.path.dirname(real)
            before = os.stat(above)
            os.mkdir(real, SHADOW_MODE)
            os.utime(above, ns=(before.st_atime_ns, before.st_mtime_ns))
            shown = self.shown_time(directory)
            if shown is not None:
                os.utime(real, ns=(shown, shown))
        return self.real(path)

    # Content of shared files

    def base_tree(self) -> Oid | None:
        """The tree of the room's base commit; ``None`` before the first commit."""
        base = self.room.base
        return self.git.tree_of(base) if base is not None else None

    def converts(self, path: bytes) -> bool:
        """Whether a checkout writes other bytes at *path* than the blob's."""
        conversion = self.skeleton.conversion(path)
        return conversion is not None and conversion.smudges

    def blob_size(self, oid: Oid, path: bytes) -> int:
        """Bytes that a view shows of blob *oid* at *path*: from the header unless a conversion applies."""
        if self.artifacts.active and (pin := self.artifacts.pin(oid, path)) is not None:
            return pin.size
        if not self.converts(path):
            return self.git.header(oid)
        size = self._sizes.get((oid, path))
        if size is None:
            size = self._sizes[oid, path] = len(self.blob(oid, path))
        return size

    def blob(self, oid: Oid, path: bytes) -> bytes:
        """Blob *oid* as ``git checkout`` would write it at *path*."""
        if self.artifacts.active and (pin := self.artifacts.pin(oid, path)) is not None:
            return self.artifacts.content(pin)
        converted = self.converts(path)
        key = (oid, path) if converted else oid
        data = self.cache.get(key)
        if data is None:
            data = self.git.blob(oid)
            if converted:
                data = self.skeleton.smudge(path, data, oid)
            self.cache.put(key, data)
        return data

    def entry_bytes(self, entry: Entry) -> bytes:
        """Bytes of a room entry."""
        if self.artifacts.active and (pin := self.artifacts.pin_of(entry, entry.path or b"")) is not None:
            return self.artifacts.content(pin)
        key = (entry.id, entry.content_seq)
        data = self.cache.get(key)
        if data is None:
            data = self.room.read(entry)
            self.cache.put(key, data)
        return data

    def blob_file(self, oid: Oid) -> Path:
        """A file with the bytes of a big blob.

        Raises:
            Later: it has to be inflated to disk first.
        """
        path = self._spooling / oid.hex()
        if not path.exists():
            raise Later(lambda: self._spool(oid, path))
        return path

    def _spool(self, oid: Oid, path: Path) -> None:
        self._spooling.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
        self.git.spool_blob(oid, part)
        part.rename(path)

    # Rules

    def load_rules(self, directory: bytes, names: dict[bytes, object]) -> None:
        """Mirror the ignore and attribute files among *names*, which a directory load found.

        That there are none is told as well: another directory may have had this path.
        """
        for name in RULE_FILES:
            path, source = join(directory, name), names.get(name)
            if name == _CONFIG:
                if not directory:
                    self._configure(None if source is None else self._rule_bytes(path, source))
                continue
            self.skeleton.put(path, None if source is None else self._rule_bytes(path, source))

    def _rule_bytes(self, path: bytes, source: object) -> bytes | None:
        if isinstance(source, TreeEntry):
            return None if source.mode in (SYMLINK, DIRECTORY) else self.git.blob(source.oid)
        if isinstance(source, Entry):
            return self.room.read(source) if source.mode not in (SYMLINK, DIRECTORY) else None
        real = self.real(path)
        if not os.path.isfile(real):
            return None
        with open(real, "rb") as file:
            return file.read()

    def rule_changed(self, path: bytes, data: bytes | None) -> None:
        """An ignore, attribute or configuration file has new content (``None``: it is gone)."""
        if path.rpartition(b"/")[2] == _CONFIG:
            if path != _CONFIG:
                return
            self._configure(data)
        self.skeleton.put(path, data)
        self.artifacts.rules_changed()
        self.cache.clear()
        self._sizes.clear()

    def _configure(self, data: bytes | None) -> None:
        """Go by the settings of artifacts in the room's own configuration file."""
        pinning = self.artifacts.pinning
        if pinning is None or data == self._config:
            return
        self._config = data
        try:
            if pinning.configure(parse_config(data or b"")):
                self.artifacts.tell_git(self.git.common_dir)
        except ConfigInvalid as error:
            log.warning("the configuration is not used as it stands: %s", error)

    def slim(self) -> None:
        """Let go of everything that can be read again."""
        self.cache.clear()
        self._sizes.clear()
        self.git.forget_trees()
