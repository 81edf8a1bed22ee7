"""Programs of others that fetch objects from a bucket, to be compared with.

Each is best installed in an environment of its own: ``pip install awscli``, ``pip install 'dvc[s3]'``.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anvcs_tools.bench.rows import NotPossible


@dataclass(frozen=True, slots=True)
class Peer:
    """A program, or that it isn't here."""

    name: str
    program: str | None
    install: str

    def run(self, *words: str | Path, cwd: Path, env: Mapping[str, str]) -> None:
        """Run it; raises `NotPossible` when it isn't here."""
        if self.program is None:
            raise NotPossible(
                f"not measured: install {self.install} (best in an environment of its own) and name it: --{self.name}"
            )
        done = subprocess.run(
            [self.program, *words], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} {words[0]}: exit {done.returncode}: {done.stderr[-400:]}")

    @property
    def version(self) -> str:
        """What it calls itself."""
        if self.program is None:
            return f"{self.name}: not here"
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False)
        return f"{self.name} {done.stdout.split()[0] if done.stdout.split() else '?'}"


def aws(program: str | None) -> Peer:
    """The AWS command line."""
    return Peer("aws", program or shutil.which("aws"), "awscli")


def dvc(program: str | None) -> Peer:
    """DVC."""
    return Peer("dvc", program or shutil.which("dvc"), "'dvc[s3]'")


class DvcProject:
    """A file or folder that DVC keeps in the bucket, under keys of its own."""

    def __init__(self, peer: Peer, source: Path, folder: Path, bucket: str, url: str) -> None:
        """Push *source* from *folder*, once."""
        self._peer, self._folder = peer, folder
        self._env = {
            name: str(folder.parent / f"dvc-{name.lower()}")
            for name in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")
        } | {"DVC_NO_ANALYTICS": "1"}
        folder.mkdir()
        self._run("init", "--quiet", "--no-scm")
        self._run("remote", "add", "--quiet", "--default", "bucket", f"s3://{bucket}/dvc")
        self._run("remote", "modify", "--quiet", "bucket", "endpointurl", url)
        if source.is_dir():
            shutil.copytree(source, folder / source.name)
        else:
            os.link(source, folder / source.name)
        self._run("add", "--quiet", source.name)
        self._run("push", "--quiet")

    def pull(self, folder: Path) -> None:
        """As in a new clone: nothing in DVC's cache."""
        (folder / ".dvc").mkdir()
        shutil.copyfile(self._folder / ".dvc" / "config", folder / ".dvc" / "config")
        for file in self._folder.glob("*.dvc"):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        self._peer.run("pull", "--quiet", cwd=folder, env=self._env)

    def _run(self, *words: str) -> None:
        self._peer.run(*words, cwd=self._folder, env=self._env)
