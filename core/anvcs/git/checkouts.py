"""Ordinary checkouts of a branch, which follow when one of our commits moves it.

A view is no checkout here: its admin directory is not registered under ``worktrees``.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.git.config import Configuration
from anvcs.git.history import Signature
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git, GitFailed
from anvcs.git.reflock import append_log
from anvcs.git.refs import ZERO, Refs
from anvcs.git.trees import EMPTY_TREE
from anvcs.model.ids import Oid
from anvcs.model.tree import GITLINK, TreeChange

_PATHSPEC_LIMIT = 200  # more paths than this cost more as arguments than looking at the whole tree
_NAMED = re.compile(r"(?:Entry|file) '(.+?)' (?:not up.?to.?date|would be|overlaps)|^\t(.+)$", re.MULTILINE)
_HEADS = "refs/heads/"
_UNUSUAL = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "info/sparse-checkout", "index.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A work tree on disk that has a branch checked out."""

    git_dir: Path
    work_tree: Path
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How a checkout took a moved branch; ``problem`` is empty when its files are those of the new commit."""

    checkout: Checkout
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A checkout that was found able to follow, by changing *paths*."""

    checkout: Checkout
    paths: tuple[bytes, ...] = ()
    stamps: tuple[tuple[int, ...] | None, ...] | None = None
    """How the files were when they were found clean; ``None``: git must look at everything again."""


class CheckoutInTheWay(AnvcsError):
    """A checkout of the branch has changes of its own in paths that the commit changes."""

    def __init__(self, checkout: Checkout, paths: tuple[bytes, ...], complaint: str = "") -> None:
        names = ", ".join(os.fsdecode(path) for path in paths[:5]) + (", …" if len(paths) > 5 else "")
        branch = checkout.ref.removeprefix(_HEADS)
        super().__init__(
            f"{checkout.work_tree} has {branch} checked out with changes of its own in {names or 'the same files'}"
            f"{': ' + complaint if complaint and not paths else ''}; "
            f"commit or stash them there, or switch that directory to another branch",
        )
        self.checkout, self.paths = checkout, paths


def find_checkouts(common_dir: Path, ref: str) -> list[Checkout]:
    """The main work tree and the linked ones whose ``HEAD`` is *ref*; absent directories are left out."""
    found = []
    wanted = b"ref: " + os.fsencode(ref)
    for git_dir in (common_dir, *_linked(common_dir)):
        try:
            head = (git_dir / "HEAD").read_bytes().strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if head == wanted:
            work_tree = _main_work_tree(common_dir) if git_dir == common_dir else _linked_work_tree(git_dir)
            if work_tree is not None:
                found.append(Checkout(git_dir=git_dir, work_tree=work_tree, ref=ref))
    return found


def dirty_paths(checkout: Checkout, paths: Iterable[bytes]) -> list[bytes]:
    """Which of *paths* differ from the checkout's own commit there, in its index or on its disk.

    An untracked file at one of them counts too; an ignored one does not, since Git overwrites those.
    """
    wanted = list(dict.fromkeys(paths))
    dirty = _status(checkout, wanted if len(wanted) <= _PATHSPEC_LIMIT else ())
    return [path for path in wanted if path in dirty]


def require_clean(store: ObjectStore, checkouts: Iterable[Checkout], old: Oid | None, new: Oid) -> list[Prepared]:
    """Raise :class:`CheckoutInTheWay` when a checkout could not follow from *old* to *new*; changes nothing.

    What it returns makes :func:`follow` faster.
    """
    checkouts = list(checkouts)
    if not checkouts:
        return []
    changes = list(store.diff(_tree(store, old), _tree(store, new)))
    return [_prepare(store, checkout, old, new, changes) for checkout in checkouts]


def follow(
    store: ObjectStore, prepared: Iterable[Prepared], old: Oid | None, new: Oid, *, message: str, who: Signature
) -> list[Followed]:
    """Bring the files and the index of checkouts from *old* to *new*, keeping their own other changes.

    The branch has moved already, so a problem is reported and not raised.
    """
    results = []
    for one in prepared:
        try:
            if one.stamps is not None and one.stamps == stamps_of(one.checkout.work_tree, one.paths):
                _restore(one, new)
            else:
                _read_tree(store, one.checkout, old, new, dry=False)
        except GitFailed as error:
            results.append(Followed(checkout=one.checkout, problem=error.stderr.strip() or str(error)))
            continue
        _log_head(one.checkout, old, new, message, who)
        results.append(Followed(checkout=one.checkout))
    return results


def advance(
    store: ObjectStore,
    refs: Refs,
    ref: str,
    new: Oid,
    old: Oid | None,
    *,
    message: str,
    who: Signature,
    only: Iterable[Checkout] | None = None,
) -> list[Followed]:
    """Move a branch and its checkouts from *old* to *new*: checked first, then the ref, then the files.

    *only* limits which checkouts follow.  Raises :class:`CheckoutInTheWay` and what :meth:`Refs.move` raises,
    and then nothing has moved.
    """
    checkouts = find_checkouts(store.common_dir, ref) if only is None else list(only)
    prepared = require_clean(store, checkouts, old, new)
    refs.move(ref, new, old, message, who=who)
    return follow(store, prepared, old, new, message=message, who=who)


def _prepare(store: ObjectStore, checkout: Checkout, old: Oid | None, new: Oid, changes: list[TreeChange]) -> Prepared:
    paths = tuple(change.path for change in changes)
    if old is not None and _is_simple(checkout, changes):
        stamps = stamps_of(checkout.work_tree, paths)  # before the look: a later change shows
        if not _status(checkout, paths):
            return Prepared(checkout=checkout, paths=paths, stamps=stamps)
    _refresh(checkout, [change.path for change in changes if change.old is not None])
    try:
        _read_tree(store, checkout, old, new, dry=True)
    except GitFailed as error:
        named = tuple(dirty_paths(checkout, paths)) or _named(error.stderr)
        raise CheckoutInTheWay(checkout, named, error.stderr.strip()) from error
    return Prepared(checkout=checkout, paths=paths, stamps=None)


def _is_simple(checkout: Checkout, changes: list[TreeChange]) -> bool:
    """Whether looking at the changed paths alone tells all.  ``read-tree`` looks at every file of the tree."""
    if not 0 < len(changes) <= _PATHSPEC_LIMIT:
        return False
    if any((checkout.git_dir / name).exists() for name in _UNUSUAL):
        return False
    paths = {change.path for change in changes}
    for change in changes:
        if any(leaf is not None and leaf.mode == GITLINK for leaf in (change.old, change.new)):
            return False
        for parent in _parents(change.path):
            # A file becomes a folder, or something that Git does not track lies where a folder must be.
            if parent in paths or not _is_absent_or_folder(checkout.work_tree, parent):
                return False
    return True


def _parents(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _is_absent_or_folder(top: Path, path: bytes) -> bool:
    try:
        mode = os.lstat(os.path.join(os.fsencode(top), path)).st_mode  # noqa: PTH118 - the path is bytes
    except (FileNotFoundError, NotADirectoryError):
        return True
    return stat.S_ISDIR(mode)


def stamps_of(top: Path, paths: Iterable[bytes]) -> tuple[tuple[int, ...] | None, ...]:
    """What changes when somebody touches one of the files *paths* under *top*."""
    base = os.fsencode(top)
    found: list[tuple[int, ...] | None] = []
    for path in paths:
        try:
            status = os.lstat(os.path.join(base, path))  # noqa: PTH118 - the path is bytes
        except (FileNotFoundError, NotADirectoryError):
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode))
    return tuple(found)


def _restore(prepared: Prepared, new: Oid) -> None:
    """Write some paths as they are in *new* to the index and the disk."""
    git = Git(prepared.checkout.git_dir, prepared.checkout.work_tree)
    git.run(
        "--literal-pathspecs", "restore", "--staged", "--worktree", f"--source={new.hex()}",
        "--pathspec-from-file=-", "--pathspec-file-nul", stdin=b"\0".join(prepared.paths),
    )  # fmt: skip


def _status(checkout: Checkout, paths: Iterable[bytes]) -> set[bytes]:
    """What ``git status`` lists at and under *paths* (all paths: none given)."""
    git = Git(checkout.git_dir, checkout.work_tree, {"GIT_OPTIONAL_LOCKS": "0"})
    done = git.run(
        "--literal-pathspecs", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all",
        "--ignore-submodules=all", "--", *map(os.fsdecode, paths),
    )  # fmt: skip
    return {line[3:] for line in done.out.split(b"\0") if line}


def _refresh(checkout: Checkout, paths: list[bytes]) -> None:
    """Compare *paths* with the index: files that were only touched would count as changed in what follows.

    Errors are left to what follows: it asks the same questions and knows what the answers mean.
    """
    if not paths:
        return
    git = Git(checkout.git_dir, checkout.work_tree)
    if len(paths) > _PATHSPEC_LIMIT:
        git.run("update-index", "-q", "--refresh", allow=(1, 128))
    else:  # not the whole tree: that takes a tenth of a second with 100,000 files
        names = (os.fsdecode(path) for path in paths)
        git.run("--literal-pathspecs", "add", "--refresh", "--", *names, allow=(1, 128))


def _read_tree(store: ObjectStore, checkout: Checkout, old: Oid | None, new: Oid, *, dry: bool) -> None:
    git = Git(checkout.git_dir, checkout.work_tree)
    flags = ("-m", "-u", "-n") if dry else ("-m", "-u")
    git.run("read-tree", *flags, _tree(store, old).hex(), _tree(store, new).hex())


def _tree(store: ObjectStore, commit: Oid | None) -> Oid:
    return EMPTY_TREE if commit is None else store.tree_of(commit)


def _named(complaint: str) -> tuple[bytes, ...]:
    """Paths in git's complaints."""
    return tuple(os.fsencode(first or second) for first, second in _NAMED.findall(complaint))


def _log_head(checkout: Checkout, old: Oid | None, new: Oid, message: str, who: Signature) -> None:
    log = checkout.git_dir / "logs/HEAD"
    if log.exists():
        before = old.hex().encode() if old else ZERO
        text = " ".join(message.split()).encode("utf-8", "surrogateescape")
        append_log(str(log), b"%b %b %b\t%b\n" % (before, new.hex().encode(), who.line(), text))


def _linked(common_dir: Path) -> list[Path]:
    try:
        return sorted((common_dir / "worktrees").iterdir())
    except FileNotFoundError:
        return []


def _linked_work_tree(git_dir: Path) -> Path | None:
    try:
        pointer = Path(os.fsdecode((git_dir / "gitdir").read_bytes().rstrip(b"\n")))
    except FileNotFoundError:
        return None
    work_tree = Path(os.path.normpath(git_dir / pointer)).parent
    return work_tree if work_tree.is_dir() else None


@cache
def _configuration(common_dir: Path) -> Configuration:
    return Configuration(common_dir, common_dir)  # follows changes on disk by itself


def _main_work_tree(common_dir: Path) -> Path | None:
    config = _configuration(common_dir)
    if config.get_bool("core.bare", default=False):
        return None
    configured = config.get_path("core.worktree")
    if configured is None and common_dir.name != ".git":
        return None
    work_tree = Path(os.path.normpath(common_dir / configured)) if configured is not None else common_dir.parent
    return work_tree if work_tree.is_dir() else None
