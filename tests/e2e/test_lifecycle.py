"""Mounting, unmounting, remounting: what is refused, what is kept, what is cleaned up."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from anvcs_tools.bench.costs import memory
from anvcs_tools.bench.views import MountedView, ai_vcs, commit, is_mounted, run_command, wait_gone
from support.programs import git, run
from support.trees import assert_same_tree, digest, snapshot

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def view(repository: Path, tmp_path: Path, mounted) -> MountedView:
    return mounted(repository, tmp_path / "view")


def edit(view: MountedView) -> None:
    top = view.path / "project"
    (top / "app.py").write_text("edited\n")
    (top / "new.bin").write_bytes(bytes(range(256)))
    (top / "kept.local").write_text("local\n")
    os.rename(top / "deep", top / "deeper")
    os.unlink(top / "crlf.txt")
    os.mkdir(top / "hollow")
    os.utime(top / "main.c", ns=(5, 1_400_000_000_000_000_005))
    os.chmod(top / "notes.txt", 0o755)


def test_everything_survives_a_remount(view):
    edit(view)
    before = snapshot(view.path, times=True)
    inodes = {name: os.lstat(os.path.join(os.fsencode(view.path), name)).st_ino for name in before}
    status = git("status", "--porcelain", cwd=view.path)
    view.remount()
    assert snapshot(view.path, times=True) == before
    assert {name: os.lstat(os.path.join(os.fsencode(view.path), name)).st_ino for name in before} == inodes
    assert git("status", "--porcelain", cwd=view.path) == status


def test_nothing_that_a_view_stores_is_open_to_everybody(view):
    """The kernel has applied the caller's umask already; the server's own files need one too."""
    edit(view)
    commit(view.path, "some work")
    view.unmount()
    found = [path for path in view.repository.rglob("*") if path.lstat().st_mode & 0o170002 in (0o040002, 0o100002)]
    assert found == []


def test_what_git_knows_of_a_view_survives_a_prune(view):
    """What is staged and what a detached HEAD names is reached from no branch."""
    app = view.path / "project" / "app.py"
    app.write_text("staged\n")
    git("add", "project/app.py", cwd=view.path)
    app.write_text("later\n")
    view.unmount()
    git("prune", "--expire=now", cwd=view.repository)
    view.mount()
    assert git("show", ":project/app.py", cwd=view.path).strip() == "staged"
    git("switch", "-q", "--detach", cwd=view.path)
    git("commit", "-q", "--allow-empty", "-m", "on no branch", cwd=view.path)
    view.unmount()
    git("prune", "--expire=now", cwd=view.repository)
    view.mount()
    assert git("log", "-1", "--format=%s", cwd=view.path).strip() == "on no branch"


def test_uncommitted_work_is_in_git_after_unmounting(view):
    edit(view)
    before = snapshot(view.path / "project")
    view.unmount()
    tree = view.path.parent / "recovered"
    git("worktree", "add", "-q", "--detach", str(tree), "refs/anvcs/wip/main", cwd=view.repository)
    kept = {name: node for name, node in before.items() if name not in (b"kept.local", b"hollow")}
    assert snapshot(tree / "project") == kept


@pytest.mark.fresh
def test_unmounting_ends_the_process_and_leaves_an_empty_directory(view):
    pid = view.pid
    view.unmount()
    assert wait_gone(pid, 0.1)
    assert list(view.path.iterdir()) == []
    assert not is_mounted(view.path)


@pytest.mark.fresh
@pytest.mark.parametrize("way", ["SIGTERM", "fusermount3"])
def test_other_ways_to_end(view, way):
    (view.path / "project" / "app.py").write_text("edited\n")
    pid = view.pid
    if way == "SIGTERM":
        os.kill(pid, signal.SIGTERM)
    else:
        run("fusermount3", "-u", str(view.path), cwd=Path("/")).must()
    assert wait_gone(pid)
    assert not is_mounted(view.path)
    view.pid = 0
    view.mount()
    assert (view.path / "project" / "app.py").read_text() == "edited\n"


def test_a_busy_view_is_not_unmounted(view):
    with open(view.path / "project" / "app.py", "rb"):
        done = run_command("umount", view.path)
        assert done.returncode != 0
        assert done.stderr
    assert (view.path / "project" / "app.py").exists()


def test_what_mount_refuses(view, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("x")
    plain = tmp_path / "plain"
    git("init", "-q", str(plain), cwd=tmp_path)
    empty = tmp_path / "not-a-repository"
    empty.mkdir()
    for repository, place in (
        (view.repository, full),
        (view.repository, view.path),
        (view.repository, full / "file"),
        (plain, plain / "inside"),
        (plain, plain / ".git" / "inside"),
        (empty, tmp_path / "x"),
    ):
        done = run_command("mount", repository, place)
        assert done.returncode != 0, place
        assert len(done.stderr.strip().splitlines()) in (1, 2), done.stderr
        assert "Traceback" not in done.stderr
    assert run_command("mount", "--stream", "absent", view.repository, tmp_path / "y").returncode != 0


def test_options(repository, tmp_path, mounted):
    view = mounted(
        repository, tmp_path / "view", "--new-stream", "topic", "--from", "good", "--agent", "ann", "--model", "m-1"
    )
    assert (view.control / "stream").read_text() == "topic\n"
    assert git("rev-parse", "topic", cwd=repository) == git("rev-parse", "good^{commit}", cwd=repository)
    told = view.description
    assert (told["stream"], told["agent"], told["pid"], told["state"]) == ("topic", "ann", view.pid, "mounted")
    (view.path / "project" / "app.py").write_text("on a topic\n")
    commit(view.path, "on the topic")
    assert git("log", "-1", "--format=%s", "topic", cwd=repository) == "on the topic"


def test_read_only(repository, tmp_path, mounted):
    view = mounted(repository, tmp_path / "view", "--read-only")
    for attempt in (
        lambda: (view.path / "project" / "app.py").write_text("x"),
        lambda: (view.path / "new").write_text("x"),
        lambda: os.unlink(view.path / "project" / "app.py"),
        lambda: os.mkdir(view.path / "directory"),
        lambda: (view.path / "x.local").write_text("x"),
    ):
        with pytest.raises(OSError, match="Read-only"):
            attempt()


def test_foreground(repository, tmp_path):
    from anvcs_tools.bench.views import COMMAND, environment
    from support.waiting import eventually

    place = tmp_path / "view"
    place.mkdir()
    ai_vcs("init", repository)
    with subprocess.Popen(
        [*COMMAND, "mount", "--foreground", "--stream", "main", repository, place], env=environment()
    ) as process:
        eventually(lambda: is_mounted(place) or process.poll() is not None, 30, "the mount in the foreground")
        assert (place / "project" / "app.py").exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)
    assert not is_mounted(place)


@pytest.mark.parametrize("kind", ["bare", "normal", "worktree", "empty"])
def test_kinds_of_repositories(sample, tmp_path, mounted, kind):
    plain = tmp_path / "plain"
    if kind == "empty":
        git("init", "-q", "-b", "main", str(plain), cwd=tmp_path)
    else:
        git("clone", "-q", *(["--bare"] if kind == "bare" else []), str(sample), str(plain), cwd=tmp_path)
    source = plain
    if kind == "worktree":
        source = tmp_path / "linked"
        git("worktree", "add", "-q", "-b", "other", str(source), cwd=plain)
    status = "" if kind == "bare" else git("status", "--porcelain", cwd=source)
    ai_vcs("init", source)
    ai_vcs("init", source)
    if kind != "bare":
        assert git("status", "--porcelain", cwd=source) == status
    view = MountedView(plain, tmp_path / "view")
    mounted.views.append(view)
    view.path.mkdir()
    view.pid = json.loads(ai_vcs("mount", "--json", source, view.path))["pid"]
    (view.path / "first.txt").write_text("first\n")
    told = commit(view.path, "first")
    assert told["paths"] == ["first.txt"]
    assert told["stream"] == ("other" if kind == "worktree" else "main")
    git("fsck", "--strict", cwd=plain)


def test_a_submodule_is_an_empty_directory_that_can_be_filled(sample, tmp_path, mounted):
    library = tmp_path / "library"
    git("init", "-q", "-b", "main", str(library), cwd=tmp_path)
    (library / "lib.txt").write_text("library\n")
    git("add", "-A", cwd=library)
    git("commit", "-q", "-m", "library", cwd=library)
    plain = tmp_path / "plain"
    git("clone", "-q", str(sample), str(plain), cwd=tmp_path)
    git("submodule", "add", "-q", str(library), "vendor/library", cwd=plain)
    git("commit", "-q", "-m", "with a submodule", cwd=plain)
    view = mounted(plain, tmp_path / "view")
    assert list((view.path / "vendor" / "library").iterdir()) == []
    assert (view.path / "vendor" / "library").stat().st_mode & 0o777 == 0o755
    assert git("status", "--porcelain", cwd=view.path) == ""
    git("submodule", "update", "-q", "--init", cwd=view.path)
    assert (view.path / "vendor" / "library" / "lib.txt").read_text() == "library\n"
    assert git("status", "--porcelain", cwd=view.path) == ""
    (view.path / "project" / "app.py").write_text("edited\n")
    assert commit(view.path, "beside the submodule")["paths"] == ["project/app.py"]
    assert git("ls-tree", "main", "vendor/library", cwd=plain).startswith("160000 commit")


def test_deinit(repository, tmp_path, mounted):
    view = mounted(repository, tmp_path / "view")
    (view.path / "project" / "app.py").write_text("uncommitted\n")
    assert run_command("deinit", repository).returncode != 0
    view.unmount()
    assert run_command("deinit", repository).returncode != 0
    view.mount()
    commit(view.path, "now committed")
    view.unmount()
    ai_vcs("deinit", repository)
    assert not (repository / "anvcs").exists()
    assert "anvcs" not in (repository / "config").read_text()
    git("fsck", "--strict", cwd=repository)


@pytest.mark.slow
@pytest.mark.fresh
@pytest.mark.parametrize("name", ["big.bin", "big.local"])
def test_a_file_of_2_gib(view, name):
    size = 2 << 30
    block = os.urandom(1 << 20)
    path = view.path / name
    with open(path, "wb", buffering=0) as file:
        file.writelines(number.to_bytes(4, "big") + block[4:] for number in range(size >> 20))
    assert path.stat().st_size == size
    for _ in range(2):
        with open(path, "rb", buffering=0) as file:
            for number in range(size >> 20):
                assert file.read(1 << 20)[:4] == number.to_bytes(4, "big")
        assert memory(view.pid, "VmHWM") < 300 << 20
        before = digest(path)
        view.remount()
        assert digest(path) == before
        assert memory(view.pid, "VmHWM") < 300 << 20
    with open(path, "r+b", buffering=0) as file:
        file.seek(1 << 30)
        file.write(b"in the middle")
    if name == "big.bin":
        assert commit(view.path, "a big file")["paths"] == ["big.bin"]
        assert int(git("cat-file", "-s", "main:big.bin", cwd=view.repository)) == size
        with open(path, "rb") as file:
            file.seek(1 << 30)
            assert file.read(13) == b"in the middle"
    assert memory(view.pid, "VmHWM") < 300 << 20


@pytest.mark.fresh
def test_a_large_file_needs_little_memory(view):
    """The quick sister of the test with 2 GiB: memory must not grow with the file, not even by one copy of it."""
    megabytes = 100
    before = memory(view.pid, "VmHWM")
    for name in ("large.bin", "large.local"):
        block = os.urandom(1 << 20)
        with open(view.path / name, "wb", buffering=0) as file:
            file.writelines(block for _ in range(megabytes))
        assert len((view.path / name).read_bytes()) == megabytes << 20
        grown = memory(view.pid, "VmHWM") - before
        assert grown < 60 << 20, f"{name}: grew by {grown >> 20} MiB"
    # What is committed is compared with what the room has; Git's commit also without our knowing the value.
    assert commit(view.path, "a large file")["paths"] == ["large.bin"]
    with open(view.path / "large.bin", "r+b", buffering=0) as file:
        file.write(b"changed")
    git("commit", "-qam", "by Git", cwd=view.path)
    assert json.loads((view.path / ".anvcs" / "status").read_bytes())["changed"] == []
    grown = memory(view.pid, "VmHWM") - before
    assert grown < 60 << 20, f"commits: grew by {grown >> 20} MiB"


def test_a_clone_of_the_repository_is_plain_git(view, tmp_path):
    """Whoever does not use views sees an ordinary branch."""
    edit(view)
    commit(view.path, "edited")
    clone = tmp_path / "clone"
    git("clone", "-q", str(view.repository), str(clone), cwd=tmp_path)
    for top in (view.path,):
        os.rmdir(top / "project" / "hollow")
        os.unlink(top / "project" / "kept.local")
    assert_same_tree(clone, view.path)
