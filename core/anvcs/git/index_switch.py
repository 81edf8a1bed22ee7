"""A view's index on the way from one branch to another: what was staged stays with its branch.

``git switch`` takes what is staged along.  A view's streams keep their work apart, so each has
an index of its own, put aside while another one is shown.
"""

import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from anvcs.git.index_update import Plumbing, copy_path, index_info
from anvcs.git.indexing import locked_index
from anvcs.model.ids import Oid

_FOLDER = "indexes"
_BASE = "@base"


def switch(admin_dir: Path, old: tuple[str, Oid | None], new: tuple[str, Oid]) -> None:
    """Put the index of the stream *old* aside and bring that of *new* up; both with the commits they stand on.

    Raises `IndexLocked`.
    """
    folder = admin_dir / _FOLDER
    folder.mkdir(exist_ok=True)
    index, copy = admin_dir / "index", copy_path(admin_dir)
    kept = _kept(folder, new[0])
    with locked_index(admin_dir):
        copy.unlink(missing_ok=True)
        git = Plumbing(admin_dir)
        try:
            base = _base_of(kept)
            # A link is a copy here: git replaces index files and never writes into them.
            if base is not None:
                os.link(kept, copy)
                _follow(git, base, new[1])
            else:
                if index.exists():
                    os.link(index, copy)
                # Entries that are the same in both keep what is known of the files.
                git.run("read-tree", "--reset", new[1].hex())
            if old[1] is not None and index.exists():
                _put_aside(index, _kept(folder, old[0]), old[1])
            copy.rename(index)
            _forget(kept)
        finally:
            copy.unlink(missing_ok=True)


def put_aside(admin_dir: Path) -> Iterator[tuple[Path, Oid]]:
    """The indexes of streams that are not shown, and the commits they stand on."""
    for index in sorted((admin_dir / _FOLDER).glob("*")):
        base = None if index.name.endswith(_BASE) else _base_of(index)
        if base is not None:
            yield index, base


def forget(admin_dir: Path, stream: str) -> None:
    """The stream is no more: so is what was staged for it."""
    _forget(_kept(admin_dir / _FOLDER, stream))


def _follow(git: Plumbing, old: Oid, new: Oid) -> None:
    """The stream moved while its index lay aside: what was not staged follows."""
    staged = git.raw("diff-index", "--cached", old.hex())
    changes = git.raw("diff-tree", "-r", old.hex(), new.hex())
    changes = {path: leaf for path, leaf in changes.items() if path not in staged}
    if changes:
        git.run("update-index", "-z", "--index-info", stdin=index_info(changes))


def _kept(folder: Path, stream: str) -> Path:
    return folder / urllib.parse.quote(stream, safe="", errors="surrogateescape")


def _base_of(kept: Path) -> Oid | None:
    """The commit that an index put aside stands on; ``None`` when there is none."""
    try:
        return Oid(bytes.fromhex(kept.with_name(f"{kept.name}{_BASE}").read_text())) if kept.exists() else None
    except (FileNotFoundError, ValueError):
        return None


def _put_aside(index: Path, kept: Path, base: Oid) -> None:
    _forget(kept)
    os.link(index, kept)
    kept.with_name(f"{kept.name}{_BASE}").write_text(base.hex())  # last: without it the file means nothing


def _forget(kept: Path) -> None:
    kept.with_name(f"{kept.name}{_BASE}").unlink(missing_ok=True)
    kept.unlink(missing_ok=True)
