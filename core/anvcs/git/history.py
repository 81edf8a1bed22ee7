"""Commit objects as bytes: who, when, which tree, what was said."""

import re
from dataclasses import dataclass

from anvcs.git.trees import DamagedObject
from anvcs.model.ids import Oid

_IDENT = re.compile(rb"(?P<name>[^<]*?) ?<(?P<email>[^>\n]*)>(?: (?P<time>-?\d+)(?: (?P<zone>[+-]\d+))?)?")
_CRUD = ".,:;<>\"\\'"  # git strips these from the ends of names, and controls with them
_INSIDE = {ord(c): None for c in "<>\n\0"}
_LAST_SECOND = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who did something, and when.  Undecodable bytes are surrogate escapes."""

    name: str
    email: str
    time_s: int
    """Seconds since 1970."""
    offset_min: int = 0
    """The writer's clock: minutes east of Greenwich."""

    def line(self, encoding: str = "") -> bytes:
        """As Git writes it in commits and reflogs; odd characters are dropped as ``git commit`` does."""
        name = clean_ident(self.name) or clean_ident(self.email) or "unknown"
        sign, offset = ("-", -self.offset_min) if self.offset_min < 0 else ("+", self.offset_min)
        zone = f"{sign}{min(offset, 24 * 60) // 60:02d}{offset % 60:02d}"
        when = min(max(self.time_s, 0), _LAST_SECOND)
        text = f"{name} <{clean_ident(self.email)}> {when} {zone}"
        if encoding and _known(encoding):
            return text.encode(encoding, "replace")
        return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """What a commit object says."""

    oid: Oid
    tree: Oid
    parents: tuple[Oid, ...]
    author: Signature
    committer: Signature
    message: bytes
    """As stored, in ``encoding``."""
    encoding: str = "utf-8"

    @property
    def subject(self) -> str:
        """The first paragraph of the message on one line."""
        text = (
            self.message.decode(self.encoding, "replace")
            if _known(self.encoding)
            else self.message.decode(
                errors="replace",
            )
        )
        return " ".join(text.strip().split("\n\n", 1)[0].split())


def clean_ident(text: str) -> str:
    """*text* without what would break a commit's author line."""
    kept = text.translate(_INSIDE)
    while kept and (kept[0] <= " " or kept[0] in _CRUD):
        kept = kept[1:]
    while kept and (kept[-1] <= " " or kept[-1] in _CRUD):
        kept = kept[:-1]
    return kept


def parse_signature(value: bytes) -> Signature:
    """A signature from a commit or reflog line; what is missing in damaged old ones is empty or 0."""
    match = _IDENT.match(value)
    if match is None:
        return Signature(name=value.decode("utf-8", "surrogateescape").strip(), email="", time_s=0)
    zone = int(match["zone"] or b"0")
    minutes = abs(zone) // 100 * 60 + abs(zone) % 100
    return Signature(
        name=match["name"].decode("utf-8", "surrogateescape").strip(" "),
        email=match["email"].decode("utf-8", "surrogateescape"),
        time_s=int(match["time"] or b"0"),
        offset_min=minutes if zone >= 0 else -minutes,
    )


def parse_commit(oid: Oid, data: bytes) -> CommitInfo:
    """The fields of a raw commit object."""
    head, _, message = data.partition(b"\n\n")
    parents: list[Oid] = []
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"parent":
            parents.append(Oid(bytes.fromhex(value.decode("ascii", "replace"))))
        elif key:  # the lines of a signature go on with a space, so their key is empty
            fields.setdefault(key, value)
    try:
        tree = Oid(bytes.fromhex(fields[b"tree"].decode("ascii", "replace")))
    except (KeyError, ValueError) as error:
        raise DamagedObject(oid, "a commit without a tree") from error
    return CommitInfo(
        oid=oid,
        tree=tree,
        parents=tuple(parents),
        author=parse_signature(fields.get(b"author", b"")),
        committer=parse_signature(fields.get(b"committer", b"")),
        message=message,
        encoding=fields.get(b"encoding", b"utf-8").decode("ascii", "replace"),
    )


def encode_commit(
    *,
    tree: Oid,
    parents: tuple[Oid, ...],
    author: Signature,
    committer: Signature,
    message: bytes,
    encoding: str = "",
) -> bytes:
    """A raw commit object without a signature."""
    lines = [b"tree %b" % tree.hex().encode()]
    lines += [b"parent %b" % parent.hex().encode() for parent in parents]
    lines += [b"author " + author.line(encoding), b"committer " + committer.line(encoding)]
    if encoding:
        lines.append(b"encoding " + encoding.encode("ascii"))
    return b"\n".join(lines) + b"\n\n" + message


def _known(encoding: str) -> bool:
    try:
        b"".decode(encoding)
    except LookupError:
        return False
    return True
