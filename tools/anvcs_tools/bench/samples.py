"""Sample trees and repositories, made from what is installed with this Python.

Real files (sources, binaries, data, executables) say more than generated ones, and
need no download.  The order of the files is fixed, so that two runs on one machine
build the same tree.
"""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

_LEFT_OUT = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules", ".git"})
LARGEST = 2 << 20
"""Bytes; a few giant libraries would drown the small files that matter."""

IGNORED = "*.pyc\n__pycache__/\nbuild/\nnode_modules/\n.venv/\n*.sqlite*\n*.local\n"
"""The ``.gitignore`` of each sample: what makes a file local in the tests and benchmarks."""

_DATE = "2024-05-17T12:00:00 +0000"


def installed_files(largest: int = LARGEST) -> Iterator[tuple[str, Path]]:
    """Relative path in the sample and source of each installed file of at most *largest* bytes, in a fixed order."""
    paths = sysconfig.get_paths()
    for label, top in (("stdlib", paths["stdlib"]), ("packages", paths["purelib"])):
        for folder, names, files in os.walk(top):
            names[:] = sorted(set(names) - _LEFT_OUT)
            relative = Path(label) / Path(folder).relative_to(top)
            for name in sorted(files):
                source = Path(folder, name)
                if not name.endswith(".pyc") and source.is_file() and source.stat().st_size <= largest:
                    yield str(relative / name), source


def sample_files(wanted: int, largest: int = LARGEST) -> Iterator[tuple[str, Path]]:
    """As many files as *wanted*; the installed ones are repeated under ``copyN/`` when they run out."""
    return islice(_endless(largest), wanted)


def _endless(largest: int) -> Iterator[tuple[str, Path]]:
    known = list(installed_files(largest))
    yield from known
    for number in count(1):
        yield from ((f"copy{number}/{name}", source) for name, source in known)


def copy_sample(top: Path, wanted: int, largest: int = LARGEST) -> int:
    """Fill *top* with *wanted* files, links and executables included; returns the bytes copied."""
    total = 0
    for name, source in sample_files(wanted, largest):
        target = top / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        total += target.stat().st_size
    (top / ".gitignore").write_text(IGNORED)
    (top / "link-to-file").symlink_to("stdlib/os.py")
    (top / "link-to-directory").symlink_to("stdlib/json")
    (top / "link-to-nothing").symlink_to("does/not/exist")
    return total


def git(*arguments: str | Path, cwd: Path, stdin: bytes | None = None) -> str:
    """Run Git on a repository of ours, with a fixed author and date; raises when it fails."""
    environment = os.environ | {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", "Sam Sample"), ("EMAIL", "sam@anvcs.example"), ("DATE", _DATE))
    }
    done = subprocess.run(
        ["git", *map(str, arguments)], cwd=cwd, input=stdin, env=environment, check=False, capture_output=True
    )
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]} exited {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape").strip()


def sample_repository(path: Path, files: int) -> Path:
    """A bare repository at *path* whose branch ``main`` holds a sample tree of *files* files."""
    work = path.with_name(path.name + ".work")
    work.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=work)
    copy_sample(work, files)
    git("add", "-A", "-f", cwd=work)
    git("commit", "-q", "-m", "sample: installed files", cwd=work)
    git("clone", "-q", "--bare", work, path, cwd=path.parent)
    shutil.rmtree(work)
    git("repack", "-adq", cwd=path)  # as a clone over a network is
    return path


def bulk_repository(path: Path, files: int) -> Path:
    """A bare repository of *files* small text files in one commit, written by ``git fast-import``."""
    path.mkdir(parents=True)
    git("init", "-q", "--bare", "-b", "main", cwd=path)
    git("fast-import", "--quiet", cwd=path, stdin=b"".join(_import_stream(files)))
    return path


def _import_stream(files: int) -> Iterator[bytes]:
    message = b"bulk: generated files"
    yield b"commit refs/heads/main\ncommitter Sam Sample <sam@anvcs.example> 1715947200 +0000\n"
    yield b"data %d\n%s\n" % (len(message), message)
    yield b"M 100644 inline .gitignore\ndata %d\n%s\n" % (len(IGNORED), IGNORED.encode())
    for number in range(files - 1):
        body = b"".join(b"line %d of file %d\n" % (line, number) for line in range(number % 40 + 5))
        yield b"M 100644 inline %s\ndata %d\n%s\n" % (bulk_name(number).encode(), len(body), body)


def bulk_name(number: int) -> str:
    """Path of the file with this number in a bulk repository: 50 to a directory, 40 directories to one."""
    return f"part{number // 2000:03}/dir{number // 50 % 40:02}/file{number:06}.txt"
