"""``python -m anvcs_tools.bench``: run the benchmarks and print the table."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anvcs_tools.bench import artifacts, live, reading, replay, storm, traces, tree_merges, writing
from anvcs_tools.bench.machine import describe_machine
from anvcs_tools.bench.report import as_json, as_text, heading, line
from anvcs_tools.bench.rows import Place, Result, Row, Served, run_row
from anvcs_tools.bench.samples import bulk_repository, git, sample_repository
from anvcs_tools.bench.scale import (
    Figure,
    Mounter,
    commit_figure,
    commits,
    discard_tree,
    memory_figures,
    mount_times,
    release,
)
from anvcs_tools.bench.views import MountedView, ai_vcs, why_not

_GIB = 1 << 30
_APART: dict[str, Callable[[Sequence[str], Path], int]] = {
    "storm": storm.main,
    "traces": traces.main,
    "tree-merges": tree_merges.main,
}
"""Benchmarks with a command line of their own: ``python -m anvcs_tools.bench storm --help``."""


@dataclass(slots=True)
class PlainView:
    """A native worktree that plays a view, to check the harness itself: each ratio must be near 1."""

    path: Path
    pid: int = 0

    def remount(self) -> None:
        """Nothing to do: there is no server."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; exit code 0: everything ran, whatever the figures; 1: a row failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["replay-merges"]:  # needs no mount
        return replay.main(given[1:])
    if given[:1] and given[0] in _APART:
        return _run_apart(given)
    options = _parser().parse_args(given)
    reason = None if options.fake else why_not()
    if reason:
        print(f"bench: cannot mount here: {reason}", file=sys.stderr)
        return 2
    work = Path(tempfile.mkdtemp(prefix="anvcs-bench-", dir=options.directory))
    try:
        with _private_settings(work):
            results, figures = _run(options, work)
    finally:
        if not options.keep:
            discard_tree(work)
    machine = describe_machine(work.parent)
    print(as_text(machine, results, figures))
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(machine, results, figures), indent=2) + "\n")
    return 1 if any(result.failed for result in results) else 0


def _run_apart(arguments: Sequence[str]) -> int:
    """Run a benchmark that has options and a report of its own."""
    reason = why_not()
    if reason:
        print(f"bench: cannot mount here: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="anvcs-bench-") as work, _private_settings(Path(work)):
        return _APART[arguments[0]](arguments[1:], Path(work))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", help="keys of rows to run, or beginnings of keys (default: all)")
    parser.add_argument("--quick", action="store_true", help="small trees and fewer rounds: minutes become seconds")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    parser.add_argument(
        "--directory", metavar="DIR", help="where to work (a real disk; default: the temporary directory)"
    )
    parser.add_argument("--files", type=int, help="files in the sample tree (default 20000)")
    parser.add_argument("--rounds", type=int, help="rounds of each row (default: 3 or 5)")
    artifacts.add_options(parser)
    parser.add_argument("--artifact-mib", type=int, metavar="MIB", help="size of the large artifact (default 128)")
    parser.add_argument("--artifact-count", type=int, metavar="N", help="number of small artifacts (default 300)")
    parser.add_argument("--keep", action="store_true", help="leave the working directory")
    parser.add_argument("--fake", action="store_true", help="a native directory plays the view: checks the harness")
    return parser


@contextlib.contextmanager
def _private_settings(work: Path) -> Iterator[None]:
    """Git with settings of our own, so that the user's don't change the figures."""
    settings = work / "gitconfig"
    settings.write_text(
        "[user]\nname = Sam Sample\nemail = sam@anvcs.example\n[gc]\nauto = 0\n[init]\ndefaultBranch = main\n"
    )
    before = {name: os.environ.get(name) for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM")}
    os.environ |= {"GIT_CONFIG_GLOBAL": str(settings), "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _run(options: argparse.Namespace, work: Path) -> tuple[list[Result], list[Figure]]:
    results: list[Result] = []
    tree_rows = [row for row in _tree_rows(options) if _chosen(row.key, options)]
    if tree_rows:
        results += _run_tree(tree_rows, options, work)
    sizes = (100, 2_000) if options.quick else (100, 20_000, 100_000)
    wanted = tuple(size for size in sizes if _chosen(f"mount-{size}", options))
    for size in wanted:
        _bulk(work, size, fake=options.fake)
    results += mount_times(work, wanted, _mounter(options), options.rounds or 3)
    figures: list[Figure] = []
    if _chosen("commit", options) or _chosen("memory", options):
        more, figures = _run_large(options, work, sizes[-1])
        results += more
    if not options.fake and any(_chosen(key, options) for key in live.KEYS):
        figures += live.figures(work, lambda key: _chosen(key, options), quick=options.quick)
    if not options.fake and any(_chosen(key, options) for key in artifacts.KEYS):
        more, numbers = _run_artifacts(options, work / "artifacts")
        results += more
        figures += numbers
    return results, figures


def _run_artifacts(options: argparse.Namespace, work: Path) -> tuple[list[Result], list[Figure]]:
    work.mkdir()
    big, small = (32, 50) if options.quick else (128, 300)
    big, small = options.artifact_mib or big, options.artifact_count or small
    return artifacts.run(work, options, big, small, options.rounds or 3, lambda key: _chosen(key, options))


def _tree_rows(options: argparse.Namespace) -> list[Row]:
    rows = [*reading.ROWS, *writing.rows(_GIB // 8 if options.quick else _GIB)]
    rounds = options.rounds or (2 if options.quick else None)
    return [replace(row, rounds=rounds) for row in rows] if rounds else rows


def _chosen(key: str, options: argparse.Namespace) -> bool:
    return not options.rows or any(key.startswith(wanted) for wanted in options.rows)


def _mount(repository: Path, path: Path, *, fake: bool) -> Served:
    if fake:
        git("worktree", "add", "-q", "--detach", path, cwd=repository)
        return PlainView(path)
    return MountedView(repository, path, ("--stream", "main")).mount()


def _mounter(options: argparse.Namespace) -> Mounter:
    return lambda repository, path: _mount(repository, path, fake=options.fake)


@contextlib.contextmanager
def _two_places(repository: Path, *, fake: bool) -> Iterator[tuple[Place, Place]]:
    """A native worktree and a view of the same commit, on the same disk."""
    native = repository.with_name(repository.name + ".native")
    git("worktree", "add", "-q", "-b", "native", native, "main", cwd=repository)
    if not fake:
        ai_vcs("init", repository)
    view = _mount(repository, repository.with_name(repository.name + ".view"), fake=fake)
    try:
        yield Place(native), Place(view.path, view)
    finally:
        release(view)


def _with_monitor(repository: Path) -> None:
    """Give the native side a file monitor that answers at once, as a view has one."""
    hook = repository.with_name("native-fsmonitor")
    hook.write_text("#!/bin/sh\nprintf 'bench\\0'\n")
    hook.chmod(0o755)
    included = repository.with_name("native-gitconfig")
    included.write_text(f"[core]\nfsmonitor = {hook}\nuntrackedCache = true\n")
    # Only for the native worktree: the view brings its own settings.
    condition = f"includeIf.gitdir:{repository}/worktrees/.path"
    git("config", condition, str(included), cwd=repository)


def _run_tree(rows: Sequence[Row], options: argparse.Namespace, work: Path) -> list[Result]:
    files = options.files or (3_000 if options.quick else 20_000)
    repository = sample_repository(work / "sample", files)
    _with_monitor(repository)
    results = []
    with _two_places(repository, fake=options.fake) as (native, view):
        print(heading(), file=sys.stderr)
        for row in rows:
            results.append(run_row(row, native, view))
            print(line(results[-1]), file=sys.stderr, flush=True)
        for place in (native, view):
            writing.remove_leftovers(place)
    return results


def _bulk(work: Path, size: int, *, fake: bool) -> Path:
    """The bulk repository of this size, made and prepared for views once."""
    repository = work / f"bulk{size}"
    if not repository.exists():
        bulk_repository(repository, size)
        if not fake:
            ai_vcs("init", repository)
    return repository


def _run_large(options: argparse.Namespace, work: Path, size: int) -> tuple[list[Result], list[Figure]]:
    repository = _bulk(work, size, fake=options.fake)
    results: list[Result] = []
    with _two_places(repository, fake=options.fake) as (native, view):
        figures = [] if options.fake or not _chosen("memory", options) else memory_figures(view)
        if _chosen("commit", options):
            results.append(commits(native, view, size, options.rounds or 9))
            figures += [commit_figure(result) for result in results]
            print(line(results[-1]), file=sys.stderr, flush=True)
    return results, figures


if __name__ == "__main__":
    sys.exit(main())
