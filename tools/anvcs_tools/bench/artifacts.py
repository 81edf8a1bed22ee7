"""How fast artifacts come and go, against others who move the same objects: ratios, in one run.

``python -m anvcs_tools.bench.artifacts [--big MIB] [--small COUNT] [--aws PROGRAM] [--dvc PROGRAM]``: one large
object and many of 20 KiB, fetched and verified by us, and fetched by ``aws s3 cp`` and ``dvc pull``, each in a process
of its own, with its start, in turns.  The server is a plain quick one of ours (`anvcs_tools.bench.s3_server`), or the
one that ``--endpoint`` names, with credentials from the usual variables.  Everybody's concurrency is its default.
The same rows are part of ``make bench``, with smaller objects.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.uploading import Uploader
from anvcs_tools.bench import artifact_views
from anvcs_tools.bench.artifact_jobs import store_of
from anvcs_tools.bench.costs import Cost, measure, median_cost
from anvcs_tools.bench.machine import describe_machine
from anvcs_tools.bench.peers import DvcProject, Peer, aws, dvc
from anvcs_tools.bench.report import as_text, line
from anvcs_tools.bench.rows import NotPossible, Result
from anvcs_tools.bench.scale import Figure

KEYS: Final = (
    "artifacts-big",
    "artifacts-small",
    "artifacts-dvc-big",
    "artifacts-dvc-small",
    "artifacts-first",
    "artifacts-upload",
    *artifact_views.KEYS,
)
_MIB = 1 << 20
_SMALL = 20 << 10
_TIMEOUT_S = 1800
_MOST_MEMORY = 300.0
"""MiB."""

Work = Callable[[Path], int]
"""Does something once, in a new folder; gives the peak memory of the process that did, if it is one of ours."""


@dataclass(slots=True)
class Bench:
    """What all rows share."""

    work: Path
    big: int
    """MiB."""
    small: int
    rounds: int
    aws: Peer
    dvc: Peer
    chosen: Callable[[str], bool] = lambda _: True
    setup: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def compare(
        self,
        key: str,
        title: str,
        theirs: Work,
        ours: Work,
        goal: float | None = None,
        prepare: Callable[[], None] = lambda: None,
        server: int | None = None,
    ) -> None:
        """A row: both in turns; *goal* is what ours may take, x theirs.

        *prepare* comes before each of ours, untimed; *server* is the process that serves ours.
        """
        if not self.chosen(key):
            return
        costs: dict[Work, list[Cost]] = {theirs: [], ours: []}
        peak = 0
        try:
            for number in range(self.rounds):
                for way in (ours, theirs) if number % 2 else (theirs, ours):
                    if way is ours:
                        prepare()
                    cost, memory = self._once(way, server if way is ours else None)
                    costs[way].append(cost)
                    peak = max(peak, memory)
        except NotPossible as reason:
            self.results.append(Result(key=key, title=title, goal=goal, missing=str(reason)))
        except (OSError, RuntimeError, subprocess.SubprocessError) as failure:
            self.results.append(Result(key=key, title=title, goal=goal, missing=str(failure), failed=True))
        else:
            medians = median_cost(costs[theirs]), median_cost(costs[ours])
            self.results.append(
                Result(key=key, title=title, goal=goal, native=medians[0], view=medians[1], peak_memory=peak,
                       rounds=self.rounds)
            )  # fmt: skip
        print(line(self.results[-1]), file=sys.stderr, flush=True)

    def _once(self, way: Work, server: int | None) -> tuple[Cost, int]:
        folder = self.work / f"round{next(self._numbers)}"
        folder.mkdir()
        peak = 0

        def once() -> None:
            nonlocal peak
            peak = way(folder)

        cost = measure(once, server)
        # Emptied, not deleted: ext4 is slow to make files where many were deleted a moment ago.
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size > _MIB:
                path.chmod(0o600)
                os.truncate(path, 0)
        return cost, peak

    def job(self, name: str) -> Work:
        """One of `anvcs_tools.bench.artifact_jobs`."""

        def run(folder: Path) -> int:
            file = self.work / "setup.json"
            file.write_text(json.dumps(self.setup))
            words = [sys.executable, "-m", "anvcs_tools.bench.artifact_jobs", name, str(file), str(folder)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
            if done.returncode:
                raise RuntimeError(f"{name}: {done.stderr[-400:]}")
            return int(done.stdout)

        return run

    def copy(self, *words: str) -> Work:
        """``aws s3 cp``; a word that is ``{}`` is the new folder."""

        def run(folder: Path) -> int:
            there = [word.replace("{}", str(folder)) for word in words]
            self.aws.run(
                "--endpoint-url", self.setup["url"], "s3", "cp", "--quiet", *there, cwd=folder, env={"AWS_PAGER": ""}
            )
            return 0

        return run

    def pull(self, source: Path) -> Work:
        """``dvc pull`` of *source*, which is pushed before the first."""
        project: list[DvcProject] = []

        def run(folder: Path) -> int:
            if project:
                project[0].pull(folder)
            else:
                self.dvc.run("pull", cwd=folder, env={})
            return 0

        with contextlib.suppress(NotPossible):  # then the first round says so
            if self.chosen("artifacts-dvc"):
                place = self.work / f"dvc-of-{source.name}"
                project.append(DvcProject(self.dvc, source, place, self.setup["bucket"], self.setup["url"]))
        return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m anvcs_tools.bench.artifacts", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help="keys of rows to run, or beginnings of keys (default: all)")
    parser.add_argument("--big", type=int, default=128, metavar="MIB", help="size of the large object (%(default)s)")
    parser.add_argument("--small", type=int, default=300, metavar="N", help="number of 20 KiB objects (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each way (%(default)s)")
    add_options(parser)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="anvcs-bench-", dir=options.directory) as folder:
        results, figures = run(
            Path(folder), options, options.big, options.small, options.rounds,
            lambda key: not options.rows or any(key.startswith(wanted) for wanted in options.rows),
        )  # fmt: skip
        print(as_text(describe_machine(Path(folder)), results, figures))
    return 1 if any(result.failed for result in results) else 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that the whole bench has, too."""
    parser.add_argument(
        "--endpoint", metavar="URL", help="a server with AWS_* credentials (default: a plain one of ours)"
    )
    parser.add_argument("--aws", metavar="PROGRAM", help="the AWS command line to compare with (default: aws)")
    parser.add_argument("--dvc", metavar="PROGRAM", help="the DVC to compare with (default: dvc)")
    if not any(action.dest == "directory" for action in parser._actions):  # noqa: SLF001  # no other way to ask
        parser.add_argument("--directory", metavar="DIR", help="where to work (default: the temporary directory)")


def run(
    work: Path, options: argparse.Namespace, big: int, small: int, rounds: int, chosen: Callable[[str], bool]
) -> tuple[list[Result], list[Figure]]:
    """All rows, and the peak memory of our side."""
    bench = Bench(work, big, small, rounds, aws(options.aws), dvc(options.dvc), chosen)
    with _credentials(), _server(work, options.endpoint) as (url, what):
        told = f"{what}; {bench.aws.version}, {bench.dvc.version}; load {os.getloadavg()[0]:.1f}"
        print(f"artifacts: {told}", file=sys.stderr)
        _prepare(bench, url)
        _rows(bench)
        artifact_views.rows(bench)
    peaks = [result.peak_memory for result in bench.results if result.peak_memory]
    title = f"artifacts: peak memory of any of our processes ({told})"
    figures = [
        Figure(key="artifacts-memory", title=title, value=max(peaks) / _MIB, unit="MiB", limit=_MOST_MEMORY)
    ] if peaks else []  # fmt: skip
    return bench.results, figures


def _rows(bench: Bench) -> None:
    bucket, big, small = bench.setup["bucket"], bench.big, bench.small
    one, many = f"artifacts: {big} MiB", f"artifacts: {small:,} x 20 KiB"
    whole = bench.copy(f"s3://{bucket}/big.pt", "{}/big.pt")
    bench.compare("artifacts-big", f"{one}, against aws s3 cp", whole, bench.job("big"), 1.0)
    each = bench.copy("--recursive", f"s3://{bucket}/small/", "{}/small")
    bench.compare("artifacts-small", f"{many}, against aws s3 cp", each, bench.job("small"), 1.0)
    bench.compare(
        "artifacts-dvc-big", f"{one}, against dvc pull", bench.pull(bench.work / "big.pt"), bench.job("big"), 1.0
    )
    pulled = bench.pull(bench.work / "small")
    bench.compare("artifacts-dvc-small", f"{many}, against dvc pull", pulled, bench.job("small"), 1.0)
    bench.compare("artifacts-first", "artifacts: first MiB, against all by aws s3 cp", whole, bench.job("first"))
    up = bench.copy(str(bench.work / "big.pt"), f"s3://{bucket}/up.pt")
    bench.compare("artifacts-upload", f"{one} uploaded, against aws s3 cp", up, bench.job("upload"), 1.0)


def _prepare(bench: Bench, url: str) -> None:
    """Make the bucket and its objects, as a commit does."""
    work = bench.work
    bench.setup = {"url": url, "bucket": f"anvcs-bench-{secrets.token_hex(4)}"}
    store = store_of(bench.setup, work / "state")
    raw = store.client.raw
    raw.create_bucket(Bucket=bench.setup["bucket"])
    raw.put_bucket_versioning(Bucket=bench.setup["bucket"], VersioningConfiguration={"Status": "Enabled"})
    file = work / "big.pt"
    with file.open("wb") as writer:
        for _ in range(bench.big):
            writer.write(secrets.token_bytes(_MIB))
    (work / "small").mkdir()
    for number in range(bench.small):
        (work / "small" / f"{number}.pt").write_bytes(secrets.token_bytes(_SMALL))
    cache = ContentCache(work / "source")
    uploader = Uploader(cache, store, "s3")
    bench.setup["big"] = [uploader.upload(cache.take(file), "big.pt").document()]
    bench.setup["small"] = [
        uploader.upload(cache.take(path), f"small/{path.name}").document() for path in (work / "small").iterdir()
    ]
    bench.setup["file"] = str(file)
    with file.open("rb") as reader:
        bench.setup["sha256"] = hashlib.file_digest(reader, "sha256").hexdigest()


@contextlib.contextmanager
def _credentials() -> Iterator[None]:
    """For the plain server any will do."""
    wanted = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextlib.contextmanager
def _server(work: Path, endpoint: str | None) -> Iterator[tuple[str, str]]:
    """Address and description of the server."""
    if endpoint:
        yield endpoint, f"server at {endpoint}"
        return
    folder = work / "server"
    folder.mkdir()
    words = [sys.executable, "-m", "anvcs_tools.bench.s3_server", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # a pipe was asked for
            yield server.stdout.readline().strip(), "server: anvcs_tools.bench.s3_server, on this machine"
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main())
