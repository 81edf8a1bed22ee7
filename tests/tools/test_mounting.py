"""Mounting, without a mount: options, places, and the process that would serve."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anvcs.mounts import Mount
from anvcs.store import Store
from anvcs.views import Process, Views
from anvcs_tools import mount_helper
from anvcs_tools.exit_codes import CANNOT_MOUNT, NOT_READY
from anvcs_tools.mounting import places, serving, unmounting
from anvcs_tools.mounting.options import MountOptionInvalid, parse_options
from anvcs_tools.mounting.places import FuseMissing, MountPlaceRefused, check_fuse, check_place
from anvcs_tools.mounting.serving import Server, ServerFailed
from anvcs_tools.mounting.unmounting import NotMounted, holders, unmount, wait_for_end


def test_options_from_the_command_and_from_mount():
    found = parse_options(["ro,allow_other,agent=ann", "rw,nodev,x-systemd.automount,nodefault_permissions,stream=a/b"])
    assert found.read_only is False
    assert found.flags == {"allow_other": True, "default_permissions": False}
    assert found.values == {"agent": "ann", "stream": "a/b"}


@pytest.mark.parametrize("option", ["colour=red", "agent", "agent=", "allow_other=1"])
def test_unknown_options_are_refused(option):
    with pytest.raises(MountOptionInvalid):
        parse_options([option])


def test_the_helper_translates_what_mount_says(monkeypatch):
    called = []
    monkeypatch.setattr("anvcs_tools.cli.main", lambda argv: called.append(argv) or 0)
    assert mount_helper.main(["/repo", "/dir", "-n", "-o", "rw,agent=a", "-t", "fuse.anvcsfs"]) == 0
    assert called == [["mount", "--quiet", "-o", "rw,agent=a", "--", "/repo", "/dir"]]
    assert mount_helper.main(["/repo"]) == 2


def test_a_place_is_made(tmp_path):
    check_place(tmp_path / "new", [])
    assert (tmp_path / "new").is_dir()


def test_places_that_are_refused(tmp_path):
    repository = tmp_path / "repo"
    (repository / "sub").mkdir(parents=True)
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    for place, reason in [
        (repository, "own directory"),
        (repository / "sub", "own directory"),
        (tmp_path, "contains the repository"),
        (full, "not empty"),
        (full / "x", "not a directory"),
        (tmp_path / "no" / "where", "doesn't exist"),
    ]:
        with pytest.raises(MountPlaceRefused, match=reason):
            check_place(place, [repository])


def test_views_are_not_mounted_over_or_inside_each_other(tmp_path, monkeypatch):
    view = Mount(tmp_path, "fuse.anvcsfs", "/r/anvcs/views/a")
    monkeypatch.setattr(places, "mount_at", {tmp_path: view}.get)
    with pytest.raises(MountPlaceRefused, match="there already"):
        check_place(tmp_path, [])
    monkeypatch.setattr(places, "mount_of", lambda _: view)
    with pytest.raises(MountPlaceRefused, match="inside the view"):
        check_place(tmp_path / "sub", [])


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "DEVICE", tmp_path / "fuse")
    with pytest.raises(FuseMissing, match="/dev/fuse is missing"):
        check_fuse()
    (tmp_path / "fuse").touch()
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(FuseMissing, match="apt-get install fuse3"):
        check_fuse()
    monkeypatch.setattr("shutil.which", lambda name: name)
    check_fuse()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(places, "FUSE_CONF", tmp_path / "fuse.conf")
    (tmp_path / "fuse.conf").write_text("#user_allow_other\n")
    with pytest.raises(FuseMissing, match="user_allow_other"):
        check_fuse(allow_other=True)
    (tmp_path / "fuse.conf").write_text("mount_max = 5\nuser_allow_other\n")
    check_fuse(allow_other=True)


@pytest.fixture
def spec(tmp_path):
    views = Views(Store.ensure(tmp_path)[0])
    return views.create(mountpoint=tmp_path / "m", stream="main", agent="a", model="", uid=0, gid=0)


def start(monkeypatch, serve) -> Server:
    monkeypatch.setattr(serving, "_load_server", lambda: serve)
    return Server.start()


def test_a_server_starts_claims_its_view_and_ends(spec, monkeypatch):
    def serve(given, ready):
        sys.stdout.write(f"hello {given.stream} {os.getcwd()}\n")
        ready()
        signal.sigwait({signal.SIGTERM})
        return 7

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # inherited: the signal waits until it is looked for
    try:
        server = start(monkeypatch, serve)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    server.serve(spec)
    views = Views(Store(spec.common_dir))
    assert views.process(spec.name).pid == server.pid
    assert os.getsid(server.pid) == server.pid
    os.kill(server.pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(server.pid, 0)[1]) == 7
    assert views.process(spec.name) is None
    assert (spec.folder / "log").read_text() == "hello main /\n"


def test_why_a_server_failed_reaches_the_caller(spec, monkeypatch):
    from anvcs.store import StoreMissing

    def serve(given, _ready):
        raise StoreMissing(given.common_dir)

    with pytest.raises(ServerFailed, match="ai-vcs init") as caught:
        start(monkeypatch, serve).serve(spec)
    assert caught.value.exit_code == NOT_READY
    assert "Traceback" in (spec.folder / "log").read_text()


def test_a_server_that_dies_is_noticed(spec, monkeypatch):
    with pytest.raises(ServerFailed, match="died while mounting") as caught:
        start(monkeypatch, lambda *_: os._exit(3)).serve(spec)
    assert caught.value.exit_code == CANNOT_MOUNT


def test_a_server_that_hangs_is_ended(spec, monkeypatch):
    monkeypatch.setattr(serving, "PATIENCE_S", 0.01)
    server = start(monkeypatch, lambda *_: signal.pause())
    with pytest.raises(ServerFailed, match="not ready"):
        server.serve(spec)
    assert Process.of(server.pid) is None


def test_a_server_that_was_not_needed_is_ended(monkeypatch):
    server = start(monkeypatch, lambda *_: 0)
    server.cancel()
    assert Process.of(server.pid) is None
    server.cancel()


def test_unmounting_what_is_not_mounted(tmp_path):
    with pytest.raises(NotMounted):
        unmount(tmp_path)


def test_who_is_in_the_way(tmp_path):
    (tmp_path / "f").touch()
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE) as child:
        assert [holder.pid for holder in holders(tmp_path)] == [child.pid]
        child.stdin.close()
        child.wait()
    with (
        (tmp_path / "f").open("rb") as file,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[file.fileno()]) as child,
    ):
        assert [holder.pid for holder in holders(tmp_path)] == [child.pid]
        child.stdin.close()
        child.wait()


def test_waiting_for_a_process_that_has_ended(monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = Process.of(child.pid)
    wait_for_end(process)  # returns when it ends
    child.wait()
    wait_for_end(process)
    monkeypatch.setattr(unmounting, "_PATIENCE_S", 0.0)
    with pytest.raises(unmounting.ServerLingers):
        wait_for_end(Process.of(os.getpid()))


def test_an_order_is_what_the_child_reads(spec):
    # The two halves of the pipe agree on names that are not UTF-8.
    order = json.dumps([os.fspath(Path(os.fsdecode(b"/\xff"))), spec.name]).encode()
    assert os.fsencode(json.loads(order)[0]) == b"/\xff"
