"""Several views of one small repository, and a Git that stops where a test wants."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anvcs_tools.bench.views import MountedView
from support.programs import git
from support.waiting import eventually

LINES = "".join(f"line {number}\n" for number in range(1, 13))


def make_small_repository(path: Path) -> Path:
    """``main``, ``other`` (differs in ``text``, ``gone``, ``fresh``) and ``side`` (changes ``doc`` only)."""
    git("init", "-q", "-b", "main", str(path), cwd=path.parent)
    (path / "text").write_text(LINES)
    (path / "gone").write_text("gone\n")
    (path / "doc").write_text("doc\n")
    (path / "dir").mkdir()
    (path / "dir" / "file").write_text("file\n")
    (path / ".gitignore").write_text("*.log\n")
    _commit(path, "main")
    git("switch", "-q", "-c", "side", cwd=path)
    (path / "doc").write_text("doc\nside\n")
    _commit(path, "side")
    git("switch", "-q", "-c", "other", "main", cwd=path)
    (path / "text").write_text(LINES.replace("line 12\n", "other\n"))
    (path / "gone").unlink()
    (path / "fresh").write_text("fresh\n")
    _commit(path, "other")
    git("switch", "-q", "--detach", cwd=path)
    return path


def _commit(path: Path, message: str) -> None:
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", message, cwd=path)


def edit(view: MountedView, old: str, new: str, name: str = "text") -> None:
    """As a careful tool does: read all, write all."""
    path = view.path / name
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new))


def read(view: MountedView, name: str = "text") -> str:
    """The content of a file."""
    return (view.path / name).read_text()


def status(view: MountedView) -> list[str]:
    """``git status``, by line."""
    return sorted(git("status", "--porcelain", cwd=view.path).splitlines())


def changed(view: MountedView) -> list[str]:
    """What ``.anvcs/status`` calls changed."""
    told = json.loads((view.control / "status").read_text())
    return [each["path"] for each in told["changed"]]


def seq(view: MountedView) -> int:
    """The last op that the view knows."""
    return int(json.loads((view.control / "status").read_text())["seq"])


def ops(view: MountedView, after: int) -> list[dict[str, Any]]:
    """The ops after *after*."""
    lines = (view.control / "ops").read_text().splitlines()
    return [op for op in map(json.loads, lines) if op["seq"] > after]


def published(view: MountedView, *names: str) -> None:
    """Wait until the room has heard of new files."""
    eventually(lambda: set(names) <= set(changed(view)), what=f"{names} in the room")


def shows(view: MountedView, name: str, text: str) -> None:
    """Wait until *view* shows *text*."""
    eventually(lambda: _text(view.path / name) == text, what=f"{text!r} in {name}")


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


_STEPS = """
import os, sys
admin, top = sys.argv[2:4]
os.chdir(top)
lock = os.open(f"{admin}/index.lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
for line in sys.stdin:
    verb, *words = line.rstrip("\\n").split("\\t")
    if verb == "write":
        if os.path.lexists(words[0]):
            os.unlink(words[0])
        with open(words[0], "x") as file:
            file.write(words[1].replace("|", "\\n"))
    elif verb == "unlink":
        os.unlink(words[0])
    elif verb == "index":
        with open(f"{admin}/index", "rb") as file:
            os.write(lock, file.read())
        os.rename(f"{admin}/index.lock", f"{admin}/index")
    elif verb == "head":
        with open(f"{admin}/HEAD.lock", "w") as file:
            file.write(f"ref: refs/heads/{words[0]}\\n")
        os.rename(f"{admin}/HEAD.lock", f"{admin}/HEAD")
    elif verb == "give-up":
        os.unlink(f"{admin}/index.lock")
    print("done", flush=True)
"""


class SlowGit:
    """A process that the view takes for ``git COMMAND``, and that does what it is told."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def do(self, *words: str) -> None:
        """Let it do one thing, and return when that is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


@contextmanager
def slow_git(view: MountedView, command: str, folder: Path) -> Iterator[SlowGit]:
    """A Git that has taken the view's ``index.lock`` and waits to be told what to do."""
    program = folder / "git"
    if not program.exists():
        program.symlink_to(os.path.realpath(sys.executable))
    name = view.description["view"]
    admin = view.store / "views" / name / "git"
    (view.path / ".git").read_bytes()  # as Git does, which waits there for the view's index
    words = [str(program), "-c", _STEPS, command, str(admin), str(view.path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        try:
            yield SlowGit(process)
        finally:
            if process.poll() is None:
                process.kill()
