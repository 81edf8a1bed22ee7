"""What an artifact costs in a view: its first megabyte, and reading it once it is here.

``python -m anvcs_tools.bench.artifact_views [--mib N] [--rounds N]``: one file, committed through a
view with the embedded store, against an ordinary file of the same content on the same disk.
Rounds are interleaved; figures are medians.
"""

import argparse
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from anvcs_tools.bench.costs import measure, median_cost, memory
from anvcs_tools.bench.samples import git
from anvcs_tools.bench.views import MountedView, ai_vcs, commit, why_not

_MIB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench.artifact_views", description=__doc__)
    parser.add_argument("--mib", type=int, default=256, metavar="N", help="size of the artifact (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    options = parser.parse_args(arguments)
    reason = why_not()
    if reason:
        print(f"bench: cannot mount here: {reason}", file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="anvcs-bench-") as folder,
        MountedView(_repository(Path(folder)), Path(folder, "view"), ("--stream", "main")) as view,
    ):
        _measure(view, Path(folder, "native"), options.mib, options.rounds)
    return 0


def _repository(top: Path) -> Path:
    repository = top / "repository"
    git("init", "-q", "-b", "main", repository, cwd=top)
    (repository / "ai-vcs.config.yaml").write_text('blobs:\n  track: ["*.pt"]\n')
    git("add", "-A", cwd=repository)
    git(
        "-c",
        "user.name=Sam Sample",
        "-c",
        "user.email=sam@anvcs.example",
        "commit",
        "-q",
        "-m",
        "start",
        cwd=repository,
    )
    git("switch", "-q", "--detach", cwd=repository)
    ai_vcs("init", repository)
    return repository


def _measure(view: MountedView, native: Path, mib: int, rounds: int) -> None:
    model = view.path / "model.pt"
    with native.open("wb") as file:
        for _ in range(mib):
            file.write(secrets.token_bytes(_MIB))
    shutil.copyfile(native, model)

    def save() -> None:
        commit(view.path, {"message": "model", "agent": "bench"})

    made = measure(save, view.pid)
    print(f"commit of {mib} MiB: {made.wall:.2f} s, {made.cpu:.2f} s of processor time")
    first, here, again, plain = [], [], [], []
    for _ in range(rounds):
        _forget(view, model)
        first.append(measure(lambda: _read(model, _MIB), view.pid))
        _read(model)
        _drop_pages(model)
        here.append(measure(lambda: _read(model), view.pid))
        again.append(measure(lambda: _read(model), view.pid))
        plain.append(measure(lambda: _read(native), None))
    native_cost = median_cost(plain)
    print(f"first MiB of an artifact that is not here: {median_cost(first).wall * 1000:.0f} ms")
    print(f"native read: {mib / native_cost.wall:.0f} MiB/s")
    for name, costs in (("read of an artifact that is here, pages dropped", here), ("read of it again", again)):
        spent = median_cost(costs)
        print(
            f"{name}: {mib / spent.wall:.0f} MiB/s, {native_cost.wall / spent.wall:.2f} of native by time, "
            f"{native_cost.cpu / spent.cpu:.2f} by processor time"
        )
    print(f"peak memory of the view's process: {memory(view.pid, 'VmHWM') / _MIB:.0f} MiB")


def _forget(view: MountedView, model: Path) -> None:
    """Nothing of the artifact is here but what the store has."""
    for folder in ("cache/sha256", "objects"):
        shutil.rmtree(view.store / folder, ignore_errors=True)
    _drop_pages(model)


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


if __name__ == "__main__":
    sys.exit(main())
