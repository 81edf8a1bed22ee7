r"""How commands speak: data to standard output, messages to standard error.

Names of files are bytes.  In JSON they are strings with undecodable bytes as lone
surrogates (``\udc80`` to ``\udcff``, as Python writes them); on a terminal, such
bytes and control characters are shown escaped.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def print_json(document: Any) -> None:
    """Print one JSON document, in ASCII so that any byte of a file name survives any terminal."""
    print(json.dumps(document, indent=2))


def print_error(error: Exception, code: int, *, as_json: bool) -> None:
    """Say what went wrong."""
    text = str(error) or type(error).__name__
    if as_json:
        # An error that a view told has the name that it had there.
        kind = getattr(error, "told_type", None) or type(error).__name__
        print_json({"error": {"type": kind, "exit_code": code, "message": text}})
    say(f"ai-vcs: {text}")


def say(text: str) -> None:
    """Print a message."""
    sys.stdout.flush()  # so that the two streams interleave as they were written
    print(printable(text), file=sys.stderr)


def printable(text: str) -> str:
    """*text* with everything escaped that a terminal would act on or can't show."""
    return "".join(char if char in "\n\t" or char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return ascii(char)[1:-1]


def path_text(path: bytes) -> str:
    """A path as it stands in JSON."""
    return path.decode("utf-8", "surrogateescape")


def path_bytes(text: str) -> bytes:
    """The path that `path_text` told."""
    return text.encode("utf-8", "surrogateescape")


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns."""
    lines = [[printable(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
