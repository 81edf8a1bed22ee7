"""The log under contention, seen from two mounted views: killed, stopped, full, damaged, read-only."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, environment
from support.fixtures import Mounts
from support.programs import git
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

_INSIDE = """
import sys
from pathlib import Path
from anvcs.rooms.logfile import LogFile
log = LogFile(Path(sys.argv[1]), None, read_only=False)
log.begin()
log._run("INSERT INTO meta VALUES ('half', 'done')")
print("inside", flush=True)
sys.stdin.readline()
log.rollback()
print("outside", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """A repository of a few files."""
    path = tmp_path / "repository"
    path.mkdir()
    git("init", "-q", "-b", "main", cwd=path)
    for number in range(4):
        (path / f"file{number}").write_text(f"{number}\n")
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "start", cwd=path)
    return path


@pytest.fixture
def two(little: Path, tmp_path: Path, mounted: Mounts) -> list[MountedView]:
    """Views of two agents."""
    first = mounted(little, tmp_path / "ann", "--agent", "ann")
    return [first, mounted(little, tmp_path / "ben", "--agent", "ben", init=False)]


def room_of(view: MountedView) -> Path:
    return view.store / "rooms" / "main.sqlite"


@pytest.fixture
def appender(two: list[MountedView]):
    """A process inside an append of the views' room."""
    process = subprocess.Popen(
        [sys.executable, "-c", _INSIDE, room_of(two[0])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout.readline() == "inside\n"
    yield process
    process.kill()
    process.communicate()


def save(view: MountedView, text: str, name: str = "file0") -> None:
    (view.path / name).write_text(text)


def shows(view: MountedView, text: str, name: str = "file0") -> None:
    eventually(lambda: (view.path / name).read_text() == text, what=f"{text!r} in {view.path}")


def check_log(view: MountedView) -> None:
    """Numbers without holes, and nothing half done."""
    with sqlite3.connect(f"file:{room_of(view)}?mode=ro", uri=True) as db:
        numbers = [row[0] for row in db.execute("SELECT seq FROM ops ORDER BY seq")]
        half = db.execute("SELECT count(*) FROM meta WHERE key = 'half'").fetchone()[0]
    db.close()
    assert numbers == list(range(1, len(numbers) + 1))
    assert half == 0


def test_killed_inside_an_append(two, appender):
    ann, ben = two
    saved = threading.Thread(target=save, args=(ann, "after\n"))
    saved.start()
    appender.kill()
    saved.join(10)
    shows(ben, "after\n")
    check_log(ann)


def test_stopped_inside_an_append(two, appender):
    ann, ben = two
    appender.send_signal(signal.SIGSTOP)
    descriptor = os.open(ann.path / "file0", os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, b"refused\n")
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        os.close(descriptor)
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        (ben.path / "file1").unlink()
    for view in two:
        log = view.store / "views" / view.path.name / "log"
        assert f"being written by process {appender.pid}" in log.read_text()
    assert (ben.path / "file1").read_text() == "1\n"  # who reads needs no lock
    appender.send_signal(signal.SIGCONT)
    appender.stdin.write("go on\n")
    appender.stdin.flush()
    assert appender.stdout.readline() == "outside\n"
    save(ann, "at last\n")
    shows(ben, "at last\n")
    check_log(ann)


def test_stopped_outside_an_append(two):
    ann, ben = two
    os.kill(ben.pid, signal.SIGSTOP)
    try:
        for number in range(1000):  # more than its socket holds
            save(ann, f"{number}\n")
    finally:
        os.kill(ben.pid, signal.SIGCONT)
    shows(ben, "999\n")
    save(ben, "ben's\n")
    shows(ann, "ben's\n")
    check_log(ann)


def test_a_view_killed_while_it_saves(two):
    ann, ben = two
    for _ in range(3):
        writer = subprocess.Popen(
            ["sh", "-c", 'i=0; while echo $i > "$0" 2>&-; do i=$((i + 1)); done', ben.path / "file1"],
            stderr=subprocess.DEVNULL,
        )
        for number in range(30):
            save(ann, f"{number}\n")
        ben.kill()
        writer.wait(20)
        save(ann, "after\n")
        ben.remount()
        shows(ben, "after\n")
        check_log(ann)
        last = (ben.path / "file1").read_text()
        shows(ann, last, "file1")


def test_all_write_at_once_without_a_hole(two):
    ann, ben = two

    def work(view: MountedView, name: str) -> None:
        for number in range(100):
            save(view, f"{view.path.name} {number}\n", name)

    threads = [threading.Thread(target=work, args=(view, name)) for view in two for name in ("file2", "file3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check_log(ann)
    for name in ("file2", "file3"):
        eventually(lambda name=name: (ann.path / name).read_text() == (ben.path / name).read_text())
        assert (ann.path / name).read_text()


def test_a_full_disk(little: Path, tmp_path: Path, mounted: Mounts):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {made.stderr.decode().strip()}")
    try:
        subprocess.run(["cp", "-r", little, disk / "repository"], check=True)
        ann = mounted(disk / "repository", tmp_path / "ann", "--agent", "ann")
        ben = mounted(disk / "repository", tmp_path / "ben", "--agent", "ben", init=False)
        save(ann, "before\n")
        shows(ben, "before\n")
        with open(disk / "filler", "wb") as filler:
            space = os.statvfs(disk)
            os.posix_fallocate(filler.fileno(), 0, space.f_bavail * space.f_frsize)
        for view in (ann, ben):
            with pytest.raises(OSError, match="No space left"):
                save(view, "x" * 100_000)
        assert (ben.path / "file1").read_text() == "1\n"
        (disk / "filler").unlink()
        save(ben, "space again\n")
        shows(ann, "space again\n")
        check_log(ann)
        for view in (ann, ben):
            view.unmount()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_damaged_record_in_a_peers_work(two, mounted: Mounts):
    ann, ben = two
    mounted.expect_faults = True
    save(ann, "good\n")
    shows(ben, "good\n")
    os.kill(ben.pid, signal.SIGSTOP)
    try:
        save(ann, "bad\n")
        with sqlite3.connect(room_of(ann)) as db:
            db.execute("UPDATE ops SET payload = x'00' WHERE seq = (SELECT max(seq) FROM ops)")
        db.close()
    finally:
        os.kill(ben.pid, signal.SIGCONT)
    with pytest.raises(OSError, match="Input/output error"):
        save(ben, "ben's\n", "file1")
    assert (ben.path / "file0").read_text() == "good\n"  # what it knows is served
    assert (ben.path / "file2").read_text() == "2\n"
    eventually(lambda: "is damaged" in (ben.store / "views" / "ben" / "log").read_text())
