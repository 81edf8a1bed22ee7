"""Several mounted views of one stream: what one does the others show."""

import json
import mmap
import multiprocessing
import os
import select
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from inotify_simple import INotify, flags

from anvcs.presence import folder_of
from anvcs_tools.bench.views import MountedView, ai_vcs, run_command
from support.fixtures import Mounts
from support.programs import git
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]
LINES = "".join(f"line {number}\n" for number in range(200))
_FORK = multiprocessing.get_context("fork")


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """A repository of a few files."""
    path = tmp_path / "repository"
    path.mkdir()
    git("init", "-q", "-b", "main", cwd=path)
    (path / "src" / "deep").mkdir(parents=True)
    (path / "text").write_text(LINES)
    (path / "src" / "a").write_text("a\n")
    (path / "src" / "deep" / "b").write_text("b\n")
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


def test_every_kind_of_change_shows(two, little: Path, tmp_path: Path, mounted: Mounts):
    ann, ben = (view.path for view in two)
    eve = mounted(little, tmp_path / "eve", "--agent", "eve", init=False).path
    for each in (ben, eve):
        assert not (each / "new").exists()  # now the kernel knows that there is none
        assert sorted(os.listdir(each / "src")) == ["a", "deep"]
        (each / "text").read_text()
    (ann / "text").write_text("short\n")
    (ann / "new").write_text("new\n")
    (ann / "empty").mkdir()
    (ann / "src" / "link").symlink_to("a")
    (ann / "src" / "a").chmod(0o755)
    (ann / "src" / "deep").rename(ann / "moved")
    for each in (ben, eve):
        eventually(lambda each=each: (each / "new").exists())
        assert (each / "text").stat().st_size == 6
        assert (each / "text").read_text() == "short\n"
        assert (each / "new").read_text() == "new\n"
        assert sorted(os.listdir(each / "src")) == ["a", "link"]
        assert (each / "src" / "link").readlink() == Path("a")
        assert (each / "src" / "a").stat().st_mode & 0o777 == 0o755
        assert (each / "moved" / "b").read_text() == "b\n"
        assert (each / "empty").is_dir()
        assert not (each / "src" / "deep").exists()
    (ann / "new").unlink()
    (ann / "empty").rmdir()
    for each in (ben, eve):
        eventually(lambda each=each: not (each / "new").exists() and not (each / "empty").exists())


def test_a_commit_shows_and_git_is_right_everywhere(two):
    ann, ben = two
    (ann.path / "text").write_text(LINES + "more\n")
    eventually(lambda: "more" in (ben.path / "text").read_text())
    stamp = (ben.path / "text").stat().st_mtime_ns
    (ann.control / "commit").write_text("feat: more\n")
    wanted = git("rev-parse", "main", cwd=two[0].repository).strip()
    eventually(lambda: git("status", "--porcelain", cwd=ben.path) == "")
    assert git("rev-parse", "HEAD", cwd=ben.path).strip() == wanted
    assert (ben.path / "text").stat().st_mtime_ns == stamp  # what is committed has not changed


def test_open_handles_and_maps_follow(two):
    ann, ben = (view.path for view in two)
    with open(ben / "text", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:4] == b"line"
        (ann / "text").write_text(LINES.replace("line 0\n", "LINE 0\n"))
        eventually(lambda: mapped[:4] == b"LINE", timeout=5)
        assert os.pread(file.fileno(), 4, 0) == b"LINE"


def test_a_rename_is_followed_by_who_stands_there(two):
    ann, ben = (view.path for view in two)
    handle = os.open(ben / "src" / "deep" / "b", os.O_RDONLY)
    folder = os.open(ben / "src" / "deep", os.O_RDONLY | os.O_DIRECTORY)
    inode = os.fstat(handle).st_ino
    (ann / "src").rename(ann / "source")
    eventually((ben / "source" / "deep" / "b").exists)
    assert os.stat("b", dir_fd=folder).st_ino == inode
    (ann / "source" / "deep" / "b").write_text("later\n")
    eventually(lambda: os.pread(handle, 10, 0) == b"later\n")
    (ann / "source" / "deep" / "b").unlink()
    eventually(lambda: os.listdir(folder) == [])
    assert os.pread(handle, 10, 0) == b"later\n"
    os.close(handle)
    os.close(folder)


def test_a_lost_notification_loses_nothing(two):
    """How little it costs is measured: ``python -m anvcs_tools.bench live-lost``."""
    ann, ben = two
    (ben.path / "text").read_text()
    for socket in folder_of(room_of(ann)).glob("ben.*.sock"):
        socket.unlink()  # from now on nobody can tell ben anything
    for number in range(8):
        (ann.path / "text").write_text(LINES + f"{number}\n")
        eventually(lambda number=number: (ben.path / "text").read_text().endswith(f"\n{number}\n"), timeout=5)


def test_work_without_a_mount_shows(two):
    ann, ben = two
    (ann.path / "text").write_text("ann's\n")
    (ann.path / "src" / "a").write_text("a, changed\n")
    ann.unmount()
    eventually(lambda: (ben.path / "text").read_text() == "ann's\n")
    ai_vcs("commit", "-m", "feat: offline", "--stream", "main", cwd=ann.repository)
    eventually(lambda: git("log", "-1", "--format=%s", cwd=ben.path).strip() == "feat: offline")
    eventually(lambda: git("status", "--porcelain", cwd=ben.path) == "")
    assert (ben.path / "text").read_text() == "ann's\n"


def test_sockets_of_the_dead_are_removed(two):
    ann, ben = two
    folder = folder_of(room_of(ann))
    assert len(list(folder.glob("*.sock"))) == 2
    ben.kill()
    (ann.path / "text").write_text("x\n")
    eventually(lambda: [file.name.partition(".")[0] for file in folder.glob("*.sock")] == ["ann"])
    ben.remount()
    eventually(lambda: (ben.path / "text").read_text() == "x\n")


def switches(pid: int) -> int:
    """How often a process has begun to wait."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def test_an_idle_view_sleeps(two):
    ann, ben = two
    (ann.path / "text").write_text("x\n")
    eventually(lambda: (ben.path / "text").read_text() == "x\n")

    def sleeps() -> bool:
        before = [switches(view.pid) for view in two]
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)"], check=True)
        return [switches(view.pid) for view in two] == before

    eventually(sleeps, timeout=30)


def test_who_watches_a_file_hears_of_its_deletion(two):
    ann, ben = (view.path for view in two)
    watch = INotify(nonblocking=True)
    (ben / "text").read_text()
    watch.add_watch(ben / "text", flags.DELETE_SELF)
    (ann / "text").unlink()
    assert eventually(lambda: watch.read(timeout=0))[0].mask & flags.DELETE_SELF
    watch.close()


# Torn reads


@contextmanager
def hammering(work, *arguments):
    """Run *work* in a process of its own, over and over."""
    stop = _FORK.Event()

    def run() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            work(number, *arguments)

    process = _FORK.Process(target=run)
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(10)
        assert process.exitcode == 0


def content(number: int, size: int) -> bytes:
    return (b"\xff%07d" % number) * (size // 8)  # no text: the whole value changes


def rewrite(number: int, file: Path, size: int) -> None:
    with open(file, "r+b" if number % 2 else "wb") as stream:
        stream.write(content(number, size))


def whole(data: bytes, size: int) -> bool:
    return len(data) == size and data == data[:8] * (size // 8)


@pytest.mark.parametrize("size", [24 << 10, 128 << 10])
@pytest.mark.parametrize("others", ["alone", "with another reader"])
def test_no_read_is_torn(two, size: int, others: str):
    ann, ben = (view.path for view in two)
    (ann / "data").write_bytes(content(0, size))
    eventually(lambda: (ben / "data").exists() and whole((ben / "data").read_bytes(), size))
    held = os.open(ben / "data", os.O_RDONLY)
    seen = set()
    torn = 0

    def look(number: int) -> None:
        handle = held if number % 2 else os.open(ben / "data", os.O_RDONLY)
        data = os.pread(handle, 128 << 10, 0)
        if handle != held:
            os.close(handle)
        nonlocal torn
        torn += not whole(data, size)
        seen.add(data[:8])

    def glance(number: int) -> None:
        os.stat(ben / "data")
        (ben / "data").read_bytes()[:number]

    with hammering(rewrite, ann / "data", size):
        if others == "alone":
            for number in range(3000):
                look(number)
        else:
            with hammering(glance):
                for number in range(3000):
                    look(number)
    assert len(seen) > 3
    assert torn == 0
    os.close(held)


# Standing still


def test_a_view_that_stands_still(little: Path, tmp_path: Path, mounted: Mounts):
    ann = mounted(little, tmp_path / "ann", "--agent", "ann")
    ben = mounted(little, tmp_path / "ben", "--agent", "ben", "-o", "follow=manual", init=False)
    assert (ben.control / "follow").read_text() == "manual\n"
    (ann.path / "text").write_text("ann's\n")
    (ann.path / "src" / "a").unlink()
    eventually(lambda: json.loads((ben.control / "sync").read_text())["held_back"] == 2)
    (ben.path / "src" / "deep" / "b").write_text("ben's\n")
    eventually(lambda: (ann.path / "src" / "deep" / "b").read_text() == "ben's\n")
    assert (ben.path / "text").read_text() == LINES
    assert sorted(os.listdir(ben.path / "src")) == ["a", "deep"]
    (ben.control / "sync").write_text("now\n")
    assert json.loads((ben.control / "sync").read_text())["taken_in"] == 2
    assert (ben.path / "text").read_text() == "ann's\n"
    assert os.listdir(ben.path / "src") == ["deep"]
    (ann.path / "more").write_text("more\n")
    eventually(lambda: json.loads((ann.control / "status").read_text())["seq"] >= 4)
    (ben.control / "commit").write_text("feat: all\n")
    assert (ben.path / "more").exists()
    assert git("status", "--porcelain", cwd=ben.path) == ""
    (ann.path / "text").write_text("after\n")
    (ann.control / "commit").write_text("feat: by ann\n")
    assert git("log", "-1", "--format=%s", cwd=ben.path) == "feat: by ann"
    assert (ben.path / "text").read_text() == "ann's\n"
    (ben.control / "follow").write_text("live\n")
    eventually(lambda: (ben.path / "text").read_text() == "after\n")
    assert git("status", "--porcelain", cwd=ben.path) == ""
    (ben.control / "follow").write_text("manual\n")
    ben.unmount()
    ben.options = ("--stream", "main")
    ben.mount()
    assert (ben.control / "follow").read_text() == "manual\n"


def test_a_way_to_follow_that_there_is_none_of(two, little: Path, tmp_path: Path):
    ann, _ = two
    with pytest.raises(OSError, match="Invalid argument"):
        (ann.control / "follow").write_text("sometimes\n")
    assert "live" in (ann.control / "status").read_text()
    refused = run_command("mount", little, tmp_path / "other", "-o", "follow=sometimes")
    assert refused.returncode != 0
    assert "live, manual" in refused.stderr


# Who is there, and what they did


def test_peers_and_what_they_edit(two):
    ann, ben = two
    with open(ann.path / "text", "a", encoding="utf-8") as file:
        file.write("half\n")

        def told() -> list[dict]:
            return json.loads((ben.control / "peers").read_text())["peers"]

        eventually(lambda: [peer["editing"] for peer in told()] == [["text"], []])
    eventually(lambda: [peer["editing"] for peer in told()] == [[], []])
    first, second = told()
    assert (first["agent"], first["view"], first["pid"]) == ("ann", "ann", ann.pid)
    assert (second["agent"], second["last_op"]) == ("ben", None)
    assert first["last_op"]["path"] == "text"
    ann.kill()
    eventually(lambda: [peer["agent"] for peer in told()] == ["ben"])


def test_ops_grow_under_tail(two):
    ann, ben = two
    ops = ben.control / "ops"
    with subprocess.Popen(["tail", "-s", "0.05", "-n", "+1", "-f", ops], stdout=subprocess.PIPE, text=True) as tail:
        try:
            for number in range(3):
                (ann.path / "text").write_text(LINES + f"{number}\n")
                line = json.loads(tail.stdout.readline())
                assert (line["seq"], line["agent"], line["path"]) == (number + 1, "ann", "text")
        finally:
            tail.kill()
    lines = ops.read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]
    assert (ben.control / "ops-since" / "1").read_text().splitlines() == lines[1:]
    assert (ben.control / "ops-since" / "3").read_text() == ""
    with open(ops, "rb") as file:
        poll = select.poll()
        poll.register(file, select.POLLIN)
        assert poll.poll(1000)[0][1] & select.POLLIN
