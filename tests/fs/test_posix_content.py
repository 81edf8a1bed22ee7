"""Contents of files: reading, writing, appending, truncating, holes, and the errors of each."""

import errno
import mmap
import os
import signal
import subprocess
import sys

import pytest

from support.kernel import fails, fallocate, suppress_refusal
from support.places import DATA, TEXT, Place


@pytest.fixture(params=["text", "data", "empty", "absent"])
def name(request):
    return request.param


CONTENT = {"text": TEXT, "data": DATA, "empty": b"", "absent": None}


def test_read(place: Place, name):
    if CONTENT[name] is None:
        with pytest.raises(FileNotFoundError):
            (place / name).read_bytes()
    else:
        assert (place / name).read_bytes() == CONTENT[name]
        assert (place / name).stat().st_size == len(CONTENT[name])


def test_overwrite(place: Place, name):
    (place / name).write_bytes(b"new content\n")
    assert (place / name).read_bytes() == b"new content\n"
    assert (place / name).stat().st_size == 12


def test_append(place: Place, name):
    with open(place / name, "ab") as file:
        file.write(b"tail\n")
    with open(place / name, "ab") as file:
        file.write(b"tail 2\n")
    assert (place / name).read_bytes() == (CONTENT[name] or b"") + b"tail\ntail 2\n"


def test_append_ignores_the_offset(place: Place):
    fd = os.open(place / "text", os.O_WRONLY | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"end\n")
    os.close(fd)
    assert (place / "text").read_bytes() == TEXT + b"end\n"


@pytest.mark.parametrize("size", [0, 1, 7, 17, 4096, 5120, 70_000])
def test_truncate_by_path(place: Place, name, size):
    if CONTENT[name] is None:
        with pytest.raises(FileNotFoundError):
            os.truncate(place / name, size)
        return
    os.truncate(place / name, size)
    assert (place / name).read_bytes() == CONTENT[name][:size].ljust(size, b"\0")


@pytest.mark.parametrize("size", [0, 5, 9000])
def test_truncate_by_handle(place: Place, size):
    with open(place / "data", "r+b") as file:
        file.seek(10)
        file.write(b"written")
        file.truncate(size)
        assert os.fstat(file.fileno()).st_size == size
        expected = (DATA[:10] + b"written" + DATA[17:])[:size].ljust(size, b"\0")
        file.seek(0)
        assert file.read() == expected
    assert (place / "data").read_bytes() == expected


def test_write_in_the_middle(place: Place):
    with open(place / "data", "r+b", buffering=0) as file:
        file.seek(300)
        file.write(b"middle")
    assert (place / "data").read_bytes() == DATA[:300] + b"middle" + DATA[306:]


def test_a_hole_reads_as_zeros(place: Place):
    with open(place / "holes", "wb", buffering=0) as file:
        file.write(b"start")
        file.seek(1_000_000)
        file.write(b"end")
    content = (place / "holes").read_bytes()
    assert (len(content), content[:5], content[-3:]) == (1_000_003, b"start", b"end")
    assert not content[5:-3].strip(b"\0")


def test_seek_data_and_hole(place: Place):
    with open(place / "data", "rb", buffering=0) as file:
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 0
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == len(DATA)
        with fails(errno.ENXIO):
            os.lseek(file.fileno(), len(DATA) + 5, os.SEEK_DATA)


def test_pread_and_pwrite(place: Place):
    fd = os.open(place / "text", os.O_RDWR)
    assert os.pread(fd, 4, 6) == b"beta"
    assert os.pread(fd, 100, len(TEXT)) == b""
    assert os.pread(fd, 100, 1 << 40) == b""
    os.pwrite(fd, b"BETA", 6)
    assert os.pread(fd, 100, 0) == TEXT.replace(b"beta", b"BETA")
    os.close(fd)


def test_what_is_written_is_seen_before_close(place: Place):
    with open(place / "text", "r+b", buffering=0) as writer, open(place / "text", "rb", buffering=0) as reader:
        writer.write(b"ALPHA")
        assert reader.read(5) == b"ALPHA"
        assert (place / "text").read_bytes()[:5] == b"ALPHA"
        writer.seek(0, os.SEEK_END)
        writer.write(b"more")
        assert (place / "text").stat().st_size == len(TEXT) + 4
        assert os.fstat(reader.fileno()).st_size == len(TEXT) + 4


def test_two_writers_on_one_file(place: Place):
    one, two = (os.open(place / "both", os.O_RDWR | os.O_CREAT, 0o644) for _ in range(2))
    os.pwrite(one, b"aaaa", 0)
    os.pwrite(two, b"bb", 1)
    os.close(one)
    os.pwrite(two, b"c", 5)
    os.close(two)
    assert (place / "both").read_bytes() == b"abba\0c"


def test_open_exclusive(place: Place):
    with pytest.raises(FileExistsError):
        os.open(place / "text", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with pytest.raises(FileExistsError):
        os.open(place / "link", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.close(os.open(place / "exclusive", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    assert (place / "exclusive").stat().st_mode & 0o777 == 0o600


def test_create_read_only_and_write(place: Place):
    """The mode of a new file binds later opens, not the one that creates it."""
    fd = os.open(place / "sealed", os.O_CREAT | os.O_RDWR, 0o400)
    os.write(fd, b"once")
    os.close(fd)
    assert (place / "sealed").read_bytes() == b"once"
    assert (place / "sealed").stat().st_mode & 0o777 == 0o400


def test_open_truncating(place: Place):
    fd = os.open(place / "data", os.O_WRONLY | os.O_TRUNC)
    assert os.fstat(fd).st_size == 0
    os.close(fd)
    assert (place / "data").read_bytes() == b""


@pytest.mark.parametrize(
    ("target", "flags", "number"),
    [
        ("absent", os.O_RDONLY, errno.ENOENT),
        ("absent/below", os.O_RDONLY | os.O_CREAT, errno.ENOENT),
        ("text/below", os.O_RDONLY, errno.ENOTDIR),
        ("text/below", os.O_WRONLY | os.O_CREAT, errno.ENOTDIR),
        ("text", os.O_RDONLY | os.O_DIRECTORY, errno.ENOTDIR),
        ("sub", os.O_WRONLY, errno.EISDIR),
        ("sub", os.O_RDWR | os.O_CREAT, errno.EISDIR),
        ("link", os.O_RDONLY | os.O_NOFOLLOW, errno.ELOOP),
        ("n" * 256, os.O_WRONLY | os.O_CREAT, errno.ENAMETOOLONG),
        ("n" * 256, os.O_RDONLY, errno.ENAMETOOLONG),
    ],
)
def test_errors_of_open(place: Place, target, flags, number):
    with fails(number):
        os.close(os.open(place / target, flags, 0o644))


@pytest.mark.parametrize(
    ("flags", "action"),
    [
        (os.O_RDONLY, lambda fd: os.write(fd, b"x")),
        (os.O_WRONLY, lambda fd: os.read(fd, 1)),
    ],
)
def test_a_handle_does_what_it_was_opened_for(place: Place, flags, action):
    fd = os.open(place / "text", flags)
    with fails(errno.EBADF):
        action(fd)
    os.close(fd)
    assert (place / "text").read_bytes() == TEXT


def test_truncate_by_a_reading_handle(place: Place):
    fd = os.open(place / "text", os.O_RDONLY)
    with fails(errno.EINVAL, errno.EBADF):
        os.ftruncate(fd, 3)
    os.close(fd)


def test_read_of_a_directory(place: Place):
    fd = os.open(place / "sub", os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        os.read(fd, 10)
    os.close(fd)


def test_truncate_to_an_absurd_size(place: Place):
    """Nothing may be allocated by size; a file system that can't hold it says EFBIG (ext4: 16 TiB)."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for target in ("text", "data"):
            with fails(errno.EFBIG):
                os.truncate(place / target, 10**15)
        fd = os.open(place / "far", os.O_RDWR | os.O_CREAT, 0o644)
        with fails(errno.EFBIG):
            os.pwrite(fd, b"x", 10**15)
        os.close(fd)
    finally:
        signal.signal(signal.SIGXFSZ, before)
    assert (place / "text").read_bytes() == TEXT
    assert (place / "data").read_bytes() == DATA


def test_a_large_write_in_odd_pieces(place: Place):
    whole = os.urandom(700_001)
    with open(place / "large", "wb", buffering=0) as file:
        file.writelines(whole[start : start + 33_333] for start in range(0, len(whole), 33_333))
    assert (place / "large").read_bytes() == whole


def test_a_file_backwards(place: Place):
    whole = os.urandom(200_000)
    fd = os.open(place / "backwards", os.O_RDWR | os.O_CREAT, 0o644)
    for start in range(190_000, -1, -10_000):
        os.pwrite(fd, whole[start : start + 10_000], start)
    os.close(fd)
    assert (place / "backwards").read_bytes() == whole


def test_text_and_binary_in_turn(place: Place):
    for content in (
        b"text\n",
        b"\xff\xfe\0binary",
        "gr\u00fc\u00dfe\n".encode(),
        b"",
        b"\0",
        b"text again\n",
        b"a\r\nb\r\n",
    ):
        (place / "text").write_bytes(content)
        assert (place / "text").read_bytes() == content


@pytest.mark.parametrize("ending", [b"\r\n", b"\r", b"\n\r", b"\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_line_endings_and_marks_are_kept(place: Place, ending, start):
    lines = [start + b"one", b"two", b"", b"four without an end"]
    (place / "text").write_bytes(ending.join(lines))
    assert (place / "text").read_bytes() == ending.join(lines)
    with open(place / "text", "ab") as file:
        file.write(ending + b"five" + ending)
    assert (place / "text").read_bytes() == ending.join([*lines, b"five", b""])


def test_copy_within_the_kernel(place: Place):
    with open(place / "data", "rb") as source, open(place / "copy", "wb") as target:
        copied = os.copy_file_range(source.fileno(), target.fileno(), len(DATA))
        assert 0 < copied <= len(DATA)
        copied += os.sendfile(target.fileno(), source.fileno(), copied, len(DATA) - copied)
    assert (place / "copy").read_bytes() == DATA[:copied]
    subprocess.run(["cp", "--sparse=always", place / "data", place / "copy2"], check=True)
    assert (place / "copy2").read_bytes() == DATA


def test_allocating_or_a_clean_refusal(place: Place):
    """Plain fallocate may be refused; glibc then writes zeros itself, and programs are content."""
    fd = os.open(place / "allocated", os.O_RDWR | os.O_CREAT, 0o644)
    with suppress_refusal():
        fallocate(fd, 0, 0, 10_000)
    os.posix_fallocate(fd, 0, 20_000)
    assert os.fstat(fd).st_size == 20_000
    os.close(fd)
    assert (place / "allocated").read_bytes() == bytes(20_000)


def test_read_into_many_buffers(place: Place):
    buffers = [bytearray(3), bytearray(4), bytearray(100)]
    fd = os.open(place / "text", os.O_RDWR)
    assert os.readv(fd, buffers) == len(TEXT)
    assert b"".join(map(bytes, buffers))[: len(TEXT)] == TEXT
    assert os.pwritev(fd, [b"AL", b"PHA"], 0) == 5
    os.close(fd)
    assert (place / "text").read_bytes() == b"ALPHA" + TEXT[5:]


@pytest.mark.parametrize("target", ["text", "data"])
def test_a_map_is_read(place: Place, target):
    with open(place / target, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert bytes(mapped) == CONTENT[target]


@pytest.mark.parametrize("target", ["text", "data"])
def test_a_map_is_written(place: Place, target):
    with open(place / target, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0:5] = b"MAPPE"
        mapped.flush()
        assert (place / target).read_bytes()[:5] == b"MAPPE"
        mapped[5:6] = b"D"
    assert (place / target).read_bytes() == b"MAPPED" + CONTENT[target][6:]


def test_a_map_outlives_its_handle(place: Place):
    with open(place / "data", "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[100:104] = b"late"
    mapped.flush()
    mapped.close()
    assert (place / "data").read_bytes() == DATA[:100] + b"late" + DATA[104:]


def test_a_map_sees_writes_through_a_handle(place: Place):
    with open(place / "data", "r+b", buffering=0) as file, mmap.mmap(file.fileno(), 0) as mapped:
        assert mapped[0] == 0
        file.write(b"seen")
        assert mapped[:4] == b"seen"


def test_a_private_map_changes_nothing(place: Place):
    with open(place / "data", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[0:4] = b"mine"
    assert (place / "data").read_bytes() == DATA


def test_a_program_runs(place: Place):
    assert subprocess.run([place / "run"], capture_output=True, check=True).stdout == b"ran\n"
    with pytest.raises(PermissionError):
        subprocess.run([place / "text"], check=True)
    (place / "text").write_text("#!/bin/sh\necho now\n")
    (place / "text").chmod(0o755)
    assert subprocess.run([place / "text"], capture_output=True, check=True).stdout == b"now\n"


def test_a_running_program_is_not_written(place: Place):
    """A copy of the interpreter's smallest friend: /bin/sleep is everywhere and waits on its own."""
    subprocess.run(["cp", "/bin/cat", place / "cat"], check=True)
    with subprocess.Popen([place / "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"up\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        with fails(errno.ETXTBSY):
            os.open(place / "cat", os.O_WRONLY)
        process.stdin.close()
    assert process.returncode == 0


def test_python_imports_from_it(place: Place):
    (place / "fresh_module.py").write_text("value = 42\n")
    done = subprocess.run(
        [sys.executable, "-c", "import fresh_module; print(fresh_module.value)"],
        cwd=place.path,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"42\n"
