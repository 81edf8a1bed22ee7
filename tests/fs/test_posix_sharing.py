"""Several handles and processes on one file: unlink while open, locks, appends, temporary files, sync."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from support.kernel import fails
from support.places import DATA, TEXT, Place


def python(place: Place, code: str, *arguments: str, **more) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=place.path, **more)


def test_an_unlinked_file_lives_until_it_is_closed(place: Place):
    with open(place / "data", "r+b", buffering=0) as file:
        os.unlink(place / "data")
        assert not (place / "data").exists()
        assert sorted(os.listdir(place.path)) == ["empty", "link", "run", "sub", "text"]
        assert os.fstat(file.fileno()).st_nlink == 0
        assert file.read() == DATA
        file.write(b"still here")
        file.seek(len(DATA))
        assert file.read() == b"still here"
        file.truncate(3)
        assert os.fstat(file.fileno()).st_size == 3
        os.fchmod(file.fileno(), 0o600)
        os.fsync(file.fileno())
    assert not (place / "data").exists()


def test_a_new_file_with_the_name_of_an_unlinked_open_one(place: Place):
    with open(place / "text", "r+b", buffering=0) as old:
        os.unlink(place / "text")
        (place / "text").write_bytes(b"another\n")
        assert old.read() == TEXT
        old.write(b"into the old one")
        assert os.fstat(old.fileno()).st_ino != os.stat(place / "text").st_ino
    assert (place / "text").read_bytes() == b"another\n"


def test_a_temporary_file_that_never_had_a_name_for_long(place: Place):
    fd = os.open(place / "scratch", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(place / "scratch")
    os.write(fd, b"scratch" * 1000)
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.read(fd, 7) == b"scratch"
    os.close(fd)
    assert sorted(os.listdir(place.path)) == ["data", "empty", "link", "run", "sub", "text"]


def test_o_tmpfile_or_its_clean_refusal(place: Place):
    try:
        fd = os.open(place.path, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as refusal:
        # What open(2) lists; programs fall back to a named temporary file.
        if refusal.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
        return
    os.write(fd, b"nameless")
    assert os.pread(fd, 8, 0) == b"nameless"
    os.close(fd)


APPENDER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    os.write(fd, (f"{sys.argv[2]} {number:05} " + "x" * (number % 50) + chr(10)).encode())
os.close(fd)
"""


@pytest.mark.parametrize("target", ["text", "fresh.txt"])
def test_appends_of_two_processes_are_all_there(place: Place, target):
    count = 150
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [python(place, APPENDER, target, name, str(count), **pipes) for name in ("one", "two")]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=60)
        assert writer.returncode == 0
    lines = (place / target).read_bytes().decode().splitlines()
    start = 3 if target == "text" else 0
    assert lines[:start] == TEXT.decode().splitlines()[:start]
    for name in ("one", "two"):
        mine = [line for line in lines[start:] if line.startswith(name)]
        assert mine == [f"{name} {number:05} " + "x" * (number % 50) for number in range(count)]
    assert len(lines) == start + 2 * count


LOCKER = """
import fcntl, sys
file = open("text", "r+b")
getattr(fcntl, sys.argv[1])(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("call", ["flock", "lockf"])
def test_locks_exclude_other_processes(place: Place, call):
    with python(place, LOCKER, call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "locked\n"
        with open(place / "text", "r+b") as file:
            with fails(errno.EAGAIN, errno.EACCES):
                getattr(fcntl, call)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder.communicate("let go\n", timeout=20)
            getattr(fcntl, call)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_waiting_lock_is_granted(place: Place):
    with python(place, LOCKER, "flock", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin
        assert first.stdout
        assert first.stdout.readline() == "locked\n"
        second = python(place, LOCKER, "flock", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first.communicate("let go\n", timeout=20)
        with second:
            assert second.stdout
            assert second.stdout.readline() == "locked\n"
            second.communicate("let go\n", timeout=20)


def test_ranges_are_locked_apart(place: Place):
    code = """
import fcntl, sys
file = open("data", "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 100, 0)
print("locked", flush=True)
sys.stdin.readline()
"""
    with python(place, code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "locked\n"
        with open(place / "data", "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 100, 100)
            with fails(errno.EAGAIN, errno.EACCES):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 100, 50)
        holder.communicate("let go\n", timeout=20)


def test_a_lock_file_has_one_winner(place: Place):
    code = """
import os
try:
    os.open("the.lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    print("won")
except FileExistsError:
    print("lost")
"""
    contenders = [python(place, code, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [contender.communicate(timeout=30)[0] for contender in contenders]
    assert sorted(answers) == ["lost\n", "lost\n", "lost\n", "won\n"]


def test_sync_of_files_and_directories(place: Place):
    for name, flags in (("text", os.O_RDWR), ("sub", os.O_RDONLY), (".", os.O_RDONLY), ("run", os.O_RDONLY)):
        fd = os.open(place / name, flags)
        if flags == os.O_RDWR:
            os.write(fd, b"ALPHA")
        os.fsync(fd)
        os.fdatasync(fd)
        os.close(fd)
    fd = os.open(place / "synchronous", os.O_CREAT | os.O_WRONLY | os.O_SYNC, 0o644)
    os.write(fd, b"written through")
    os.close(fd)
    assert (place / "synchronous").read_bytes() == b"written through"


def test_another_process_sees_each_close_at_once(place: Place):
    code = """
import sys
for line in sys.stdin:
    print(open(line.strip(), "rb").read().decode(), end="", flush=True)
"""
    with python(place, code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin
        assert reader.stdout
        for number in range(20):
            (place / "text").write_text(f"version {number}{'.' * (number % 7)}\n")
            reader.stdin.write("text\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == f"version {number}{'.' * (number % 7)}\n"
        reader.stdin.close()


def test_descriptors_passed_to_a_child(place: Place):
    with open(place / "log", "wb", buffering=0) as file:
        for number in range(5):
            subprocess.run(["sh", "-c", f"echo child {number}"], stdout=file, check=True)
        file.write(b"parent\n")
    assert (place / "log").read_bytes() == b"".join(b"child %d\n" % number for number in range(5)) + b"parent\n"


def test_a_handle_shared_with_a_child_that_exits(place: Place):
    """Each exit of a child closes its copy; the content must not suffer, whatever is flushed when."""
    with open(place / "text", "r+b", buffering=0) as file:
        file.seek(0, os.SEEK_END)
        file.write(b"before\n")
        subprocess.run(["true"], pass_fds=[file.fileno()], check=True)
        file.write(b"after\n")
        assert (place / "text").read_bytes() == TEXT + b"before\nafter\n"
    assert (place / "text").read_bytes() == TEXT + b"before\nafter\n"


def test_exclusive_creation_in_a_loop(place: Place):
    for number in range(50):
        fd = os.open(place / "cycle", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        os.write(fd, b"%d" % number)
        os.close(fd)
        assert (place / "cycle").read_bytes() == b"%d" % number
        os.unlink(place / "cycle")
