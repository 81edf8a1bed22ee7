"""Where the mount's steps meet: busy and full rooms, links, names that change class, stores that go away."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, commit
from support.kernel import RENAME_EXCHANGE, fails, rename
from support.programs import git
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def view(repository: Path, tmp_path: Path, mounted) -> MountedView:
    return mounted(repository, tmp_path / "view")


@contextmanager
def busy_room(view: MountedView) -> Iterator[sqlite3.Connection]:
    """Another process inside its append."""
    (file,) = view.store.glob("rooms/main.sqlite")
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.close()


VERBS = {
    "write": lambda top: (top / "app.py").write_text("new\n"),
    "mkdir": lambda top: (top / "fresh").mkdir(),
    "unlink": lambda top: (top / "app.py").unlink(),
    "rename": lambda top: (top / "app.py").rename(top / "moved.py"),
    "rename a directory": lambda top: (top / "deep").rename(top / "deeper"),
    "symlink": lambda top: (top / "fresh-link").symlink_to("app.py"),
    "chmod": lambda top: (top / "app.py").chmod(0o755),
    "truncate": lambda top: os.truncate(top / "app.py", 3),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_busy_room_makes_a_request_wait(view: MountedView, name):
    top = view.path / "project"
    os.listdir(top)
    with busy_room(view) as db:
        timer = threading.Timer(0.5, lambda: db.execute("ROLLBACK"))
        timer.start()
        VERBS[name](top)
        timer.join()
    view.kill()
    view.remount()
    if name == "write":
        assert (top / "app.py").read_text() == "new\n"
    elif name == "truncate":
        assert (top / "app.py").stat().st_size == 3
    elif name.startswith("rename"):
        assert {"moved.py", "deeper"} & set(os.listdir(top))


def test_others_are_served_while_a_request_waits(view: MountedView):
    top = view.path / "project"
    with busy_room(view) as db:
        # In another directory: the kernel lets one at a time change the names of one.
        waiting = threading.Thread(target=(top / "deep" / "fresh").mkdir)
        waiting.start()
        assert (top / "app.py").read_text()
        assert "main.c" in os.listdir(top)
        (top / "local.local").write_text("x")
        db.execute("ROLLBACK")
        waiting.join()
    assert (top / "deep" / "fresh").is_dir()


def test_a_room_that_stays_busy_is_told(view: MountedView):
    top = view.path / "project"
    before = (top / "app.py").read_text()
    with busy_room(view):
        with fails(errno.EAGAIN):
            (top / "app.py").write_text("never saved\n")
        with fails(errno.EAGAIN):
            (top / "fresh").mkdir()
    assert (top / "app.py").read_text() == before
    assert "fresh" not in os.listdir(top)
    (top / "app.py").write_text("saved\n")
    assert commit(view.path, "after all")["paths"] == ["project/app.py"]
    assert (top / "app.py").read_text() == "saved\n"


def test_a_commit_waits_for_the_room(view: MountedView):
    (view.path / "project" / "app.py").write_text("new\n")
    with busy_room(view) as db:
        timer = threading.Timer(0.5, lambda: db.execute("ROLLBACK"))
        timer.start()
        told = commit(view.path, "once")
        timer.join()
    assert told["paths"] == ["project/app.py"]
    assert git("log", "-2", "--format=%s", "main", cwd=view.repository).splitlines()[0] == "once"
    assert git("log", "--format=%s", "main", cwd=view.repository).splitlines().count("once") == 1
    assert git("status", "--porcelain", cwd=view.path) == ""


def test_a_commit_that_died_before_the_index(view: MountedView):
    """The branch and HEAD's log have the commit, the index does not: the next mount brings it along."""
    (view.path / "project" / "app.py").write_text("new\n")
    assert git("status", "--porcelain", cwd=view.path) == " M project/app.py"
    view.unmount()
    kept = [view.store / "views" / "view" / "git" / "index", view.store / "views" / "view" / "index-base"]
    kept += view.store.glob("rooms/main.sqlite*")
    before = {file: file.read_bytes() for file in kept}
    view.mount()
    commit(view.path, "made")
    view.unmount()
    for file in view.store.glob("rooms/main.sqlite*"):
        file.unlink()
    for file, data in before.items():
        file.write_bytes(data)
    view.mount()
    assert (view.path / "project" / "app.py").read_text() == "new\n"
    assert git("status", "--porcelain", cwd=view.path) == ""


def test_a_commit_that_was_made_is_not_refused(view: MountedView):
    """Git has it before the room does: the room takes it in when it can."""
    (view.path / "project" / "app.py").write_text("new\n")
    with busy_room(view):
        assert commit(view.path, "made")["paths"] == ["project/app.py"]
    assert git("log", "-1", "--format=%s", "main", cwd=view.repository) == "made"
    assert git("status", "--porcelain", cwd=view.path) == ""
    (view.path / "project" / "app.py").write_text("newer\n")
    assert commit(view.path, "next")["paths"] == ["project/app.py"]


# Links


def linked(view: MountedView) -> tuple[Path, Path]:
    one, two = view.path / "project" / "one.txt", view.path / "project" / "deep" / "two.txt"
    one.write_text("shared\n")
    os.link(one, two)
    return one, two


def test_one_name_of_a_link_goes_while_the_other_was_not_looked_up(view: MountedView):
    one, two = linked(view)
    view.remount()
    with open(one, "a") as file:
        one.unlink()
        file.write("more\n")
        file.flush()
        assert os.fstat(file.fileno()).st_nlink == 1
    assert two.read_text() == "shared\nmore\n"
    view.kill()
    view.remount()
    assert two.read_text() == "shared\nmore\n"


def test_a_link_keeps_its_names_when_one_is_replaced(view: MountedView):
    one, two = linked(view)
    view.remount()
    assert two.stat().st_nlink == 2
    aside = view.path / "project" / "aside.tmp"
    aside.write_text("replaced\n")
    os.replace(aside, one)
    with open(two, "a") as file:
        file.write("more\n")
    assert (one.read_text(), two.read_text()) == ("replaced\n", "shared\nmore\n")
    view.remount()
    assert (one.read_text(), two.read_text()) == ("replaced\n", "shared\nmore\n")
    assert two.stat().st_nlink == 1


@pytest.mark.parametrize("settled", [False, True], ids=["pending", "shared"])
def test_a_link_does_not_cross_to_local_names(view: MountedView, settled):
    one, two = linked(view)
    if settled:
        view.remount()
    with fails(errno.EXDEV):
        os.rename(one, view.path / "project" / "one.local")
    assert one.read_text() == two.read_text() == "shared\n"
    subprocess.run(["mv", one, view.path / "project" / "one.local"], check=True)
    assert (view.path / "project" / "one.local").read_text() == "shared\n"
    assert two.read_text() == "shared\n"


def test_a_linked_new_file_renamed_over_a_shared_one(view: MountedView):
    one, two = linked(view)
    app = view.path / "project" / "app.py"
    os.rename(one, app)
    assert os.path.samefile(app, two)
    with open(two, "a") as file:
        file.write("more\n")
    assert app.read_text() == "shared\nmore\n"
    view.remount()
    assert app.read_text() == two.read_text() == "shared\nmore\n"


def test_deleted_local_files_lend_their_numbers_to_nobody(view: MountedView):
    """The real disk gives a freed inode number to the next file at once."""
    build = view.path / "build"
    build.mkdir()
    for number in range(50):
        path = build / "old"
        path.write_text("old")
        descriptor = os.open(path, os.O_PATH)  # the kernel refers to the file, which nobody has open
        path.unlink()
        (build / f"new{number}").write_text(f"{number}")
        assert (build / f"new{number}").stat().st_nlink == 1
        os.close(descriptor)
        assert (build / f"new{number}").read_text() == f"{number}"
        os.mkdir(build / "gone")
        descriptor = os.open(build / "gone", os.O_PATH)
        os.rmdir(build / "gone")
        os.mkdir(build / f"dir{number}")
        os.close(descriptor)
        (build / f"dir{number}" / "in").write_text("in")
    assert len(os.listdir(build)) == 100


# Files that change class while they are open


@pytest.mark.parametrize("mode", ["r+b", "rb"])
def test_an_open_shared_file_becomes_private(view: MountedView, mode):
    app = view.path / "project" / "app.py"
    text = app.read_bytes()
    with open(app, mode, buffering=0) as file:
        os.rename(app, view.path / "project" / "app.local")
        assert file.read() == text
        if mode == "r+b":
            file.write(b"# more\n")
    more = b"# more\n" if mode == "r+b" else b""
    assert (view.path / "project" / "app.local").read_bytes() == text + more


def test_a_new_file_becomes_shared_while_it_is_written(view: MountedView):
    path = view.path / "project" / "new.txt"
    with open(path, "w") as file:
        file.write("one\n")
        file.flush()
        commit(view.path, "as far as it is")
        file.write("two\n")
        file.flush()
        os.rename(path, view.path / "project" / "renamed.txt")
        file.write("three\n")
    assert (view.path / "project" / "renamed.txt").read_text() == "one\ntwo\nthree\n"


def test_a_local_directory_with_empty_ones_becomes_shared(view: MountedView):
    (view.path / "build" / "x" / "empty" / "er").mkdir(parents=True)
    (view.path / "build" / "x" / "file.txt").write_text("x\n")
    (view.path / "build" / "x" / "out.local").write_text("local\n")
    os.rename(view.path / "build" / "x", view.path / "shown")
    for _ in range(2):
        assert (view.path / "shown" / "empty" / "er").is_dir()
        assert sorted(os.listdir(view.path / "shown")) == ["empty", "file.txt", "out.local"]
        view.remount()
    assert commit(view.path, "shown")["paths"] == ["shown/file.txt"]


def test_a_refused_directory_rename_leaves_its_target(view: MountedView):
    (view.path / "build" / "empty").mkdir(parents=True)
    with fails(errno.EXDEV):
        os.rename(view.path / "project", view.path / "build" / "empty")
    assert (view.path / "build" / "empty").is_dir()


def test_a_directory_that_git_removed_leaves_no_shadow(view: MountedView):
    """A new file puts an empty directory on the real disk; it must not outlive the shared one."""
    top = view.path / "gone"
    top.mkdir()
    (top / "file.txt").write_text("x\n")
    commit(view.path, "a directory")
    git("rm", "-q", "-r", "gone", cwd=view.path)
    git("commit", "-q", "-m", "no directory", cwd=view.path)
    assert "gone" not in os.listdir(view.path)
    view.remount()
    assert "gone" not in os.listdir(view.path)


# Big files


def test_a_big_file_is_cut_by_name(view: MountedView):
    path = view.path / "project" / "big.bin"
    data = os.urandom(12 << 20)
    path.write_bytes(data)
    commit(view.path, "big")
    os.truncate(path, 9 << 20)
    assert path.read_bytes() == data[: 9 << 20]
    with open(path, "ab") as file:
        file.write(b"tail")
    os.rename(path, view.path / "project" / "bigger.bin")
    path = view.path / "project" / "bigger.bin"
    assert path.read_bytes() == data[: 9 << 20] + b"tail"
    view.kill()
    view.remount()
    assert path.read_bytes() == data[: 9 << 20] + b"tail"
    os.truncate(path, 10)
    assert path.read_bytes() == data[:10]
    commit(view.path, "small")
    assert git("cat-file", "-s", "main:project/bigger.bin", cwd=view.repository) == "10"


# Names


def test_names_that_are_no_text(view: MountedView):
    top = os.fsencode(view.path / "project")
    name = b'f\xff\n"\\\xc3'
    with open(top + b"/" + name, "wb") as file:
        file.write(b"one\n")
    os.mkdir(top + b"/d\xfe")
    os.rename(top + b"/" + name, top + b"/d\xfe/" + name)
    view.kill()
    view.remount()
    assert os.listdir(top + b"/d\xfe") == [name]
    told = commit(view.path, "odd names")
    assert len(told["paths"]) == 1
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", "--name-only", "main"], cwd=view.repository, capture_output=True, check=True
    ).stdout
    assert b"project/d\xfe/" + name in listed.split(b"\0")
    assert git("status", "--porcelain", cwd=view.path) == ""
    json.loads((view.control / "status").read_text())
    for line in (view.control / "ops").read_text().splitlines():
        json.loads(line)
    with open(top + b"/d\xfe/" + name, "ab") as file:
        file.write(b"two\n")
    assert git("status", "--porcelain", cwd=view.path) != ""
    git("commit", "-q", "-a", "-m", "by git", cwd=view.path)
    assert git("status", "--porcelain", cwd=view.path) == ""


def test_a_very_large_directory(view: MountedView):
    top = view.path / "project" / "many"
    top.mkdir()
    count = 1500  # more than a call of getdents(2) gives, and many times what one answer to the kernel holds
    for number in range(count):
        (top / f"file{number}").touch()
    assert len(os.listdir(top)) == count
    rename(top / "file1", top / "file2", RENAME_EXCHANGE)
    os.rename(top, view.path / "project" / "renamed")
    assert len(os.listdir(view.path / "project" / "renamed")) == count
    shutil.rmtree(view.path / "project" / "renamed")
    assert "renamed" not in os.listdir(view.path / "project")


# What others do to the repository


def test_the_branch_is_deleted(view: MountedView):
    (view.path / "project" / "app.py").write_text("new\n")
    git("update-ref", "-d", "refs/heads/main", cwd=view.repository)
    assert (view.path / "project" / "app.py").read_text() == "new\n"
    (view.path / "project" / "main.c").write_text("also new\n")
    view.remount()
    assert (view.path / "project" / "app.py").read_text() == "new\n"


def test_the_repository_is_moved_away_and_back(view: MountedView, mounted):
    mounted.expect_faults = True
    app = view.path / "project" / "app.py"
    (view.path / "young.txt").write_text("young\n")
    aside = view.repository.with_name("elsewhere.git")
    view.repository.rename(aside)
    eventually(lambda: refuses(lambda: app.write_text("x\n"), errno.ESTALE), what="ESTALE")
    with fails(errno.ESTALE):
        (view.path / "new.txt").write_text("x\n")
    aside.rename(view.repository)
    eventually(lambda: not refuses(lambda: app.write_text("back\n"), errno.ESTALE), what="writing again")
    assert app.read_text() == "back\n"
    assert (view.path / "young.txt").read_text() == "young\n"
    assert sorted(commit(view.path, "back")["paths"]) == ["project/app.py", "young.txt"]


def test_the_repository_is_removed(view: MountedView, mounted):
    mounted.expect_faults = True
    app = view.path / "project" / "app.py"
    shutil.rmtree(view.repository)
    eventually(lambda: refuses(lambda: app.write_text("x\n"), errno.ESTALE), what="ESTALE")
    with fails(errno.ESTALE):
        (view.path / "new").mkdir()


def refuses(call, number: int) -> bool:
    try:
        call()
    except OSError as failure:
        if failure.errno != number:
            raise
        return True
    return False
