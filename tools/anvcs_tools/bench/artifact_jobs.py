"""What the artifact benchmarks do in a process of its own: ``… artifact_jobs JOB SETUP FOLDER``.

So that each begins with nothing loaded or connected, as a command does.  Prints the process's peak memory.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.hydrating import Hydrator
from anvcs.artifacts.s3.options import S3Options
from anvcs.artifacts.s3.store import S3VersionedBlobStore
from anvcs.model.pin import Pin, pin_from_document
from anvcs_tools.bench.costs import memory

_MIB = 1 << 20


def store_of(setup: dict[str, Any], state: Path) -> S3VersionedBlobStore:
    """The bucket; credentials come from the environment."""
    options = S3Options(bucket=setup["bucket"], provider="other", region="us-east-1", endpoint_url=setup["url"])
    return S3VersionedBlobStore(options, state)


def _pins(setup: dict[str, Any], kind: str) -> list[Pin]:
    return [pin_from_document(document) for document in setup[kind]]


def _hydrator(setup: dict[str, Any], folder: Path) -> Hydrator:
    store = store_of(setup, folder / "state")
    return Hydrator(ContentCache(folder / "cache"), lambda _: store)


def _fetch(setup: dict[str, Any], folder: Path, kind: str) -> None:
    hydrator = _hydrator(setup, folder)
    problems: list[Exception] = []
    hydrator.ensure_many(_pins(setup, kind), done=lambda _, error: problems.append(error) if error else None)
    hydrator.close()
    if problems:
        raise problems[0]


def _first(setup: dict[str, Any], folder: Path) -> None:
    hydrator = _hydrator(setup, folder)
    with hydrator.open(_pins(setup, "big")[0]) as artifact:
        if len(artifact.read(0, _MIB)) != _MIB:
            raise ValueError("less than a MiB came")
    hydrator.close()


def _upload(setup: dict[str, Any], folder: Path) -> None:
    store_of(setup, folder / "state").upload(Path(setup["file"]), f"up/{folder.name}", sha256=setup["sha256"])


_JOBS: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "big": lambda setup, folder: _fetch(setup, folder, "big"),
    "small": lambda setup, folder: _fetch(setup, folder, "small"),
    "first": _first,
    "upload": _upload,
}


def main(arguments: Sequence[str]) -> None:
    """Do one job."""
    job, setup, folder = arguments
    _JOBS[job](json.loads(Path(setup).read_text(encoding="utf-8")), Path(folder))
    print(memory(os.getpid(), "VmHWM"))


if __name__ == "__main__":
    main(sys.argv[1:])
