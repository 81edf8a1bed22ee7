"""Commit messages as Git wants them: cleaned like ``git commit`` does, with trailers at their end."""

import re
from collections.abc import Iterable

from anvcs.errors import AnvcsError

_SPACE = b" \t\r\n"
_TRAILER = re.compile(rb"[A-Za-z0-9-]+[ \t]*:")
_SCISSORS = b"------------------------ >8 ------------------------"


class EmptyMessage(AnvcsError):
    """A commit needs a message, and nothing is left of this one."""

    def __init__(self) -> None:
        super().__init__("the commit message is empty")


class UnusableMessage(AnvcsError):
    """Git cannot store this message."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the commit message cannot be stored: {why}")
        self.why = why


def clean_message(message: bytes, cleanup: str = "default", comment: bytes = b"#") -> bytes:
    """*message* as ``git commit -m`` stores it; *cleanup* is the value of ``commit.cleanup``.

    ``default`` and ``whitespace`` trim, ``strip`` also drops lines that begin with *comment*, ``scissors``
    cuts at git's line, ``verbatim`` keeps all bytes.  Raises :class:`EmptyMessage`, :class:`UnusableMessage`.
    """
    if b"\0" in message:
        raise UnusableMessage("it holds a NUL byte")
    if cleanup == "scissors":
        message = _before_scissors(message, comment)
    if cleanup != "verbatim":
        message = _strip_space(message, comment if cleanup == "strip" else None)
    if not message.strip(_SPACE):
        raise EmptyMessage
    return message


def _strip_space(message: bytes, comment: bytes | None) -> bytes:
    """What ``git stripspace`` does: no space at line ends, no double or outer empty lines, one final newline."""
    lines: list[bytes] = []
    for line in message.split(b"\n"):
        if comment is not None and line.startswith(comment):
            continue
        kept = line.rstrip(_SPACE)
        if kept or (lines and lines[-1]):
            lines.append(kept)
    text = b"\n".join(lines).rstrip(b"\n")
    return text + b"\n" if text else b""


def _before_scissors(message: bytes, comment: bytes) -> bytes:
    line = comment + b" " + _SCISSORS
    if message.startswith(line):
        return b""
    return message.partition(b"\n" + line)[0] + b"\n"


def add_trailers(message: bytes, trailers: Iterable[tuple[str, str]]) -> bytes:
    """A cleaned *message* with ``Token: value`` lines in its last paragraph; what is there already is not repeated."""
    wanted = [_trailer(token, value) for token, value in trailers]
    body = message.rstrip(b"\n")
    present = set(body.split(b"\n"))
    lines = list(dict.fromkeys(line for line in wanted if line not in present))
    if not lines:
        return message
    glue = b"\n" if _ends_with_trailers(body) else b"\n\n"
    return body + glue + b"\n".join(lines) + b"\n"


def _trailer(token: str, value: str) -> bytes:
    return f"{token}: {' '.join(value.split())}".encode("utf-8", "surrogateescape")


def _ends_with_trailers(body: bytes) -> bool:
    """Whether the last paragraph (never the first, the subject) consists of trailers."""
    _, blank, last = body.rpartition(b"\n\n")
    if not blank:
        return False
    lines = last.split(b"\n")
    return bool(_TRAILER.match(lines[0])) and all(line[:1] in {b" ", b"\t"} or _TRAILER.match(line) for line in lines)
