"""What ``ai-vcs fsck`` looks at: the rooms' logs, the opaque values, the views' records.

Nothing good is ever dropped: a damaged room is rebuilt from its good records beside the
old file, a damaged value is renamed.  Git's own objects are ``git fsck``'s business.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.model.room import Content
from anvcs.repository import Repository

_CHUNK = 1 << 20
_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    where: str
    what: str
    repaired: bool = False


def check_store(repository: Repository, *, repair: bool = False) -> list[Finding]:
    """Everything that is wrong with the store; with *repair* all that can be put right is."""
    return [
        *_rooms(repository, repair=repair),
        *_objects(repository, repair=repair),
        *_missing_objects(repository),
        *_views(repository),
    ]


def _rooms(repository: Repository, *, repair: bool) -> Iterator[Finding]:
    from anvcs.rooms.fsck import fsck  # pycrdt: 120 ms

    for stream in repository.store.streams_with_rooms():
        report = fsck(repository.store.room_file(stream), repair=repair)
        for problem in report.problems:
            yield Finding(f"room {stream}", problem, report.repaired)
        if report.backup is not None:
            yield Finding(f"room {stream}", f"the damaged file is kept as {report.backup}", repaired=True)


def _objects(repository: Repository, *, repair: bool) -> Iterator[Finding]:
    named = [(path, path.parent.name + path.name, "object") for path in repository.store.objects.glob("??/*")]
    # The embedded store of artifacts names its versions in the same way.
    named += [(path, path.name, "artifact") for path in (repository.store.root / "blobs").glob("k*/*")]
    for path, name, kind in sorted(named):
        if len(name) != _DIGITS or _sha256(path) == name:  # other names are unfinished writes
            continue
        kept = path.with_name(f"{path.name}.damaged")
        if repair:
            path.replace(kept)
        yield Finding(f"{kind} {name}", f"its content has changed{f'; kept as {kept}' if repair else ''}", repair)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _missing_objects(repository: Repository) -> Iterator[Finding]:
    for stream in repository.store.streams_with_rooms():
        try:
            with repository.room(stream) as opened:
                for entry in opened.room.changed():
                    if entry.content is Content.OPAQUE and not opened.room.object_path(entry).exists():
                        shown = (entry.path or b"a deleted file").decode("utf-8", "backslashreplace")
                        yield Finding(f"room {stream}", f"the content of {shown} is missing from objects/")
        except AnvcsError as error:  # a room that could not be repaired
            yield Finding(f"room {stream}", str(error))


def _views(repository: Repository) -> Iterator[Finding]:
    for folder in sorted(repository.store.views.glob("*/")):
        try:
            if (folder / "view.json").exists():
                repository.views.load(folder.name)
        except AnvcsError as error:
            yield Finding(f"view {folder.name}", str(error))
        database = folder / "view.sqlite"
        if database.exists():
            yield from (Finding(f"view {folder.name}", problem) for problem in _sqlite_problems(database))


def _sqlite_problems(file: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            rows = db.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.Error as error:
        return [f"{file.name} can't be read: {error}"]
    return [f"{file.name}: {row[0]}" for row in rows if row[0] != "ok"]
