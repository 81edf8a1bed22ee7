"""The store's version, its place, and the register of views."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anvcs import mounts, store
from anvcs.mounts import Mount, real_directory
from anvcs.store import NetworkFileSystem, Store, StoreMissing, StoreVersionUnknown
from anvcs.views import (
    NoSuchView,
    Process,
    ViewDescriptionDamaged,
    ViewNameInvalid,
    Views,
    ViewState,
    source_name,
    view_of,
)


@pytest.fixture
def made(tmp_path) -> Store:
    return Store.ensure(tmp_path)[0]


@pytest.fixture
def views(made) -> Views:
    return Views(made)


def create(views, mountpoint=Path("/nowhere/a"), **fields):
    values = {"mountpoint": mountpoint, "stream": "main", "agent": "ann", "model": "m", "uid": 1, "gid": 2}
    return views.create(**(values | fields))


def test_a_store_is_made_once(tmp_path):
    made, new = Store.ensure(tmp_path)
    assert new
    assert made.version_file.read_text() == "anvcs store 1\n"
    assert Store.ensure(tmp_path)[1] is False
    assert Store.open(tmp_path).root == tmp_path / "anvcs"


def test_no_store(tmp_path):
    with pytest.raises(StoreMissing, match="ai-vcs init"):
        Store.open(tmp_path)


@pytest.mark.parametrize("text", ["anvcs store 2\n", "", "garbage" * 100])
def test_another_version_is_refused_in_one_sentence(made, text):
    made.version_file.write_text(text)
    for call in (Store.open, Store.ensure):
        with pytest.raises(StoreVersionUnknown) as caught:
            call(made.common_dir)
        assert "\n" not in str(caught.value)


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "mount_of", lambda _: Mount(tmp_path, "nfs4", "server:/export"))
    with pytest.raises(NetworkFileSystem, match="nfs4"):
        Store.ensure(tmp_path)
    assert not (tmp_path / "anvcs").exists()


def test_stream_names_survive_as_file_names(made):
    for stream in ("main", "feature/a b", "100%", "\udcff"):
        made.room_file(stream).touch()
    assert made.streams_with_rooms() == sorted(["main", "feature/a b", "100%", "\udcff"])


def test_the_table_of_mounts(tmp_path, monkeypatch):
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"1 0 8:1 / / rw shared:1 - ext4 /dev/vda rw\n"
        b"2 1 0:5 / /a\\040b rw - fuse.anvcsfs anvcs:x rw\n"
        b"3 1 0:6 / /n rw - nfs4 host:/x rw\n"
        b"4 1 0:7 / /n rw - tmpfs tmp rw\n"
    )
    monkeypatch.setattr(mounts.mounts, "__defaults__", (table,))
    assert mounts.mount_at(Path("/a b")) == Mount(Path("/a b"), "fuse.anvcsfs", "anvcs:x", 5)
    assert mounts.mount_at(Path("/a b/c")) is None
    assert mounts.mount_of(Path("/a b/c/d")).is_view
    assert mounts.mount_of(Path("/n/x")).kind == "tmpfs"  # the later one hides the earlier
    assert mounts.mount_of(Path("/elsewhere")).kind == "ext4"


def test_real_directory_follows_links(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    assert real_directory(tmp_path / "link") == (tmp_path / "d").resolve()
    assert real_directory(tmp_path / "d" / ".." / "new") == tmp_path.resolve() / "new"


def test_a_view_is_recorded_and_read_back(views):
    spec = create(views, options={"allow_other": True})
    assert views.load(spec.name) == spec
    assert spec.name == "ann"
    assert spec.folder == views.load("ann").common_dir / "anvcs" / "views" / "ann"
    changed = views.update("ann", stream="other")
    assert views.load("ann") == changed
    mount = Mount(spec.mountpoint, "fuse.anvcsfs", source_name(spec.common_dir))
    assert view_of(mount) == changed
    views.remove("ann")
    assert view_of(mount) is None
    with pytest.raises(NoSuchView):
        views.load("ann")


def test_names_of_views(views):
    assert create(views, agent="ann").name == "ann"
    assert create(views, agent="ann").name == "ann-2"
    assert create(views, agent="", mountpoint=Path("/x/wörk dir")).name == "w-rk-dir"
    assert create(views, agent="../..").name == "view"
    for name in ("", "..", "a/b", "-x", "a" * 65):
        with pytest.raises(ViewNameInvalid):
            views.load(name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "surprise": 1, "mountpoint": "/x"}'])
def test_a_damaged_description_is_named(views, text):
    spec = create(views)
    (spec.folder / "view.json").write_text(text)
    with pytest.raises(ViewDescriptionDamaged, match=r"view\.json"):
        views.list()


def test_a_moved_repository_keeps_its_views(views, tmp_path):
    create(views)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    spec = Views(Store.open(moved)).load("ann")
    assert spec.common_dir == moved


def test_states(views, monkeypatch):
    spec = create(views)
    table = {}
    monkeypatch.setattr("anvcs.views.mount_at", table.get)
    assert views.info(spec).state is ViewState.UNMOUNTED
    views.claim(spec.name)
    assert views.info(spec).state is ViewState.STARTING
    table[spec.mountpoint] = Mount(spec.mountpoint, "fuse.anvcsfs", source_name(spec.common_dir))
    assert views.info(spec).state is ViewState.MOUNTED
    assert views.info(spec).process.pid == os.getpid()
    views.release(spec.name)
    assert views.info(spec).state is ViewState.STALE
    table[spec.mountpoint] = Mount(spec.mountpoint, "fuse.anvcsfs", source_name(Path("/another/.git")))
    assert views.info(spec).state is ViewState.UNMOUNTED


def test_of_two_views_of_one_place_the_last_counts_or_the_one_that_is_served(views):
    first, second = create(views), create(views)
    assert views.at(first.mountpoint).spec == second
    views.claim(first.name)
    assert views.at(first.mountpoint).spec == first


def test_a_recycled_process_number_is_not_alive(views):
    spec = create(views)
    me = Process.of(os.getpid())
    assert me.alive
    assert not Process(me.pid, me.started + "0").alive
    (spec.folder / "pid").write_text(f"{me.pid} another-boot/1\n")
    assert views.process(spec.name) is None
    (spec.folder / "pid").write_text("")
    assert views.process(spec.name) is None


def test_a_dead_child_that_nobody_reaped_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Process.of(child.pid) is None
    child.wait()


def test_one_mount_at_a_time(views):
    import fcntl

    with views.lock():
        other = os.open(views._folder / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_the_bytes_of_a_description_are_pinned(views, monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_123_456_789)
    spec = create(views)
    assert json.loads((spec.folder / "view.json").read_bytes()) == {
        "format": 1,
        "mountpoint": "/nowhere/a",
        "stream": "main",
        "agent": "ann",
        "model": "m",
        "epoch_ns": 1_699_999_998_000_000_000,  # whole seconds, a little in the past
        "uid": 1,
        "gid": 2,
        "read_only": False,
        "options": {},
        "follow": "live",
    }
