"""Running real programs, the same way natively and in a view."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

DATES = {"GIT_AUTHOR_DATE": "1720000000 +0000", "GIT_COMMITTER_DATE": "1720000000 +0000"}
"""With fixed dates the same work makes the same commit ids, which is the strictest comparison."""


class Ran(NamedTuple):
    """What a program did.  Its directory is written ``<here>``, so that two runs compare."""

    code: int
    output: str
    errors: str

    def must(self) -> "Ran":
        """Itself, if the exit code was 0."""
        assert self.code == 0, f"exit {self.code}\n{self.output}\n{self.errors}"
        return self


def needs(*programs: str) -> None:
    """Skip the test, with the reason, unless all *programs* are installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def run(
    *command: str | Path,
    cwd: Path,
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout: float = 90,
) -> Ran:
    """Run a program in *cwd* and say what it did, whatever the exit code."""
    done = subprocess.run(
        [os.fspath(word) for word in command],
        cwd=cwd,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        env={**os.environ, **DATES, **(env or {})},
        timeout=timeout,
        check=False,
    )

    def plain(data: bytes) -> str:
        return data.decode(errors="surrogateescape").replace(str(cwd), "<here>")

    return Ran(done.returncode, plain(done.stdout), plain(done.stderr))


def shell(script: str, cwd: Path, interpreter: str = "bash", **more: str) -> Ran:
    """Run a shell script in *cwd*."""
    needs(interpreter)
    return run(interpreter, "-c", script, cwd=cwd, env=more)


def git(*arguments: str, cwd: Path, stdin: str | bytes = b"", env: Mapping[str, str] | None = None) -> str:
    """Standard output of a Git command that must succeed, without the last newline."""
    return run("git", *arguments, cwd=cwd, stdin=stdin, env=env).must().output.removesuffix("\n")
