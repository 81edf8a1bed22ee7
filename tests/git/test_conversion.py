"""Line ends and ids: what we make of bytes against a real checkout and a real ``git add``."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anvcs.git.skeleton import Skeleton

LINES = [
    "", "* text", "* -text", "* text=auto", "* text=input", "* eol=lf", "* eol=crlf", "* text=auto eol=lf",
    "* text=auto eol=crlf", "* -text eol=crlf", "* crlf", "* -crlf", "* crlf=input", "* text=auto crlf", "* ident",
    "* ident eol=crlf", "* ident text=auto eol=crlf", "* binary", "* binary ident", "* text=strange", "* eol=strange",
    "* text !eol", "* filter=nobody", "* filter", "* working-tree-encoding=utf-8 eol=crlf",
]  # fmt: skip
CONFIGURATIONS = [
    {}, {"autocrlf": "true"}, {"autocrlf": "input"}, {"eol": "crlf"}, {"eol": "lf"}, {"eol": "native"},
    {"autocrlf": "true", "eol": "lf"}, {"autocrlf": "input", "eol": "crlf"}, {"safecrlf": "true", "autocrlf": "true"},
    {"safecrlf": "true"},
]  # fmt: skip
PIECES = [
    b"a", b"text " * 30, b"\n", b"\n", b"\r\n", b"\r\n", b"\r", b"\0", b"\x01", b"\x7f", b"\x1a", b"\xe9", b"\t\b\x1b\f",
    b"$Id$", b"$Id: abc $", b"$Id:abc$", b"$Id: a b $", b"$Id: x\n$", b"$Id:$", b"$Id:", b"$", b"$Id: foo", b"$Idx$",
    b"$Id: $", b"$Id:  $", b"$Id:a b$",
]  # fmt: skip
content = st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join)


class Native:
    """An ordinary repository to compare with."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.git("init", "-q")

    def git(self, *args: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(["git", *args], cwd=self.top, input=stdin, capture_output=True, check=True).stdout

    def blob(self, data: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=data).decode().strip()

    def setup(self, attributes: str, config: dict[str, str]) -> None:
        text = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
        (self.top / ".git/config").write_text(text + "".join(f"\t{k} = {v}\n" for k, v in config.items()))
        (self.top / ".gitattributes").write_text(attributes + "\n")
        (self.top / ".git/index").unlink(missing_ok=True)

    def checkout(self, data: bytes, name: str = "file") -> bytes:
        self.git("update-index", "--add", "--cacheinfo", f"100644,{self.blob(data)},{name}")
        self.git("checkout-index", "-f", "--", name)
        return (self.top / name).read_bytes()

    def add(self, data: bytes, previous: bytes | None, name: str = "file") -> bytes:
        self.git("update-index", "--force-remove", "--", name)
        if previous is not None:
            self.git("update-index", "--add", "--cacheinfo", f"100644,{self.blob(previous)},{name}")
        (self.top / name).write_bytes(data)
        self.git("-c", "core.safecrlf=false", "add", "--", name)
        return self.git("cat-file", "blob", f":{name}")


@pytest.fixture(scope="module")
def native(tmp_path_factory) -> Native:
    return Native(tmp_path_factory.mktemp("native"))


def skeleton_of(native: Native, attributes: str) -> Skeleton:
    common = native.top / ".git"
    view = common / "anvcs/views/v"
    skeleton = Skeleton(common, view / "skeleton.git", view / "skeleton")
    skeleton.put(b".gitattributes", attributes.encode())
    return skeleton


@pytest.mark.property
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    attributes=st.sampled_from(LINES),
    config=st.sampled_from(CONFIGURATIONS),
    data=content,
    previous=st.one_of(st.none(), content),
)
def test_bytes_are_those_of_git(native, attributes, config, data, previous):
    native.setup(attributes, config)
    skeleton = skeleton_of(native, attributes)
    assert skeleton.smudge(b"file", data) == native.checkout(data)
    assert skeleton.clean(b"file", data, previous) == native.add(data, previous)


@pytest.mark.parametrize("attributes", LINES)
def test_each_attribute(native, attributes):
    native.setup(attributes, {})
    skeleton = skeleton_of(native, attributes)
    for data in (b"a\nb\r\n", b"a\n$Id$\n", b"a\r\n$Id: 12 $\r\n"):
        assert skeleton.smudge(b"file", data) == native.checkout(data)
        assert skeleton.clean(b"file", data) == native.add(data, None)


def test_what_changes_nothing_says_so(native):
    native.setup("", {})
    skeleton = skeleton_of(native, "*.py diff=python\n*.md text=auto\n*.sh eol=lf\n*.bat eol=crlf\n")
    assert skeleton.conversion(b"a.py") is None
    found = skeleton.conversion(b"a.md")
    assert found is not None
    assert not found.smudges
    assert not skeleton.conversion(b"a.sh").smudges
    assert skeleton.conversion(b"a.bat").smudges


@pytest.mark.parametrize("directory", [b"", b"a/", b"a/b/"])
def test_put_is_seen_at_once(native, directory):
    native.setup("", {})
    skeleton = skeleton_of(native, "")
    path = b"a/b/c.txt"
    assert skeleton.conversion(path) is None
    skeleton.put(directory + b".gitattributes", b"*.txt eol=crlf\n")
    assert skeleton.smudge(path, b"\n") == b"\r\n"
    skeleton.put(directory + b".gitattributes", None)
    assert skeleton.smudge(path, b"\n") == b"\n"
    skeleton.put(directory + b".gitignore", b"c.txt\n")
    assert skeleton.ignored(path, False)
    skeleton.put(directory + b".gitignore", None)
    assert not skeleton.ignored(path, False)


def test_files_outside_the_tree_are_followed(native, tmp_path):
    native.setup("", {})
    skeleton = skeleton_of(native, "")
    common = native.top / ".git"
    (common / "info/exclude").write_text("*.mine\n")
    skeleton.refresh()
    assert skeleton.ignored(b"a.mine", False)
    (tmp_path / "ignore").write_text("*.theirs\n")
    native.git("config", "core.excludesFile", str(tmp_path / "ignore"))
    (common / "info/attributes").write_text("*.txt eol=crlf\n")
    skeleton.refresh()
    assert skeleton.ignored(b"a.theirs", False)
    assert skeleton.smudge(b"a.txt", b"\n") == b"\r\n"
    (common / "info/attributes").unlink()
    (common / "info/exclude").unlink()
    native.git("config", "core.autocrlf", "true")
    skeleton.refresh()
    assert not skeleton.ignored(b"a.mine", False)
    assert skeleton.smudge(b"a.txt", b"\n") == b"\r\n"


def test_a_broken_configuration_keeps_the_last_good_one(native):
    native.setup("", {"autocrlf": "true"})
    skeleton = skeleton_of(native, "")
    (native.top / ".git/config").write_text("[core\n")
    skeleton.refresh()
    assert "config" in str(skeleton.complaint)
    assert skeleton.smudge(b"a", b"\n") == b"\r\n"
    native.setup("", {})
    skeleton.refresh()
    assert skeleton.complaint is None
    assert skeleton.smudge(b"a", b"\n") == b"\n"
