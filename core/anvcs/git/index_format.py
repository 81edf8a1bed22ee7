"""Git's index file, version 2, as far as we write it ourselves (git's ``index-format`` document)."""

import struct
from collections.abc import Iterable, Mapping
from hashlib import sha1
from typing import NamedTuple

from anvcs.model.ids import Oid, inode_number, inode_numbers
from anvcs.model.tree import GITLINK

ENTRY = struct.Struct(">10I20sH")
"""ctime, mtime (seconds, nanoseconds), dev, inode, mode, uid, gid, size; id; flags."""
OID_OFFSET = 40
"""Where an entry's id begins."""
_HEADER = struct.Struct(">4sII")
_MASK = 0xFFFFFFFF  # git cuts inode numbers, sizes and times to 32 bits
_LONGEST_NAME = 0xFFF
_SECOND = 10**9
_ALIGN = 8


class Stat(NamedTuple):
    """What the mount reports for a path whose content is that of its blob."""

    mtime_ns: int
    size: int
    ctime_ns: int | None = None
    """None: as ``mtime_ns``."""
    ino: int | None = None
    """None: `inode_number` of the path."""


class CachedTree(NamedTuple):
    """A directory whose tree object is known, for the TREE extension."""

    name: bytes
    """Its last component."""
    entries: int
    subtrees: int
    oid: Oid


class Listing(NamedTuple):
    """What a tree holds, as columns: a hundred thousand objects would cost too much."""

    paths: list[bytes]
    """Full paths of everything but directories, in order."""
    modes: list[int]
    oids: bytes
    """All ids, one after the other."""
    sizes: list[int]
    """Of the blobs."""

    def oid(self, number: int) -> Oid:
        """The id of one path."""
        return Oid(self.oids[20 * number : 20 * number + 20])


def encode_entries(
    listing: Listing, epoch_ns: int, owner: tuple[int, int], exceptions: Mapping[int, Stat | None]
) -> list[bytes]:
    """Three pieces for each path: the numbers, the path, the padding.

    *exceptions* are the stat data, by position, of what is not at *epoch_ns* with its blob's
    size; None: git shall look at the file.  *owner*: user and group id.
    """
    pack = ENTRY.pack
    seconds, rest = divmod(epoch_ns, _SECOND)
    seconds &= _MASK
    uid, gid = (number & _MASK for number in owner)
    pads = [bytes(_ALIGN - (ENTRY.size + n) % _ALIGN) for n in range(_ALIGN)]
    oids = listing.oids
    pieces: list[bytes] = []
    columns = zip(
        listing.paths, inode_numbers(listing.paths), listing.modes, listing.sizes, range(0, len(oids), 20), strict=True
    )
    for path, ino, mode, size, at in columns:
        n = len(path)
        flags = n if n < _LONGEST_NAME else _LONGEST_NAME  # noqa: FURB136 - min() costs a tenth more
        # The device is 0: git doesn't compare it.
        pieces += (
            pack(seconds, rest, seconds, rest, 0, ino & _MASK, mode, uid, gid, size & _MASK, oids[at : at + 20], flags),
            path,
            pads[n & 7],
        )
    for number, stat in exceptions.items():
        path, mode = listing.paths[number], listing.modes[number]
        pieces[3 * number] = encode_numbers(path, mode, listing.oid(number), stat, owner)
    return pieces


def encode_numbers(path: bytes, mode: int, oid: Oid, stat: Stat | None, owner: tuple[int, int]) -> bytes:
    """The part of an entry before its path."""
    flags = min(len(path), _LONGEST_NAME)
    if stat is None or mode == GITLINK:
        return ENTRY.pack(0, 0, 0, 0, 0, 0, mode, 0, 0, 0, oid, flags)
    ctime_ns = stat.mtime_ns if stat.ctime_ns is None else stat.ctime_ns
    ino = inode_number(path) if stat.ino is None else stat.ino
    (ctime, crest), (mtime, mrest) = divmod(ctime_ns, _SECOND), divmod(stat.mtime_ns, _SECOND)
    uid, gid = (number & _MASK for number in owner)
    times = (ctime & _MASK, crest, mtime & _MASK, mrest)
    return ENTRY.pack(*times, 0, ino & _MASK, mode, uid, gid, stat.size & _MASK, oid, flags)


def encode_index(count: int, entries: list[bytes], extensions: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """The pieces of an index file, checksum included."""
    pieces = [_HEADER.pack(b"DIRC", 2, count), *entries]
    for signature, data in extensions:
        pieces += [signature, len(data).to_bytes(4, "big"), data]
    body = b"".join(pieces)
    return [body, sha1(body, usedforsecurity=False).digest()]


def encode_cached_trees(trees: Iterable[CachedTree]) -> bytes:
    """The TREE extension; *trees* with the top first and each before what is in it."""
    return b"".join(b"%b\0%d %d\n%b" % tree for tree in trees)


def encode_fsmonitor(token: bytes, count: int, dirty: Iterable[int]) -> bytes:
    """The FSMN extension: as of *token* nothing changed but the entries at the positions *dirty*."""
    bitmap = _ewah(count, dirty)
    return struct.pack(">I", 2) + token + b"\0" + struct.pack(">I", len(bitmap)) + bitmap


def _ewah(count: int, positions: Iterable[int]) -> bytes:
    """A compressed bitmap: markers of (empty words to skip, words that follow)."""
    words: dict[int, int] = {}
    for position in positions:
        words[position // 64] = words.get(position // 64, 0) | 1 << position % 64
    out: list[int] = []
    marker = 0
    at = 0
    for number in sorted(words):
        marker = len(out)
        out += [(number - at) << 1 | 1 << 33, words[number]]
        at = number + 1
    size = (max(words) * 64 + 64) if words else 0
    if not out:
        out = [0]
    return struct.pack(f">II{len(out)}QI", min(size, count), len(out), *out, marker)
