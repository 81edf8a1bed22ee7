"""Tree objects as bytes: reading, writing, comparing, and changing only the touched directories.

Everything is iterative: Linux lets paths nest deeper than Python's stack.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from anvcs.errors import AnvcsError
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, EXECUTABLE, GITLINK, REGULAR, SYMLINK, Leaf, TreeChange, TreeEntry

ReadTree = Callable[[Oid], tuple[TreeEntry, ...]]
WriteObject = Callable[[bytes], Oid]

EMPTY_TREE = Oid(bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904"))

_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
_ENTRY_OVERHEAD = 22  # the space, the NUL and the 20 bytes of the id
_LEAF_MODES = frozenset({REGULAR, EXECUTABLE, SYMLINK, GITLINK})
_NO_OID = bytes(20)
# What file systems of other computers take for ".git"; git fsck rejects them all.
_HFS_IGNORED = re.compile(
    "[\N{ZERO WIDTH NON-JOINER}-\N{RIGHT-TO-LEFT MARK}\N{LEFT-TO-RIGHT EMBEDDING}-\N{RIGHT-TO-LEFT OVERRIDE}"
    "\N{INHIBIT SYMMETRIC SWAPPING}-\N{NOMINAL DIGIT SHAPES}\N{ZERO WIDTH NO-BREAK SPACE}]"
)
_NTFS_DOTGIT = re.compile(rb"(?:\.git|git~1)[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)


class DamagedObject(AnvcsError):
    """An object of the repository cannot be parsed or does not hash to its name."""

    def __init__(self, oid: Oid, why: str) -> None:
        super().__init__(f"object {oid.hex()} is damaged: {why}")
        self.oid, self.why = oid, why


class UnstorablePath(AnvcsError):
    """A path that no Git tree may hold (``.git``, ``..``, an empty name)."""

    def __init__(self, path: bytes, why: str) -> None:
        super().__init__(f"Git cannot store {path.decode(errors='backslashreplace')!r}: {why}")
        self.path, self.why = path, why


class ClashingChanges(AnvcsError):
    """A set of changes wants a file and a directory at the same path."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{path.decode(errors='backslashreplace')!r} would be a file and a directory at once")
        self.path = path


class _Modes(dict[bytes, int]):
    """Octal digits to numbers, remembering each spelling."""

    def __missing__(self, digits: bytes) -> int:
        mode = int(digits, 8)
        # Old Git wrote 100664; such a file is what git calls regular.
        if mode & 0o170000 == 0o100000:
            mode = EXECUTABLE if mode & 0o100 else REGULAR
        if len(self) < 64:  # a hostile tree must not fill memory
            self[digits] = mode
        return mode


_MODES = _Modes()


def parse_tree(oid: Oid, data: bytes) -> tuple[TreeEntry, ...]:
    """The entries of a raw tree object, in its order."""
    found = _ENTRY.findall(data)
    new, modes = tuple.__new__, _MODES
    entries = tuple([new(TreeEntry, (name, modes[mode], entry)) for mode, name, entry in found])
    if sum([len(mode) + len(name) for mode, name, _ in found]) + _ENTRY_OVERHEAD * len(found) != len(data):
        raise DamagedObject(oid, "not a list of tree entries")
    return entries


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The raw tree object of *entries*, in Git's order."""
    ordered = sorted(entries, key=_git_order)
    return b"".join([b"%o %b\0%b" % (mode, name, oid) for name, mode, oid in ordered])


def _git_order(entry: TreeEntry) -> bytes:
    """Git sorts a directory as if its name ended in a slash."""
    return entry.name + b"/" if entry.mode == DIRECTORY else entry.name


def check_name(path: bytes, name: bytes) -> None:
    """Raise :class:`UnstorablePath` when ``git fsck`` would reject *name*, a part of *path*."""
    if name in {b"", b".", b".."}:
        raise UnstorablePath(path, "a name is empty, '.' or '..'")
    if b"\0" in name or b"/" in name:
        raise UnstorablePath(path, "a name holds NUL or a slash")
    if b"git" not in name.lower() and name.isascii():
        return  # the common case
    if _HFS_IGNORED.sub("", name.decode(errors="replace")).lower() == ".git":
        raise UnstorablePath(path, "the name means .git")
    if any(_NTFS_DOTGIT.fullmatch(part) for part in name.split(b"\\")):
        raise UnstorablePath(path, "the name means .git on some systems")


def walk_tree(read: ReadTree, tree: Oid, prefix: bytes = b"") -> Iterator[tuple[bytes, int, Oid]]:
    """All leaves under *tree* as (full path, mode, id), in Git's order."""
    top = prefix + b"/" if prefix else b""
    stack = [(top, iter(read(tree)))]
    while stack:
        base, entries = stack[-1]
        for name, mode, oid in entries:
            if mode == DIRECTORY:
                stack.append((base + name + b"/", iter(read(oid))))
                break
            yield base + name, mode, oid
        else:
            stack.pop()


def diff_trees(read: ReadTree, old: Oid | None, new: Oid | None) -> Iterator[TreeChange]:
    """Differing leaves, sorted by path; equal subtrees are not opened."""
    stack: list[TreeChange | tuple[bytes, Oid | None, Oid | None]] = [(b"", old, new)]
    while stack:
        item = stack.pop()
        if isinstance(item, TreeChange):
            yield item
            continue
        prefix, before, after = item
        if before == after:
            continue
        stack.extend(
            reversed(_differences(prefix, read(before) if before else (), read(after) if after else ())),
        )


def _differences(
    prefix: bytes, before: tuple[TreeEntry, ...], after: tuple[TreeEntry, ...]
) -> list[TreeChange | tuple[bytes, Oid | None, Oid | None]]:
    """What differs in one directory: changed leaves, and pairs of subdirectories yet to compare."""
    gone = {entry.name: entry for entry in set(before).difference(after)}
    came = {entry.name: entry for entry in set(after).difference(before)}
    found: list[tuple[bytes, TreeChange | tuple[bytes, Oid | None, Oid | None]]] = []
    for name in gone.keys() | came.keys():
        path = prefix + name
        old_dir, old_leaf = _split(gone.get(name))
        new_dir, new_leaf = _split(came.get(name))
        if old_leaf or new_leaf:
            found.append((path, TreeChange(path, old_leaf, new_leaf)))
        if old_dir or new_dir:
            found.append((path + b"/", (path + b"/", old_dir, new_dir)))
    found.sort(key=lambda pair: pair[0])
    return [item for _, item in found]


def _split(entry: TreeEntry | None) -> tuple[Oid | None, Leaf | None]:
    if entry is None:
        return None, None
    if entry.mode == DIRECTORY:
        return entry.oid, None
    return None, Leaf(entry.mode, entry.oid)


def rewrite_tree(read: ReadTree, write: WriteObject, base: Oid | None, changes: Mapping[bytes, Leaf | None]) -> Oid:
    """The tree that is *base* with *changes*: only touched directories are read and written.

    A leaf replaces whatever stands at its path or where its parents must be.  ``None`` removes a leaf;
    a directory at that path stays.  Directories that become empty vanish.
    """
    by_directory = _by_directory(changes)
    order = sorted(by_directory, key=_depth)
    listings: dict[bytes, dict[bytes, TreeEntry]] = {}
    for directory in order:  # parents first
        listings[directory] = _listing(read, base, directory, listings)
    for directory in reversed(order):  # children first
        entries = listings[directory]
        _apply_leaves(entries, by_directory[directory])
        if directory:
            _put_directory(directory, entries, listings, write)
    top = listings[b""]
    return write(encode_tree(top.values()))


def _depth(directory: bytes) -> int:
    return directory.count(b"/") + 1 if directory else 0


def _by_directory(changes: Mapping[bytes, Leaf | None]) -> dict[bytes, dict[bytes, Leaf | None]]:
    """Changes by the directory they are in, with an entry for every parent up to the top."""
    grouped: dict[bytes, dict[bytes, Leaf | None]] = {b"": {}}
    filled: set[bytes] = set()  # directories that will hold something
    for path, leaf in changes.items():
        directory, _, name = path.rpartition(b"/")
        if path.startswith(b"/"):
            raise UnstorablePath(path, "it begins with a slash")
        if directory not in grouped:
            for part in directory.split(b"/"):
                check_name(path, part)
            parent = directory
            while parent not in grouped:
                grouped[parent] = {}
                parent = parent.rpartition(b"/")[0]
        check_name(path, name)
        grouped[directory][name] = leaf
        if leaf is not None:
            _check_leaf(path, leaf)
            while directory not in filled:
                filled.add(directory)
                directory = directory.rpartition(b"/")[0]
    for path in filled:
        if changes.get(path) is not None:
            raise ClashingChanges(path)
    return grouped


def _check_leaf(path: bytes, leaf: Leaf) -> None:
    if leaf.mode not in _LEAF_MODES:
        raise UnstorablePath(path, f"mode {leaf.mode:o} is not one of Git's")
    if leaf.oid == _NO_OID or len(leaf.oid) != len(_NO_OID):
        raise UnstorablePath(path, "it has no content")
    if leaf.mode == SYMLINK and path.rpartition(b"/")[2].lower() == b".gitmodules":
        raise UnstorablePath(path, "Git refuses a symbolic link of this name")


def _listing(
    read: ReadTree, base: Oid | None, directory: bytes, listings: dict[bytes, dict[bytes, TreeEntry]]
) -> dict[bytes, TreeEntry]:
    """What the base holds in *directory*, by name."""
    if not directory:
        return {entry.name: entry for entry in read(base)} if base else {}
    parent, _, name = directory.rpartition(b"/")
    entry = listings[parent].get(name)
    if entry is None or entry.mode != DIRECTORY:
        return {}
    return {inner.name: inner for inner in read(entry.oid)}


def _apply_leaves(entries: dict[bytes, TreeEntry], changes: Mapping[bytes, Leaf | None]) -> None:
    """Apply the changes that lie directly in a directory (its subdirectories are done already)."""
    for name, leaf in changes.items():
        present = entries.get(name)
        if leaf is None:
            if present is not None and present.mode != DIRECTORY:
                del entries[name]
        else:
            entries[name] = TreeEntry(name, leaf.mode, leaf.oid)


def _put_directory(
    directory: bytes, entries: dict[bytes, TreeEntry], listings: dict[bytes, dict[bytes, TreeEntry]], write: WriteObject
) -> None:
    """Enter the finished *directory* in its parent, or take it out when it is empty."""
    parent, _, name = directory.rpartition(b"/")
    above = listings[parent]
    if entries:
        above[name] = TreeEntry(name, DIRECTORY, write(encode_tree(entries.values())))
    elif name in above and above[name].mode == DIRECTORY:
        del above[name]
