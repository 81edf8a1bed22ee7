"""Git's commit hooks, run around our own commits as ``git commit`` runs them.

A hook's current directory is the work tree, which may be a mount that this very process serves.  So the
hook is started by a shell that begins in ``/`` and goes there by itself, and files that may lie in the
mount are looked at by that shell, never from here.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.git.config import Configuration
from anvcs.git.history import Signature
from anvcs.git.objects import common_dir_of
from anvcs.git.program import Git, own_environment, redacted
from anvcs.model.ids import Oid

_SHELL = "/bin/sh"  # by full path: a search along PATH could enter the mount before the child runs
_RUN = 'cd "$1" || exit 126; hook=$2; shift 2; exec "$hook" "$@"'
_TEST = 'cd "$1" && test -f "$2" && test -x "$2"'
_OUTPUT_LIMIT = 20_000  # characters of a hook's output that are kept


class HookFailed(AnvcsError):
    """A hook refused the commit; ``output`` is what it printed."""

    def __init__(self, hook: str, code: int, output: str) -> None:
        said = output.strip()
        super().__init__(f"the {hook} hook refused the commit (exit code {code})" + (f": {said}" if said else ""))
        self.hook, self.code, self.output = hook, code, output


class Hooks:
    """The hooks of one repository as they run for one work tree or view.

    *git_dir* is the view's admin directory (or the repository's), *work_tree* where hooks run.  ``output``
    collects what they print.
    """

    def __init__(self, git_dir: Path, work_tree: Path | None = None, config: Configuration | None = None) -> None:
        common_dir = common_dir_of(git_dir)
        self._git_dir = git_dir
        self._place = work_tree if work_tree is not None else git_dir
        self._bare = work_tree is None
        self._git = Git(git_dir)
        self._config = config or Configuration(git_dir, common_dir)
        self._default_folder = common_dir / "hooks"
        self.output = ""

    def run_pre_commit(
        self, tree: Oid, *, author: Signature, index: Path | None = None, hook: str = "pre-commit"
    ) -> Oid:
        """Run *hook* on an index that holds *tree*; returns the tree with what the hook added to it.

        *index* is an index to start from, whose stat data save the hook's ``git diff`` from hashing files.
        """
        if not self.exists(hook):
            return tree
        with self._index_of(tree, index) as temporary:
            before = _identity(temporary)
            self._run(hook, author=author, index=temporary)
            if _identity(temporary) == before:
                return tree
            written = self._git.run("write-tree", env={"GIT_INDEX_FILE": str(temporary)})
            return Oid(bytes.fromhex(written.out.decode().strip()))

    def run_prepare_commit_msg(self, message: bytes, *, author: Signature, source: str = "message") -> bytes:
        """The message after ``prepare-commit-msg``, which ``--no-verify`` does not skip."""
        return self._edit("prepare-commit-msg", message, author, source)

    def run_commit_msg(self, message: bytes, *, author: Signature) -> bytes:
        """The message after ``commit-msg``; clean it afterwards, as git does."""
        return self._edit("commit-msg", message, author)

    def run_post_commit(self, *, author: Signature) -> None:
        """Run ``post-commit``; the commit is made, so a failure is only told in ``output``."""
        self._run_after("post-commit", author=author)

    def run_post_merge(self, *, author: Signature) -> None:
        """Run ``post-merge``, as `run_post_commit` does its hook; nothing was squashed."""
        self._run_after("post-merge", "0", author=author)

    def _run_after(self, hook: str, *args: str, author: Signature) -> None:
        if not self.exists(hook):
            return
        try:
            self._run(hook, *args, author=author)
        except HookFailed as error:
            self.output += f"{error}\n"

    def exists(self, hook: str) -> bool:
        """Whether there is an executable hook of this name."""
        path = self._path(hook)
        if not self._in_work_tree(path):
            return path.is_file() and os.access(path, os.X_OK)
        command = [_SHELL, "-c", _TEST, _SHELL, str(self._place), str(path)]
        return subprocess.run(command, cwd="/", check=False, stdin=subprocess.DEVNULL).returncode == 0

    def _edit(self, hook: str, message: bytes, author: Signature, *args: str) -> bytes:
        if not self.exists(hook):
            return message
        file = self._git_dir / "COMMIT_EDITMSG"
        file.write_bytes(message)
        self._run(hook, str(file), *args, author=author)
        return file.read_bytes()

    def _run(self, hook: str, *args: str, author: Signature, index: Path | None = None) -> None:
        done = subprocess.run(
            [_SHELL, "-c", _RUN, _SHELL, str(self._place), str(self._path(hook)), *args],
            cwd="/",
            env=self._environment(author, index),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = redacted(done.stdout.decode(errors="replace"))[-_OUTPUT_LIMIT:]
        if done.returncode != 0:
            raise HookFailed(hook, done.returncode, output)
        self.output += output

    def _environment(self, author: Signature, index: Path | None) -> dict[str, str]:
        """What ``git commit`` exports; git in the hook finds the repository from its work tree."""
        name, _, rest = os.fsdecode(author.line()).partition(" <")
        email, _, date = rest.partition("> ")
        env = own_environment()
        env.update(GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=email, GIT_AUTHOR_DATE="@" + date, GIT_EDITOR=":")
        if index is not None:
            env["GIT_INDEX_FILE"] = str(index)
        if self._bare:
            env["GIT_DIR"] = str(self._git_dir)
        return env

    def _path(self, hook: str) -> Path:
        configured = self._config.get_path("core.hookspath")
        # A relative path counts from where hooks run.
        return (self._place / configured if configured is not None else self._default_folder) / hook

    def _in_work_tree(self, path: Path) -> bool:
        """Whether *path* may lie in the mount, told by its name alone."""
        inside = Path(os.path.normpath(path)).is_relative_to(self._place)
        return inside and not self._bare and not path.is_relative_to(self._default_folder)

    @contextmanager
    def _index_of(self, tree: Oid, seed: Path | None) -> Iterator[Path]:
        """A temporary index that holds *tree*."""
        index = self._git_dir / f"next-index-{secrets.token_hex(6)}"
        env = {"GIT_INDEX_FILE": str(index)}
        try:
            if seed is not None and seed.exists():
                shutil.copy2(seed, index)  # with its time, by which git knows which entries to doubt
                self._git.run("read-tree", "--reset", "-i", tree.hex(), env=env)
            else:
                self._git.run("read-tree", tree.hex(), env=env)
            yield index
        finally:
            index.unlink(missing_ok=True)
            index.with_name(index.name + ".lock").unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
