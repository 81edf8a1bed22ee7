"""Running the git program itself: never with a work tree, never with a current directory that we might serve.

The process that serves a view must not be waited for by its own children.  Python starts a child by
``vfork`` and holds its lock until the child's ``exec``, so neither the current directory nor a program
looked up along PATH may lie in the mount: the directory is always ``/`` and git's path is found once.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

from anvcs.errors import AnvcsError

_REPOSITORY_VARIABLES = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR", "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip  # what `git rev-parse --local-env-vars` lists, without the -c settings a user may have given
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]+@")
_STDERR_LIMIT = 4000  # characters of git's complaint kept in an error


class GitFailed(AnvcsError):
    """The git program ended with an error; ``stderr`` is its complaint without passwords."""

    def __init__(self, command: str, code: int, stderr: str) -> None:
        complaint = stderr.strip() or f"exit code {code}"
        super().__init__(f"git {command}: {complaint}")
        self.command, self.code, self.stderr = command, code, stderr


class GitMissing(AnvcsError):
    """No git program can be found along PATH."""

    def __init__(self) -> None:
        super().__init__("the git program is not installed or not in PATH")


class Done(NamedTuple):
    """How a git command ended."""

    code: int
    out: bytes
    err: str


@cache
def git_program() -> str:
    """Absolute path of git, looked up once: later PATH may lead through a mount of ours."""
    found = shutil.which("git")
    if found is None:
        raise GitMissing
    return found


def redacted(text: str) -> str:
    """*text* without the user and password parts of URLs."""
    return _CREDENTIALS.sub("", text)


def own_environment() -> dict[str, str]:
    """Our environment without variables that point git to another repository: for the user's own programs."""
    return {name: value for name, value in os.environ.items() if name not in _REPOSITORY_VARIABLES}


def plain_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without variables that point git elsewhere, in a language that programs can read."""
    env = own_environment()
    env.update(LC_ALL="C.UTF-8", LANGUAGE="C", GIT_TERMINAL_PROMPT="0")
    env.update(extra or {})
    return env


class Git:
    """The git program bound to one git directory; without *work_tree* it is opened as bare, whatever its configuration.

    A work tree is entered by git itself, after it has started.
    """

    def __init__(self, git_dir: Path, work_tree: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.git_dir = git_dir
        self._work_tree = work_tree
        self._env = dict(env or {})

    def run(
        self,
        *args: str,
        stdin: bytes | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        allow: tuple[int, ...] = (),
    ) -> Done:
        """Run ``git ARGS`` and wait; raises :class:`GitFailed` for an exit code other than 0 and *allow*."""
        data = stdin if isinstance(stdin, bytes) else None
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE if isinstance(stdin, bytes) else stdin
        with subprocess.Popen(
            self.command(*args),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=self.environment(env),
        ) as process:
            out, complaint = process.communicate(data)
        err = redacted(complaint.decode(errors="replace"))[-_STDERR_LIMIT:]
        if process.returncode != 0 and process.returncode not in allow:
            raise GitFailed(redacted(" ".join(args)), process.returncode, err)
        return Done(process.returncode, out, err)

    def start(self, *args: str) -> "subprocess.Popen[bytes]":
        """Start ``git ARGS`` with its output on a pipe, for results that should not be held in memory."""
        return subprocess.Popen(
            self.command(*args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=self.environment(),
        )

    def line(self, *args: str) -> str:
        """The output of a command that answers with one line (surrogateescape for odd bytes)."""
        return os.fsdecode(self.run(*args).out).rstrip("\n")

    def command(self, *args: str) -> list[str]:
        """The argument list that runs ``git ARGS`` here."""
        place = ["--bare"] if self._work_tree is None else ["-C", str(self._work_tree)]
        return [git_program(), *place, *args]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment such a command needs."""
        place = {"GIT_DIR": str(self.git_dir)}
        if self._work_tree is not None:
            place["GIT_WORK_TREE"] = str(self._work_tree)
        return plain_environment({**self._env, **place, **(extra or {})})


def tracked_files(work_tree: Path, pattern: str) -> list[bytes]:
    """Paths in the index of an ordinary work tree that match a pathspec."""
    command = [git_program(), "ls-files", "-z", "--", pattern]
    return [
        path
        for path in subprocess.run(command, cwd=work_tree, capture_output=True, check=True).stdout.split(b"\0")
        if path
    ]
