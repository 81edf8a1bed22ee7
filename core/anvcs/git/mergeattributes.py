"""What ``.gitattributes`` of a commit say about merging some of its paths.

``git merge-tree`` doesn't look at them, because it has no work tree; ``git merge`` does.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git
from anvcs.model.ids import Oid
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf

_NAME = b".gitattributes"
_TELLING = (b"merge", b"binary", b"[attr]")
_UNSPECIFIED = b"unspecified"


def merge_attributes(store: ObjectStore, commit: Oid, paths: Iterable[bytes]) -> dict[bytes, bytes]:
    """The attribute ``merge`` of those *paths* for which it is specified: ``set``, ``unset`` or a driver's name."""
    wanted = list(paths)
    files = _attribute_files(store, store.tree_of(commit), wanted)
    info = store.common_dir / "info" / "attributes"
    if not files and not info.exists():
        return {}
    with tempfile.TemporaryDirectory(prefix="anvcs-attributes-") as folder:
        place = Path(folder, "tree")
        place.mkdir()
        # It stays empty: with --cached git looks into the index alone, and wants a work tree all the same.
        git = Git(store.common_dir, place, {"GIT_INDEX_FILE": str(Path(folder, "index"))})
        lines = [b"%o %b\t%b\0" % (leaf.mode, leaf.oid.hex().encode(), path) for path, leaf in files.items()]
        git.run("update-index", "-z", "--index-info", stdin=b"".join(lines))
        done = git.run("check-attr", "--cached", "-z", "--stdin", "merge", stdin=b"".join(p + b"\0" for p in wanted))
    fields = iter(done.out.split(b"\0"))
    return {path: value for path, _, value in zip(fields, fields, fields, strict=False) if value != _UNSPECIFIED}


def _attribute_files(store: ObjectStore, tree: Oid, paths: Iterable[bytes]) -> dict[bytes, Leaf]:
    """The attribute files above *paths*, if one of them can say anything about merging."""
    folders = {b""}
    for path in paths:
        while b"/" in path:
            path = path.rpartition(b"/")[0]  # noqa: PLW2901  # walks up
            if path in folders:
                break
            folders.add(path)
    found: dict[bytes, Leaf] = {}
    tells = False
    for folder in folders:
        path = folder + b"/" + _NAME if folder else _NAME
        entry = store.find(tree, path)
        if entry is not None and entry.mode in (REGULAR, EXECUTABLE):
            found[path] = Leaf(entry.mode, entry.oid)
            tells = tells or any(word in store.blob(entry.oid) for word in _TELLING)
    return found if tells else {}
