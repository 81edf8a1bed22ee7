"""A small repository on disk and plain Git on it, the oracle for tests of anvcs.git."""

import os
import subprocess
from functools import cached_property
from pathlib import Path

from anvcs.git.commits import Signature, create_commit
from anvcs.git.config import Configuration
from anvcs.git.notes import Notes
from anvcs.git.objects import ObjectStore
from anvcs.git.refs import Refs
from anvcs.model.ids import Oid
from anvcs.model.tree import REGULAR, Leaf

WHO = Signature(name="Ada L", email="ada@example.com", time_s=1_700_000_000, offset_min=90)


class Repo:
    """A repository made by plain Git at *path*."""

    def __init__(self, path: Path, *init: str) -> None:
        self.path = path
        if not path.exists():
            path.mkdir(parents=True)
            self.git("init", "-q", *init)

    @cached_property
    def git_dir(self) -> Path:
        return Path(self.git("rev-parse", "--absolute-git-dir"))

    @cached_property
    def store(self) -> ObjectStore:
        return ObjectStore(self.git_dir)

    @cached_property
    def refs(self) -> Refs:
        return Refs(self.store, WHO)

    @cached_property
    def notes(self) -> Notes:
        return Notes(self.store, self.refs)

    @cached_property
    def config(self) -> Configuration:
        return Configuration(self.git_dir, self.store.common_dir)

    def raw(self, *args: str, stdin: bytes = b"", check: bool = True, **env: str) -> bytes:
        done = subprocess.run(
            ["git", *args], cwd=self.path, input=stdin, capture_output=True, check=False, env={**os.environ, **env}
        )
        if check and done.returncode != 0:
            raise AssertionError(f"git {args}: {done.stderr.decode()}")
        return done.stdout

    def git(self, *args: str, stdin: bytes = b"", **env: str) -> str:
        return os.fsdecode(self.raw(*args, stdin=stdin, **env)).rstrip("\n")

    def oid(self, spec: str) -> Oid:
        return Oid(bytes.fromhex(self.git("rev-parse", "--verify", spec)))

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def commit(self, files: dict[str, str], message: str = "change") -> Oid:
        """A commit of plain Git, in the work tree."""
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.oid("HEAD")

    def commit_tree(self, changes: dict[bytes, bytes | None], *parents: Oid, message: bytes = b"ours\n") -> Oid:
        """A commit object of ours on top of the first parent."""
        leaves = {
            path: None if data is None else Leaf(REGULAR, self.store.write_blob(data)) for path, data in changes.items()
        }
        base = self.store.tree_of(parents[0]) if parents else None
        tree = self.store.write_tree(base, leaves)
        return create_commit(self.store, tree=tree, parents=parents, message=message, author=WHO, committer=WHO)

    def fsck(self) -> None:
        """Assert that ``git fsck --strict`` has nothing to say, about unreachable objects either."""
        done = subprocess.run(
            ["git", "fsck", "--strict", "--full", "--no-progress", "--no-dangling"],
            cwd=self.path,
            capture_output=True,
            check=False,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, said[:2000]
        complaints = [line for line in said.splitlines() if not line.startswith("notice:")]
        assert not complaints, said[:2000]
