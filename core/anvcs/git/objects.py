"""The repository's objects, shared by all threads of a process.

Only the object database is opened, never a libgit2 repository: that would look for ``.gitignore`` and
``.gitattributes`` in a work tree, which may be a mount that waits for us, and it refuses repositories
with extensions that say nothing about objects.  Sharing one database is safe because pygit2 holds
Python's lock through each call.
"""

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import pygit2

from anvcs.errors import AnvcsError
from anvcs.git.history import CommitInfo, Signature, parse_commit
from anvcs.git.loose import LooseWriter
from anvcs.git.program import Git
from anvcs.git.trees import (
    EMPTY_TREE,
    ClashingChanges,
    DamagedObject,
    UnstorablePath,
    diff_trees,
    encode_tree,
    parse_tree,
    rewrite_tree,
    walk_tree,
)
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, Leaf, TreeChange, TreeEntry

__all__ = [
    "EMPTY_TREE",
    "AmbiguousPrefix",
    "ClashingChanges",
    "CommitInfo",
    "DamagedObject",
    "MissingObject",
    "NoSuchCommit",
    "ObjectStore",
    "Signature",
    "UnstorablePath",
    "WrongType",
    "common_dir_of",
]

T = TypeVar("T")

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
TAG: Final = 4
_TYPE_NAMES = {COMMIT: "commit", TREE: "tree", BLOB: "blob", TAG: "tag"}

_HEX = re.compile(r"[0-9a-fA-F]{4,40}")
_FULL = 40
_CHUNK = 1 << 20
_STREAM_FROM = "core.bigFileThreshold=64m"  # git holds smaller files in memory, and streams larger ones into a pack
_MAPPED_LIMIT = 256 << 20  # libgit2 would keep up to 8 GiB of packs mapped, which counts as our memory
_WINDOW = 32 << 20


class MissingObject(AnvcsError):
    """The repository has no object of this id."""

    def __init__(self, oid: Oid) -> None:
        super().__init__(f"the repository has no object {oid.hex()}")
        self.oid = oid


class WrongType(AnvcsError):
    """An object is of another type than its place demands."""

    def __init__(self, oid: Oid, wanted: str, found: str) -> None:
        super().__init__(f"object {oid.hex()} is a {found}, not a {wanted}")
        self.oid, self.wanted, self.found = oid, wanted, found


class NoSuchCommit(AnvcsError):
    """Nothing in the repository has this name or prefix and leads to a commit."""

    def __init__(self, spec: str) -> None:
        super().__init__(f"no commit is named {spec!r}")
        self.spec = spec


class AmbiguousPrefix(AnvcsError):
    """Several commits begin with the same digits."""

    def __init__(self, prefix: str, candidates: tuple[Oid, ...]) -> None:
        super().__init__(f"{len(candidates)} commits begin with {prefix}")
        self.prefix, self.candidates = prefix, candidates


def common_dir_of(git_dir: Path) -> Path:
    """The directory with ``objects`` and ``refs`` that *git_dir* belongs to (itself, but for a linked worktree)."""
    pointer = git_dir / "commondir"
    if not pointer.is_file():
        return git_dir
    target = Path(os.fsdecode(pointer.read_bytes().rstrip(b"\n")))
    return Path(os.path.normpath(git_dir / target))


_TREE_ENTRIES_KEPT = 16_384
"""Entries of recently read trees that stay parsed: about 4 MB."""
_TOPS_KEPT = 1024
"""Commits whose top tree is remembered: a view asks for that of its base again and again."""


class ObjectStore:
    """Reads and writes objects; ids are 20 raw bytes, names and paths are bytes."""

    def __init__(self, git_dir: Path) -> None:
        self.common_dir = common_dir_of(git_dir)
        self._objects = self.common_dir / "objects"
        self._git = Git(self.common_dir)
        self._loose = LooseWriter(self._objects)
        _set_options()
        self._odb = pygit2.Odb(str(self._objects))
        self._trees: OrderedDict[Oid, tuple[TreeEntry, ...]] = OrderedDict()
        self._tree_entries = 0
        self._tops: dict[Oid, Oid] = {}
        self._tree_lock = threading.Lock()

    # Reading

    def header(self, oid: Oid) -> int:
        """Size of a blob in bytes, without inflating it."""
        try:
            kind, size = self._odb.read_header(oid.hex())
        except pygit2.GitError:
            kind, size = self._again(oid, lambda odb: odb.read_header(oid.hex()))
        if kind != BLOB:
            raise WrongType(oid, "blob", _TYPE_NAMES[kind])
        return int(size)

    def kind(self, oid: Oid) -> str:
        """``commit``, ``tree``, ``blob`` or ``tag``."""
        try:
            kind, _ = self._odb.read_header(oid.hex())
        except pygit2.GitError:
            kind, _ = self._again(oid, lambda odb: odb.read_header(oid.hex()))
        return _TYPE_NAMES[kind]

    def has(self, oid: Oid) -> bool:
        """Whether the repository holds this object, also one that git wrote a moment ago."""
        try:
            self.kind(oid)
        except MissingObject:
            return False
        return True

    def find_blob(self, data: bytes) -> Oid | None:
        """The blob with these bytes, if the repository holds it."""
        oid = Oid(object_id("blob", data))
        return oid if self.has(oid) else None

    def blob(self, oid: Oid) -> bytes:
        """A blob's bytes, verified against its id."""
        return self._read(oid, BLOB)

    def tree(self, oid: Oid) -> tuple[TreeEntry, ...]:
        """A directory's entries in Git's order."""
        if oid == EMPTY_TREE:  # Git knows it without storing it
            return ()
        known = self._trees.get(oid)
        if known is None:
            known = parse_tree(oid, self._read(oid, TREE))
            self._keep_tree(oid, known)
        return known

    def _keep_tree(self, oid: Oid, entries: tuple[TreeEntry, ...]) -> None:
        """Remember a tree: following a commit reads the same few several times."""
        with self._tree_lock:
            if oid in self._trees or len(entries) > _TREE_ENTRIES_KEPT // 8:
                return
            self._trees[oid] = entries
            self._tree_entries += len(entries)
            while self._tree_entries > _TREE_ENTRIES_KEPT:
                self._tree_entries -= len(self._trees.popitem(last=False)[1])

    def forget_trees(self) -> None:
        """Let go of the trees that were kept parsed."""
        with self._tree_lock:
            self._trees.clear()
            self._tree_entries = 0

    def spool_blob(self, oid: Oid, dest: Path) -> None:
        """Write a blob's verified bytes to the file *dest* without holding them in memory."""
        digest = hashlib.sha1(b"blob %d\0" % self.header(oid), usedforsecurity=False)
        process = self._git.start("cat-file", "blob", oid.hex())
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with process, dest.open("wb") as out:
                while chunk := process.stdout.read(_CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
                complaint = process.stderr.read().decode(errors="replace")
            if process.returncode != 0 or digest.digest() != oid:
                raise DamagedObject(oid, complaint.strip() or "its bytes do not hash to its id")
        except BaseException:
            dest.unlink(missing_ok=True)
            raise

    def tree_of(self, commit: Oid) -> Oid:
        """The top tree of a commit."""
        tree = self._tops.get(commit)
        if tree is None:
            tree = self.commit_info(commit).tree
            if len(self._tops) >= _TOPS_KEPT:
                self._tops.clear()
            self._tops[commit] = tree
        return tree

    def commit_info(self, commit: Oid) -> CommitInfo:
        """Everything a commit object says."""
        return parse_commit(commit, self._read(commit, COMMIT))

    def peel(self, oid: Oid) -> Oid | None:
        """The commit that *oid* is or that its tag leads to; ``None`` when a tag names something else."""
        for _ in range(100):  # tags of tags; a cycle is impossible, a hostile chain is not
            kind = self.kind(oid)
            if kind != "tag":
                return oid if kind == "commit" else None
            first = self._read(oid, TAG).partition(b"\n")[0]
            oid = Oid(bytes.fromhex(first.removeprefix(b"object ").decode("ascii", "replace")))
        return None

    def find(self, tree: Oid, path: bytes) -> TreeEntry | None:
        """The entry at *path* (bytes, no slash at the ends); ``b""`` is the tree itself."""
        entry = TreeEntry(b"", DIRECTORY, tree)
        for part in path.split(b"/") if path else ():
            if entry.mode != DIRECTORY:
                return None
            found = next((inner for inner in self.tree(entry.oid) if inner.name == part), None)
            if found is None:
                return None
            entry = found
        return entry

    def walk(self, tree: Oid, prefix: bytes = b"") -> Iterator[tuple[bytes, int, Oid]]:
        """All leaves of *tree* as (path under *prefix*, mode, id), in Git's order."""
        return walk_tree(self.tree, tree, prefix)

    def diff(self, old_tree: Oid | None, new_tree: Oid | None) -> Iterator[TreeChange]:
        """Leaves that differ, sorted by path, without rename detection; ``None`` is an empty tree."""
        return diff_trees(self.tree, old_tree, new_tree)

    def resolve(self, spec: str) -> Oid:
        """The commit that *spec* names, by all of git's rules for revisions."""
        found = self._git.run("rev-parse", "--verify", "-q", "--end-of-options", f"{spec}^{{commit}}", allow=(1, 128))
        text = found.out.decode(errors="replace").strip()
        if found.code != 0 or len(text) != _FULL:
            raise NoSuchCommit(spec)
        return Oid(bytes.fromhex(text))

    def commit_by_prefix(self, prefix: str) -> Oid:
        """The one commit whose id begins with *prefix*: 4 to 40 hexadecimal digits."""
        if not _HEX.fullmatch(prefix):
            raise NoSuchCommit(prefix)
        if len(prefix) == _FULL:
            ids = [prefix]
        else:
            ids = self._git.run("rev-parse", f"--disambiguate={prefix}").out.decode().split()
        found = [oid for oid in (Oid(bytes.fromhex(text)) for text in ids) if self._is_commit(oid)]
        if not found:
            raise NoSuchCommit(prefix)
        if len(found) > 1:
            raise AmbiguousPrefix(prefix, tuple(found))
        return found[0]

    # Writing

    def write_blob(self, data: bytes) -> Oid:
        """Store *data*; an object that exists already is only marked as wanted."""
        return self._loose.write("blob", data)

    def write_blob_file(self, path: Path) -> Oid:
        """Store a file's bytes as they are, whatever its size, without holding them in memory."""
        with path.open("rb") as file:
            done = self._git.run("-c", _STREAM_FROM, "hash-object", "-w", "--no-filters", "--stdin", stdin=file)
        oid = Oid(bytes.fromhex(done.out.decode().strip()))
        self._loose.remember(oid)
        return oid

    def write_tree(self, base: Oid | None, changes: Mapping[bytes, Leaf | None]) -> Oid:
        """The tree that is *base* with *changes* (full paths); see :func:`anvcs.git.trees.rewrite_tree`."""
        return rewrite_tree(self.tree, self._write_tree, base, changes)

    def write_entries(self, entries: Iterable[TreeEntry]) -> Oid:
        """A tree of exactly *entries*, which may be directories."""
        return self._write_tree(encode_tree(entries))

    def _write_tree(self, data: bytes) -> Oid:
        oid = self._loose.write("tree", data)
        self._keep_tree(oid, parse_tree(oid, data))  # who commits compares the new trees next
        return oid

    def write_commit(self, data: bytes) -> Oid:
        """Store a raw commit object (see :mod:`anvcs.git.commits` for the way to make one)."""
        return self._loose.write("commit", data)

    def remember(self, oid: Oid) -> None:
        """Include an object that git wrote for us in the next :meth:`sync`."""
        self._loose.remember(oid)

    def sync(self) -> None:
        """Make what this process wrote survive power loss.  Refs do this before they name new objects."""
        self._loose.sync()

    # Inside

    def _read(self, oid: Oid, wanted: int) -> bytes:
        try:
            kind, data = self._odb.read(oid.hex())
        except pygit2.GitError:
            kind, data = self._again(oid, lambda odb: odb.read(oid.hex()))
        if kind != wanted:
            raise WrongType(oid, _TYPE_NAMES[wanted], _TYPE_NAMES[kind])
        if object_id(_TYPE_NAMES[kind], data) != oid:
            raise DamagedObject(oid, "its bytes do not hash to its id")
        return bytes(data)

    def _again(self, oid: Oid, read: Callable[[Any], T]) -> T:
        """Read with a freshly opened database: git may have repacked, and the open one trusts files that are gone."""
        odb = pygit2.Odb(str(self._objects))
        try:
            result = read(odb)
        except KeyError as error:
            raise MissingObject(oid) from error
        except pygit2.GitError as error:
            raise DamagedObject(oid, str(error)) from error
        self._odb = odb
        return result

    def _is_commit(self, oid: Oid) -> bool:
        try:
            return self.kind(oid) == "commit"
        except MissingObject:
            return False


def object_id(kind: str, data: bytes) -> bytes:
    """The id that Git gives an object of these bytes."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.digest()


@cache
def _set_options() -> None:
    pygit2.settings.mwindow_size = _WINDOW
    pygit2.settings.mwindow_mapped_limit = _MAPPED_LIMIT
    # `_read` does it with OpenSSL, several times as fast.
    pygit2.settings.enable_strict_hash_verification(False)
    pygit2.settings.enable_caching(False)  # what is worth keeping, `ObjectStore` and the view keep
