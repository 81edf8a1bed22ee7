"""Two mounted views of one stream change names at once, with ordinary tools."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs
from support.programs import git
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

FILES = [f"f{number}" for number in range(12)]


class Pair:
    """Ann's view and Bob's."""

    def __init__(self, ann: MountedView, bob: MountedView) -> None:
        self.views = ann, bob
        self.ann, self.bob = ann.path, bob.path

    def both(self, verb: Callable[[Path, str], object]) -> None:
        """Let both do *verb* at once."""
        gate = threading.Barrier(2)

        def run(top: Path, name: str) -> None:
            gate.wait()
            verb(top, name)

        threads = [threading.Thread(target=run, args=pair) for pair in ((self.ann, "ann"), (self.bob, "bob"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def agree(self) -> dict[str, bytes]:
        """What both show, once they do."""
        return eventually(self._same, timeout=30, what="both views to show the same")[0]

    def _same(self) -> tuple[dict[str, bytes]] | None:
        try:
            first, second = tree(self.ann), tree(self.bob)
        except FileNotFoundError:  # renamed while we looked
            return None
        return (first,) if first == second else None

    def kinds(self, path: str) -> list[str]:
        """The kinds of the open records about *path*."""
        room = self.views[0].control / "conflicts"
        texts = [file.read_text() for file in room.iterdir()]
        return [text for text in texts if path in text]


def tree(top: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for directory, names, files in os.walk(top):
        names[:] = [name for name in names if name != ".anvcs"]
        for name in files:
            path = Path(directory, name)
            if name != ".git":
                found[str(path.relative_to(top))] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("trees")
    repository = folder / "repository"
    git("init", "-q", "-b", "main", str(repository), cwd=folder)
    for name in FILES:
        (repository / name).write_text(f"{name}\n")
    for name in ("d/x", "e/z", "g/h"):
        (repository / name).parent.mkdir()
        (repository / name).write_text(f"{name}\n")
    (repository / ".gitignore").write_text("*.log\n")
    git("add", "-A", cwd=repository)
    git("commit", "-q", "-m", "start", cwd=repository)
    ai_vcs("init", cwd=repository)
    views = [MountedView(repository, folder / name, ("--agent", name)).mount() for name in ("ann", "bob")]
    yield Pair(*views)
    for view in views:
        view.unmount()


def test_one_name_created_by_both(pair: Pair):
    pair.both(lambda top, name: (top / "new").write_text(f"{name}\n"))
    eventually(lambda: len([name for name in os.listdir(pair.ann) if name.startswith("new")]) == 2)
    files = pair.agree()
    loser = next(name for name in files if name.startswith("new~"))
    assert {files["new"], files[loser]} == {b"ann\n", b"bob\n"}
    assert files[loser] == loser.removeprefix("new~").encode() + b"\n"
    assert pair.kinds(loser)


def test_one_directory_made_by_both(pair: Pair):
    def make(top: Path, name: str) -> None:
        (top / "made").mkdir(exist_ok=True)
        (top / "made" / name).write_text(name)

    pair.both(make)
    eventually(lambda: {"made/ann", "made/bob"} <= pair.agree().keys())


@pytest.mark.parametrize("tool", ["unlink", "rm"])
def test_deleted_while_it_is_edited(pair: Pair, tool: str):
    name = "f0" if tool == "unlink" else "f1"
    assert (pair.bob / name).read_text() == f"{name}\n"
    (pair.ann / name).write_text("edited\n")
    if tool == "rm":
        subprocess.run(["rm", pair.bob / name], check=True)
    else:
        (pair.bob / name).unlink()
    assert pair.agree()[name] == b"edited\n"
    assert pair.kinds(name)
    assert (pair.bob / name).read_text() == "edited\n"
    (pair.bob / name).unlink()  # now it is known
    eventually(lambda: not (pair.ann / name).exists())


def test_saved_through_a_handle_after_it_was_deleted(pair: Pair):
    with open(pair.bob / "f2", "r+") as file:
        file.read()
        (pair.ann / "f2").unlink()
        eventually(lambda: not (pair.bob / "f2").exists())
        file.write("more\n")
    eventually((pair.ann / "f2").exists)
    assert pair.agree()["f2"] == b"f2\nmore\n"
    assert pair.kinds("f2")


def test_saved_through_a_handle_in_a_renamed_directory(pair: Pair):
    (pair.bob / "d" / "out.log").write_text("local\n")
    with open(pair.bob / "d" / "x", "a") as file:
        (pair.ann / "d").rename(pair.ann / "lib")
        eventually((pair.bob / "lib" / "x").exists)
        file.write("more\n")
    eventually(lambda: (pair.ann / "lib" / "x").read_text() == "d/x\nmore\n")
    assert not (pair.bob / "d").exists()
    assert (pair.bob / "lib" / "out.log").read_text() == "local\n"
    (pair.bob / "lib" / "out.log").unlink()
    pair.agree()


def test_renamed_by_both(pair: Pair):
    for top in (pair.ann, pair.bob):
        (top / "f3").stat()

    def rename(top: Path, name: str) -> None:
        try:
            (top / "f3").rename(top / f"f3-{name}")
        except FileNotFoundError:  # the other was faster, and this kernel knew
            assert name in ("ann", "bob")

    pair.both(rename)
    files = pair.agree()
    assert [files[name] for name in files if name.startswith("f3")] == [b"f3\n"]


def test_opaque_written_by_both(pair: Pair):
    for top in (pair.ann, pair.bob):
        (top / "f4").read_bytes()
    with open(pair.bob / "f4", "r+b", buffering=0) as of_bob, open(pair.ann / "f4", "r+b", buffering=0) as of_ann:
        of_ann.write(b"\xff\x00ann")
        of_bob.write(b"\xff\x00bob")
    eventually(lambda: "f4~ann" in pair.agree())
    files = pair.agree()
    assert (files["f4"], files["f4~ann"]) == (b"\xff\x00bob", b"\xff\x00ann")


def test_names_that_differ_in_case(pair: Pair):
    (pair.ann / "README").write_text("1\n")
    (pair.bob / "readme").write_text("2\n")
    eventually(lambda: {"README", "readme"} <= pair.agree().keys())
    assert pair.kinds("readme")


def test_a_view_that_stands_still_acts_on_what_it_shows(pair: Pair):
    bob = pair.views[1].control
    (bob / "follow").write_text("manual\n")
    (pair.ann / "f5").write_text("edited\n")
    (pair.ann / "f6").rename(pair.ann / "f6.moved")
    (pair.ann / "f7").unlink()
    (pair.ann / "e" / "z").unlink()
    (pair.ann / "e").rmdir()
    (pair.ann / "g").rename(pair.ann / "G")
    assert (pair.bob / "f5").read_text() == "f5\n"
    (pair.bob / "f5").unlink()
    (pair.bob / "f6").write_text("f6\nbob\n")
    (pair.bob / "f7").write_text("f7\nbob\n")
    (pair.bob / "e" / "n").write_text("n\n")
    (pair.bob / "g" / "n").write_text("n\n")
    (pair.bob / "f8").rename(pair.bob / "f5.old")
    (bob / "sync").write_text("now\n")
    (bob / "follow").write_text("live\n")
    eventually(lambda: {"e/n", "G/n"} <= pair.agree().keys())
    files = pair.agree()
    assert files["f5"] == b"edited\n"
    assert files["f6.moved"] == b"f6\nbob\n"
    assert files["f7"] == b"f7\nbob\n"
    assert files["f5.old"] == b"f8\n"
    assert not {"f6", "f8", "e/z", "g/h", "g/n"} & files.keys()
    for name in ("f5", "f6.moved", "f7", "e/n"):
        assert pair.kinds(name), name
