"""Rows that write: editors' ways of saving, big files, local files, and whole programs at work."""

# ruff: noqa: PTH105, PTH123 - plain calls: what is timed should be the file system, not pathlib

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from anvcs_tools.bench.rows import NotPossible, Place, Row

_SAVES = 200
_APPENDS = 500
_SMALL_FILES = 5000
_MIB = 1 << 20


def _sources(place: Place) -> list[Path]:
    """Source files of ordinary size, the same ones at both places."""
    known = place.notes.get("sources")
    if not isinstance(known, list):
        found = sorted((place.path / "stdlib").glob("*.py"))
        known = [path for path in found if 1000 < path.stat().st_size < 60_000][:_SAVES]
        place.notes["sources"] = known
    return known


def _load(place: Place) -> None:
    """Read the sources, as an editor has before it saves; each save then changes one line."""
    contents = [(path, path.read_bytes().splitlines(keepends=True)) for path in _sources(place)]
    place.notes["contents"] = [(path, _edited(lines)) for path, lines in contents]


def _edited(lines: list[bytes]) -> bytes:
    middle = len(lines) // 2
    lines[middle] = b"# edited, and the line after it moves down\n" + lines[middle]
    return b"".join(lines)


def _save_all(place: Place) -> None:
    contents = place.notes["contents"]
    assert isinstance(contents, list)
    for path, data in contents:
        temporary = path.with_name(path.name + ".tmp~")
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)


def _append_all(place: Place) -> None:
    paths = _sources(place)[:10]
    for number in range(_APPENDS):
        with open(paths[number % len(paths)], "ab", buffering=0) as file:
            file.write(b"# thirty bytes, then a newline\n"[-30:])


def _restore(place: Place) -> None:
    done = subprocess.run(["git", "checkout", "-q", "--", "stdlib"], cwd=place.path, check=False)
    if done.returncode:
        raise RuntimeError(f"git checkout -- stdlib: exit {done.returncode} in {place.path}")


def _big_writer(size: int) -> Callable[[Place], None]:
    block = bytes(range(256)) * (_MIB // 256)  # not UTF-8: an opaque file

    def work(place: Place) -> None:
        with open(place.path / "big.bin", "wb", buffering=0) as file:
            file.writelines(block for _ in range(size // _MIB))

    return work


def _big_reader(place: Place) -> None:
    buffer = bytearray(_MIB)
    with open(place.path / "big.bin", "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _no_big_file(place: Place) -> None:
    (place.path / "big.bin").unlink(missing_ok=True)


def _keep_big_file(size: int) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        path = place.path / "big.bin"
        if not path.exists() or path.stat().st_size != size:
            _big_writer(size)(place)

    return prepare


def _local(place: Place) -> Path:
    return place.path / "build" / "many"


def _no_local_files(place: Place) -> None:
    shutil.rmtree(_local(place), ignore_errors=True)


def _create_local_files(place: Place) -> None:
    for number in range(_SMALL_FILES):
        folder = _local(place) / f"{number // 100:02}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        with open(folder / f"file{number}.o", "wb", buffering=0) as file:
            file.write(b"x" * 200)


def _have_local_files(place: Place) -> None:
    _no_local_files(place)
    _create_local_files(place)


def _delete_local_files(place: Place) -> None:
    shutil.rmtree(_local(place))


def _python(place: Place, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(place.path / "stdlib")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=place.path, env=environment, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)}: {done.stderr.decode(errors='replace')[-400:]}")


_SUITES = (
    "test_json",
    "test_textwrap",
    "test_configparser",
    "test_difflib",
    "test_string",
    "test_heapq",
    "test_bisect",
)


def _test_suite(place: Place) -> None:
    if importlib.util.find_spec("test.test_textwrap") is None:
        raise NotPossible("this Python was installed without its own tests")
    _python(place, "-m", "unittest", "-q", *(f"test.{name}" for name in _SUITES))


def _compile(place: Place) -> None:
    _python(place, "-m", "compileall", "-q", "-f", "stdlib/asyncio", "stdlib/email", "stdlib/unittest", "stdlib/http")


def rows(big: int) -> tuple[Row, ...]:
    """The rows of this module; *big* is the size in bytes of the big file."""
    big_name = f"{big // _MIB} MiB" if big < _MIB * 1024 else f"{big // (_MIB * 1024)} GiB"
    return (
        Row(
            key="save",
            title=f"rename-over save, {_SAVES} sources",
            goal=4,
            work=_save_all,
            prepare=_load,
            clean=_restore,
        ),
        Row(key="append", title=f"open + append + close, {_APPENDS} x", goal=25, work=_append_all, clean=_restore),
        Row(
            key="big-write",
            title=f"{big_name} sequential write",
            goal=4.5,
            rounds=3,
            work=_big_writer(big),
            prepare=_no_big_file,
            warm_up=False,
        ),
        Row(
            key="big-read",
            title=f"{big_name} cached read",
            goal=2.5,
            rounds=3,
            work=_big_reader,
            prepare=_keep_big_file(big),
        ),
        Row(
            key="local-create",
            title=f"local files: create {_SMALL_FILES}",
            goal=8,
            rounds=3,
            work=_create_local_files,
            prepare=_no_local_files,
            clean=_no_local_files,
        ),
        Row(
            key="local-delete",
            title=f"local files: delete {_SMALL_FILES}",
            goal=8,
            rounds=3,
            work=_delete_local_files,
            prepare=_have_local_files,
        ),
        Row(key="tests", title="a test suite in the tree", goal=1.15, work=_test_suite, rounds=3),
        Row(key="compileall", title="compileall in the tree", goal=1.15, work=_compile, rounds=3),
    )


def remove_leftovers(place: Place) -> None:
    """Take away what the rows leave on purpose between rounds."""
    _no_big_file(place)
    _no_local_files(place)
