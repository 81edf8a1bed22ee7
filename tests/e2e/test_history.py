"""Every ref and every commit is a directory."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, commit
from support.kernel import fails
from support.programs import git, needs, run
from support.trees import assert_same_tree

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture(scope="module")
def shared(shared_twins) -> MountedView:
    return shared_twins.view


@pytest.fixture
def view(repository: Path, tmp_path: Path, mounted) -> MountedView:
    return mounted(repository, tmp_path / "view")


def test_a_branch_is_its_checkout(shared_twins, shared):
    assert_same_tree(shared_twins.native, shared.control / "refs" / "heads" / "main")


@pytest.mark.parametrize(
    ("path", "revision"),
    [
        ("refs/heads/feature", "feature"),
        ("refs/tags/good", "good^{commit}"),
        ("refs/tags/v2", "v2"),
        ("refs/heads/clash", "clash"),
    ],
)
def test_branches_and_tags(shared, tmp_path, path, revision):
    expected = tmp_path / "expected"
    expected.mkdir()
    git(
        "--git-dir",
        str(shared.repository),
        "-c",
        "tar.umask=022",
        "archive",
        "-o",
        str(tmp_path / "a.tar"),
        revision,
        "project",
        cwd=tmp_path,
    )
    run("tar", "xf", "../a.tar", cwd=expected).must()
    assert_same_tree(expected / "project", shared.control / path / "project")


def test_commits_by_id_and_prefix(shared):
    full = git("rev-parse", "v2", cwd=shared.repository)
    for name in (full, full[:12], full[:7], full.upper()[:10]):
        notes = shared.control / "commits" / name / "project" / "notes.txt"
        if name.isupper() and not notes.exists():
            continue
        assert notes.read_text() == git("show", "v2:project/notes.txt", cwd=shared.repository) + "\n"
    listed = os.listdir(shared.control / "commits")
    assert git("rev-parse", "main", cwd=shared.repository) in listed
    for absent in ("0" * 40, "zzzz", "abc", "refs", full + "0"):
        assert not (shared.control / "commits" / absent).exists()


def test_listings_of_refs(shared):
    refs = shared.control / "refs"
    assert sorted(os.listdir(refs)) == ["heads", "remotes", "tags"]
    assert {"main", "feature", "clash"} <= set(os.listdir(refs / "heads"))
    assert {"good", "culprit", "v2"} <= set(os.listdir(refs / "tags"))


def test_times_are_the_commits(shared):
    moment = int(git("log", "-1", "--format=%ct", "v2", cwd=shared.repository))
    top = shared.control / "refs" / "tags" / "v2"
    for path in (top, top / "project", top / "project" / "app.py", top / "project" / "link"):
        assert os.lstat(path).st_mtime == moment


CHANGES = {
    "write": lambda top: (top / "project" / "app.py").write_text("x"),
    "append": lambda top: open(top / "project" / "app.py", "ab").close(),
    "create": lambda top: (top / "project" / "new").write_text("x"),
    "mkdir": lambda top: os.mkdir(top / "new"),
    "unlink": lambda top: os.unlink(top / "project" / "app.py"),
    "rmdir": lambda top: os.rmdir(top / "odd"),
    "rename": lambda top: os.rename(top / "project" / "app.py", top / "project" / "b.py"),
    "rename out": lambda top: os.rename(top / "project" / "app.py", top.parents[3] / "stolen.py"),
    "chmod": lambda top: os.chmod(top / "project" / "app.py", 0o777),
    "utime": lambda top: os.utime(top / "project" / "app.py", ns=(1, 1)),
    "symlink": lambda top: os.symlink("x", top / "link"),
    "hard link": lambda top: os.link(top / "project" / "app.py", top / "project" / "hard"),
    "truncate": lambda top: os.truncate(top / "project" / "app.py", 0),
    "xattr": lambda top: os.setxattr(top / "project" / "app.py", "user.x", b"x"),
    "mkfifo": lambda top: os.mkfifo(top / "fifo"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("tree", ["refs/heads/feature", "commits"])
def test_history_is_read_only(shared, change, tree):
    top = shared.control / tree
    if tree == "commits":
        top /= git("rev-parse", "v2", cwd=shared.repository)
    else:
        top = shared.control / "refs" / "heads" / "feature"
    # Out of the tree: both answers are true, and `mv` then fails on what stays behind.
    with fails(errno.EROFS, *([errno.EXDEV] if change == "rename out" else [])):
        CHANGES[change](top)


def test_refs_cannot_be_made_or_removed(shared):
    for attempt in (
        lambda: os.mkdir(shared.control / "refs" / "heads" / "new"),
        lambda: os.rmdir(shared.control / "refs" / "heads" / "feature"),
        lambda: os.rename(shared.control / "refs" / "heads" / "feature", shared.control / "refs" / "heads" / "f2"),
    ):
        with fails(errno.EROFS, errno.EPERM, errno.EACCES, errno.EBUSY, errno.ENOTEMPTY):
            attempt()


def test_tools_read_history(shared, tmp_path):
    top = shared.control / "refs" / "heads" / "main"
    told = run("diff", "-r", "--no-dereference", str(top / "project"), "project", cwd=shared.path)
    assert (told.code, told.output) == (0, "")
    assert run("grep", "-rl", "def shift", str(top / "project"), cwd=shared.path).must().output.count("\n") >= 1
    run("cp", "-a", str(top / "project"), str(tmp_path / "copy"), cwd=shared.path).must()
    assert_same_tree(top / "project", tmp_path / "copy", times=True)
    run("rsync", "-a", f"{top / 'odd'}/", str(tmp_path / "odd"), cwd=shared.path).must()
    assert_same_tree(top / "odd", tmp_path / "odd")


def test_building_in_a_copy(shared, tmp_path):
    needs("make", "cc")
    shutil.copytree(shared.control / "refs" / "tags" / "v2" / "project", tmp_path / "build", symlinks=True)
    run("make", cwd=tmp_path / "build").must()
    assert run(tmp_path / "build" / "build" / "app", cwd=tmp_path).must().output == "42\n"


def test_diff_shows_uncommitted_work(view):
    (view.path / "project" / "notes.txt").write_text("rewritten\n")
    told = run("diff", "-rq", str(view.control / "refs" / "heads" / "main" / "project"), "project", cwd=view.path)
    assert told.code == 1
    assert told.output.count("\n") == 1
    assert "notes.txt" in told.output


def test_refs_come_and_go_without_remounting(view):
    tags, heads = view.control / "refs" / "tags", view.control / "refs" / "heads"
    assert not (tags / "fresh").exists()
    git("tag", "fresh", "good", cwd=view.repository)
    assert (tags / "fresh" / "project" / "notes.txt").read_text().startswith("line 1\n")
    assert "fresh" in os.listdir(tags)
    git("tag", "-f", "fresh", "v2", cwd=view.repository)
    assert (tags / "fresh" / "project" / "notes.txt").read_text().startswith("line 1, seen")
    git("tag", "-d", "fresh", cwd=view.repository)
    assert not (tags / "fresh").exists()
    assert "fresh" not in os.listdir(tags)
    git("branch", "topic/deep/one", "good", cwd=view.repository)
    assert os.listdir(heads / "topic" / "deep") == ["one"]
    assert (heads / "topic" / "deep" / "one" / "project" / "app.py").exists()
    git("branch", "-D", "topic/deep/one", cwd=view.repository)
    assert not (heads / "topic").exists()
    git("branch", "topic", "good", cwd=view.repository)
    assert (heads / "topic" / "project").is_dir()
    git("update-ref", "refs/remotes/origin/main", "v2", cwd=view.repository)
    assert (view.control / "refs" / "remotes" / "origin" / "main" / "project").is_dir()
    git("pack-refs", "--all", cwd=view.repository)
    assert (heads / "topic" / "project").is_dir()


def test_a_new_commit_appears(view):
    before = (view.control / "refs" / "heads" / "main" / "project" / "notes.txt").read_text()
    with open(view.path / "project" / "notes.txt", "a") as file:
        file.write("one more\n")
    assert (view.control / "refs" / "heads" / "main" / "project" / "notes.txt").read_text() == before
    told = commit(view.path, "one more line")
    assert (view.control / "refs" / "heads" / "main" / "project" / "notes.txt").read_text() == before + "one more\n"
    assert (view.control / "commits" / told["commit"] / "project" / "notes.txt").read_text() == before + "one more\n"
    assert told["commit"] in os.listdir(view.control / "commits")


def test_an_open_file_of_the_past_stays_what_it_was(view):
    git("branch", "moving", "good", cwd=view.repository)
    path = view.control / "refs" / "heads" / "moving" / "project" / "notes.txt"
    with open(path, "rb", buffering=0) as file:
        old = file.read(10)
        git("branch", "-f", "moving", "v2", cwd=view.repository)
        assert path.read_bytes()[:10] != old
        file.seek(0)
        assert file.read(10) == old
