"""The boundary between shared and local files, case by case."""

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, commit
from support.kernel import fails
from support.programs import git, run
from support.trees import snapshot
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def view(repository: Path, tmp_path: Path, mounted) -> MountedView:
    return mounted(repository, tmp_path / "view")


def status(view: MountedView) -> list[str]:
    return git("status", "--porcelain", "-uall", cwd=view.path).splitlines()


def touched(view: MountedView) -> set[str]:
    """Every path that the room's log speaks of."""
    lines = (view.control / "ops").read_text().splitlines()
    return {value for line in lines for key, value in json.loads(line).items() if key in ("path", "old_path")}


def held(view: MountedView) -> list[str]:
    """What the status calls too large to be shared before it is committed."""
    return [item["path"] for item in json.loads((view.control / "status").read_text())["local_only"]]


def on_disk(view: MountedView, name: str) -> list[Path]:
    """Where in the store a file of this name lies."""
    return [path for path in view.store.glob("views/*/local/**/*") if path.name == name]


def test_an_ignored_file_is_local(view):
    (view.path / "build").mkdir()
    (view.path / "build" / "out.bin").write_bytes(b"local\0bytes" * 1000)
    assert status(view) == []
    assert "build/out.bin" not in touched(view)
    (stored,) = on_disk(view, "out.bin")
    assert stored.read_bytes() == b"local\0bytes" * 1000
    view.remount()
    assert (view.path / "build" / "out.bin").read_bytes() == b"local\0bytes" * 1000
    view.kill()
    view.remount()
    assert (view.path / "build" / "out.bin").read_bytes() == b"local\0bytes" * 1000
    with fails(errno.ENODATA):
        commit(view.path, "nothing of it is shared")


def test_each_source_of_ignore_rules(view):
    (view.repository / "info").mkdir(exist_ok=True)
    with open(view.repository / "info" / "exclude", "a") as file:
        file.write("*.by-exclude\n")
    excludes = Path(os.environ["HOME"]) / "excludes"
    excludes.write_text("*.by-global\n")
    git("config", "core.excludesFile", str(excludes), cwd=view.repository)
    view.remount()
    (view.path / "project" / ".gitignore").write_text("*.by-nested\n!kept.by-nested\n/deep/out\n")
    local = [
        "a.by-exclude",
        "b.by-global",
        "project/c.by-nested",
        "project/deep/d.by-nested",
        "project/deep/out",
        "e.local",
    ]
    shared = ["top.by-nested", "project/kept.by-nested", "project/deep/er/out"]
    for name in local + shared:
        (view.path / name).write_text(f"{name}\n")
    assert sorted(line[3:] for line in status(view)) == sorted([*shared, "project/.gitignore"])
    told = commit(view.path, "the shared ones")
    assert sorted(told["paths"]) == sorted([*shared, "project/.gitignore"])
    for name in local + shared:
        assert (view.path / name).read_text() == f"{name}\n"


def test_tracked_beats_ignored(view):
    (view.path / "project" / "tracked.local").write_text("first\n")
    git("add", "-f", "project/tracked.local", cwd=view.path)
    git("commit", "-q", "-m", "tracked although ignored", cwd=view.path)
    assert status(view) == []
    (view.path / "project" / "tracked.local").write_text("second\n")
    assert status(view) == [" M project/tracked.local"]
    (view.path / "project" / "aside.local").write_text("third\n")
    os.rename(view.path / "project" / "aside.local", view.path / "project" / "tracked.local")
    assert status(view) == [" M project/tracked.local"]
    assert commit(view.path, "edited")["paths"] == ["project/tracked.local"]
    assert git("show", "main:project/tracked.local", cwd=view.repository) == "third"


def test_add_force_shares_a_local_file(view):
    (view.path / "wanted.local").write_text("local at first\n")
    assert status(view) == []
    git("add", "-f", "wanted.local", cwd=view.path)
    assert status(view) == ["A  wanted.local"]
    assert commit(view.path, "shared by force")["paths"] == ["wanted.local"]
    assert git("show", "main:wanted.local", cwd=view.repository) == "local at first"
    (view.path / "wanted.local").write_text("edited\n")
    assert status(view) == [" M wanted.local"]


def test_changed_rules_move_no_bytes(view):
    (view.path / "old.local").write_text("was local\n")
    (view.path / "old.txt").write_text("was shared\n")
    text = (view.path / ".gitignore").read_text()
    (view.path / ".gitignore").write_text(text.replace("*.local\n", "*.txt\n"))
    (view.path / "new.txt").write_text("local by the new rule\n")
    (view.path / "new.local").write_text("shared by the new rule\n")
    for _ in range(2):
        assert (view.path / "old.local").read_text() == "was local\n"
        assert (view.path / "old.txt").read_text() == "was shared\n"
        view.remount()
    assert sorted(commit(view.path, "what is shared")["paths"]) == [".gitignore", "new.local", "old.txt"]
    assert on_disk(view, "old.local")
    assert on_disk(view, "new.txt")


def test_a_local_file_renamed_over_a_shared_one_is_a_save(view):
    app = view.path / "project" / "app.py"
    text = app.read_text()
    (view.path / "project" / "4913.local").write_text(text.replace("Hello", "Good day"))
    os.rename(view.path / "project" / "4913.local", app)
    assert status(view) == [" M project/app.py"]
    assert git("diff", "--numstat", cwd=view.path) == "1\t1\tproject/app.py"
    assert not on_disk(view, "4913.local")
    assert touched(view) == {"project/app.py"}
    kinds = [json.loads(line)["kind"] for line in (view.control / "ops").read_text().splitlines()]
    assert set(kinds) <= {"edit", "touch", "mode"}


def test_a_local_file_renamed_to_a_free_shared_name_is_shared(view):
    (view.path / "draft.local").write_text("a draft\n")
    os.rename(view.path / "draft.local", view.path / "final.txt")
    assert status(view) == ["?? final.txt"]
    assert commit(view.path, "the draft")["paths"] == ["final.txt"]


def test_a_shared_file_renamed_to_a_local_name(view):
    """A delete, and a private copy."""
    text = (view.path / "project" / "app.py").read_bytes()
    os.rename(view.path / "project" / "app.py", view.path / "project" / "app.local")
    assert status(view) == [" D project/app.py"]
    assert (view.path / "project" / "app.local").read_bytes() == text
    assert on_disk(view, "app.local")
    view.kill()
    view.remount()
    assert (view.path / "project" / "app.local").read_bytes() == text
    assert not (view.path / "project" / "app.py").exists()


def half_local(view: MountedView) -> Path:
    top = view.path / "project"
    (top / "build").mkdir()
    (top / "build" / "object.o").write_bytes(b"object")
    (top / "x.local").write_text("x\n")
    (top / "deep" / "y.local").write_text("y\n")
    (top / "new.txt").write_text("new\n")
    return top


@pytest.mark.parametrize("crash", [False, True], ids=["", "crash"])
def test_a_half_local_directory_moves_as_one(view, crash):
    top = half_local(view)
    before = snapshot(top)
    os.rename(top, view.path / "moved")
    if crash:
        view.kill()
        view.remount()
    assert snapshot(view.path / "moved") == before
    assert not top.exists()
    assert {"moved/new.txt", "moved/app.py"} <= {line[3:] for line in status(view)}
    assert "x.local" not in "\n".join(status(view))
    os.rename(view.path / "moved", top)
    view.remount()
    assert snapshot(top) == before
    assert status(view) == ["?? project/new.txt"]


@pytest.mark.parametrize("crash", [False, True], ids=["", "crash"])
def test_a_half_local_directory_is_removed_as_one(view, crash):
    top = half_local(view)
    assert {"build", "x.local", "new.txt", "app.py"} <= set(os.listdir(top))
    with fails(errno.ENOTEMPTY):
        os.rmdir(top)
    run("rm", "-rf", "project", cwd=view.path).must()
    if crash:
        view.kill()
        view.remount()
    assert not top.exists()
    assert "project" not in os.listdir(view.path)
    os.mkdir(top)
    assert os.listdir(top) == []


def test_an_empty_directory_is_shared_and_not_committed(view):
    (view.path / "empty" / "er").mkdir(parents=True)
    (view.path / "file.txt").write_text("x\n")
    assert commit(view.path, "only the file")["paths"] == ["file.txt"]
    assert (view.path / "empty" / "er").is_dir()
    view.remount()
    assert (view.path / "empty" / "er").is_dir()
    assert status(view) == []


def test_hard_links_stay_inside_a_class(view):
    (view.path / "one.local").write_text("local\n")
    (view.path / "one.txt").write_text("shared\n")
    os.link(view.path / "one.local", view.path / "two.local")
    os.link(view.path / "one.txt", view.path / "two.txt")
    for source, target in (("one.local", "x.txt"), ("one.txt", "x.local")):
        with fails(errno.EXDEV):
            os.link(view.path / source, view.path / target)
    view.remount()
    for kind in ("local", "txt"):
        with open(view.path / f"two.{kind}", "a") as file:
            file.write("more\n")
        assert (view.path / f"one.{kind}").read_text().endswith("more\n")


def test_hardlinked_shared_files_are_two_files_for_git(view):
    os.link(view.path / "project" / "app.py", view.path / "project" / "same.py")
    assert status(view) == ["?? project/same.py"]
    commit(view.path, "both")
    assert git("show", "main:project/same.py", cwd=view.repository) == git(
        "show", "main:project/app.py", cwd=view.repository
    )


def test_temporary_files_make_no_noise(view):
    """A file that comes and goes within half a second is nobody else's business."""
    for number in range(20):
        aside = view.path / "project" / f"tmp{number}~"
        aside.write_text("x" * number)
        os.replace(aside, view.path / "project" / "notes.txt")
        swap = view.path / "project" / f".notes.txt.sw{number}"
        swap.write_text("swap")
        os.unlink(swap)
    assert touched(view) == {"project/notes.txt"}


def test_a_new_file_is_published_when_it_has_lived_a_while(view):
    (view.path / "lasting.txt").write_text("lasting\n")
    eventually(lambda: "lasting.txt" in touched(view), what="the new file in the log")


def test_what_is_not_published_yet_is_safe_and_visible(view):
    (view.path / "young.txt").write_text("young\n")
    assert status(view) == ["?? young.txt"]
    (view.path / "younger.txt").write_text("younger\n")
    view.kill()
    view.remount()
    assert (view.path / "young.txt").read_text() == "young\n"
    assert (view.path / "younger.txt").read_text() == "younger\n"
    (view.path / "youngest.txt").write_text("youngest\n")
    assert sorted(commit(view.path, "all three")["paths"]) == ["young.txt", "younger.txt", "youngest.txt"]


def test_a_large_unignored_file_stays_local_until_committed(repository, tmp_path, mounted):
    work = tmp_path / "work"
    git("clone", "-q", str(repository), str(work), cwd=tmp_path)
    (work / "ai-vcs.config.yaml").write_text("room:\n  max_share_size: 1MiB\n")
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "configuration", cwd=work)
    view = mounted(work, tmp_path / "view")
    content = os.urandom(3 << 20)
    (view.path / "large.bin").write_bytes(content)
    (view.path / "small.bin").write_bytes(content[:1000])
    assert status(view) == ["?? large.bin", "?? small.bin"]
    eventually(lambda: "small.bin" in touched(view), what="the small file in the log")
    eventually(lambda: "large.bin" in held(view), what="the large file in the status")
    assert "large.bin" not in touched(view)
    view.remount()
    assert (view.path / "large.bin").read_bytes() == content
    assert sorted(commit(view.path, "both")["paths"]) == ["large.bin", "small.bin"]
    assert (view.path / "large.bin").read_bytes() == content
    assert int(git("cat-file", "-s", "main:large.bin", cwd=work)) == len(content)


def test_local_files_are_private_to_a_view(repository, tmp_path, mounted):
    one = mounted(repository, tmp_path / "one", "--agent", "one")
    two = mounted(repository, tmp_path / "two", "--agent", "two")
    (one.path / "mine.local").write_text("mine\n")
    assert not (two.path / "mine.local").exists()
    (two.path / "mine.local").write_text("yours\n")
    assert (one.path / "mine.local").read_text() == "mine\n"


def test_special_files_are_local_state(view):
    os.mkfifo(view.path / "project" / "pipe")
    os.link(view.path / "project" / "binary.dat", view.path / "project" / "again.dat")
    os.setxattr(view.path / "project" / "app.py", "user.note", b"kept")
    os.chmod(view.path / "project" / "app.py", 0o640)
    assert status(view) == ["?? project/again.dat"]
    assert commit(view.path, "only content")["paths"] == ["project/again.dat"]
    view.remount()
    assert os.getxattr(view.path / "project" / "app.py", "user.note") == b"kept"
    assert os.stat(view.path / "project" / "app.py").st_mode & 0o777 == 0o640
    assert "pipe" in os.listdir(view.path / "project")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((view.path / "project" / "pipe").read_bytes()))
    reader.start()
    (view.path / "project" / "pipe").write_bytes(b"through")
    reader.join(10)
    assert received == [b"through"]
