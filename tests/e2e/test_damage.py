"""Disk full, and a log that was damaged: nothing acknowledged is lost, and everybody is told."""

import errno
import json
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, commit, run_command
from support.fixtures import Mounts
from support.programs import git
from support.repositories import copy_repository, make_repository

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 40 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", path], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.fixture(scope="module")
def little(tmp_path_factory) -> Path:
    return make_repository(tmp_path_factory.mktemp("little") / "little.git", 50)


@pytest.fixture
def small_view(small_disk: Path, little: Path, tmp_path: Path, mounted: Mounts) -> MountedView:
    return mounted(copy_repository_elsewhere(little, small_disk / "repository.git"), tmp_path / "view")


def copy_repository_elsewhere(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "-r", source, target], check=True)
    return target


def fill(disk: Path, leave: int) -> Path:
    """Take all space but *leave* bytes."""
    figures = os.statvfs(disk)
    filler = disk / "filler"
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, figures.f_bavail * figures.f_frsize - leave))
    return filler


def write_until_full(top: Path, size: int, suffix: str) -> dict[str, bytes]:
    """Files that were acknowledged before the first ENOSPC."""
    acknowledged: dict[str, bytes] = {}
    for number in range(2000):
        name, data = f"file{number}.{suffix}", (f"content {number} ".encode() * size)[:size]
        try:
            with open(top / name, "wb", buffering=0) as file:
                file.write(data)
        except OSError as failure:
            if failure.errno != errno.ENOSPC:
                raise
            return acknowledged
        acknowledged[name] = data
    raise AssertionError("the disk never became full")


@pytest.mark.parametrize("suffix", ["txt", "local", "bin"])
def test_disk_full(small_view: MountedView, small_disk: Path, suffix):
    top = small_view.path / "many"
    top.mkdir()
    (small_view.path / "project" / "app.py").write_text("edited before\n")
    filler = fill(small_disk, 3 << 20)
    acknowledged = write_until_full(top, 60_000, suffix)
    assert acknowledged

    def check() -> None:
        for name, data in acknowledged.items():
            assert (top / name).read_bytes() == data, name
        assert (small_view.path / "project" / "app.py").read_text() == "edited before\n"
        assert (small_view.path / "project" / "main.c").read_text()

    check()
    filler.unlink()
    # Space is back: writing works again without a remount.
    (top / f"afterwards.{suffix}").write_bytes(b"works again\n")
    acknowledged[f"afterwards.{suffix}"] = b"works again\n"
    check()
    small_view.kill()
    small_view.remount()
    check()
    commit(small_view.path, "after the disk was full")
    git("fsck", "--strict", cwd=small_view.repository)


def test_unlink_and_read_work_on_a_full_disk(small_view: MountedView, small_disk: Path):
    top = small_view.path / "many"
    top.mkdir()
    filler = fill(small_disk, 2 << 20)
    acknowledged = write_until_full(top, 40_000, "local")
    name = next(iter(acknowledged))
    os.unlink(top / name)
    assert not (top / name).exists()
    assert (small_view.path / "project" / "app.py").read_text()
    assert os.listdir(top)
    filler.unlink()


def test_an_edit_that_does_not_fit_leaves_the_old_content(small_view: MountedView, small_disk: Path):
    path = small_view.path / "project" / "notes.txt"
    before = path.read_bytes()
    filler = fill(small_disk, 256 << 10)
    big = b"".join(b"line %d of many\n" % number for number in range(60_000))
    aside = path.with_name("aside.txt")
    failed = False
    try:
        aside.write_bytes(big)
        os.replace(aside, path)
    except OSError as failure:
        if failure.errno != errno.ENOSPC:
            raise
        failed = True
    assert path.read_bytes() == (before if failed else big)
    filler.unlink()
    small_view.kill()
    small_view.remount()
    assert path.read_bytes() == (before if failed else big)
    path.write_bytes(big)
    assert path.read_bytes() == big


@pytest.fixture
def damaged(repository: Path, tmp_path: Path, mounted: Mounts) -> MountedView:
    """A view, unmounted, in whose log one record of an edit was damaged."""
    mounted.expect_faults = True
    view = mounted(repository, tmp_path / "view")
    for number in range(6):
        path = view.path / "project" / f"file{number}.txt"
        path.write_text(f"first {number}\n")
    commit(view.path, "files")
    for number in range(6):
        (view.path / "project" / f"file{number}.txt").write_text(f"first {number}\nsecond {number}\n")
    view.unmount()
    (room,) = view.store.glob("rooms/*.sqlite")
    with sqlite3.connect(room) as db:
        rows = db.execute(
            "select seq, payload from ops where kind = 'edit' and length(payload) > 4 order by seq"
        ).fetchall()
        if not rows:
            rows = db.execute("select seq, payload from ops where length(payload) > 4 order by seq").fetchall()
        seq, payload = rows[len(rows) // 2]
        middle = len(payload) // 2
        broken = payload[:middle] + bytes([payload[middle] ^ 0x55]) + payload[middle + 1 :]
        db.execute("update ops set payload = ? where seq = ?", (broken, seq))
    db.close()
    return view


def test_a_damaged_record_is_reported_and_repaired(damaged: MountedView):
    found = run_command("fsck", "--json", cwd=damaged.repository)
    assert found.returncode != 0
    json.loads(found.stdout)
    repaired = run_command("fsck", "--repair", "--json", cwd=damaged.repository)
    assert repaired.returncode in (0, found.returncode), repaired.stderr
    assert run_command("fsck", cwd=damaged.repository).returncode == 0
    damaged.mount()
    texts = [(damaged.path / "project" / f"file{number}.txt").read_text() for number in range(6)]
    whole = [text == f"first {number}\nsecond {number}\n" for number, text in enumerate(texts)]
    # Everything before and after the damaged record is kept; at most the one file fell back.
    assert whole.count(False) <= 1
    assert all(text.startswith(f"first {number}\n") for number, text in enumerate(texts))
    (damaged.path / "project" / "file0.txt").write_text("works again\n")
    assert commit(damaged.path, "after the repair")["ok"] is True


def test_a_healthy_store_passes(repository: Path, tmp_path: Path, mounted: Mounts):
    view = mounted(repository, tmp_path / "view")
    (view.path / "project" / "app.py").write_text("edited\n")
    assert run_command("fsck", cwd=repository).returncode == 0
    view.unmount()
    assert run_command("fsck", cwd=repository).returncode == 0


def test_copies_share_no_store(little: Path, tmp_path: Path):
    """The helper that copies repositories must not copy what is mutable by linking it."""
    copy = copy_repository(little, tmp_path / "copy.git")
    assert os.stat(copy / "HEAD").st_nlink == 1
