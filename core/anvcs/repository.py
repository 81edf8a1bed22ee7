"""The façade: one Git repository with its store, as a program or the command line uses it."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from anvcs.config import FILE_NAME, MAX_BYTES, Config, ConfigInvalid, config_template, parse_config
from anvcs.config.storage import BlobsConfig
from anvcs.errors import AnvcsError
from anvcs.git import setup
from anvcs.model.ids import Oid
from anvcs.model.room import Author
from anvcs.model.tree import EXECUTABLE, REGULAR
from anvcs.selection import Selection
from anvcs.store import Store
from anvcs.views import Views, ViewSpec, ViewState

if TYPE_CHECKING:  # pygit2 and pycrdt cost 270 ms together, and most commands need one or none
    from anvcs.git.objects import ObjectStore
    from anvcs.git.refs import Refs
    from anvcs.git.skeleton import Skeleton
    from anvcs.only_copies import OnlyCopies
    from anvcs.pinning import Pinning
    from anvcs.rooms.room import Room


_HEADS = "refs/heads/"
_FILES = (REGULAR, EXECUTABLE)
_RULE_FILES = (b".gitattributes", b".gitignore")


class NoSuchStream(AnvcsError):
    """The repository has no branch of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no stream {name}; --new-stream {name} makes it")
        self.name = name


class StreamExists(AnvcsError):
    """A new stream was asked for and the branch is there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the stream {name} exists already")
        self.name = name


class StreamNameInvalid(AnvcsError):
    """Git allows no branch of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} can't be the name of a stream (a Git branch)")
        self.name = name


class NothingCommitted(AnvcsError):
    """The repository has no commit to start from."""

    def __init__(self) -> None:
        super().__init__("the repository has no commit yet, so a new stream has nothing to start from")


class HeadDetached(AnvcsError):
    """No stream was named and HEAD names none."""

    def __init__(self) -> None:
        super().__init__("HEAD is on no branch here: name the stream with --stream")


class SeveralStreams(AnvcsError):
    """One branch was asked for and several streams have work for it."""

    def __init__(self, streams: list[str]) -> None:
        super().__init__(f"one branch can't take the work of {', '.join(streams)}: name one with --stream")
        self.streams = streams


class UncommittedWork(AnvcsError):
    """Rooms hold work that no commit has."""

    def __init__(self, changed: dict[str, int]) -> None:
        listed = ", ".join(f"{stream} ({count} files)" for stream, count in sorted(changed.items()))
        super().__init__(f"uncommitted work in {listed}: commit it, or discard it in a view, and try again")
        self.changed = changed


class ArtifactsWouldGo(AnvcsError):
    """The repository's own store holds artifacts that are perhaps nowhere else."""

    def __init__(self, found: "list[OnlyCopies]") -> None:
        super().__init__("; ".join(map(str, found)) + ". Or let them go with --drop-artifacts")
        self.found = found


class ViewsInUse(AnvcsError):
    """Views are mounted."""

    def __init__(self, mountpoints: list[Path]) -> None:
        super().__init__(f"views are mounted: unmount {', '.join(map(str, mountpoints))} first")
        self.mountpoints = mountpoints


class ViewShowsAnother(AnvcsError):
    """A view was named together with a stream that it doesn't show."""

    def __init__(self, name: str, stream: str) -> None:
        super().__init__(f"the view {name} shows {stream}: switch with git in the view, or name another view")
        self.name, self.stream = name, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class InitReport:
    """What `Repository.init` did."""

    made: bool
    """False: it was prepared before."""
    head_branch: str | None
    config_written: Path | None


class Repository:
    """A Git repository prepared for views.  Cheap to open; libraries load when they are needed."""

    def __init__(self, info: setup.RepositoryInfo, store: Store) -> None:
        self.info = info
        self.store = store
        self.views = Views(store)

    @classmethod
    def open(cls, path: Path) -> "Repository":
        """Open the repository at or around *path*; raises when it is not prepared or not supported."""
        info = setup.inspect(Path(os.path.realpath(path)))
        return cls(info, Store.open(info.common_dir))

    @classmethod
    def init(cls, path: Path, *, write_config: bool = False) -> tuple["Repository", InitReport]:
        """Prepare the repository at or around *path*; doing it again changes nothing."""
        info = setup.inspect(Path(os.path.realpath(path)))
        store, made = Store.ensure(info.common_dir)
        setup.configure(info)
        if info.work_tree is not None:
            (info.work_tree / ".ai" / "meta").mkdir(parents=True, exist_ok=True)
        repository = cls(info, store)
        written = repository._write_config() if write_config else None
        return repository, InitReport(made=made, head_branch=info.head_branch, config_written=written)

    def deinit(self, *, drop_artifacts: bool = False) -> None:
        """Leave a plain Git repository; refuses while views are mounted, or work or artifacts would be lost."""
        with self.views.lock():
            alive = [info for info in self.views.list() if info.state is not ViewState.UNMOUNTED]
            if alive:
                raise ViewsInUse([info.spec.mountpoint for info in alive])
            changed = {stream: self.changed_count(stream) for stream in self.store.streams_with_rooms()}
            for info in self.views.list():
                if (info.spec.folder / "aside.json").exists():  # a command of Git that was cut off with its view
                    changed[f"{self.stream_of(info.spec)} (view {info.spec.name})"] = 1
            if any(changed.values()):
                raise UncommittedWork({stream: count for stream, count in changed.items() if count})
            from anvcs.only_copies import only_copies

            if not drop_artifacts and (found := only_copies(self)):
                raise ArtifactsWouldGo(found)
            self._forget()
        if self.info.work_tree is not None:
            shutil.rmtree(self.info.work_tree / ".ai" / "meta", ignore_errors=True)
            with contextlib.suppress(OSError):  # somebody else keeps things in .ai
                (self.info.work_tree / ".ai").rmdir()

    def _forget(self) -> None:
        from anvcs.git import admin, merge_driver
        from anvcs.git.filter_setup import remove_filter

        for spec in (info.spec for info in self.views.list()):
            admin.remove(self.info.common_dir, spec.folder / "git", spec.name)
        admin.remove_settings(self.info.common_dir)
        setup.unconfigure(self.info)
        merge_driver.uninstall(self.info.common_dir)
        remove_filter(self.info.common_dir)
        for name, oid in self.refs.list("refs/anvcs/").items():
            self.refs.delete(name, oid)
        # The version goes first: a removal that is interrupted leaves no store that looks whole.
        self.store.version_file.unlink()
        shutil.rmtree(self.store.root)

    @property
    def own_trees(self) -> list[Path]:
        """Directories of the repository itself, where no view may be mounted."""
        found = [
            self.info.git_dir,
            self.info.common_dir,
            self.info.work_tree,
            *_linked_work_trees(self.info.common_dir),
        ]
        return sorted({Path(os.path.realpath(path)) for path in found if path is not None})

    @cached_property
    def objects(self) -> "ObjectStore":
        """The object database."""
        from anvcs.git.objects import ObjectStore

        return ObjectStore(self.info.common_dir)

    @cached_property
    def refs(self) -> "Refs":
        """Branches, tags, notes and our own refs."""
        from anvcs.git.refs import Refs

        return Refs(self.objects)

    # Configuration

    def config(self, stream: str) -> Config:
        """The settings: from the last commit of *stream*, else from the work tree; raises `ConfigInvalid`."""
        data = self._committed_config(stream)
        if data is None:
            data = self._work_tree_config()
        return Config() if data is None else parse_config(data)

    def _committed_config(self, stream: str) -> bytes | None:
        head = self.refs.get(_HEADS + stream)
        entry = self.objects.find(self.objects.tree_of(head), FILE_NAME.encode()) if head else None
        return self.objects.blob(entry.oid) if entry is not None and entry.mode in _FILES else None

    def _work_tree_config(self) -> bytes | None:
        if self.info.work_tree is None:
            return None
        try:
            with (self.info.work_tree / FILE_NAME).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None

    def _write_config(self) -> Path | None:
        if self.info.work_tree is None:
            return None
        file = self.info.work_tree / FILE_NAME
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(config_template())
        except FileExistsError:
            return None
        return file

    # Streams

    @property
    def default_stream(self) -> str:
        """The branch that HEAD names here, born or not."""
        if self.info.head_branch is None:
            raise HeadDetached
        return self.info.head_branch

    def check_stream(self, name: str) -> str:
        """Return *name* if it is a stream; an unborn HEAD branch is one."""
        if name != self.info.head_branch and self.refs.get(f"{_HEADS}{name}") is None:
            raise NoSuchStream(name)
        return name

    def create_stream(self, name: str, start: str = "") -> Oid:
        """Make the branch *name* at the commit *start* (default: HEAD)."""
        from anvcs.git.refs import BadRefName, RefMoved, check_name

        ref = f"{_HEADS}{name}"
        try:
            check_name(ref)
        except BadRefName:
            raise StreamNameInvalid(name) from None
        head = self.refs.get("HEAD") if not start else self.objects.resolve(start)
        if head is None:
            raise NothingCommitted
        try:
            self.refs.move(ref, head, None, f"branch: Created from {start or 'HEAD'}")
        except RefMoved:
            raise StreamExists(name) from None
        return head

    # Views and rooms

    def stream_of(self, spec: ViewSpec) -> str:
        """The stream that a view shows: a ``git switch`` in it counts, a detached HEAD leaves the last one."""
        from anvcs.git import admin

        try:
            head = admin.read_head(spec.folder / "git")
        except FileNotFoundError:  # never mounted
            return spec.stream
        return head.name.removeprefix(_HEADS) if isinstance(head, admin.Branch) else spec.stream

    def view_for(self, place: Path, *, name: str, stream: str) -> ViewSpec | None:
        """The view to mount at *place*: the one called *name*, else the one that showed *stream* there last.

        Without a stream it is what was there last.  Another stream at the same place is
        another view, with local files of its own.
        """
        infos = self.views.list()
        served = [info for info in infos if info.process is not None]
        if name:
            matching = [info for info in infos if info.spec.name == name]
        else:
            matching = [info for info in infos if info.spec.mountpoint == place]
            if stream:
                matching = [info for info in matching if self.stream_of(info.spec) == stream]
        busy = [info for info in served if info in matching or info.spec.mountpoint == place]
        if busy:
            raise ViewsInUse([info.spec.mountpoint for info in busy])
        if name and stream and matching and self.stream_of(matching[0].spec) != stream:
            raise ViewShowsAnother(name, self.stream_of(matching[0].spec))
        last = self.views.at(place) if not name and len(matching) > 1 else None
        if last is not None and last in matching:
            return last.spec
        return matching[-1].spec if matching else None

    def ensure_view(self, known: ViewSpec | None, *, name: str, **fields: Any) -> ViewSpec:
        """Record a view with *fields*, new or as *known*, and give it its Git directory."""
        from anvcs.git import admin

        spec = self.views.update(known.name, **fields) if known else self.views.create(name=name, **fields)
        admin.ensure(self.info.common_dir, spec.folder / "git", spec.mountpoint, admin.Branch(_HEADS + spec.stream))
        return spec

    @contextlib.contextmanager
    def room(self, stream: str, author: Author | None = None) -> Iterator["OpenRoom"]:
        """The room of *stream*, opened without a mount and standing on the stream's last commit."""
        from anvcs.base_tree import GitBaseTree
        from anvcs.git.skeleton import Skeleton
        from anvcs.pinning import Pinning
        from anvcs.presence import Bell, folder_of
        from anvcs.rooms.room import Room

        head = self.refs.get(_HEADS + stream)
        with tempfile.TemporaryDirectory(prefix="anvcs-room-") as folder, contextlib.ExitStack() as stack:
            skeleton = Skeleton(self.info.common_dir, Path(folder, "git"), Path(folder, "tree"))
            stack.callback(skeleton.close)
            config = self.config(stream)
            pinning = Pinning(self.store, self.objects, skeleton, config)
            stack.callback(pinning.close)
            room = Room.open(
                self.store.room_file(stream),
                tree=GitBaseTree(self.objects, skeleton, pinning.pointers),
                objects=self.store.objects,
                author=author or Author(agent=""),
                base=head,
                text_limit=config.room.text_limit,
            )
            stack.callback(room.close)
            bell = Bell(folder_of(room.file))
            stack.callback(bell.close)
            room.on_append(bell.ring)
            opened = OpenRoom(room, skeleton, pinning)
            self._load_rules(opened)
            if head is not None and room.base != head:
                room.move_base(head, keep=False)  # somebody committed while nobody was looking
            yield opened

    @contextlib.contextmanager
    def pinning(self, work_tree: Path | None = None) -> "Iterator[Pinning]":
        """Pointers and artifacts without a room, by the configuration and the attributes of *work_tree* or of HEAD."""
        from anvcs.git.skeleton import Skeleton
        from anvcs.pinning import Pinning

        with tempfile.TemporaryDirectory(prefix="anvcs-pins-") as folder, contextlib.ExitStack() as stack:
            skeleton = Skeleton(self.info.common_dir, Path(folder, "git"), Path(folder, "tree"))
            stack.callback(skeleton.close)
            data, attributes = self._of_tree(work_tree, FILE_NAME), self._of_tree(work_tree, ".gitattributes")
            skeleton.put(b".gitattributes", attributes)
            pinning = Pinning(self.store, self.objects, skeleton, Config() if data is None else parse_config(data))
            stack.callback(pinning.close)
            yield pinning

    def use_filter(self, program: str, blobs: BlobsConfig | None = None, outside: Iterable[bytes] = ()) -> bool:
        """Have Git ask *program* about the artifacts of *blobs* (default: the work tree's); whether something changed.

        *outside*: paths of artifacts, among which may be some that no pattern matches.
        """
        from anvcs.git.filter_setup import install_filter
        from anvcs.ownership import Ownership

        if blobs is None:
            data = self._of_tree(self.info.work_tree, FILE_NAME)
            blobs = (Config() if data is None else parse_config(data)).blobs
        rules = Ownership(blobs.track)
        return install_filter(
            self.info.common_dir,
            blobs.track,
            everything=bool(blobs.max_git_size),
            program=program,
            attributes=self._attribute_files(),
            outside=[path for path in outside if not rules.tracked(path)],
        )

    def _attribute_files(self) -> dict[bytes, bytes]:
        """Each ``.gitattributes`` by its directory: the work tree's, else those of HEAD's commit."""
        from anvcs.git.program import Git, tracked_files

        top, head, name = self.info.work_tree, self.refs.get("HEAD"), b".gitattributes"
        if top is not None:
            paths = [
                path for path in tracked_files(top, f":(glob)**/{name.decode()}") if (top / os.fsdecode(path)).is_file()
            ]
            if name not in paths and (top / os.fsdecode(name)).is_file():
                paths.append(name)
            return {path.rpartition(b"/")[0]: (top / os.fsdecode(path)).read_bytes() for path in paths}
        if head is None:
            return {}
        listed = Git(self.info.common_dir).run("ls-tree", "-r", "-z", "--full-tree", "--name-only", head.hex()).out
        paths = [path for path in listed.split(b"\0") if path.rpartition(b"/")[2] == name]
        found = {path: self.objects.find(self.objects.tree_of(head), path) for path in paths}
        return {
            path.rpartition(b"/")[0]: self.objects.blob(entry.oid)
            for path, entry in found.items()
            if entry is not None and entry.mode in _FILES
        }

    def configure_from_work_tree(self, pinning: "Pinning") -> None:
        """Let *pinning* go by the configuration that lies in the work tree."""
        data = self._work_tree_config()
        if data is not None:
            pinning.configure(parse_config(data))

    def _of_tree(self, work_tree: Path | None, name: str) -> bytes | None:
        """A file at the top of a work tree, else of HEAD's commit."""
        if work_tree is not None:
            try:
                with (work_tree / name).open("rb") as file:
                    return file.read(MAX_BYTES + 1)
            except FileNotFoundError:
                pass
        head = self.refs.get("HEAD")
        found = self.objects.find(self.objects.tree_of(head), name.encode()) if head else None
        return self.objects.blob(found.oid) if found is not None and found.mode in _FILES else None

    def opener(self, opened: "OpenRoom") -> "Callable[[Path], Room]":
        """Opens another room file that stands on the same repository as *opened*, with its rules."""
        from anvcs.base_tree import GitBaseTree
        from anvcs.rooms.room import Room

        def open_file(file: Path) -> Room:
            return Room.open(
                file,
                tree=GitBaseTree(self.objects, opened.skeleton, opened.pinning.pointers),
                objects=self.store.objects,
                author=opened.room.author,
            )

        return open_file

    def _load_rules(self, opened: "OpenRoom") -> None:
        """Tell the skeleton the rule files that decide about the changed paths: those above them."""
        room, skeleton, pinning = opened
        own = room.entry(FILE_NAME.encode())
        if own is not None and own.mode in _FILES:
            with contextlib.suppress(ConfigInvalid):  # being edited: the committed one holds
                pinning.configure(parse_config(room.read(own)))
        paths = [path for entry in room.changed() for path in (entry.path, entry.base_path) if path]
        folders = {b""} | {folder for path in paths for folder in _above(path)}
        for path in (folder + name for folder in sorted(folders) for name in _RULE_FILES):
            entry = room.entry(path)
            if entry is not None:
                skeleton.put(path, room.read(entry) if entry.mode in _FILES else None)
            elif room.base is not None and not room.hides(path):
                found = self.objects.find(self.objects.tree_of(room.base), path)
                if found is not None and found.mode in _FILES:
                    skeleton.put(path, self.objects.blob(found.oid))

    def changed_count(self, stream: str) -> int:
        """How many paths of *stream* are not committed."""
        if not self.store.room_file(stream).exists():
            return 0
        with self.room(stream) as opened:
            return len(opened.room.changes())

    def lfs_paths(self, commit: Oid) -> Callable[[bytes], bool]:
        """A test for paths that the commit's ``.gitattributes`` give to Git LFS."""
        from anvcs.git.attributes import AttributeList, AttributeRules, macros_defined

        objects = self.objects
        files = {
            path.rpartition(b"/")[0]: objects.blob(oid)
            for path, mode, oid in objects.walk(objects.tree_of(commit))
            if mode in _FILES and path.rpartition(b"/")[2] == b".gitattributes"
        }
        macros = frozenset(macros_defined(files.get(b"", b"")))
        below = {folder: AttributeList(data, macros=macros) for folder, data in files.items()}
        rules = AttributeRules(None, below, [])
        return lambda path: rules.get(path).get(b"filter") == b"lfs"

    def selection(self, stream: str, view: str = "") -> Selection:
        """What the next commit in *view*, or without a view of *stream*, shall take."""
        folder = self.store.views / view if view else self.store.room_file(stream).with_suffix(".next")
        return Selection(folder / "selection")


class OpenRoom(NamedTuple):
    """A room, and the rules about ignoring, conversion and artifacts that hold in it."""

    room: "Room"
    skeleton: "Skeleton"
    pinning: "Pinning"


def _above(path: bytes) -> Iterator[bytes]:
    """Every directory above *path* with a slash behind it."""
    for position, char in enumerate(path):
        if char == ord("/"):
            yield path[: position + 1]


def _linked_work_trees(common_dir: Path) -> Iterator[Path]:
    for file in common_dir.glob("worktrees/*/gitdir"):
        yield Path(os.fsdecode(file.read_bytes().rstrip(b"\n"))).parent
