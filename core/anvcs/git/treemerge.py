"""Merging two commits' trees by git itself: renames, modes, links, submodules, criss-cross histories.

``git merge-tree`` needs no work tree and touches no ref.  What it can't decide it tells path by
path, with the three sides; those are then looked at again by who understands their content.
"""

from collections.abc import Iterator

from anvcs.errors import AnvcsError
from anvcs.git import commits
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git, GitFailed
from anvcs.git.transport import GitTooOld
from anvcs.model.ids import Oid
from anvcs.model.stream_merge import BASE, OURS, THEIRS, Stages, Told, TreeMerge
from anvcs.model.tree import Leaf

_CONFLICTS = 1
_SETTINGS = ("-c", "merge.directoryRenames=true", "-c", "merge.renames=true", "-c", "merge.conflictStyle=merge")


class UnrelatedHistories(AnvcsError):
    """Two commits have no common ancestor."""

    def __init__(self, ours: str, theirs: str) -> None:
        super().__init__(f"{theirs} and {ours} have no common history, so there is nothing to merge from")
        self.ours, self.theirs = ours, theirs


def merge_bases(store: ObjectStore, ours: Oid, theirs: Oid) -> tuple[Oid, ...]:
    """The best common ancestors: none for unrelated histories, several after criss-cross merges."""
    done = Git(store.common_dir).run("merge-base", "--all", ours.hex(), theirs.hex(), allow=(1,))
    return tuple(Oid(bytes.fromhex(line)) for line in done.out.decode("ascii").split())


def merge_trees(store: ObjectStore, ours: Oid, theirs: Oid, names: tuple[str, str]) -> TreeMerge:
    """Merge two commits; *names* are what git's words call them.

    Raises:
        GitTooOld, GitFailed: git can't do it.
    """
    command = ("merge-tree", "--write-tree", "-z", "--messages", ours.hex(), theirs.hex())
    try:
        done = Git(store.common_dir).run(*_SETTINGS, *command, allow=(_CONFLICTS,))
    except GitFailed as error:
        if "usage:" in error.stderr:
            raise GitTooOld("2.38") from error
        raise
    words = ((ours.hex(), names[0]), (theirs.hex(), names[1]))
    head, _, rest = done.out.partition(b"\0")
    fields = rest.split(b"\0")
    unmerged = _unmerged(fields)
    tree = Oid(bytes.fromhex(head.decode("ascii")))
    store.remember(tree)
    merged = TreeMerge(tree=tree, unmerged=unmerged, told=tuple(_told(fields, words)))
    return _with_short_names(store, merged, words)


def virtual_base(store: ObjectStore, bases: tuple[Oid, ...]) -> Oid:
    """One commit that stands for several best common ancestors: their merge, as Git itself makes it."""
    first, *others = bases
    who = commits.agent_signature("anvcs")
    for number, other in enumerate(others):
        names = (f"base {number + 1}", f"base {number + 2}")
        first = commits.create_commit(
            store, tree=merge_trees(store, first, other, names).tree, parents=(first, other),
            message=b"a common ancestor\n", author=who, committer=who,
        )  # fmt: skip
    return first


def renames(store: ObjectStore, old: Oid, new: Oid) -> dict[bytes, bytes]:
    """Which path of *new* has which file of *old* under another name."""
    done = Git(store.common_dir).run(
        "diff-tree", "-r", "-M", "--diff-filter=R", "--name-status", "-z", old.hex(), new.hex()
    )
    fields = iter(done.out.split(b"\0"))
    return {target: source for _, source, target in zip(fields, fields, fields, strict=False)}


def _unmerged(fields: list[bytes]) -> dict[bytes, Stages]:
    """The lines ``mode id stage<TAB>path`` at the front of *fields*, which they leave."""
    found: dict[bytes, dict[int, Leaf]] = {}
    while fields:
        line = fields.pop(0)
        if not line:
            break
        head, _, path = line.partition(b"\t")
        mode, oid, stage = head.split(b" ")
        found.setdefault(path, {})[int(stage)] = Leaf(int(mode, 8), Oid(bytes.fromhex(oid.decode("ascii"))))
    return {path: Stages(sides.get(BASE), sides.get(OURS), sides.get(THEIRS)) for path, sides in found.items()}


def _told(fields: list[bytes], words: tuple[tuple[str, str], ...]) -> Iterator[Told]:
    rest = iter(fields)
    for count in rest:
        if not count.isdigit():
            return
        paths = tuple(_short(next(rest), words) for _ in range(int(count)))
        kind, text = next(rest).decode("utf-8", "replace"), next(rest).decode("utf-8", "surrogateescape").strip()
        for digits, name in words:
            text = text.replace(digits, name)
        yield Told(kind=kind, paths=paths, text=text)


def _short(path: bytes, words: tuple[tuple[str, str], ...]) -> bytes:
    """*path* with a branch's name where git put a commit's, to keep two files of one name apart."""
    for digits, name in words:
        mark = f"~{digits}".encode()
        if mark in path:
            path = path.replace(mark, b"~" + name.replace("/", "_").encode("utf-8", "surrogateescape"))
    return path


def _with_short_names(store: ObjectStore, merged: TreeMerge, words: tuple[tuple[str, str], ...]) -> TreeMerge:
    unmerged = {_short(path, words): stages for path, stages in merged.unmerged.items()}
    if unmerged.keys() == merged.unmerged.keys():
        return merged
    changes: dict[bytes, Leaf | None] = {}
    for path in merged.unmerged:
        short, found = _short(path, words), store.find(merged.tree, path)
        if short != path and found is not None:
            changes[path], changes[short] = None, Leaf(found.mode, found.oid)
    return TreeMerge(tree=store.write_tree(merged.tree, changes), unmerged=unmerged, told=merged.told)
