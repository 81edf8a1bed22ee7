"""What an artifact costs in a view: its first megabyte, all of it while it comes, reading it again, committing it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anvcs_tools.bench.costs import memory
from anvcs_tools.bench.rows import Result
from anvcs_tools.bench.samples import git
from anvcs_tools.bench.views import MountedView, ai_vcs, commit, why_not

if TYPE_CHECKING:
    from anvcs_tools.bench.artifacts import Bench

_MIB = 1 << 20
_WARM: Final = 1 / 0.45
"""What reading a file of a view again may take, x a native file."""
KEYS: Final = ("artifacts-view-first", "artifacts-view-whole", "artifacts-warm", "artifacts-pages", "artifacts-commit")


def rows(bench: "Bench") -> None:
    """Add the rows of a view, or why there are none."""
    if not any(map(bench.chosen, KEYS)):
        return
    reason = why_not()
    if reason:
        for key in filter(bench.chosen, KEYS):
            missing = f"not measured: cannot mount here: {reason}"
            bench.results.append(Result(key=key, title="artifacts: in a view", goal=None, missing=missing))
        return
    top = bench.work / "in-a-view"
    top.mkdir()
    with MountedView(_repository(top, bench), top / "view", ("--stream", "main")) as view:
        _Rows(bench, view).add()


def _repository(top: Path, bench: "Bench") -> Path:
    repository = top / "repository"
    git("init", "-q", "-b", "main", repository, cwd=top)
    (repository / "ai-vcs.config.yaml").write_text(
        'blobs:\n  track: ["*.pt"]\nstorage:\n  mode: s3\nadapters:\n  s3:\n    provider: other\n    region: us-east-1\n'
        f"    bucket: {bench.setup['bucket']}\n    endpoint_url: {bench.setup['url']}\n"
    )
    git("add", "-A", cwd=repository)
    who = ("-c", "user.name=Sam Sample", "-c", "user.email=sam@anvcs.example")
    git(*who, "commit", "-q", "-m", "start", cwd=repository)
    git("switch", "-q", "--detach", cwd=repository)
    ai_vcs("init", repository)
    return repository


class _Rows:
    def __init__(self, bench: "Bench", view: MountedView) -> None:
        self._bench, self._view = bench, view
        self._native, self._model = bench.work / "big.pt", view.path / "model.pt"
        self._changes = 0

    def add(self) -> None:
        bench, size, pid = self._bench, f"{self._bench.big} MiB", self._view.pid
        copy = bench.copy(f"s3://{bench.setup['bucket']}/big.pt", "{}/big.pt")
        self._change()
        self._commit()
        title = f"artifacts: commit of {size} in a view, against its upload alone"
        bench.compare(
            "artifacts-commit", title, bench.job("upload"), self._told(self._commit), prepare=self._change, server=pid
        )
        title = "artifacts: first MiB in a view, against all by aws s3 cp"
        first = self._told(lambda: _read(self._model, _MIB))
        bench.compare("artifacts-view-first", title, copy, first, prepare=self._forget, server=pid)
        title = f"artifacts: {size} read in a view while they come, against aws s3 cp"
        whole = self._told(lambda: _read(self._model))
        bench.compare("artifacts-view-whole", title, copy, whole, prepare=self._forget, server=pid)
        _read(self._model)
        native = self._told(lambda: _read(self._native))
        title = f"artifacts: {size} read again in a view, against a native file"
        bench.compare("artifacts-warm", title, native, whole, _WARM, server=pid)
        title = f"artifacts: {size} that are here, first read in a view, against a native file"
        bench.compare("artifacts-pages", title, native, whole, prepare=lambda: _drop_pages(self._model), server=pid)

    def _told(self, work: Callable[[], None]) -> Callable[[Path], int]:
        def run(_: Path) -> int:
            work()
            return memory(self._view.pid, "VmHWM")

        return run

    def _change(self) -> None:
        """Other content of the same size."""
        self._changes += 1
        with self._native.open("r+b") as file:
            file.write(self._changes.to_bytes(8, "big"))
        shutil.copyfile(self._native, self._model)

    def _commit(self) -> None:
        commit(self._view.path, {"message": "model", "agent": "bench"})

    def _forget(self) -> None:
        """Nothing of the artifact is here but what the store has."""
        for folder in ("cache/sha256", "cache/parts", "objects"):
            shutil.rmtree(self._view.store / folder, ignore_errors=True)
        _drop_pages(self._model)


def _drop_pages(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _read(path: Path, limit: int = 1 << 60) -> None:
    with path.open("rb", buffering=0) as file:
        while limit > 0 and (chunk := file.read(min(_MIB, limit))):
            limit -= len(chunk)
