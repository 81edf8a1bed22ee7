"""Artifacts in an ordinary work tree that has their pointers, as a clone without the filter gets them."""

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from anvcs.git.program import git_program
from anvcs.model.pointer import LIMIT, is_pointer

_MOST_NAMED = 500
"""Paths that a command line is given."""


def fill_in(top: Path, paths: Iterable[bytes]) -> list[bytes]:
    """Let Git check *paths* out again whose files are the pointers of its index; which they were.

    The filter must be installed.  A file with another pointer is somebody's change and stays.
    """
    texts = {path: text for path in paths if (text := _pointer(top / os.fsdecode(path))) is not None}
    staged = _staged(top, list(texts))
    texts = {path: text for path, text in texts.items() if _blob_name(text) == staged.get(path)}
    if not texts:
        return []
    try:
        for path in texts:  # Git leaves a file alone that is as its index says
            (top / os.fsdecode(path)).unlink()
        subprocess.run(
            [git_program(), "checkout-index", "-u", "-z", "--stdin"], cwd=top, input=b"\0".join(texts), check=True
        )
    finally:
        for path, text in texts.items():
            file = top / os.fsdecode(path)
            if not file.exists():
                file.write_bytes(text)
    return [path for path in texts if _pointer(top / os.fsdecode(path)) is None]


def _staged(top: Path, paths: list[bytes]) -> dict[bytes, str]:
    """Names of the blobs that the index has at *paths*."""
    if not paths:
        return {}
    command = [
        git_program(),
        "--literal-pathspecs",
        "ls-files",
        "-s",
        "-z",
        "--",
        *map(os.fsdecode, paths[:_MOST_NAMED]),
    ]
    named = command if len(paths) <= _MOST_NAMED else command[: command.index("--")]  # all, when they are very many
    lines = subprocess.run(named, cwd=top, capture_output=True, check=True).stdout.split(b"\0")
    return {path: words.split()[1].decode() for words, _, path in (line.partition(b"\t") for line in lines) if path}


def _blob_name(text: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()


def _pointer(file: Path) -> bytes | None:
    """The pointer that is the content of *file*."""
    try:
        if not file.is_file() or file.lstat().st_size >= LIMIT:
            return None
        text = file.read_bytes()
    except FileNotFoundError:  # gone meanwhile
        return None
    return text if is_pointer(text) else None
