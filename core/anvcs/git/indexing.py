"""The index of a view: made so that git need not look into any file.

Its stat data are those that the mount reports, so the first ``git status`` compares numbers
and hashes nothing.  It is made by a child process (``python -m anvcs.git.indexing``, a job on
standard input), because half a second of Python would stop the process that serves the view.
Nothing here touches the mount, and git's ``index.lock`` is honoured.
"""

import fcntl
import gc
import json
import os
import subprocess
import sys
import time
from binascii import unhexlify
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from types import MappingProxyType

import anvcs
from anvcs.errors import AnvcsError
from anvcs.git.index_format import (
    CachedTree,
    Listing,
    Stat,
    encode_cached_trees,
    encode_entries,
    encode_fsmonitor,
    encode_index,
)
from anvcs.git.index_update import Plumbing, copy_path, fill_in, index_info
from anvcs.git.program import Git, plain_environment
from anvcs.git.settings import read_rules, read_settings
from anvcs.model.ids import Oid
from anvcs.model.tree import GITLINK, SYMLINK, Leaf

LOCK_SECONDS = 5.0
"""How long to wait for another process that is changing the index."""
_PAUSE_SECONDS = 0.01
_HURRIES = 5
"""How often an update is made without the lock before it takes the lock first."""
_FAULT = 1
"""What Python exits with after an exception that nobody caught."""
_PREVENTED = 3
_LOCKED = 4
_ATTRIBUTES = b".gitattributes"
_DIRECTORY = b"040000"
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class IndexLocked(AnvcsError):
    """Another process kept the view's index locked."""

    def __init__(self, lock: Path) -> None:
        super().__init__(f"another process is changing the index (if none is, remove {lock})")
        self.lock = lock


class IndexingFailed(AnvcsError):
    """The child process that makes the index ended with an error."""

    def __init__(self, complaint: str) -> None:
        super().__init__(complaint.strip().rpartition("\n")[2] or "the index could not be made")
        self.complaint = complaint


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An index to make."""

    common_dir: Path
    admin_dir: Path
    tree: Oid
    epoch_ns: int
    """mtime and ctime of every path without an override, an artifact's excepted; seconds before now, or git takes
    entries for racy."""
    uid: int
    gid: int
    overrides: Mapping[bytes, Stat | None] = field(default_factory=dict)
    """Paths that the mount reports otherwise; None: content differs from the blob, or may."""
    fsmonitor_token: str = ""
    """If given: what ``.anvcs/fsmonitor/<token>`` answers with holds from this tree on."""
    attribute_files: Mapping[bytes, bytes | None] = field(default_factory=dict)
    """``.gitattributes`` of the view that differ from the tree's."""
    pointers: bool = False
    """Whether there can be artifacts, whose pointers the tree has and whose sizes the mount reports."""

    def to_json(self) -> bytes:
        """For the child; bytes that are no UTF-8 become surrogate escapes."""
        return json.dumps(
            {
                "common_dir": str(self.common_dir),
                "admin_dir": str(self.admin_dir),
                "tree": self.tree.hex(),
                "epoch_ns": self.epoch_ns,
                "uid": self.uid,
                "gid": self.gid,
                "overrides": {os.fsdecode(path): stat for path, stat in self.overrides.items()},
                "fsmonitor_token": self.fsmonitor_token,
                "attribute_files": {
                    os.fsdecode(path): None if data is None else data.decode("latin-1")
                    for path, data in self.attribute_files.items()
                },
                "pointers": self.pointers,
            }
        ).encode()

    @staticmethod
    def from_json(text: bytes) -> "Job":
        """What `to_json` made."""
        job = json.loads(text)
        overrides, files = job["overrides"], job["attribute_files"]
        return Job(
            common_dir=Path(job["common_dir"]),
            admin_dir=Path(job["admin_dir"]),
            tree=Oid(bytes.fromhex(job["tree"])),
            epoch_ns=job["epoch_ns"],
            uid=job["uid"],
            gid=job["gid"],
            overrides={os.fsencode(path): None if stat is None else Stat(*stat) for path, stat in overrides.items()},
            fsmonitor_token=job["fsmonitor_token"],
            attribute_files={
                os.fsencode(path): None if data is None else data.encode("latin-1") for path, data in files.items()
            },
            pointers=job["pointers"],
        )


def build(job: Job) -> int:
    """Write the index that *job* describes in place of the one there is; the number of entries."""
    with locked_index(job.admin_dir) as publish:
        git = Git(job.admin_dir)
        lines = git.run("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", job.tree.hex()).out.split(b"\0")
        lines.pop()
        listing = _columns([line for line in lines if not line.startswith(_DIRECTORY)])
        exceptions = _exceptions(job, git, listing)
        entries = encode_entries(listing, job.epoch_ns, (job.uid, job.gid), exceptions)
        directories = [line for line in lines if line.startswith(_DIRECTORY)]
        extensions = [(b"TREE", encode_cached_trees(_cached_trees(directories, listing.paths, job.tree)))]
        if job.fsmonitor_token:
            dirty = [number for number, stat in exceptions.items() if stat is None]
            monitor = encode_fsmonitor(job.fsmonitor_token.encode(), len(listing.paths), dirty)
            extensions.append((b"FSMN", monitor))
        publish(encode_index(len(listing.paths), entries, extensions))
    return len(listing.paths)


def _columns(lines: list[bytes]) -> Listing:
    """What ``ls-tree -l -z`` says: mode, type, id, size, a tab, the path."""
    modes = {mode: int(mode, 8) for mode in {line[:6] for line in lines}}
    if GITLINK in modes.values():
        # A submodule has a longer type and no size.
        lines = [line.replace(b"commit", b"blob", 1).replace(b"-\t", b"0\t", 1) for line in lines]
    return Listing(
        paths=[line[line.index(b"\t") + 1 :] for line in lines],
        modes=[modes[line[:6]] for line in lines],
        oids=unhexlify(b"".join([line[12:52] for line in lines])),
        sizes=[int(line[53 : line.index(b"\t")]) for line in lines],
    )


def _exceptions(job: Job, git: Git, listing: Listing) -> dict[int, Stat | None]:
    """Stat data of the paths that the mount does not report as of the epoch with the blob's size."""
    found: dict[int, Stat | None] = {}
    converts = _conversions(job, git, listing)
    if converts is not None:
        found.update((n, None) for n, path in enumerate(listing.paths) if converts(path))
    if job.pointers:
        from anvcs.git.pointer_sizes import artifact_stats

        found.update(artifact_stats(git, listing, job.epoch_ns))
    if GITLINK in listing.modes:
        found.update((n, None) for n, mode in enumerate(listing.modes) if mode == GITLINK)
    if job.overrides:
        overrides = job.overrides
        found.update((n, overrides[path]) for n, path in enumerate(listing.paths) if path in overrides)
    return found


def _conversions(job: Job, git: Git, listing: Listing) -> Callable[[bytes], bool] | None:
    """A test for paths whose files aren't the bytes of their blobs; None: there are none."""
    files: dict[bytes, bytes] = {}
    for number, path in enumerate(listing.paths):
        if path.endswith(_ATTRIBUTES) and listing.modes[number] != SYMLINK:
            directory, _, name = path.rpartition(b"/")
            if name == _ATTRIBUTES:
                files[directory] = git.run("cat-file", "blob", listing.oid(number).hex()).out
    for path, data in job.attribute_files.items():
        directory = path.rpartition(b"/")[0]
        if data is None:
            files.pop(directory, None)
        else:
            files[directory] = data
    settings = read_settings(job.common_dir, job.admin_dir)
    if not files and settings.autocrlf != "true" and not any(map(read_rules, settings.attribute_files)):
        return None
    from anvcs.git.conversion import smudging_paths  # takes as long as a tenth of the index, and is seldom needed

    return smudging_paths(settings, files)


def _cached_trees(directories: list[bytes], paths: list[bytes], top: Oid) -> list[CachedTree]:
    """The directories of a listing, in its order, with the number of *paths* below each."""
    names = [line[line.index(b"\t") + 1 :] for line in directories]
    subtrees = Counter(name.rpartition(b"/")[0] for name in names)
    subtrees[b""] = sum(b"/" not in name for name in names)
    trees = [CachedTree(b"", len(paths), subtrees[b""], top)]
    for line, name in zip(directories, names, strict=True):
        # "0" follows "/": what lies in between is below the directory.
        count = bisect_left(paths, name + b"0") - bisect_left(paths, name + b"/")
        oid = Oid(unhexlify(line[12:52]))
        trees.append(CachedTree(name.rpartition(b"/")[2], count, subtrees[name], oid))
    return trees


def update_after_commit(
    admin_dir: Path,
    old: Oid | None,
    new: Oid,
    stats: Mapping[bytes, Stat | None] = MappingProxyType({}),
    owner: tuple[int, int] = (0, 0),
    *,
    keep_staged: bool = False,
    wait_seconds: float = LOCK_SECONDS,
) -> int:
    """Give every path that differs between two commits (or trees) the new entry; how many there were.

    *stats*: what the mount reports for paths whose content is the new one; git looks at the others.
    *owner*: the user and group id it reports.  With *keep_staged* a path for which the index held something else
    than *old* keeps it (somebody else moved the branch); without, it is replaced, as ``git commit PATHS``
    does.  Raises `IndexLocked`.  Without an index there is nothing to do.
    """
    if not (admin_dir / "index").exists():
        return 0
    git = Plumbing(admin_dir)
    before = old.hex() if old is not None else _EMPTY_TREE
    changes = git.raw("diff-tree", "-r", before, new.hex())
    if not changes:
        return 0
    index, copy = admin_dir / "index", copy_path(admin_dir)
    against = before if keep_staged else None
    try:
        for _ in range(_HURRIES):
            # Git doesn't wait for the lock: it fails.  So it is held for as short a time as possible.
            seen = _updated_copy(git, index, copy, changes, against, (stats, owner))
            with locked_index(admin_dir, wait_seconds):
                if _identity(index) == seen:
                    copy.rename(index)
                    return len(changes)
        with locked_index(admin_dir, wait_seconds):
            _updated_copy(git, index, copy, changes, against, (stats, owner))
            copy.rename(index)
    finally:
        for left in admin_dir.glob("index.anvcs-*"):
            left.unlink(missing_ok=True)
    return len(changes)


def _updated_copy(
    git: Plumbing,
    index: Path,
    copy: Path,
    changes: Mapping[bytes, Leaf | None],
    keep_staged: str | None,
    known: tuple[Mapping[bytes, Stat | None], tuple[int, int]],
) -> tuple[int, int]:
    """Make *copy* the index with its new entries; which index that was made from."""
    copy.unlink(missing_ok=True)
    # A link is a copy here: git replaces index files and never writes into them.
    os.link(index, copy)
    seen = _identity(copy)
    if keep_staged is not None:
        staged = git.raw("diff-index", "--cached", keep_staged)
        changes = {path: leaf for path, leaf in changes.items() if path not in staged}
    git.run("update-index", "-z", "--index-info", stdin=index_info(changes))
    if _identity(copy) != seen:  # else nothing changed, and it is Git's file still
        with copy.open("r+b") as file, mmap(file.fileno(), 0) as data:
            fill_in(data, changes, *known)
    return seen


def _identity(index: Path) -> tuple[int, int]:
    found = index.stat()
    return found.st_ino, found.st_mtime_ns


@contextmanager
def locked_index(admin_dir: Path, wait_seconds: float = LOCK_SECONDS) -> Iterator[Callable[[list[bytes]], None]]:
    """Hold ``index.lock``; the function it gives puts a new index in place and ends the hold."""
    lock = admin_dir / "index.lock"
    own = admin_dir / f"index.lock.{os.urandom(6).hex()}"
    fd = _acquire(lock, own, wait_seconds)
    held = True

    def publish(pieces: list[bytes]) -> None:
        nonlocal held
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(fd, rest) :]
        lock.rename(admin_dir / "index")
        held = False

    try:
        yield publish
    finally:
        if held:
            lock.unlink()
        own.unlink()
        os.close(fd)


def _acquire(lock: Path, own: Path, wait_seconds: float) -> int:
    """Make *lock*, as a second name of *own*: that tells ours from Git's, and its flock whether we live."""
    until = time.monotonic() + wait_seconds
    fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        while True:
            try:
                os.link(own, lock)
            except FileExistsError:
                if _left_by_the_dead(lock):
                    continue
                if time.monotonic() >= until:
                    raise IndexLocked(lock) from None
                time.sleep(_PAUSE_SECONDS)
            else:
                return fd
    except BaseException:
        own.unlink()
        os.close(fd)
        raise


def _left_by_the_dead(lock: Path) -> bool:
    """Remove *lock* if a process of ours died while it held it."""
    for own in lock.parent.glob("index.lock.*"):
        try:
            with own.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not own.samefile(lock):
                    continue
                lock.unlink()
                own.unlink()
        except (BlockingIOError, FileNotFoundError):
            continue
        return True
    return False


def start(job: Job) -> "subprocess.Popen[bytes]":
    """Start the child that builds, without waiting for anything; see `finish`."""
    import tempfile  # here, because the child doesn't need it

    # Where this package is, for a child that starts in "/".
    source = str(Path(anvcs.__file__).resolve().parents[1])
    with tempfile.TemporaryFile() as stdin:
        stdin.write(job.to_json())
        stdin.seek(0)
        return subprocess.Popen(
            [sys.executable, "-S", "-m", "anvcs.git.indexing"],
            cwd="/",
            env=plain_environment({"PYTHONPATH": source}),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def finish(child: "subprocess.Popen[bytes]") -> int:
    """Wait for a child of `start`; the number of entries.

    Raises:
        IndexingFailed: Git or the disk stood in the way.
        IndexLocked: Another process kept the index locked.
        RuntimeError: A fault of ours.
    """
    out, complaint = child.communicate()
    text = complaint.decode(errors="replace")
    if child.returncode == _FAULT:
        raise RuntimeError(text)
    if child.returncode == _LOCKED:
        raise IndexLocked(Path(text))
    if child.returncode != 0:
        raise IndexingFailed(text)
    return int(out)


def main() -> int:
    """Build the index of the job on standard input; prints the number of entries."""
    gc.disable()  # a short life with many objects and no cycles
    try:
        count = build(Job.from_json(sys.stdin.buffer.read()))
    except IndexLocked as held:
        sys.stderr.write(str(held.lock))
        return _LOCKED
    except (AnvcsError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return _PREVENTED
    sys.stdout.write(f"{count}\n")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # freeing half a million objects one by one takes longer than writing the file
