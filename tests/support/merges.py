"""Branches that both changed something, made fast: commits from a description, without a work tree or a process."""

import os
from collections.abc import Mapping
from pathlib import Path

from anvcs.git import commits
from anvcs.git.history import Signature
from anvcs.git.objects import ObjectStore
from anvcs.model.ids import Oid
from anvcs.model.tree import GITLINK, REGULAR, SYMLINK, Leaf
from support.programs import git

LINK, EXECUTABLE, PIN = "link:", "exec:", "pin:"
"""What a content may begin with: a symlink's target, an executable file, a submodule's commit."""

Tree = Mapping[str, str | bytes]


def empty(path: Path) -> Path:
    """A repository without commits."""
    git("init", "-q", "-b", "main", str(path), cwd=path.parent)
    with (path / ".git" / "config").open("a") as config:
        config.write("[user]\n\tname = Tess\n\temail = tess@example.com\n[core]\n\tfsync = none\n")
    return path


def commit(repository: Path, branch: str, tree: Tree, *parents: Oid, message: str = "") -> Oid:
    """A commit that has *tree*, on *branch*."""
    objects = ObjectStore(repository / ".git")
    leaves: dict[bytes, Leaf | None] = {os.fsencode(name): _leaf(objects, text) for name, text in tree.items()}
    who = Signature(name="Tess", email="tess@example.com", time_s=1720000000, offset_min=0)
    made = commits.create_commit(
        objects,
        tree=objects.write_tree(None, leaves),
        parents=parents,
        message=f"{message or branch}\n".encode(),
        author=who,
        committer=who,
    )
    file = repository / ".git" / "refs" / "heads" / branch
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made.hex() + "\n")
    return made


def _leaf(objects: ObjectStore, content: str | bytes) -> Leaf:
    if isinstance(content, bytes):
        return Leaf(REGULAR, objects.write_blob(content))
    for mark, mode in ((LINK, SYMLINK), (EXECUTABLE, 0o100755)):
        if content.startswith(mark):
            return Leaf(mode, objects.write_blob(content.removeprefix(mark).encode()))
    if content.startswith(PIN):
        return Leaf(GITLINK, Oid(bytes.fromhex(content.removeprefix(PIN))))
    return Leaf(REGULAR, objects.write_blob(content.encode()))


def forked(repository: Path, base: Tree, ours: Tree, theirs: Tree) -> None:
    """``main`` and ``side``, which both come from one commit."""
    start = commit(repository, "start", base)
    commit(repository, "main", ours, start)
    commit(repository, "side", theirs, start)


def listing(repository: Path, revision: str) -> list[str]:
    """Mode, id and path of everything in a commit or tree."""
    return git("ls-tree", "-r", "-z", revision, cwd=repository).split("\0")[:-1]


def merged_by_git(repository: Path, work: Path) -> list[str] | None:
    """What ``git merge side`` makes of ``main`` in a work tree of its own; ``None``: conflicts."""
    git("worktree", "add", "-q", "--detach", "-f", str(work), "main", cwd=repository)
    try:
        git("-c", "merge.directoryRenames=true", "merge", "-q", "-m", "merge", "side", cwd=work)
    except AssertionError:
        return None
    return listing(work, "HEAD")


def trust_commands(repository: Path) -> None:
    """Agree to every command of its configuration, as somebody does in a container."""
    git("config", "anvcs.trustCommands", "true", cwd=repository)
