"""Comparing directory trees: names, kinds, modes, link targets, contents."""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

OUTSIDE = frozenset({b".git", b".anvcs"})
"""Names at the top of a work tree that are no part of it."""


class Node(NamedTuple):
    """What one name is."""

    kind: str
    mode: int
    content: bytes
    """Digest of a file, target of a symlink."""
    size: int
    mtime_ns: int | None = None

    def __str__(self) -> str:
        told = self.content.decode(errors="replace") if self.kind == "link" else self.content.hex()[:12]
        return f"{self.kind} {self.mode:04o} {self.size} bytes {told}" + (f" @{self.mtime_ns}" if self.mtime_ns else "")


def snapshot(top: Path | str, *, skip: Collection[bytes] = OUTSIDE, times: bool = False) -> dict[bytes, Node]:
    """Every name below *top*, as bytes relative to it; *skip* are names directly in *top*."""
    root = os.fsencode(os.fspath(top))
    return dict(_walk(root, b"", frozenset(skip), times=times))


def _walk(root: bytes, below: bytes, skip: Collection[bytes], *, times: bool) -> Iterator[tuple[bytes, Node]]:
    with os.scandir(os.path.join(root, below)) as entries:
        found = sorted((entry for entry in entries if entry.name not in skip), key=lambda entry: entry.name)
    for entry in found:
        relative = os.path.join(below, entry.name)
        yield relative, node(os.path.join(root, relative), times=times)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, relative, (), times=times)


_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
)


def node(path: bytes, *, times: bool = False) -> Node:
    """What is at *path* itself."""
    status = os.lstat(path)
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "other")
    content = b""
    if kind == "file":
        content = digest(path)
    elif kind == "link":
        content = os.readlink(path)
    # The size of a directory is the file system's own business.
    size = 0 if kind == "directory" else status.st_size
    return Node(kind, stat.S_IMODE(status.st_mode), content, size, status.st_mtime_ns if times else None)


def digest(path: bytes | Path) -> bytes:
    """SHA-256 of a file, read as a stream."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def differences(expected: dict[bytes, Node], found: dict[bytes, Node]) -> list[str]:
    """One line for each name that is not the same on both sides."""
    lines = [f"missing: {name!r} ({expected[name]})" for name in expected.keys() - found.keys()]
    lines += [f"surplus: {name!r} ({found[name]})" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        if expected[name] != found[name]:
            lines.append(f"differs: {name!r}: expected {expected[name]}, found {found[name]}")
    return sorted(lines)


def assert_same_tree(expected: Path, found: Path, *, skip: Collection[bytes] = OUTSIDE, times: bool = False) -> None:
    """Fail, naming up to 20 differences, unless both trees are the same."""
    lines = differences(snapshot(expected, skip=skip, times=times), snapshot(found, skip=skip, times=times))
    assert not lines, f"{len(lines)} differences:\n" + "\n".join(lines[:20])
