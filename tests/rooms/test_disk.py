"""What a room survives: kills, damage, full and read-only disks, other formats, a stopped writer."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.rooms.errors import RoomBusy, RoomDamaged, RoomFull, RoomReadOnly, StoreVersion
from anvcs.rooms.fsck import fsck
from support.rooms import Place, shown

APPENDER = """
import sys
from pathlib import Path
from anvcs.rooms.errors import RoomBusy
from support.rooms import Place
room = Place(Path(sys.argv[1])).room(sys.argv[2])
text = b""
def write(path, text, **more):
    while True:
        try:
            return room.write(path, text, **more)
        except RoomBusy:
            room.wait_writable()
for number in range(100000):
    text += b"line %d\\n" % number
    write(sys.argv[2].encode(), text)
    if number % 7 == 0:
        write(b"both", text, base=room.version(b"both"))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""

STOPPED = """
import sys
from pathlib import Path
from support.rooms import Place
room = Place(Path(sys.argv[1])).room("stopped")
with room._core.change(b"f"):
    print("inside", flush=True)
    sys.stdin.read()
"""


def child(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_every_acknowledged_append_survives_kill(tmp_path: Path) -> None:
    here = Place(tmp_path)
    here.room().close()
    writers = {name: child(APPENDER, str(tmp_path), name) for name in ("one", "two")}
    acknowledged = {}
    for process in writers.values():
        for _ in range(40):
            process.stdout.readline()
    for name, process in writers.items():
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].splitlines()
        acknowledged[name] = int(rest[-1]) if rest else 39
    with here.room() as room:
        for name, last in acknowledged.items():
            lines = shown(room)[name.encode()].splitlines()
            assert lines == [b"line %d" % number for number in range(len(lines))]
            assert len(lines) >= last + 1
        room.write(b"after", b"it goes on\n")
    assert fsck(here.file).ok


def test_a_process_stopped_inside_its_append_is_named(tmp_path: Path) -> None:
    here = Place(tmp_path)
    with here.room() as room:
        other = child(STOPPED, str(tmp_path))
        assert other.stdout.readline() == "inside\n"
        with pytest.raises(RoomBusy) as caught:
            room.write(b"f", b"text\n")
        assert caught.value.holder == other.pid
        with pytest.raises(RoomBusy):
            room.wait_writable(timeout=0.01)
        other.kill()
        other.communicate()
        room.wait_writable(timeout=5)
        room.write(b"f", b"text\n")
        assert shown(room) == {b"f": b"text\n"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("this container doesn't allow mounting a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_changes_nothing_and_passes(small_disk: Path) -> None:
    here = Place(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    with here.room() as room:
        text = b""
        expected: dict[bytes, bytes] = {}
        with pytest.raises(RoomFull):  # noqa: PT012  # one write of many, whichever
            for number in range(10_000):
                text += b"line %d\n" % number
                room.write(b"f", text)
                expected[b"f"] = text
        with pytest.raises(RoomFull):
            room.write(b"big", bytes(900_000))
        assert shown(room) == expected
        with here.room("other", read_only=True) as other:
            assert shown(other) == expected
        ballast.unlink()
        room.write(b"f", text)
        room.write(b"big", bytes(90_000))
        room.checkpoint()
        assert shown(room) == {b"f": text, b"big": bytes(90_000)}
    with here.room() as room:
        assert shown(room) == {b"f": text, b"big": bytes(90_000)}
    assert fsck(here.file).ok


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    here = Place(tmp_path)
    with here.room() as room:
        room.write(b"f", b"text\n")
        with here.room("reader", read_only=True) as reader:
            assert shown(reader) == {b"f": b"text\n"}
            with pytest.raises(RoomReadOnly):
                reader.write(b"f", b"other\n")


def test_a_read_only_disk_is_named(small_disk: Path) -> None:
    Place(small_disk).room().close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RoomReadOnly, match="can only be read"):
        Place(small_disk).room()
    with Place(small_disk).room(read_only=True) as room:
        assert room.seq == 0


def test_another_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    here = Place(tmp_path)
    here.room().close()
    with sqlite3.connect(here.file) as db:
        db.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
    db.close()
    with pytest.raises(StoreVersion, match="newer"):
        here.room()


def test_a_file_that_is_no_room_is_called_damaged(tmp_path: Path) -> None:
    here = Place(tmp_path)
    here.file.write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(RoomDamaged):
        here.room()


def damage(here: Place, sql: str, *values: object) -> None:
    db = sqlite3.connect(here.file)
    assert db.execute(sql, values).rowcount
    db.commit()
    db.close()


def damaged_room(tmp_path: Path) -> Place:
    here = Place(tmp_path)
    commit = here.tree.commit({b"f": b"base\n", b"g": b"other\n"})
    with here.room("ann", commit) as ann, here.room("bob") as bob:
        ann.write(b"f", b"base\none\n")  # 1
        ann.write(b"f", b"base\none\ntwo\n")  # 2
        ann.write(b"g", b"other\nmore\n")  # 3
        bob.write(b"f", b"zero\nbase\none\ntwo\n")  # 4
        ann.write(b"new", b"new\n")  # 5
    return here


def test_a_damaged_record_is_noticed(tmp_path: Path) -> None:
    here = damaged_room(tmp_path)
    damage(here, "UPDATE ops SET payload = zeroblob(length(payload)) WHERE seq = 2")
    report = fsck(here.file)
    assert (report.ok, report.lost, report.repaired) == (False, [2], False)
    with here.room() as room, pytest.raises(RoomDamaged, match="record 2"):
        shown(room)


@pytest.mark.parametrize("how", ["UPDATE ops SET agent = 'eve' WHERE seq = 2", "DELETE FROM ops WHERE seq = 2"])
def test_a_repair_keeps_all_before_and_after(tmp_path: Path, how: str) -> None:
    here = damaged_room(tmp_path)
    damage(here, how)
    report = fsck(here.file, repair=True)
    assert report.repaired
    assert report.backup is not None
    assert report.backup.exists()
    assert report.documents == [b"f"]
    with here.room() as room:
        files = shown(room)
        assert files[b"g"] == b"other\nmore\n"
        assert files[b"new"] == b"new\n"
        assert files[b"f"] == b"zero\nbase\none\n"
        room.write(b"f", b"zero\nbase\none\nand on\n")
        assert room.text_at(room.entry(b"f").id, 1) == b"base\none\n"
    assert fsck(here.file).ok


def test_damaged_state_tables_follow_from_the_records_again(tmp_path: Path) -> None:
    here = damaged_room(tmp_path)
    with here.room() as room:
        expected = shown(room)
    damage(here, "UPDATE entries SET size = 7 WHERE path = ?", b"f")
    with pytest.raises(RoomDamaged):
        here.room()
    assert fsck(here.file, repair=True).repaired
    with here.room() as room:
        assert shown(room) == expected
    assert fsck(here.file).ok


def test_a_room_in_use_is_not_repaired(tmp_path: Path) -> None:
    here = damaged_room(tmp_path)
    with here.room() as room:
        damage(here, "UPDATE ops SET agent = 'eve' WHERE seq = 2")
        report = fsck(here.file, repair=True)
        assert not report.repaired
        assert "open" in report.problems[-1]
        room.write(b"new", b"it goes on\n")
    assert fsck(here.file, repair=True).repaired


def test_torn_pages_never_raise(tmp_path: Path) -> None:
    here = damaged_room(tmp_path)
    size = here.file.stat().st_size
    with here.file.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(os.urandom(size - size // 2))
    report = fsck(here.file, repair=True)
    assert not report.ok


def test_sync_flushes_the_log_and_the_objects_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Place(tmp_path)
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real(handle)

    with here.room() as room:
        room.sync()
    with here.room() as room:
        monkeypatch.setattr(os, "fsync", fsync)
        room.write(b"opaque", b"\xff\0")
        room.sync()
        value = room.object_path(room.entry(b"opaque")).name
        assert synced.index(value) < synced.index("main.sqlite-wal")
        assert synced[-1] == tmp_path.name  # the folder, the first time
        synced.clear()
        room.sync()
        assert synced == ["main.sqlite-wal"]
