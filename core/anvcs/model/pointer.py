"""The small text that stands for an artifact in a Git tree.

Specified in ``docs/reference/formats/artifact-pointer.md``.  A pointer is recognized by
its first line; what begins like one and can't be read is an error, never content and
never a guess.
"""

import re
from typing import Final

from anvcs.errors import AnvcsError
from anvcs.model.pin import MalformedPin, Pieces, Pin, time_from

MAGIC: Final = b"anvcs artifact "
VERSION: Final = 1
LIMIT: Final = 1024
"""A pointer is shorter than this."""

_HEAD = MAGIC + b"%d\n" % VERSION
_LINE = re.compile(r"([a-z][a-z0-9_.-]{0,31}) (\S|\S.*\S)")
_HIDDEN = re.compile(r"[\x00-\x1f\x7f%]|^\s|\s$|[\x80-\x9f\u2028\u2029]")
_QUOTED = re.compile(r"((?:%[0-9A-F]{2})+)")
_BAD_PERCENT = re.compile(r"%(?![0-9A-F]{2})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


class MalformedPointer(AnvcsError):
    """A text that begins like a pointer and is none."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"a damaged artifact pointer: {reason}")
        self.reason = reason


class PointerVersionUnknown(AnvcsError):
    """A later version of this program wrote the pointer."""

    def __init__(self, found: str) -> None:
        super().__init__(f"an artifact pointer of version {found!r}; this program reads version {VERSION}")
        self.found = found


class PointerTooLong(AnvcsError):
    """The pin has so long a key or version that no pointer holds it."""

    def __init__(self, length: int) -> None:
        super().__init__(
            f"the pointer would have {length} bytes, and fewer than {LIMIT} are allowed: use a shorter key"
        )
        self.length = length


def is_pointer(data: bytes) -> bool:
    """Whether *data*, the start of a file or all of it, begins like a pointer."""
    return data.startswith(MAGIC)


def encode_pointer(pin: Pin) -> bytes:
    """The text for a tree; raises `PointerTooLong`."""
    lines = [("sha256", pin.sha256), ("size", str(pin.size)), ("storage", pin.storage)]
    lines += [(name, value) for name, value in (("bucket", pin.bucket), ("region", pin.region)) if value]
    lines.append(("key", pin.key))
    if pin.version_id:
        lines.append(("version_id", pin.version_id))
    if pin.pieces is not None:
        lines.append(("pieces", f"{pin.pieces.size} {pin.pieces.digest} {pin.pieces.version_id}".rstrip()))
    if pin.compress:
        lines.append(("compress", pin.compress))
    if pin.mtime_ns:
        lines.append(("mtime", pin.mtime))
    lines += pin.extra
    data = _HEAD + b"".join(f"{name} {_quote(value)}\n".encode() for name, value in lines)
    if len(data) >= LIMIT:
        raise PointerTooLong(len(data))
    return data


def decode_pointer(data: bytes) -> Pin:
    """The pin that a pointer says; raises `MalformedPointer` or `PointerVersionUnknown`."""
    if not is_pointer(data):
        raise MalformedPointer("it has another first line")
    if not data.startswith(_HEAD):
        version = data[len(MAGIC) :].partition(b"\n")[0][:20].decode("ascii", "replace")
        raise PointerVersionUnknown(version)
    if len(data) >= LIMIT or not data.endswith(b"\n"):
        raise MalformedPointer("it is too long or cut off")
    try:
        text = data[len(_HEAD) : -1].decode()
    except UnicodeDecodeError:
        raise MalformedPointer("it is not UTF-8") from None
    try:
        return _pin(_fields(text))
    except MalformedPin as error:
        raise MalformedPointer(error.reason) from None


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None or _BAD_PERCENT.search(line):
            raise MalformedPointer(f"the line {line[:40]!r}")
        if match[1] in found:
            raise MalformedPointer(f"two lines say {match[1]}")
        found[match[1]] = _unquote(match[2])
    return found


def _pin(fields: dict[str, str]) -> Pin:
    for name in ("sha256", "size", "storage", "key"):
        if name not in fields:
            raise MalformedPointer(f"no line says {name}")
    known = {name: fields.pop(name, "") for name in ("sha256", "storage", "bucket", "region", "key", "version_id")}
    size, pieces, compress = fields.pop("size"), fields.pop("pieces", ""), fields.pop("compress", "")
    mtime = fields.pop("mtime", "")
    return Pin(
        **known,
        size=_number(size),
        pieces=_pieces(pieces) if pieces else None,
        compress=compress,
        mtime_ns=time_from(mtime),
        extra=tuple(fields.items()),
    )


def _pieces(value: str) -> Pieces:
    words = value.split(" ")
    if not 2 <= len(words) <= 3:
        raise MalformedPointer("its pieces are not a size, a digest and a version")
    return Pieces(size=_number(words[0]), digest=words[1], version_id=words[2] if len(words) == 3 else "")


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise MalformedPointer(f"{text[:40]!r} is no number")
    return int(text)


def _quote(value: str) -> str:
    return _HIDDEN.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), value)


def _unquote(value: str) -> str:
    def plain(match: re.Match[str]) -> str:
        try:
            return bytes.fromhex(match[1].replace("%", "")).decode()
        except UnicodeDecodeError:
            raise MalformedPointer("a quoted character is not UTF-8") from None

    return _QUOTED.sub(plain, value)
