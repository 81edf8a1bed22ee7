"""A branch without a commit (``git checkout --orphan``) starts from the work tree as it is."""

from anvcs.git.objects import ObjectStore
from anvcs.model.ids import Oid
from anvcs.model.room import Content, Entry
from anvcs.model.tree import DIRECTORY, SYMLINK, Leaf
from anvcs.rooms.room import Room


def carry(git: ObjectStore, old: Room, new: Room) -> list[bytes]:
    """Make *new* show what *old* shows, where *new* has no work of its own; *old* keeps its own.

    Returns the paths at which *new* shows something else than *old* (its own uncommitted work).
    """
    before = None if old.base is None else git.tree_of(old.base)
    after = None if new.base is None else git.tree_of(new.base)
    paths = {change.path for change in git.diff(before, after)}
    own = {entry.path for entry in new.changed() if entry.path is not None}
    touched = [path for entry in old.changed() for path in (entry.path, entry.base_path) if path is not None]
    paths.update(touched)
    for path in sorted(paths - own):
        _carry_path(git, old, new, path, before, after)
    return sorted(own)


def _carry_path(git: ObjectStore, old: Room, new: Room, path: bytes, before: Oid | None, after: Oid | None) -> None:
    entry = old.entry(path)
    target = _leaf(git, after, path)
    if entry is None:
        leaf = None if old.hides(path) else _leaf(git, before, path)
        if leaf == target:
            return
        if leaf is None:
            if target is not None:
                new.remove(path)
        else:
            new.put_leaf(path, leaf, git.header(leaf.oid), 0)
        return
    if entry.mode == DIRECTORY:
        if new.entry(path) is None and (after is None or git.find(after, path) is None):
            new.mkdir(path, entry.mtime_ns)
        return
    _carry_entry(git, old, new, path, entry, target)


def _carry_entry(git: ObjectStore, old: Room, new: Room, path: bytes, entry: Entry, target: Leaf | None) -> None:
    if entry.content is Content.GIT or entry.content is Content.NONE:
        leaf = Leaf(entry.mode, Oid(entry.ref))
        if leaf != target:
            new.put_leaf(path, leaf, entry.size, entry.mtime_ns)
    elif entry.mode == SYMLINK:
        if target is not None and (target.mode != SYMLINK or git.blob(target.oid) != entry.ref):
            new.remove(path)
            target = None
        if target is None:
            new.create_link(path, entry.ref, entry.mtime_ns)
    elif entry.content is Content.OPAQUE:
        new.write_object(path, entry.ref, entry.size, mode=entry.mode, mtime_ns=entry.mtime_ns)
    else:
        # Equal to the new base again: the room finds that and keeps no entry.
        new.write(path, old.read(entry), mode=entry.mode, mtime_ns=entry.mtime_ns)


def _leaf(git: ObjectStore, tree: Oid | None, path: bytes) -> Leaf | None:
    found = None if tree is None else git.find(tree, path)
    return None if found is None or found.mode == DIRECTORY else Leaf(found.mode, found.oid)
