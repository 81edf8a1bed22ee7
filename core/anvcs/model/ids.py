"""Identifiers as distinct types, and the hashes that derive them.

Paths are ``bytes`` relative to the top of the repository, without a leading or
trailing slash; ``b""`` is the top itself.  Names are never decoded or normalised.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NewType

Oid = NewType("Oid", bytes)
"""A Git object id: 20 raw bytes."""

FileId = NewType("FileId", bytes)
"""A file's identity inside a room, kept over renames: 16 bytes."""

Seq = NewType("Seq", int)
"""An op's number in its room's log, from 1 without holes; 0 is "before any op"."""

LOCAL_INODE = 1 << 62
"""Inode numbers of local files are this plus the number on the real disk."""

_INODE_MASK = (1 << 61) - 1
_FIRST_INODE = 1 << 16
"""Smaller numbers belong to the root and to control files."""


def base_file_id(base: Oid | None, path: bytes) -> FileId:
    """Identity of the file that *base* has at *path*, equal in every process."""
    return FileId(blake2b(path, digest_size=16, key=base or b"").digest())


def inode_number(path: bytes) -> int:
    """Inode number of the shared file at *path*, the same after every remount."""
    number = int.from_bytes(blake2b(path, digest_size=8).digest(), "big") & _INODE_MASK
    return number | _FIRST_INODE


def inode_numbers(paths: Iterable[bytes]) -> list[int]:
    """`inode_number` of many paths, at two thirds of the price."""
    digest, number = blake2b, int.from_bytes
    return [number(digest(p, digest_size=8).digest(), "big") & _INODE_MASK | _FIRST_INODE for p in paths]
