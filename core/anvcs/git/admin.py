"""A view's Git admin directory: what the ``.git`` file in the view points to.

It is like the directory of a linked worktree (own HEAD, index, reflog; everything else through
``commondir``), but not registered under ``worktrees``: there, a second view of a branch would make
git refuse to switch, and ``git worktree prune`` would delete absent views.  Git finds the work tree
from where the ``.git`` file lies, so the mount point may move.

Settings of views are in one file of the store, which the repository's configuration includes for
git directories of that shape and no others.
"""

import contextlib
import os
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from anvcs.errors import AnvcsError
from anvcs.git.history import Signature
from anvcs.git.program import Git
from anvcs.git.reflock import append_log
from anvcs.model.ids import Oid

_CONDITION = "includeIf.gitdir:./anvcs/views/*/git.path"  # "./" is where the including file lies
_SETTINGS_FILE = "anvcs/view.gitconfig"  # relative, so that the repository may move
_HOOK_FILE = "anvcs/fsmonitor"
_HOOK = b"""#!/bin/sh
# Git asks what changed since $2.  The view has the answer as a file:
# the new token, NUL, then each path with a NUL behind it ("/" alone: look at everything).
# A directory that changed is told by its entries: its own name is not enough.
# The token is empty after a question that got no answer.
exec cat ".anvcs/fsmonitor/${2:-0}" 2>/dev/null
"""
_LOG_TAIL = 4096  # bytes; a reflog line is some 200
_ZERO = b"0" * 40
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_PSEUDO_REFS = ("ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD", "AUTO_MERGE", "FETCH_HEAD")
_MOST_KEPT = 500  # commits of the reflog


class DamagedHead(AnvcsError):
    """The HEAD of a view says neither a branch nor a commit."""

    def __init__(self, directory: Path, content: bytes) -> None:
        super().__init__(f"{directory}/HEAD is damaged: {content[:80]!r}")
        self.directory, self.content = directory, content


@dataclass(frozen=True, slots=True)
class Branch:
    """HEAD is on a branch, which need not have a commit yet."""

    name: str
    """The full ref, ``refs/heads/…``; undecodable bytes are surrogate escapes."""


@dataclass(frozen=True, slots=True)
class Detached:
    """HEAD is on a commit."""

    oid: Oid


Head = Branch | Detached


class HeadMove(NamedTuple):
    """One line of HEAD's log."""

    old: Oid | None
    new: Oid | None
    message: str


def ensure(common_dir: Path, directory: Path, mountpoint: Path, head: Head) -> None:
    """Have an admin directory for a view at *mountpoint*; an existing HEAD stays as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "logs").mkdir(exist_ok=True)
    _write(directory / "commondir", os.fsencode(os.path.relpath(common_dir, directory)) + b"\n")
    _write(directory / "gitdir", os.fsencode(mountpoint / ".git") + b"\n")
    if not (directory / "HEAD").exists():
        _write(directory / "HEAD", _head_bytes(head))
    ensure_settings(common_dir)


def git_file(directory: Path) -> bytes:
    """What the ``.git`` file of the view holds."""
    return b"gitdir: " + os.fsencode(directory) + b"\n"


def ensure_settings(common_dir: Path) -> None:
    """Have the settings of views, and the include that gives them to views."""
    hook = common_dir / _HOOK_FILE
    hook.parent.mkdir(exist_ok=True)
    _write(hook, _HOOK, 0o755)
    # Git hands the value to a shell, hence the inner quotes.
    command = shlex.quote(str(hook)).replace("\\", "\\\\").replace('"', '\\"')
    text = f"""\
# Git settings of ANVCS views only; written anew at each mount.
[core]
\tfsmonitor = "{command}"
\tfsmonitorHookVersion = 2
\tuntrackedCache = true
\tlogAllRefUpdates = true
\t; Git finds a view's work tree all the same.  This says that the repository's *main* work tree
\t; does not claim its branch: `git switch` in a view may go to the branch checked out there.
\tbare = true
[rebase]
\t; Others' uncommitted work is no reason to refuse: a room keeps its work while HEAD is elsewhere.
\tautoStash = true
"""
    _write(common_dir / _SETTINGS_FILE, os.fsencode(text))
    git = Git(common_dir)
    key = ("--file", str(common_dir / "config"), "--get-all", _CONDITION)
    if git.run("config", *key, allow=(1,)).out != _SETTINGS_FILE.encode() + b"\n":
        git.run("config", "--file", str(common_dir / "config"), "--replace-all", _CONDITION, _SETTINGS_FILE)


def remove_settings(common_dir: Path) -> None:
    """Undo `ensure_settings`."""
    section = _CONDITION.removesuffix(".path")
    config = str(common_dir / "config")
    Git(common_dir).run("config", "--file", config, "--remove-section", section, allow=(2, 5, 128))
    for name in (_SETTINGS_FILE, _HOOK_FILE):
        (common_dir / name).unlink(missing_ok=True)


def remove(common_dir: Path, directory: Path, view: str) -> None:
    """Delete the admin directory and what it kept from git's gc."""
    Git(common_dir).run("update-ref", "-d", keep_ref(view))
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)


def read_head(directory: Path) -> Head:
    """Where the view's HEAD is; one small read."""
    content = (directory / "HEAD").read_bytes().rstrip(b"\n")
    if content.startswith(b"ref:"):
        return Branch(os.fsdecode(content[4:].strip()))
    try:
        return Detached(Oid(bytes.fromhex(content.decode())))
    except ValueError as error:
        raise DamagedHead(directory, content) from error


def set_head(directory: Path, head: Head, message: str) -> None:
    """Move HEAD, under git's lock and with an entry in its log; index and files stay as they are."""
    git = Git(directory)
    match head:
        case Branch(name):
            git.run("symbolic-ref", "-m", message, "HEAD", name)
        case Detached(oid):
            git.run("update-ref", "--no-deref", "-m", message, "HEAD", oid.hex())


def last_head_move(directory: Path) -> HeadMove | None:
    """The last line of HEAD's log: written by git in the view, by `set_head`, and by `log_head_move`."""
    try:
        with (directory / "logs/HEAD").open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(end - _LOG_TAIL, 0))
            line = log.read().rstrip(b"\n").rpartition(b"\n")[2]
    except FileNotFoundError:
        return None
    ids, _, message = line.partition(b"\t")
    if len(ids) < 2 * len(_ZERO) + 1:
        return None
    return HeadMove(_oid(ids[:40]), _oid(ids[41:81]), os.fsdecode(message))


def log_head_move(directory: Path, old: Oid | None, new: Oid, message: str, who: Signature | None = None) -> None:
    """Record in HEAD's log that its branch was moved by us, so that ``git reflog`` in the view tells it."""
    who = who or Signature(name="anvcs", email="anvcs@localhost", time_s=int(time.time()))
    parts = (old.hex().encode() if old else _ZERO, new.hex().encode(), who.line())
    append_log(f"{directory}/logs/HEAD", b" ".join(parts) + b"\t" + os.fsencode(" ".join(message.split())) + b"\n")


def lock_held(directory: Path) -> bool:
    """Whether git is changing the view's index now (or died doing so)."""
    return os.path.lexists(directory / "index.lock")


def git_holds_lock(directory: Path) -> bool:
    """Whether git itself, and not we, holds the view's ``index.lock``; ours has a second name."""
    try:
        return os.lstat(f"{directory}/index.lock").st_nlink == 1  # asked before each change
    except FileNotFoundError:
        return False


def drop_autostash(directory: Path) -> None:
    """Let a rebase that is under way forget the changes that it has put aside, because somebody else keeps them."""
    for backend in ("rebase-merge", "rebase-apply"):
        (directory / backend / "autostash").unlink(missing_ok=True)


def merge_is_stashed(directory: Path) -> bool:
    """Whether a merge that isn't finished has put the changes of the work tree aside."""
    return (directory / "MERGE_AUTOSTASH").exists()


def keep_ref(view: str) -> str:
    """The ref that keeps what only this view needs."""
    return f"refs/anvcs/keep/{view}"


def keep(directory: Path, view: str) -> Oid | None:
    """Keep from git's gc what only the view's indexes, HEAD and HEAD's log refer to; the keeping commit.

    Call it now and then, and when the view ends.  Equal contents give the same commit.
    """
    git = Git(directory)
    parents = _existing(git, _roots(directory))
    staged = _staged(git)
    if not parents and not staged:
        git.run("update-ref", "-d", keep_ref(view))
        return None
    # Names say nothing here; the tree only has to reach every blob.
    listing = b"".join(b"%b blob %b\t%b\0" % (mode, oid, oid) for mode, oid in sorted(staged))
    tree = git.run("mktree", "-z", "--missing", stdin=listing).out.strip().decode()
    fixed = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _NOBODY.items()}
    flags = [flag for parent in parents for flag in ("-p", parent)]
    message = b"What a view has staged, detached or logged\n"
    commit = git.run("commit-tree", "--no-gpg-sign", *flags, tree, stdin=message, env=fixed).out.strip().decode()
    git.run("update-ref", keep_ref(view), commit)
    return Oid(bytes.fromhex(commit))


_NOBODY = {"NAME": "anvcs", "EMAIL": "anvcs@localhost", "DATE": "@0 +0000"}


def _roots(directory: Path) -> list[str]:
    """Ids that files of the admin directory mention, the newest of the log first."""
    texts = []
    for name in ("HEAD", *_PSEUDO_REFS, "logs/HEAD"):
        with contextlib.suppress(FileNotFoundError):
            texts.append((directory / name).read_bytes())
    texts += [place.read_bytes() for place in sorted((directory / "refs").glob("**/*")) if place.is_file()]
    found: dict[bytes, None] = {}
    for text in texts:
        lines = text.splitlines()[-_MOST_KEPT:]
        found.update(dict.fromkeys(word for line in reversed(lines) for word in line.split(b"\t")[0].split()[:2]))
    return [word.decode() for word in found if len(word) == len(_ZERO) and word != _ZERO and _is_hex(word)]


def _existing(git: Git, names: list[str]) -> list[str]:
    """Those that are commits the repository has."""
    if not names:
        return []
    out = git.run("cat-file", "--batch-check", stdin="\n".join(names).encode()).out.decode()
    return [line.split()[0] for line in out.splitlines() if line.split()[1] == "commit"]


def _staged(git: Git) -> set[tuple[bytes, bytes]]:
    """Mode and id of blobs that an index of the view has and its commit lacks, those of unfinished merges included."""
    from anvcs.git import index_switch  # here, because commands that only look for a view need none of it

    found: set[tuple[bytes, bytes]] = set()
    if (git.git_dir / "index").exists():
        unborn = git.run("rev-parse", "--verify", "--quiet", "HEAD^{tree}", allow=(1,)).code != 0
        found |= _added(git, _EMPTY_TREE if unborn else "HEAD")
    for index, base in index_switch.put_aside(git.git_dir):
        against = base.hex() if _existing(git, [base.hex()]) else _EMPTY_TREE
        found |= _added(git, against, {"GIT_INDEX_FILE": str(index)})
    # A blob staged both as a file and as a link needs one entry only.
    return {(mode, oid) for oid, mode in {oid: mode for mode, oid in sorted(found)}.items()}


def _added(git: Git, base: str, env: Mapping[str, str] | None = None) -> set[tuple[bytes, bytes]]:
    """Mode and id of blobs in an index that *base* lacks."""
    command = ("diff-index", "--cached", "--raw", "-z", "--no-renames", "--abbrev=40", base)
    found = set()
    for line in git.run(*command, env=env).out.split(b"\0")[0::2]:
        fields = line.split()
        if len(fields) == 5 and fields[3] != _ZERO and fields[1] != b"160000":
            found.add((fields[1], fields[3]))
    for line in git.run("ls-files", "-u", "-z", env=env).out.split(b"\0"):
        if line and not line.startswith(b"160000"):
            mode, oid = line.split()[:2]
            found.add((mode, oid))
    return found


def _head_bytes(head: Head) -> bytes:
    match head:
        case Branch(name):
            return b"ref: " + os.fsencode(name) + b"\n"
        case Detached(oid):
            return oid.hex().encode() + b"\n"


def _oid(digits: bytes) -> Oid | None:
    return None if digits == _ZERO or not _is_hex(digits) else Oid(bytes.fromhex(digits.decode()))


def _is_hex(digits: bytes) -> bool:
    return not digits.translate(None, b"0123456789abcdef")


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Have *path* hold *data*: whole at any moment, and untouched if it does already."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.chmod(mode)
    fresh.rename(path)
