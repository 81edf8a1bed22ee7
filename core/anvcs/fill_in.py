"""Artifacts in an ordinary work tree that has their pointers, as a clone without the filter gets them."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from anvcs.git.program import git_program
from anvcs.model.pointer import LIMIT, is_pointer


def fill_in(top: Path, paths: Iterable[bytes]) -> list[bytes]:
    """Let Git check *paths* out again whose files are pointers; which they were.  The filter must be installed."""
    texts = {path: text for path in paths if (text := _pointer(top / os.fsdecode(path))) is not None}
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
    return list(texts)


def _pointer(file: Path) -> bytes | None:
    """The pointer that is the content of *file*."""
    try:
        if not file.is_file() or file.lstat().st_size >= LIMIT:
            return None
        text = file.read_bytes()
    except FileNotFoundError:  # gone meanwhile
        return None
    return text if is_pointer(text) else None
