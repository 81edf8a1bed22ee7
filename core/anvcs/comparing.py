"""Two commits compared by what their languages call things, within files and between them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from anvcs.git.objects import ObjectStore
from anvcs.git.treemerge import renames
from anvcs.merging.semantic import Change, Entity, changes, entities
from anvcs.model.ids import Oid
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf

_LARGEST = 2 << 20


def compared(objects: ObjectStore, old: Oid, new: Oid, paths: Iterable[bytes] = ()) -> list[dict[str, Any]]:
    """Each file that differs, with its changes by entity; ``changes`` is None where nobody can read the file."""
    wanted = tuple(paths)
    moved = renames(objects, old, new)
    sources = set(moved.values())
    files: dict[bytes, tuple[list[Entity] | None, list[Entity] | None]] = {}
    for change in objects.diff(objects.tree_of(old), objects.tree_of(new)):
        if change.new is None and change.path in sources:
            continue
        was = moved.get(change.path)
        before = change.old if was is None else _leaf(objects, old, was)
        files[change.path] = _read(objects, was or change.path, before), _read(objects, change.path, change.new)
    found = {path: _changes(*pair) for path, pair in files.items()}
    _between(files, found)
    return [
        {
            "path": _text(path),
            "was": _text(moved[path]) if path in moved else None,
            "changes": None if told is None else [_document(one) for one in told],
        }
        for path, told in found.items()
        if not wanted or any(path == top or path.startswith(top + b"/") or not top for top in wanted)
    ]


def _changes(old: list[Entity] | None, new: list[Entity] | None) -> list[Change] | None:
    return None if old is None or new is None else changes(old, new)


def _read(objects: ObjectStore, path: bytes, leaf: Leaf | None) -> list[Entity] | None:
    if leaf is None:
        return []
    if leaf.mode not in (REGULAR, EXECUTABLE) or objects.header(leaf.oid) > _LARGEST:
        return None
    return entities(path, objects.blob(leaf.oid))


def _leaf(objects: ObjectStore, commit: Oid, path: bytes) -> Leaf | None:
    found = objects.find(objects.tree_of(commit), path)
    return None if found is None else Leaf(found.mode, found.oid)


def _between(
    files: dict[bytes, tuple[list[Entity] | None, list[Entity] | None]], found: dict[bytes, list[Change] | None]
) -> None:
    """What is gone from one file and stands in another word for word has moved."""
    gone = {one.text.strip(): (path, title) for path, title, one in _which(files, found, "removed", 0)}
    for path, title, one in list(_which(files, found, "added", 1)):
        source = gone.pop(one.text.strip(), None)
        told = found[path]
        if source is None or told is None or source[0] == path:
            continue
        at = next(number for number, each in enumerate(told) if each.what == "added" and each.entity == title)
        told[at] = replace(told[at], what="moved", was=source[1], path=source[0])
        rest = found[source[0]] or []
        rest[:] = [each for each in rest if (each.what, each.entity) != ("removed", source[1])]


def _which(
    files: dict[bytes, tuple[list[Entity] | None, list[Entity] | None]],
    found: dict[bytes, list[Change] | None],
    what: str,
    side: int,
) -> Iterator[tuple[bytes, str, Entity]]:
    for path, told in found.items():
        titles = {one.entity for one in told or () if one.what == what}
        for one in files[path][side] or ():
            if one.title in titles and one.head:
                yield path, one.title, one


def _document(one: Change) -> dict[str, Any]:
    told: dict[str, Any] = {"what": one.what, "entity": one.entity, "line": one.line or None}
    if one.was:
        told["was"] = one.was
    if one.path:
        told["from"] = _text(one.path)
    return told


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
