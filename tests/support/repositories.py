"""Repositories for tests: real files with a history that Git's tools have something to do with."""

import os
import shutil
from pathlib import Path

from anvcs_tools.bench.samples import copy_sample
from support.programs import git

APP = '''"""An application small enough to read."""


def scale(value: int) -> int:
    """Twice the value."""
    return value * 2


def shift(value: int) -> int:
    """One more."""
    return value + 1


def both(value: int) -> int:
    """Scaled, then shifted."""
    return shift(scale(value))


def greet(name: str) -> str:
    """A greeting."""
    return f"Hello, {name}!"
'''

APP_TEST = """from app import both, greet


def test_both():
    assert both(3) == 7


def test_greet():
    assert greet("Ada") == "Hello, Ada!"
"""

MAKEFILE = """all: build/app

build/app: main.c util.c util.h
\t@mkdir -p build
\tcc -O1 -o build/app main.c util.c

clean:
\trm -rf build
"""

MAIN_C = """#include <stdio.h>
#include "util.h"

int main(void) {
    printf("%d\\n", twice(21));
    return 0;
}
"""

ODD_NAMES = (
    b"-leading-dash",
    b"new\nline",
    b"not-utf8-\xff\xfe",
    "emoji-\N{SNAKE}".encode(),
    "e\u0301 and \u00e9".encode(),
    b"spaces  and\ttab",
    b"quote'\"`$()\\",
    b"~tilde~1",
    b"n" * 255,
)
"""Names that are legal on Linux; nobody may decode or normalise them."""


def write_project(top: Path) -> None:
    """A small project: Python with tests, C with a Makefile, texts of several kinds."""
    files = {
        "app.py": APP,
        "test_app.py": APP_TEST,
        "Makefile": MAKEFILE,
        "main.c": MAIN_C,
        "util.c": '#include "util.h"\n\nint twice(int value) { return value * 2; }\n',
        "util.h": "int twice(int value);\n",
        "notes.txt": "".join(f"line {number}\n" for number in range(1, 41)),
        "no-newline.txt": "first\nlast without a newline",
        "crlf.txt": "".join(f"dos line {number}\r\n" for number in range(1, 11)),
        "empty.txt": "",
        "unicode.txt": "gr\u00fc\u00dfe \N{SNAKE} \u4e2d\u6587\n" * 5,
    }
    top.mkdir(parents=True)
    for name, text in files.items():
        (top / name).write_bytes(text.encode())
    (top / "binary.dat").write_bytes(bytes(range(256)) * 64)
    (top / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (top / "run.sh").chmod(0o755)
    (top / "link").symlink_to("app.py")
    (top / "deep" / "er").mkdir(parents=True)
    (top / "deep" / "er" / "leaf.txt").write_text("leaf\n")


def write_odd_names(top: Path) -> None:
    """One file under each odd name."""
    top.mkdir()
    for number, name in enumerate(ODD_NAMES):
        Path(os.fsdecode(os.path.join(os.fsencode(top), name))).write_text(f"odd {number}\n")


def make_repository(path: Path, files: int) -> Path:
    """A bare repository at *path*: *files* installed files, a project, branches, tags, a bug to find.

    Branch ``feature`` merges cleanly, ``clash`` does not; ``bug`` was brought in by the
    commit tagged ``culprit``, between the tags ``good`` and ``v2``.
    """
    work = path.with_name(path.name + ".work")
    work.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=work)
    copy_sample(work, files, largest=64 << 10)
    write_project(work / "project")
    write_odd_names(work / "odd")
    git("add", "-A", "-f", cwd=work)
    git("commit", "-q", "-m", "start", cwd=work)
    _add_history(work)
    git("clone", "-q", "--bare", str(work), str(path), cwd=path.parent)
    git("remote", "remove", "origin", cwd=path)
    git("repack", "-a", "-d", "-q", cwd=path)  # as after a clone over a network; copied at once, too
    shutil.rmtree(work)
    return path


def _add_history(work: Path) -> None:
    notes, app = work / "project" / "notes.txt", work / "project" / "app.py"
    git("tag", "-a", "-m", "known to be good", "good", cwd=work)
    for number in range(1, 7):
        notes.write_text(notes.read_text().replace(f"line {number}\n", f"line {number}, seen {number} times\n"))
        _commit(work, f"notes: step {number}")
    git("branch", "feature", cwd=work)
    git("branch", "clash", cwd=work)
    app.write_text(app.read_text().replace("value + 1", "value + 2"))
    _commit(work, "app: shift by two")
    git("tag", "culprit", cwd=work)
    for number in range(7, 11):
        notes.write_text(notes.read_text().replace(f"line {number}\n", f"line {number}, seen {number} times\n"))
        _commit(work, f"notes: step {number}")
    git("tag", "v2", cwd=work)
    _branch(work, "feature", "line 38\n", "line 38 from the feature\n")
    _branch(work, "clash", "line 8\n", "line 8 in other words\n")
    git("switch", "-q", "main", cwd=work)


def _branch(work: Path, name: str, old: str, new: str) -> None:
    git("switch", "-q", name, cwd=work)
    notes = work / "project" / "notes.txt"
    notes.write_text(notes.read_text().replace(old, new))
    (work / "project" / f"{name}.txt").write_text(f"made on {name}\n")
    _commit(work, f"{name}: change the notes")


def _commit(work: Path, message: str) -> None:
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", message, cwd=work)


def copy_repository(source: Path, target: Path) -> Path:
    """A copy that shares the immutable pack files on disk and nothing else."""

    def place(old: str, new: str) -> str:
        if "/objects/" in old:
            os.link(old, new)
        else:
            shutil.copy2(old, new)
        return new

    shutil.copytree(source, target, copy_function=place)
    return target
