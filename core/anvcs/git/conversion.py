"""What Git does to a file's bytes between a blob and a work tree.

Line ends and ``$Id$`` are done here, in microseconds; encodings and filter drivers are left
to Git's own program (`anvcs.git.filters`).  To a blob: filter, encoding, line ends, ``$Id$``.
To a file: the reverse.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anvcs.git.attributes import AttributeList, AttributeRules, Attributes, Value, macros_defined
from anvcs.git.settings import Driver, Settings, read_rules

OUR_FILTER = b"anvcs"
"""The driver by which Git asks for artifacts (`ai-vcs filter-process`)."""
_ID_IN_FILE = re.compile(rb"\$Id:[^$\n]*\$")
# An id with a space inside comes from another version control system: Git leaves it alone.
_ID_IN_BLOB = re.compile(rb"\$Id(?:|:(?:[^$\n](?:[^$\n ]*[^$\n])?)?)\$")
_NOT_PRINTABLE = bytes(c for c in range(32) if c not in b"\b\t\n\f\r\x1b") + b"\x7f"
_UTF8 = frozenset({b"UTF-8", b"UTF8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How the bytes of a path's blob and of its file differ.  Equal values convert alike."""

    text: bool = False
    """Line ends become LF in the blob."""
    auto: bool = False
    """Only if the content looks like text."""
    crlf: bool = False
    """Line ends become CRLF in the file."""
    ident: bool = False
    encoding: bytes | None = None
    filter: bytes | None = None
    driver: Driver | None = None

    @property
    def smudges(self) -> bool:
        """Whether a file's bytes can differ from its blob's; if not, sizes agree too."""
        return self.crlf or self.ident or self.smudges_outside

    @property
    def smudges_outside(self) -> bool:
        """Whether making the file's bytes takes a program."""
        return self.encoding is not None or (
            self.driver is not None and bool(self.driver.smudge or self.driver.process or self.driver.required)
        )

    @property
    def cleans_outside(self) -> bool:
        """Whether making the blob's bytes takes a program."""
        return self.encoding is not None or (
            self.driver is not None and bool(self.driver.clean or self.driver.process or self.driver.required)
        )


def conversion_for(attributes: Attributes, settings: Settings) -> Conversion | None:
    """What *attributes* and the configuration ask for; None when bytes always stay as they are."""
    text, auto, crlf = _line_ends(attributes, settings)
    name = attributes.get(b"filter")
    driver = settings.drivers.get(name.decode(errors="surrogateescape")) if isinstance(name, bytes) else None
    if name == OUR_FILTER:  # a view knows artifacts by itself
        driver = None
    if driver is not None and not (driver.clean or driver.smudge or driver.process or driver.required):
        driver = None
    encoding = attributes.get(b"working-tree-encoding")
    if not isinstance(encoding, bytes) or not encoding or encoding.upper() in _UTF8:
        encoding = None
    found = Conversion(
        text=text,
        auto=auto,
        crlf=crlf,
        ident=attributes.get(b"ident") is True,
        encoding=encoding,
        filter=name if driver is not None and isinstance(name, bytes) else None,
        driver=driver,
    )
    return None if found == _NOTHING else found


_NOTHING = Conversion()


def _line_ends(attributes: Attributes, settings: Settings) -> tuple[bool, bool, bool]:
    """Whether the path is text, only if it looks so, and with CRLF in the file."""
    kind = _text_kind(attributes.get(b"text")) or _text_kind(attributes.get(b"crlf"))
    if kind == "binary":
        return False, False, False
    eol = attributes.get(b"eol")
    if eol in {b"lf", b"crlf"}:
        return True, kind == "auto", eol == b"crlf"
    if kind is None:
        return settings.autocrlf != "false", settings.autocrlf != "false", settings.autocrlf == "true"
    return True, kind == "auto", kind != "input" and settings.native_crlf


def _text_kind(value: Value) -> str | None:
    if isinstance(value, bool):
        return "text" if value else "binary"
    return {b"auto": "auto", b"input": "input"}.get(value or b"")


def smudging_paths(settings: Settings, files: Mapping[bytes, bytes]) -> Callable[[bytes], bool] | None:
    """A test for paths whose files can differ from their blobs; None: there is no such path.

    *files* are the tree's attribute files by directory.  Made for asking about every path once.
    """
    info, *others = (read_rules(path) for path in settings.attribute_files)
    texts = (info, files.get(b"", b""), *others)
    macros = frozenset(name for text in texts for name in macros_defined(text))

    def compiled(text: bytes) -> AttributeList:
        return AttributeList(text, fold=settings.fold_case, macros=macros)

    below = {directory: compiled(text) for directory, text in files.items()}
    rules = AttributeRules(compiled(info), below, [compiled(text) for text in others])

    def smudges(path: bytes) -> bool:
        found = conversion_for(rules.get(path), settings)
        return found is not None and found.smudges

    if settings.autocrlf == "true":
        return smudges
    suspect = rules.suspects(lambda name, value: _may_smudge(name, value, settings))
    return None if suspect is None else lambda path: suspect(path) and smudges(path)


def _may_smudge(name: bytes, value: Value, settings: Settings) -> bool:
    """Whether an attribute by itself can make files differ from blobs."""
    if name in {b"text", b"crlf"}:
        return settings.native_crlf and value is not False
    if name == b"eol":
        return value == b"crlf"
    if name == b"filter":
        return (
            isinstance(value, bytes)
            and value != OUR_FILTER
            and value.decode(errors="surrogateescape") in settings.drivers
        )
    return name in {b"ident", b"working-tree-encoding"} and bool(value)


def looks_binary(data: bytes) -> bool:
    """Git's guess for ``text=auto``: a NUL, a lone CR, or over 1/128 of unprintable bytes."""
    returns = data.count(b"\r")
    if b"\0" in data or returns != data.count(b"\r\n"):
        return True
    unprintable = len(data) - len(data.translate(None, _NOT_PRINTABLE))
    printable = len(data) - unprintable - returns - data.count(b"\n")
    # A ^Z at the end is how old systems end a text; it is not held against it.
    return printable >> 7 < unprintable - data.endswith(b"\x1a")


def smudge_text(conversion: Conversion, data: bytes) -> bytes:
    """The part of making a file's bytes that takes no program."""
    if conversion.ident and b"$Id" in data:
        data = _with_ids(data)
    if not conversion.crlf or b"\n" not in data:
        return data
    # Content that was stored with CR, or isn't text, is none of the guess's business.
    if conversion.auto and (b"\r" in data or looks_binary(data)):
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def clean_text(conversion: Conversion, data: bytes, previous: bytes | None = None) -> bytes:
    """The part of making a blob's bytes that takes no program.

    *previous* is the blob that Git's index has for the path: when the guess decides, a
    file that is stored with CRLF stays so.
    """
    if conversion.text and b"\r\n" in data and not (conversion.auto and _keeps_crlf(data, previous)):
        data = data.replace(b"\r\n", b"\n")
    if conversion.ident and b"$Id:" in data:
        data = _ID_IN_FILE.sub(b"$Id$", data)
    return data


def _keeps_crlf(data: bytes, previous: bytes | None) -> bool:
    return looks_binary(data) or (previous is not None and b"\r\n" in previous and not looks_binary(previous))


def _with_ids(data: bytes) -> bytes:
    digest = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return _ID_IN_BLOB.sub(b"$Id: " + digest.encode() + b" $", data)
