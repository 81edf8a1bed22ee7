"""``mount``, ``umount``, ``views`` and the commands inside a view, on real mounts of a small repository."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from anvcs_tools import exit_codes
from anvcs_tools.bench.views import MountedView, environment, is_mounted, kill_server, run_command, wait_gone
from support.waiting import eventually

pytestmark = pytest.mark.fuse


@pytest.fixture
def small(tmp_path) -> Path:
    path = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", path], check=True)
    (path / "a.txt").write_text("one\n")
    subprocess.run(["git", "add", "."], cwd=path, check=True)
    subprocess.run(["git", "commit", "-qm", "first"], cwd=path, check=True)
    assert run_command("init", path).returncode == 0
    return path


@pytest.fixture
def place(tmp_path):
    """A directory to mount at; whatever is mounted there is taken away."""
    place = tmp_path / "view"
    yield place
    # Whatever went wrong: a mount left behind would hang the removal of the test's directory.
    subprocess.run(["fusermount3", "-uz", place], check=False, capture_output=True)


def told(*arguments, code=0, cwd=None):
    done = run_command(*map(str, arguments), "--json", cwd=cwd)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def views(repository: Path) -> dict[str, dict]:
    return {view["view"]: view for view in told("views", repository)["views"]}


@pytest.mark.fresh
def test_a_view_lives_and_ends(small, place):
    mounted = told("mount", small, place, "--agent", "ann", "--model", "m-1")
    assert (mounted["view"], mounted["stream"], mounted["agent"], mounted["model"]) == ("ann", "main", "ann", "m-1")
    assert (place / "a.txt").read_text() == "one\n"
    listed = views(small)["ann"]
    assert (listed["state"], listed["pid"], listed["mountpoint"]) == ("mounted", mounted["pid"], str(place))
    (place / "b.txt").write_text("b\n")
    assert views(small)["ann"]["changed"] == 1 or told("status", cwd=place)["changed"]
    told("umount", place)
    assert not is_mounted(place)
    assert views(small)["ann"] | {"changed": 1} == listed | {"state": "unmounted", "pid": None, "changed": 1}
    again = told("mount", small, place)
    assert (again["view"], again["agent"]) == ("ann", "ann")  # the same view
    assert (place / "b.txt").read_text() == "b\n"
    told("umount", place)
    assert told("umount", place, code=exit_codes.NOT_FOUND)["error"]["type"] == "NotMounted"


def test_work_in_a_view(small, place):
    told("mount", small, place, "--agent", "ann")
    (place / "sub").mkdir()
    (place / "sub" / "b.txt").write_text("b\n")
    (place / "a.txt").write_text("two\n")
    status = told("status", cwd=place / "sub")
    assert {change["path"]: change["status"] for change in status["changed"]} == {"a.txt": "M", "sub/b.txt": "A"}
    told("add", "b.txt", cwd=place / "sub")
    answer = told("commit", "-m", "b", "--prompt", "add b", cwd=place / "sub")
    assert answer["paths"] == ["sub/b.txt"]
    head = subprocess.run(["git", "rev-parse", "main"], cwd=small, check=True, capture_output=True, text=True)
    assert head.stdout.strip() == answer["commit"]
    told("commit", "-m", "rest", "-C", place)
    error = told("commit", "-m", "none", code=exit_codes.NOTHING_TO_DO, cwd=place)["error"]
    assert (error["type"], error["exit_code"]) == ("NothingToCommit", exit_codes.NOTHING_TO_DO)
    assert [commit["subject"] for commit in told("log", cwd=place)["commits"]] == ["rest", "b", "first"]
    assert told("show", cwd=place)["changes"] == [{"status": "M", "path": "a.txt"}]
    assert run_command(cwd=place).stdout.startswith("You are in a view")
    told("umount", place)


def test_what_is_refused(small, place, tmp_path):
    for where in (small, small / "sub", small / ".git" / "x"):
        assert told("mount", small, where, code=exit_codes.CANNOT_MOUNT)["error"]["type"] == "MountPlaceRefused"
    place.mkdir()
    (place / "x").touch()
    assert "not empty" in told("mount", small, place, code=exit_codes.CANNOT_MOUNT)["error"]["message"]
    (place / "x").unlink()
    told("mount", small, place)
    assert "there already" in told("mount", small, place, code=exit_codes.CANNOT_MOUNT)["error"]["message"]
    inside = told("mount", small, place / "sub", code=exit_codes.CANNOT_MOUNT)
    assert "inside the view" in inside["error"]["message"]
    assert told("deinit", small, code=exit_codes.BUSY)["error"]["type"] == "ViewsInUse"
    told("umount", place)
    missing = told("mount", small, place, "--stream", "nope", code=exit_codes.NOT_FOUND)
    assert missing["error"]["type"] == "NoSuchStream"
    assert told("mount", tmp_path, place, code=exit_codes.NOT_READY)["error"]["type"] == "NotARepository"
    assert not is_mounted(place)


def test_streams(small, place, tmp_path):
    assert told("mount", small, place, "--new-stream", "fix/one")["stream"] == "fix/one"
    (place / "c.txt").write_text("c\n")
    told("commit", "-m", "c", cwd=place)
    told("umount", place)
    assert (
        told("mount", small, place, "--new-stream", "fix/one", code=exit_codes.REFUSED)["error"]["type"]
        == "StreamExists"
    )
    told("mount", small, place, "--new-stream", "two", "--from", "fix/one")
    assert (place / "c.txt").exists()
    told("umount", place)
    told("mount", small, place, "--stream", "main")
    assert not (place / "c.txt").exists()
    told("umount", place)
    assert told("mount", small, place)["stream"] == "main"  # what was there last
    told("umount", place)


@pytest.mark.fresh
def test_a_stale_mount_is_replaced(small, place):
    first = told("mount", small, place)
    (place / "a.txt").write_text("kept\n")
    kill_server(first["pid"], place)
    assert views(small)["view"]["state"] == "stale"
    assert told("status", cwd=small)["stream"] == "main"
    with pytest.raises(OSError, match="not connected"):
        os.statvfs(place)
    stale = run_command("status", "-C", place)
    assert stale.returncode == exit_codes.NOT_READY
    assert "lost its process" in stale.stderr
    done = run_command("mount", small, place)
    assert "cleared away" in done.stderr
    assert (place / "a.txt").read_text() == "kept\n"
    told("umount", place)


def test_a_stale_mount_can_be_unmounted(small, place):
    pid = told("mount", small, place)["pid"]
    kill_server(pid, place)
    told("umount", place)
    assert not is_mounted(place)


@pytest.mark.fresh
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(small, place, number):
    pid = told("mount", small, place)["pid"]
    (place / "a.txt").write_text("kept\n")
    os.kill(pid, number)
    assert wait_gone(pid)
    assert not is_mounted(place)
    assert views(small)["view"]["state"] == "unmounted"
    assert told("status", cwd=small)["changed"] == [{"path": "a.txt", "status": "M"}]


@pytest.mark.fresh
def test_fusermount_ends_it_cleanly(small, place):
    pid = told("mount", small, place)["pid"]
    subprocess.run(["fusermount3", "-u", place], check=True)
    assert wait_gone(pid)
    assert views(small)["view"]["pid"] is None


def test_a_mount_right_after_an_unmount_waits_for_the_old_process(small, place):
    for number in range(3):
        told("mount", small, place)
        (place / "a.txt").write_text(f"{number}\n")
        subprocess.run(["fusermount3", "-u", place], check=True)
    told("mount", small, place)
    assert (place / "a.txt").read_text() == "2\n"
    told("umount", place)


def test_who_is_in_the_way(small, place):
    told("mount", small, place)
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=place, stdin=subprocess.PIPE) as user:
        error = told("umount", place, code=exit_codes.BUSY)["error"]
        assert str(user.pid) in error["message"]
        assert (place / "a.txt").exists()  # nothing has happened
        user.stdin.close()
    told("umount", place)


@pytest.mark.fresh
def test_lazily(small, place):
    pid = told("mount", small, place)["pid"]
    with (place / "a.txt").open() as file:
        told("umount", "--lazy", place)
        assert not is_mounted(place)
        assert file.read() == "one\n"
    assert wait_gone(pid)


def test_read_only(small, place):
    assert told("mount", small, place, "--read-only")["read_only"]
    with pytest.raises(OSError, match="Read-only"):
        (place / "a.txt").write_text("x")
    told("umount", place)
    told("mount", small, place, "-o", "rw")
    (place / "a.txt").write_text("x")
    told("umount", place)


@pytest.mark.fresh
def test_in_the_foreground(small, place):
    command = [sys.executable, "-m", "anvcs_tools", "mount", "--foreground", str(small), str(place)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as server:
        eventually(lambda: is_mounted(place) or server.poll() is not None)
        assert (place / "a.txt").read_text() == "one\n"
        assert views(small)["view"]["pid"] == server.pid
        told("umount", place)
        assert server.wait(20) == 0, server.stderr.read()


def test_through_the_mount_helper(small, place, tmp_path):
    if not Path("/sbin/mount.fuse3").exists():
        pytest.skip("/sbin/mount.fuse3 (Debian package fuse3) is missing")
    programs = tmp_path / "bin"
    programs.mkdir()
    helper = programs / "anvcsfs"
    script = "import sys; from anvcs_tools.mount_helper import main; sys.exit(main())"
    helper.write_text(f'#!/bin/sh\nPYTHONPATH={environment()["PYTHONPATH"]} exec {sys.executable} -c "{script}" "$@"\n')
    helper.chmod(0o755)
    place.mkdir()
    # As mount(8) calls it, but with a PATH of ours: it leaves the shell's own, with /usr/local/bin.
    command = ["/sbin/mount.fuse3", small, place, "-t", "fuse.anvcsfs", "-o", "agent=bob,rw,nodev,x-test"]
    done = subprocess.run(
        command, env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": os.environ["HOME"]}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert views(small)["bob"]["state"] == "mounted"
    subprocess.run(["fusermount3", "-u", place], check=True)


_AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_WITH_AN_OPEN_DEVICE = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /dev/fuse && exec "$@"')
_A_DAY = """
ai_vcs() { "$python" -m anvcs_tools "$@"; }
git init -q repo; echo a >repo/a.txt; git -C repo add .; git -C repo commit -qm a
ai_vcs init repo; ai_vcs mount repo view
echo b >>view/a.txt; test -O view/a.txt; ai_vcs commit -C view -m b
ai_vcs umount view; git -C repo log --format=%s
"""


def test_an_ordinary_user():
    if os.geteuid() != 0 or not all(map(shutil.which, ("setpriv", "unshare"))):
        pytest.skip("needs root, setpriv and unshare to become somebody else")
    with tempfile.TemporaryDirectory() as folder:  # tmp_path lies in a folder that only its owner may enter
        config = Path(folder, ".gitconfig")
        config.write_text("[user]\n\tname = Nobody\n\temail = nobody@example.com\n")
        env = environment({"HOME": folder, "XDG_CONFIG_HOME": folder, "python": sys.executable})
        os.chown(folder, 65534, 65534)
        # Through a shell: setpriv itself still has root's rights when it starts a program.
        probe = [*_AS_NOBODY, "sh", "-c", '"$python" -c "import anvcs_tools"']
        if subprocess.run(probe, env=env, capture_output=True, check=False).returncode:
            pytest.skip(f"other users can't run {sys.executable}")
        prefix = []
        if Path("/dev/fuse").stat().st_mode & 0o066 != 0o066:  # then one of our own, which nobody else sees
            device = Path(folder, "fuse")
            os.mknod(device, stat.S_IFCHR, Path("/dev/fuse").stat().st_rdev)
            device.chmod(0o666)
            prefix = [*_WITH_AN_OPEN_DEVICE, device]
        command = [*prefix, *_AS_NOBODY, "sh", "-ec", _A_DAY]
        done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-2:] == ["b", "a"]


@pytest.mark.fresh
def test_a_failing_server_says_why(small, place):
    (small / "ai-vcs.config.yaml").write_text("room: {text_limit: many}\n")
    error = told("mount", small, place, code=exit_codes.INVALID)["error"]
    assert error["type"] == "ConfigInvalid"
    (small / "ai-vcs.config.yaml").unlink()
    (small / ".git" / "anvcs" / "version").write_text("anvcs store 99\n")
    error = told("mount", small, place, code=exit_codes.NOT_READY)["error"]
    assert error["type"] == "StoreVersionUnknown"
    assert not is_mounted(place)


@pytest.mark.fresh
def test_the_harness_agrees(small, place):
    with MountedView(small, place) as view:
        assert view.pid == views(small)["view"]["pid"]
