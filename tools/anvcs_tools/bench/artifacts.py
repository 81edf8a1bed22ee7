"""How fast artifacts come from a bucket, against the same objects by boto3's transfer manager.

``python -m anvcs_tools.bench.artifacts [--big MIB] [--small COUNT] [--endpoint URL]``: one
large object and many small ones, hydrated into a cache (verified) and downloaded to files
(not verified, as ``aws s3 cp`` does it), in turn, each in a process of its own.  Without an
endpoint the server is moto's, which is slow: then the ratios say most about the client's
cost, and processor time says more than time.
"""

import argparse
import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.hydrating import Hydrator
from anvcs.artifacts.s3.options import S3Options
from anvcs.artifacts.s3.store import S3VersionedBlobStore
from anvcs.artifacts.uploading import Uploader
from anvcs.model.pin import Pin, pin_from_document
from anvcs.model.secret import Secret
from anvcs_tools.bench.costs import memory

_MIB = 1 << 20
_SMALL = 20 << 10
_TIMEOUT_S = 600


class Spent(NamedTuple):
    """What one way of getting the objects cost: of the client's process, with its start."""

    wall: float
    cpu: float
    peak: int
    """Bytes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all ways in turn and print the table."""
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench.artifacts", description=__doc__)
    parser.add_argument("--big", type=int, default=128, metavar="MIB", help="size of the large object (%(default)s)")
    parser.add_argument("--small", type=int, default=300, metavar="N", help="number of 20 KiB objects (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each way (%(default)s)")
    parser.add_argument("--endpoint", metavar="URL", help="a server with AWS_* credentials (default: moto's)")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _child(*options.child)
        return 0
    with tempfile.TemporaryDirectory(prefix="anvcs-bench-") as folder:
        server, url = (None, options.endpoint) if options.endpoint else _moto()
        try:
            _run(Path(folder), url, options)
        finally:
            if server is not None:
                server.terminate()
                server.wait(10)
    return 0


def _run(work: Path, url: str, options: argparse.Namespace) -> None:
    setup = _objects(work, url, options.big * _MIB, options.small)
    ways = ("big ours", "big boto3", "small ours", "small boto3", "first ours", "copy")
    spent: dict[str, list[Spent]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in ways if number % 2 else reversed(ways):
            spent[way].append(_once(way, setup))
    median = {
        way: Spent(*(statistics.median(column) for column in zip(*rows, strict=True))) for way, rows in spent.items()
    }
    print(f"{'':34} {'wall':>8} {'cpu':>8} {'peak':>9}")
    titles = {
        "big ours": f"hydrate {options.big} MiB",
        "big boto3": "  boto3's download_file",
        "small ours": f"hydrate {options.small} x 20 KiB",
        "small boto3": "  boto3's transfer manager",
        "first ours": f"first MiB of {options.big} MiB",
        "copy": "  copy of the file, by the kernel",
    }
    for way in ways:
        one = median[way]
        print(f"{titles[way]:34} {one.wall:7.2f}s {one.cpu:7.2f}s {one.peak / _MIB:5.0f} MiB")
    for kind in ("big", "small"):
        ours, theirs = median[f"{kind} ours"], median[f"{kind} boto3"]
        print(
            f"{kind}: {theirs.wall / ours.wall:.2f} x as fast as boto3, {theirs.cpu / ours.cpu:.2f} x by processor time"
        )


def _moto() -> tuple[subprocess.Popen[bytes], str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return server, f"http://127.0.0.1:{port}"
    server.kill()
    raise TimeoutError("moto's server doesn't answer")


def _store(setup: dict[str, Any], state: Path) -> S3VersionedBlobStore:
    return S3VersionedBlobStore(
        S3Options(
            bucket=setup["bucket"],
            provider="other",
            region="us-east-1",
            endpoint_url=setup["url"],
            access_key_id=Secret(os.environ.get("AWS_ACCESS_KEY_ID", "testing")),
            secret_access_key=Secret(os.environ.get("AWS_SECRET_ACCESS_KEY", "testing")),
        ),
        state,
    )


def _objects(work: Path, url: str, big: int, small: int) -> dict[str, Any]:
    """Make the bucket and its objects: what each child is told."""
    setup: dict[str, Any] = {"url": url, "bucket": f"anvcs-bench-{secrets.token_hex(4)}", "work": str(work)}
    store = _store(setup, work / "state")
    raw = store.client.raw
    raw.create_bucket(Bucket=setup["bucket"])
    raw.put_bucket_versioning(Bucket=setup["bucket"], VersioningConfiguration={"Status": "Enabled"})
    cache = ContentCache(work / "source")
    uploader = Uploader(cache, store, "s3")

    def upload(key: str, size: int) -> dict[str, object]:
        blocks = (os.urandom(min(_MIB, size - at)) for at in range(0, size, _MIB))
        return uploader.upload(cache.take_chunks(blocks), key).document()

    setup["big"] = [upload("big", big)]
    setup["small"] = [upload(f"small/{number}", _SMALL) for number in range(small)]
    setup["file"] = str(cache.path(setup["big"][0]["sha256"]))
    return setup


def _once(way: str, setup: dict[str, Any]) -> Spent:
    file = Path(setup["work"], "setup.json")
    file.write_text(json.dumps(setup))
    done = subprocess.run(
        [sys.executable, "-m", "anvcs_tools.bench.artifacts", "--child", way, file],
        capture_output=True,
        check=True,
        timeout=_TIMEOUT_S,
    )
    return Spent(*json.loads(done.stdout))


def _child(way: str, file: str) -> None:
    """Do it once and say what it cost."""
    setup = json.loads(Path(file).read_text(encoding="utf-8"))
    work = Path(tempfile.mkdtemp(dir=setup["work"]))
    ways: dict[str, Callable[[], None]] = {
        "big ours": lambda: _ours(setup, work, "big"),
        "big boto3": lambda: _theirs(setup, work, "big"),
        "small ours": lambda: _ours(setup, work, "small"),
        "small boto3": lambda: _theirs(setup, work, "small"),
        "first ours": lambda: _first(setup, work),
        "copy": lambda: _copy(setup, work),
    }
    started = time.perf_counter()
    ways[way]()
    wall = time.perf_counter() - started
    cpu = time.process_time()
    shutil.rmtree(work)
    print(json.dumps([wall, cpu, memory(os.getpid(), "VmHWM")]))


def _pins(setup: dict[str, Any], kind: str) -> list[Pin]:
    return [pin_from_document(document) for document in setup[kind]]


def _hydrator(setup: dict[str, Any], work: Path) -> Hydrator:
    store = _store(setup, work / "state")
    return Hydrator(ContentCache(work / "cache"), lambda _: store)


def _ours(setup: dict[str, Any], work: Path, kind: str) -> None:
    hydrator = _hydrator(setup, work)
    problems: list[Exception] = []
    hydrator.ensure_many(_pins(setup, kind), done=lambda _, error: problems.append(error) if error else None)
    hydrator.close()
    if problems:
        raise problems[0]


def _first(setup: dict[str, Any], work: Path) -> None:
    hydrator = _hydrator(setup, work)
    with hydrator.open(_pins(setup, "big")[0]) as artifact:
        if len(artifact.read(0, _MIB)) != _MIB:
            raise ValueError("less than a MiB came")
    hydrator.close()


def _theirs(setup: dict[str, Any], work: Path, kind: str) -> None:
    """As the AWS command line does it: one transfer manager, sizes known from a listing."""
    from boto3.s3.transfer import TransferConfig, create_transfer_manager
    from s3transfer.subscribers import BaseSubscriber

    class Size(BaseSubscriber):  # type: ignore[misc]  # untyped
        def __init__(self, size: int) -> None:
            self._size = size

        def on_queued(self, future: Any, **_: object) -> None:
            future.meta.provide_transfer_size(self._size)

    bucket = setup["bucket"]
    with create_transfer_manager(_store(setup, work / "state").client.raw, TransferConfig()) as manager:
        waiting = [
            manager.download(
                bucket, pin.key, str(work / pin.sha256), {"VersionId": pin.version_id}, subscribers=[Size(pin.size)]
            )
            for pin in _pins(setup, kind)
        ]
        for future in waiting:
            future.result()


def _copy(setup: dict[str, Any], work: Path) -> None:
    with Path(setup["file"]).open("rb") as reader, (work / "copy").open("wb") as writer:
        while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
            pass


if __name__ == "__main__":
    sys.exit(main())
