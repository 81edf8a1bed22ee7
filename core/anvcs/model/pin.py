"""Exactly which bytes an artifact is, and where they are.

A pin is a value from outside (a commit, a note, a file somebody wrote): it is valid
from birth or not born.  How it is written in a tree is `anvcs.model.pointer`'s business.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from anvcs.errors import AnvcsError

ZSTD: Final = "zstd"

MAX_SIZE: Final = 1 << 50
MAX_PIECE: Final = 16 << 20
"""Bytes: a piece is held in memory until it is verified."""
MAX_PIECES: Final = 1 << 20

_DIGEST = re.compile(r"[0-9a-f]{64}")
_STORAGE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_BUCKET = re.compile(r"[A-Za-z0-9._:/-]{0,255}")
_REGION = re.compile(r"[A-Za-z0-9-]{0,63}")
_EXTRA = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_KNOWN = ("storage", "bucket", "region", "key", "version_id", "sha256", "size", "pieces", "compress", "mtime")
_TIME = re.compile(r"([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9])(?:\.([0-9]{1,9}))?Z")
_SECOND: Final = 10**9
_LAST_NS: Final = 1 << 63
"""In the year 2262: file systems and databases have 63 bits for such numbers."""


class MalformedPin(AnvcsError):
    """Something claims to be a pin and can't be one."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a pin: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """An artifact cut into pieces that can be verified one by one."""

    size: int
    """Bytes of content in a piece; the last one may be shorter."""
    digest: str
    """SHA-256 of the piece list (``docs/reference/formats/artifact-pointer.md``)."""
    version_id: str = ""
    """Version of the object that is the list; empty: the newest."""

    def __post_init__(self) -> None:
        if not 4096 <= self.size <= MAX_PIECE or self.size % 4096:
            raise MalformedPin(f"pieces of {self.size} bytes")
        if not _DIGEST.fullmatch(self.digest):
            raise MalformedPin("the digest of its pieces is not 64 hexadecimal digits")
        _one_word("version_id of its pieces", self.version_id)

    @property
    def key(self) -> str:
        """Where a store keeps the list."""
        return f".anvcs/pieces/{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One version of one artifact."""

    storage: str
    """Kind of store: ``local``, ``s3``, ``nfs``, ``ipfs`` or one that somebody registered."""
    bucket: str = ""
    region: str = ""
    key: str
    version_id: str = ""
    """Empty only for what was committed before it was uploaded: its key names the content, so any version is it."""
    sha256: str
    """Of the content, also when the store holds it compressed."""
    size: int
    """Of the content, in bytes."""
    pieces: Pieces | None = None
    compress: str = ""
    """``zstd``: the stored object is a row of zstd frames, one for each piece."""
    mtime_ns: int = 0
    """When the content was written, in nanoseconds since 1970; 0: not known."""
    extra: tuple[tuple[str, str], ...] = ()
    """What a later version wrote and this one must keep."""

    def __post_init__(self) -> None:
        for what, pattern, value in (
            ("storage", _STORAGE, self.storage),
            ("bucket", _BUCKET, self.bucket),
            ("region", _REGION, self.region),
            ("sha256", _DIGEST, self.sha256),
        ):
            if not pattern.fullmatch(value):
                raise MalformedPin(f"{value[:80]!r} can't be its {what}")
        if not 0 <= self.size <= MAX_SIZE:
            raise MalformedPin(f"a size of {self.size}")
        if self.compress not in {"", ZSTD}:
            raise MalformedPin(f"{self.compress[:40]!r} is no compression that this program knows")
        if not 0 <= self.mtime_ns < _LAST_NS:
            raise MalformedPin("its mtime is before 1970 or after 2262")
        _key(self.key)
        _one_word("version_id", self.version_id)
        if self.pieces is not None and self.piece_count > MAX_PIECES:
            raise MalformedPin(f"{self.piece_count} pieces")
        _extras(self.extra)

    @property
    def piece_count(self) -> int:
        """How many pieces there are; 1 without pieces, 0 for nothing at all."""
        size = self.pieces.size if self.pieces is not None else max(self.size, 1)
        return -(-self.size // size)

    def document(self) -> dict[str, object]:
        """The pin as the metadata of a commit has it: keys in a fixed order, nothing empty but ``version_id``."""
        found: dict[str, object] = {"storage": self.storage}
        found |= {name: value for name, value in (("bucket", self.bucket), ("region", self.region)) if value}
        found |= {"key": self.key, "version_id": self.version_id, "sha256": self.sha256, "size": self.size}
        if self.pieces is not None:
            pieces = self.pieces
            found["pieces"] = {"size": pieces.size, "digest": pieces.digest, "version_id": pieces.version_id}
        if self.compress:
            found["compress"] = self.compress
        if self.mtime_ns:
            found["mtime"] = self.mtime
        return found | dict(self.extra)

    @property
    def mtime(self) -> str:
        """`mtime_ns` as pointers and documents have it: RFC 3339, in UTC."""
        seconds, rest = divmod(self.mtime_ns, _SECOND)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"

    def shown_mtime_ns(self, epoch_ns: int) -> int:
        """The time that a view shows which began at *epoch_ns*: not after it, or Git would look into what is so new."""
        return min(self.mtime_ns, epoch_ns) or epoch_ns

    def written_at(self, mtime_ns: int) -> "Pin":
        """The same content, last written then; a time that no pin can have is left out."""
        return replace(self, mtime_ns=mtime_ns if 0 <= mtime_ns < _LAST_NS else 0)

    def at_version(self, version_id: str, pieces_version: str = "") -> "Pin":
        """The same content once the store has given it a version."""
        pieces = self.pieces and replace(self.pieces, version_id=pieces_version)
        return replace(self, version_id=version_id, pieces=pieces)


def pin_from_document(document: Mapping[str, object]) -> Pin:
    """The pin that `Pin.document` wrote; unknown keys with text are kept, other unknown ones are not."""
    pieces = document.get("pieces")
    if pieces is not None and not isinstance(pieces, Mapping):
        raise MalformedPin("its pieces are not a mapping")
    extra = [(name, value) for name, value in document.items() if name not in _KNOWN and isinstance(value, str)]
    return Pin(
        storage=_text(document, "storage"),
        bucket=_text(document, "bucket"),
        region=_text(document, "region"),
        key=_text(document, "key"),
        version_id=_text(document, "version_id"),
        sha256=_text(document, "sha256"),
        size=_number(document, "size"),
        compress=_text(document, "compress"),
        mtime_ns=time_from(_text(document, "mtime")),
        pieces=None if pieces is None else _pieces(pieces),
        extra=tuple((name, value) for name, value in extra if _EXTRA.fullmatch(name)),
    )


def _pieces(document: Mapping[str, object]) -> Pieces:
    return Pieces(
        size=_number(document, "size"), digest=_text(document, "digest"), version_id=_text(document, "version_id")
    )


def time_from(text: str) -> int:
    """Nanoseconds since 1970 for what `Pin.mtime` gave; 0 for an empty text."""
    if not text:
        return 0
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        when = datetime.fromisoformat(f"{match[1]}+00:00")
    except ValueError:
        raise MalformedPin(f"{text[:40]!r} is no time") from None
    return int(when.timestamp()) * _SECOND + int((match[2] or "").ljust(9, "0"))


def names_content(key: str) -> bool:
    """Whether a key says what its content is, so that every version of it will do."""
    return key.startswith((".anvcs/pieces/", ".anvcs/sha256/"))


def content_key(sha256: str) -> str:
    """The key of what is committed before it is uploaded: it names the content and so needs no version."""
    return f".anvcs/sha256/{sha256[:2]}/{sha256}"


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise MalformedPin(f"its {name} is not text")
    return value


def _number(document: Mapping[str, object], name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedPin(f"its {name} is not a number")
    return value


def _key(value: str) -> None:
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise MalformedPin("its key is not Unicode") from None
    if not 0 < length <= 1024 or any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise MalformedPin("its key is empty, longer than 1,024 bytes or has control characters")
    if value.startswith("/") or any(part in {"", ".", ".."} for part in value.split("/")):
        raise MalformedPin(f"{value[:80]!r} can't be its key")


def _one_word(what: str, value: str) -> None:
    if len(value) > 1024 or not value.isascii() or any(not 33 <= ord(char) <= 126 for char in value):
        raise MalformedPin(f"its {what} is not one word")


def _extras(extra: tuple[tuple[str, str], ...]) -> None:
    names = [name for name, _ in extra]
    if len(set(names)) < len(names) or any(name in _KNOWN or not _EXTRA.fullmatch(name) for name in names):
        raise MalformedPin("an unknown key stands there twice or is no word")
