"""Looking at a repository somebody points to, and the few settings that ANVCS adds to it."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.git.config import Configuration
from anvcs.git.notes import NOTES_REF
from anvcs.git.objects import common_dir_of
from anvcs.git.program import Git, GitFailed, git_program, plain_environment, redacted
from anvcs.git.transport import fetched_notes_ref

_HEADS = "refs/heads/"
_RECORD = "anvcs.added"
_BEGIN, _END = b"# added by ai-vcs init, removed by ai-vcs deinit", b"# end of ai-vcs"
_NO_NEWLINE = b" (the line before had no end)"
_NO_FILE = b" (this file did not exist)"
_EXCLUDED = (b"/.ai/meta/", b"/.anvcs/")
_SAFE_PUSH_DEFAULTS = frozenset({None, "simple", "current"})


class NotARepository(AnvcsError):
    """There is no Git repository at a path."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not in a Git repository" if path.exists() else f"there is no {path}")
        self.path = path


class UnsupportedRepository(AnvcsError):
    """A repository in a format that we cannot read, or that git refuses to open."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryInfo:
    """Where the parts of a repository are, and what kind it is."""

    common_dir: Path
    """Objects, refs and our store; shared by all work trees."""
    git_dir: Path
    """The same, but for a linked work tree or a view."""
    work_tree: Path | None
    bare: bool
    object_format: str
    ref_format: str
    head_branch: str | None
    """The branch that ``HEAD`` names, which need not exist yet; ``None`` when detached."""
    unborn: bool
    """There is no commit at ``HEAD`` yet."""
    submodules: tuple[str, ...]
    """Paths that ``.gitmodules`` at ``HEAD`` names."""
    shallow: bool
    partial: bool
    """Objects may be missing, to be fetched from a remote when git wants them."""


def inspect(path: Path) -> RepositoryInfo:
    """What kind of repository *path* lies in; reads only.

    Raises :class:`NotARepository` and :class:`UnsupportedRepository`.
    """
    out = _rev_parse(path, "--git-dir", "--git-common-dir", "--is-bare-repository", "--is-inside-work-tree")
    git_dir, common_dir, bare, inside = out[:4]
    git, common = Path(git_dir), Path(common_dir)
    object_format = _rev_parse(path, "--show-object-format")[0]
    _require_sha1(path, object_format)
    config = Configuration(git, common)
    work_tree = Path(_rev_parse(path, "--show-toplevel")[0]) if inside == "true" else _work_tree_of(git, bare == "true")
    head = Git(git).run("symbolic-ref", "-q", "HEAD", allow=(1,)).out
    branch = os.fsdecode(head).rstrip("\n").removeprefix(_HEADS) or None
    unborn = Git(git).run("rev-parse", "-q", "--verify", "HEAD^{commit}", allow=(1, 128)).code != 0
    return RepositoryInfo(
        common_dir=common,
        git_dir=git,
        work_tree=work_tree,
        bare=bare == "true",
        object_format=object_format,
        ref_format="files",
        head_branch=branch,
        unborn=unborn,
        submodules=() if unborn else _submodules(git),
        shallow=(common / "shallow").exists(),
        partial=config.get("extensions.partialclone") is not None or bool(_promisors(config)),
    )


def configure(info: RepositoryInfo) -> tuple[str, ...]:
    """Make plain git show, copy, fetch and push our notes and overlook our folders; says what was added.

    Idempotent; run it again after a remote was added.  Every addition is recorded for :func:`unconfigure`.
    """
    git = Git(info.common_dir)
    config = Configuration(info.common_dir, info.common_dir)
    added = []
    for key, value in _wanted(config):
        git.run("config", "--add", key, value)
        git.run("config", "--add", _RECORD, f"{key} {value}")
        added.append(f"{key} = {value}")
    if _exclude(info.common_dir / "info/exclude"):
        added.append("info/exclude")
    return tuple(added)


def unconfigure(info: RepositoryInfo) -> tuple[str, ...]:
    """Take out exactly what :func:`configure` added and nobody removed since; says what was removed."""
    git = Git(info.common_dir)
    config = Configuration(info.common_dir, info.common_dir)
    removed = []
    for entry in reversed(config.get_all(_RECORD)):
        key, _, value = entry.partition(" ")
        # 5: the user has removed it already
        done = git.run("config", "--local", "--fixed-value", "--unset", key, value, allow=(5,))
        git.run("config", "--local", "--fixed-value", "--unset", _RECORD, entry, allow=(5,))
        if done.code == 0:
            removed.append(f"{key} = {value}")
    if _include(info.common_dir / "info/exclude"):
        removed.append("info/exclude")
    return tuple(removed)


def _wanted(config: Configuration) -> list[tuple[str, str]]:
    """Settings that are missing."""
    # A pattern, or `git log` would warn where there are no notes yet.
    pattern = f"{NOTES_REF[:-1]}[{NOTES_REF[-1]}]"
    shown = {NOTES_REF, pattern, "refs/notes/*"}
    wanted = [
        (key, pattern)
        for key in ("notes.displayRef", "notes.rewriteRef")
        if shown.isdisjoint(config.get_all(key.lower()))
    ]
    for remote in config.sections("remote"):
        if not config.get(f"remote.{remote}.url"):
            continue
        # A pattern, or `git fetch` would fail where there are no notes; and never onto our own notes.
        fetch = f"+{NOTES_REF}*:{fetched_notes_ref(remote, NOTES_REF)}*"
        if fetch not in config.get_all(f"remote.{remote}.fetch"):
            wanted.append((f"remote.{remote}.fetch", fetch))
        wanted.extend((f"remote.{remote}.push", spec) for spec in _push_specs(config, remote))
    return wanted


def _push_specs(config: Configuration, remote: str) -> list[str]:
    """What lets a plain ``git push`` carry the notes without changing which branch it pushes, and where to."""
    notes = f"{NOTES_REF}*:{NOTES_REF}*"
    present = config.get_all(f"remote.{remote}.push")
    if notes in present or config.get_bool(f"remote.{remote}.mirror", default=False):
        return []
    if present:
        return [notes]
    # A push refspec replaces push.default: HEAD says the same only where branches keep their names.
    renamed = any(
        config.get(f"branch.{branch}.merge") not in {None, _HEADS + branch} for branch in config.sections("branch")
    )
    if config.get("push.default") not in _SAFE_PUSH_DEFAULTS or renamed:
        return []
    return ["HEAD", notes]


def _exclude(path: Path) -> bool:
    """Add our block to ``info/exclude``; says whether it was missing."""
    text = path.read_bytes() if path.exists() else None
    if text is not None and _BEGIN in text:
        return False
    begin = _BEGIN
    if text is None:
        begin += _NO_FILE
    elif text and not text.endswith(b"\n"):
        begin = b"\n" + _BEGIN + _NO_NEWLINE
    block = b"\n".join((begin, *_EXCLUDED, _END)) + b"\n"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((text or b"") + block)
    return True


def _include(path: Path) -> bool:
    """Take our block out of ``info/exclude`` again."""
    if not path.exists():
        return False
    text = path.read_bytes()
    block = re.compile(
        rb"(?P<glue>\n?)%b(?P<broken>%b)?(?:%b)?\n.*?%b\n"
        % tuple(map(re.escape, (_BEGIN, _NO_NEWLINE, _NO_FILE, _END))),
        re.DOTALL,
    )
    kept = block.sub(lambda match: b"" if match["broken"] else match["glue"], text)
    if kept == text:
        return False
    if not kept and _BEGIN + _NO_FILE in text:
        path.unlink()
    else:
        path.write_bytes(kept)
    return True


def _rev_parse(path: Path, *what: str) -> list[str]:
    place = path if path.is_dir() else path.parent
    done = subprocess.run(
        [git_program(), "-C", str(place), "rev-parse", "--path-format=absolute", *what],
        cwd="/",
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise _refusal(path, redacted(done.stderr.decode(errors="replace")))
    return os.fsdecode(done.stdout).splitlines()


def _refusal(path: Path, complaint: str) -> AnvcsError:
    """What git's refusal to open a repository means."""
    low = complaint.lower()
    if "dubious ownership" in low:
        return UnsupportedRepository(
            path, f"it belongs to another user; run `git config --global --add safe.directory {path}` if you trust it"
        )
    if "refstorage" in low or "reftable" in low:
        return UnsupportedRepository(path, _REFTABLE)
    if "objectformat" in low or "hash algorithm" in low:
        return UnsupportedRepository(path, _SHA256)
    if "not a git repository" in low or "cannot change to" in low:
        return NotARepository(path)
    return UnsupportedRepository(path, complaint.strip().removeprefix("fatal: "))


_SHA256 = "it names objects by SHA-256, which is not supported yet; use a repository made by `git init` without it"
_REFTABLE = "it keeps refs as a reftable, which is not supported yet; `git refs migrate --ref-format=files` converts it"


def _require_sha1(path: Path, object_format: str) -> None:
    if object_format != "sha1":
        raise UnsupportedRepository(path, _SHA256)


def _work_tree_of(git_dir: Path, bare: bool) -> Path | None:
    """The work tree of a git directory that was named itself."""
    if bare:
        return None
    if common_dir_of(git_dir) != git_dir:
        try:
            return Path(os.fsdecode((git_dir / "gitdir").read_bytes().rstrip(b"\n"))).parent
        except FileNotFoundError:
            return None
    return git_dir.parent if git_dir.name == ".git" else None


def _submodules(git_dir: Path) -> tuple[str, ...]:
    try:
        done = Git(git_dir).run(
            "config", "--blob", "HEAD:.gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$", allow=(1, 128)
        )
    except GitFailed:
        return ()
    entries = os.fsdecode(done.out).split("\0")
    return tuple(sorted(entry.partition("\n")[2] for entry in entries if entry))


def _promisors(config: Configuration) -> list[str]:
    remotes = config.sections("remote")
    return [name for name in remotes if config.get_bool(f"remote.{name}.promisor", default=False)]
