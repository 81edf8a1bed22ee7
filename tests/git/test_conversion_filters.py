"""Encodings, filter drivers and LFS: conversions that git's own program does."""

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from anvcs.git.filters import ConversionFailed
from anvcs.git.skeleton import Skeleton
from anvcs.model.ids import Oid

PROCESS = """
import sys
def read():
    size = int(sys.stdin.buffer.read(4) or b"-1", 16)
    if size < 0: sys.exit()
    return sys.stdin.buffer.read(size - 4) if size else None
def packets():
    found = []
    while (packet := read()) is not None: found.append(packet)
    return found
def write(*packets):
    for packet in packets:
        sys.stdout.buffer.write(b"%04x" % (len(packet) + 4) + packet if packet is not None else b"0000")
    sys.stdout.buffer.flush()
with open(sys.argv[1], "a") as starts: starts.write("started\\n")
packets()
write(b"git-filter-server\\n", b"version=2\\n", None)
packets()
write(b"capability=clean\\n", b"capability=smudge\\n", None)
while True:
    head = packets()
    data = b"".join(packets())
    if b"bad" in head[1]: write(b"status=error\\n", None); continue
    if b"hang" in head[1]: import time; time.sleep(600)
    write(b"status=success\\n", None, data[::-1], None, None)
"""


class Place:
    """A native repository, and a skeleton over its store."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.git("init", "-q")
        self.skeletons: list[Skeleton] = []

    def git(self, *args: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(["git", *args], cwd=self.top, input=stdin, capture_output=True, check=True).stdout

    def skeleton(self, attributes: str, deadline_seconds: float = 60) -> Skeleton:
        (self.top / ".gitattributes").write_text(attributes)
        view = self.top / ".git/anvcs/views/v"
        skeleton = Skeleton(
            self.top / ".git", view / "skeleton.git", view / "skeleton", deadline_seconds=deadline_seconds
        )
        skeleton.put(b".gitattributes", attributes.encode())
        self.skeletons.append(skeleton)
        return skeleton

    def blob(self, data: bytes) -> Oid:
        return Oid(bytes.fromhex(self.git("hash-object", "-w", "--stdin", stdin=data).decode()))

    def checkout(self, name: str, data: bytes) -> bytes:
        self.git("update-index", "--add", "--cacheinfo", f"100644,{self.blob(data).hex()},{name}")
        self.git("checkout-index", "-f", "--", name)
        return (self.top / name).read_bytes()

    def add(self, name: str, data: bytes) -> bytes:
        (self.top / name).parent.mkdir(parents=True, exist_ok=True)
        (self.top / name).write_bytes(data)
        self.git("add", "--", name)
        return self.git("cat-file", "blob", f":{name}")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "native").mkdir()
    place = Place(tmp_path / "native")
    yield place
    for skeleton in place.skeletons:
        skeleton.close()


def loose_objects(place: Place) -> int:
    return sum(len(files) for _, _, files in os.walk(place.top / ".git/objects"))


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-16LE", "UTF-16LE-BOM", "UTF-32", "SHIFT-JIS", "ISO-8859-1"])
@pytest.mark.parametrize("eol", ["", " eol=crlf", " text=auto", " ident"])
def test_encodings(place, encoding, eol):
    attributes = f"*.txt working-tree-encoding={encoding}{eol}\n"
    skeleton = place.skeleton(attributes)
    blob = "$Id$ na\u00efve\nzwei\n".encode() if encoding == "ISO-8859-1" else "$Id$ abc\n\uff76\n".encode()
    shown = skeleton.smudge(b"a.txt", blob)
    assert shown == place.checkout("a.txt", blob)
    assert shown != blob
    assert skeleton.clean(b"a.txt", shown) == place.add("a.txt", shown)


def test_what_an_encoding_cannot_hold(place):
    skeleton = place.skeleton("*.txt working-tree-encoding=UTF-16\n")
    with pytest.raises(ConversionFailed, match="BOM"):
        skeleton.clean(b"a.txt", b"no byte order mark")
    assert skeleton.clean(b"a.txt", "yes".encode("utf-16")) == b"yes"


@pytest.mark.parametrize(
    "name", [b"a.x", b"d/e/f.x", b" a.x", b'"a.x', b"a\nb.x", b"\xff.x", b"-a.x", b"a b.x", b"a'b.x"]
)
def test_commands(place, name):
    place.git("config", "filter.rot.clean", "printf '%s:' %f && tr a-z b-za")
    place.git("config", "filter.rot.smudge", "printf '%s;' %f && tr b-za a-z")
    skeleton = place.skeleton("*.x filter=rot\n")
    for _ in range(2):
        assert skeleton.smudge(name, b"bcd\n") == name + b";abc\n"
        assert skeleton.clean(name, b"abc\n") == name + b":bcd\n"
    assert skeleton.smudge(b"d/a.y", b"bcd\n") == b"bcd\n"


def test_commands_agree_with_git_and_leave_nothing_behind(place):
    place.git("config", "filter.up.clean", "tr a-z A-Z")
    place.git("config", "filter.up.smudge", "tr A-Z a-z")
    skeleton = place.skeleton("*.x filter=up eol=crlf ident\n")
    before = loose_objects(place)
    shown = skeleton.smudge(b"a.x", b"$Id$\nABC\n")
    stored = skeleton.clean(b"a.x", b"abc\r\n")
    assert loose_objects(place) == before
    assert shown == place.checkout("a.x", b"$Id$\nABC\n")
    assert stored == place.add("a.x", b"abc\r\n")
    # what is in the repository already is found there
    assert skeleton.clean(b"a.x", b"abc\r\n") == stored
    assert skeleton.smudge(b"a.x", b"", place.blob(b"QED")) == b"qed"
    assert not [
        f for _, _, files in os.walk(place.top / ".git/anvcs/views/v/skeleton") for f in files if f != ".gitattributes"
    ]


def test_a_failing_command(place):
    for name, required in (("must", "true"), ("may", "false")):
        place.git("config", f"filter.{name}.clean", "echo no good >&2; exit 1")
        place.git("config", f"filter.{name}.smudge", "echo no good >&2; exit 1")
        place.git("config", f"filter.{name}.required", required)
    place.git("config", "filter.half.required", "true")
    place.git("config", "filter.half.clean", "cat")
    skeleton = place.skeleton("*.must filter=must\n*.may filter=may\n*.half filter=half\n*.none filter=none\n")
    for convert in (skeleton.smudge, skeleton.clean):
        with pytest.raises(ConversionFailed, match="no good"):
            convert(b"a.must", b"data")
        assert convert(b"a.may", b"data") == b"data"
        assert convert(b"a.none", b"data") == b"data"
    assert skeleton.conversion(b"a.none") is None
    assert skeleton.clean(b"a.half", b"data") == b"data"
    with pytest.raises(ConversionFailed):
        skeleton.smudge(b"a.half", b"data")


def with_process(place: Place, tmp_path: Path) -> Path:
    (tmp_path / "filter.py").write_text(textwrap.dedent(PROCESS))
    starts = tmp_path / "starts"
    place.git("config", "filter.rev.process", f"{sys.executable} -S {tmp_path}/filter.py {starts}")
    place.git("config", "filter.rev.required", "true")
    return starts


def test_a_long_running_process(place, tmp_path):
    starts = with_process(place, tmp_path)
    skeleton = place.skeleton("*.x filter=rev\n")
    for i in range(20):
        assert skeleton.smudge(b"d/%d.x" % i, b"abc") == b"cba"
        assert skeleton.clean(b"d/%d.x" % i, b"xyz" + bytes([i])) == bytes([i]) + b"zyx"
    assert len(starts.read_text().split()) == 2
    with pytest.raises(ConversionFailed):
        skeleton.smudge(b"bad.x", b"abc")
    assert skeleton.smudge(b"good.x", b"abc") == b"cba"


def test_changed_attributes_reach_running_helpers(place, tmp_path):
    with_process(place, tmp_path)
    place.git("config", "filter.up.smudge", "tr a-z A-Z")
    skeleton = place.skeleton("*.x filter=rev\n")
    assert skeleton.smudge(b"d/a.x", b"abc") == b"cba"
    skeleton.put(b"d/.gitattributes", b"*.x filter=up\n")
    assert skeleton.smudge(b"d/a.x", b"abc") == b"ABC"
    assert skeleton.smudge(b"e/a.x", b"abc") == b"cba"
    skeleton.put(b"f/.gitattributes", b"*.x filter=up\n")
    assert skeleton.smudge(b"f/a.x", b"abc") == b"ABC"
    skeleton.put(b"d/.gitattributes", None)
    assert skeleton.smudge(b"d/a.x", b"abc") == b"cba"


def test_a_hanging_filter_meets_its_deadline(place, tmp_path):
    with_process(place, tmp_path)
    skeleton = place.skeleton("*.x filter=rev\n", deadline_seconds=1)
    for convert in (skeleton.smudge, skeleton.clean):
        with pytest.raises(ConversionFailed, match="longer than"):
            convert(b"hang.x", b"abc")
        assert convert(b"a.x", b"abc") == b"cba"


def test_many_threads(place, tmp_path):
    with_process(place, tmp_path)
    skeleton = place.skeleton("*.x filter=rev\n")
    wrong: list[object] = []

    def work(number: int) -> None:
        for i in range(10):
            data = b"%d" % (i * (number % 2))
            if skeleton.clean(b"a.x", data) != data[::-1] or skeleton.smudge(b"a.x", data) != data[::-1]:
                wrong.append(data)
            if i == number:
                skeleton.put(b".gitattributes", b"*.x filter=rev\n" + b"#" * number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_files(place, tmp_path):
    with_process(place, tmp_path)
    skeleton = place.skeleton("*.x filter=rev\n")
    (tmp_path / "source").write_bytes(b"abc")
    oid = skeleton.clean_file(b"d/a.x", tmp_path / "source")
    assert place.git("cat-file", "blob", oid.hex()) == b"cba"
    skeleton.smudge_file(b"d/a.x", oid, tmp_path / "shown")
    assert (tmp_path / "shown").read_bytes() == b"abc"


def test_lfs_pointers_pass_where_lfs_is_not_installed(place):
    skeleton = place.skeleton("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    assert skeleton.conversion(b"a.bin") is None


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_lfs(place):
    place.git("lfs", "install", "--local")
    skeleton = place.skeleton("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    data = bytes(range(256)) * 1000
    pointer = skeleton.clean(b"a.bin", data)
    assert pointer.startswith(b"version https://git-lfs")
    assert pointer == place.add("a.bin", data)
    assert skeleton.smudge(b"a.bin", pointer) == data
