"""The admin directory, with a real directory where the mount would be."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from anvcs.git import admin, index_switch
from anvcs.git.admin import Branch, Detached
from anvcs.git.history import Signature
from anvcs.model.ids import Oid


def git(where: Path, *args: str, check: bool = True) -> str:
    done = subprocess.run(["git", "-C", str(where), *args], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done.stdout + ("" if check else done.stderr)


def tip(where: Path, name: str = "HEAD") -> Oid:
    return Oid(bytes.fromhex(git(where, "rev-parse", name).strip()))


class View:
    def __init__(self, common: Path, mount: Path, name: str = "v", head=None) -> None:
        self.common, self.mount, self.name = common, mount, name
        self.dir = common / "anvcs/views" / name / "git"
        admin.ensure(common, self.dir, mount, head or Branch("refs/heads/main"))
        mount.mkdir(exist_ok=True)
        (mount / ".git").write_bytes(admin.git_file(self.dir))

    def fill(self) -> "View":
        git(self.mount, "reset", "--hard", "-q")
        return self


@pytest.fixture(params=["plain", "odd ' \" name"])
def repo(tmp_path, request) -> Path:
    top = tmp_path / request.param
    top.mkdir()
    git(top, "init", "-q")
    (top / "file").write_text("1\n")
    git(top, "add", ".")
    git(top, "commit", "-qm", "one")
    git(top, "branch", "other")
    with (top / ".git/info/exclude").open("a") as exclude:
        exclude.write("/.anvcs\n")
    return top


@pytest.fixture
def view(repo, tmp_path) -> View:
    return View(repo / ".git", tmp_path / "mount").fill()


def test_git_works_as_in_a_worktree(view, repo):
    assert git(view.mount, "status", "-sb") == "## main\n"
    assert git(view.mount, "rev-parse", "--show-toplevel", "--is-bare-repository") == f"{view.mount}\nfalse\n"
    (view.mount / "file").write_text("2\n")
    assert git(view.mount, "status", "-s") == " M file\n"
    git(view.mount, "stash")
    git(view.mount, "stash", "pop")
    git(view.mount, "commit", "-qam", "two")
    assert git(view.mount, "log", "--oneline", "--format=%s") == "two\none\n"
    git(view.mount, "switch", "-q", "-c", "topic")
    assert git(repo, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    (view.mount / "dir").mkdir()
    (view.mount / "dir/new").write_text("x\n")
    git(view.mount / "dir", "add", ".")
    git(view.mount / "dir", "commit", "-qm", "three")
    git(view.mount, "rebase", "-q", "other")
    git(view.mount, "bisect", "start", "HEAD", "HEAD~1")
    git(view.mount, "bisect", "reset")
    git(view.mount, "merge", "-q", "other")
    assert not git(view.mount, "status", "-s")


def test_switching_to_the_branch_of_the_main_work_tree(view, repo):
    assert git(repo, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    git(view.mount, "switch", "other")
    git(view.mount, "switch", "main")
    # registered worktrees keep their claim, and the others' view of things does not change
    git(repo, "worktree", "add", "-q", str(view.mount) + "-linked", "other")
    assert "already" in git(view.mount, "switch", "other", check=False)
    assert git(repo, "config", "core.bare") == "false\n"
    assert "(bare)" not in git(repo, "worktree", "list")
    assert git(repo, "status", "-sb") == "## main\n"
    git(repo, "worktree", "prune")
    assert git(view.mount, "status", "-sb") == "## main\n"


def test_two_views_of_a_branch(view, repo, tmp_path):
    other = View(repo / ".git", tmp_path / "mount2", "w").fill()
    git(view.mount, "switch", "-q", "other")
    git(other.mount, "switch", "-q", "other")
    git(view.mount, "switch", "-q", "main")
    assert git(other.mount, "status", "-sb") == "## other\n"
    git(repo, "branch", "-f", "other", "main")


def test_hooks_see_the_view(view):
    hooks = view.common / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").write_text(
        "#!/bin/sh\ngit rev-parse --is-bare-repository --show-toplevel >.hooked; git add .hooked\n"
    )
    (hooks / "pre-commit").chmod(0o755)
    git(view.mount, "commit", "-q", "--allow-empty", "-m", "hooked")
    assert git(view.mount, "show", "HEAD:.hooked") == f"false\n{view.mount}\n"


def test_a_bare_repository(repo, tmp_path):
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(repo), str(bare))
    view = View(bare, tmp_path / "mount").fill()
    assert git(view.mount, "status", "-sb") == "## main\n"
    assert git(bare, "rev-parse", "--is-bare-repository") == "true\n"


def test_a_submodule(repo, tmp_path):
    outer = tmp_path / "outer"
    git(tmp_path, "init", "-q", str(outer))
    git(outer, "submodule", "--quiet", "add", str(repo), "sub")
    view = View(outer / ".git/modules/sub", tmp_path / "mount").fill()
    assert git(view.mount, "rev-parse", "--show-toplevel") == f"{view.mount}\n"
    assert git(view.mount, "status", "-sb").startswith("## main")


def test_an_unborn_branch(tmp_path):
    top = tmp_path / "empty"
    git(tmp_path, "init", "-q", str(top))
    view = View(top / ".git", tmp_path / "mount")
    assert "No commits yet" in git(view.mount, "status")
    assert admin.keep(view.dir, "v") is None
    (view.mount / "a").write_text("a")
    git(view.mount, "add", "a")
    assert admin.keep(view.dir, "v") is not None
    git(view.mount, "commit", "-qm", "first")
    assert git(top, "log", "--format=%s") == "first\n"


def test_the_mount_point_and_the_repository_may_move(view, repo, tmp_path):
    moved = view.mount.rename(tmp_path / "elsewhere")
    assert git(moved, "rev-parse", "--show-toplevel") == f"{moved}\n"
    assert git(moved, "status", "-s") == ""
    again = repo.rename(tmp_path / "repo2")
    view = View(again / ".git", moved)
    assert git(moved, "config", "core.untrackedCache") == "true\n"
    assert str(again) in git(moved, "config", "core.fsmonitor")
    assert git(moved, "status", "-s") == ""


def test_settings_are_those_of_views_only(view, repo):
    assert git(view.mount, "config", "core.untrackedCache") == "true\n"
    for other in (repo, view.common):
        assert git(other, "config", "core.untrackedCache", check=False) == ""
        assert git(other, "config", "core.fsmonitor", check=False) == ""
    before = (view.common / "config").read_text()
    admin.ensure_settings(view.common)
    assert (view.common / "config").read_text() == before
    admin.remove_settings(view.common)
    assert "anvcs" not in (view.common / "config").read_text()
    admin.remove_settings(view.common)


def test_heads(view, repo):
    assert admin.read_head(view.dir) == Branch("refs/heads/main")
    git(view.mount, "checkout", "-q", "--detach")
    one = tip(repo)
    assert admin.read_head(view.dir) == Detached(one)
    admin.set_head(view.dir, Branch("refs/heads/other"), "anvcs: to other")
    assert git(view.mount, "symbolic-ref", "HEAD") == "refs/heads/other\n"
    assert admin.last_head_move(view.dir) == (one, one, "anvcs: to other")
    admin.set_head(view.dir, Detached(one), "anvcs: detach")
    assert admin.read_head(view.dir) == Detached(one)
    git(view.mount, "checkout", "-q", "main")
    (view.dir / "HEAD").write_text("rubbish\n")
    with pytest.raises(admin.DamagedHead):
        admin.read_head(view.dir)


def test_head_moves(view, repo, tmp_path):
    one = tip(repo)
    git(view.mount, "commit", "-q", "--allow-empty", "-m", "two")
    two = tip(view.mount)
    assert admin.last_head_move(view.dir) == (one, two, "commit: two")
    # a move by another road leaves no trace here, until it is told
    git(repo, "update-ref", "refs/heads/main", one.hex())
    assert admin.last_head_move(view.dir) == (one, two, "commit: two")
    who = Signature(name="A", email="a@b", time_s=5)
    admin.log_head_move(view.dir, two, one, "anvcs:\nback", who)
    assert admin.last_head_move(view.dir) == (two, one, "anvcs: back")
    assert "anvcs: back" in git(view.mount, "reflog", "-1")
    assert admin.last_head_move(tmp_path) is None


def test_lock(view):
    assert not admin.lock_held(view.dir)
    (view.dir / "index.lock").touch()
    assert admin.lock_held(view.dir)


def test_gc_elsewhere_takes_nothing(view, repo):
    git(view.mount, "checkout", "-q", "--detach")
    git(view.mount, "commit", "-q", "--allow-empty", "-m", "detached")
    detached = tip(view.mount)
    git(view.mount, "commit", "-q", "--allow-empty", "-m", "more")
    git(view.mount, "reset", "-q", "--hard", detached.hex())
    logged = tip(view.mount, "HEAD@{1}")
    (view.mount / "file").write_text("staged\n")
    (view.mount / "link").symlink_to("staged link")
    git(view.mount, "add", ".")
    staged = tip(view.mount, ":file")
    kept = admin.keep(view.dir, "v")
    assert kept == admin.keep(view.dir, "v")
    git(repo, "gc", "-q", "--prune=now")
    for oid in (detached, logged, staged):
        git(view.mount, "cat-file", "-e", oid.hex())
    assert git(view.mount, "status", "-s") == "M  file\nA  link\n"
    git(repo, "fsck", "--strict")
    admin.remove(view.common, view.dir, "v")
    assert not view.dir.exists()
    assert not git(repo, "for-each-ref", "refs/anvcs")


def test_gc_takes_nothing_that_is_staged_for_another_stream(view, repo):
    """A view that shows another stream has put its index aside."""
    heads = {name: Oid(bytes.fromhex(git(repo, "rev-parse", name).strip())) for name in ("main", "other")}
    (view.mount / "file").write_text("staged on main\n")
    git(view.mount, "add", "file")
    staged = git(view.mount, "rev-parse", ":file").strip()
    index_switch.switch(view.dir, ("main", heads["main"]), ("other", heads["other"]))
    admin.set_head(view.dir, admin.Branch("refs/heads/other"), "switch")
    assert git(view.mount, "diff", "--cached", "--name-only") == ""
    assert admin.keep(view.dir, "v") is not None
    git(repo, "gc", "-q", "--prune=now")
    git(repo, "cat-file", "-e", staged)
    index_switch.switch(view.dir, ("other", heads["other"]), ("main", heads["main"]))
    admin.set_head(view.dir, admin.Branch("refs/heads/main"), "switch")
    assert git(view.mount, "diff", "--cached", "--name-only") == "file\n"
    index_switch.switch(view.dir, ("main", heads["main"]), ("other", heads["other"]))
    index_switch.forget(view.dir, "main")
    admin.keep(view.dir, "v")
    assert staged not in git(repo, "rev-list", "--objects", "refs/anvcs/keep/v")


def test_keeping_an_unfinished_merge(view):
    for branch, text in (("main", "ours\n"), ("other", "theirs\n")):
        git(view.mount, "switch", "-q", branch)
        (view.mount / "file").write_text(text)
        git(view.mount, "commit", "-qam", branch)
    git(view.mount, "merge", "main", check=False)
    assert admin.keep(view.dir, "v") is not None


def test_gc_in_a_view_takes_nothing_of_the_main_work_tree(view, repo):
    (repo / "staged").write_text("staged\n")
    git(repo, "add", "staged")
    git(view.mount, "gc", "-q", "--prune=now")
    assert git(repo, "show", ":staged") == "staged\n"


class TestFsmonitor:
    """What git asks the hook, and what it makes of the answers."""

    @pytest.fixture
    def answers(self, view) -> Path:
        folder = view.mount / ".anvcs/fsmonitor"
        folder.mkdir(parents=True)
        hook = view.common / "anvcs/fsmonitor"
        assert hook.read_bytes().endswith(b'exec cat ".anvcs/fsmonitor/${2:-0}" 2>/dev/null\n')
        hook.write_text(
            f'#!/bin/sh\necho "$1 $2 $(pwd)" >>"{view.mount.parent}/asked"\n'
            'test -f ".anvcs/fsmonitor/$2" || set -- 2 first\nexec cat ".anvcs/fsmonitor/$2"\n'
        )
        (folder / "first").write_bytes(b"t1\0/\0")
        (folder / "t1").write_bytes(b"t1\0")
        return folder

    def asked(self, view) -> list[list[str]]:
        return [line.split() for line in (view.mount.parent / "asked").read_text().splitlines()]

    def test_questions_and_answers(self, view, answers):
        git(view.mount, "status")
        (view.mount / "file").write_text("changed\n")
        os.utime(view.mount / "file", (1, 1))
        (view.mount / "new").write_text("new\n")
        assert git(view.mount, "status", "-s") == ""  # the monitor says that nothing changed
        (answers / "t1").write_bytes(b"t2\0file\0new\0")
        (answers / "t2").write_bytes(b"t2\0")
        assert git(view.mount, "status", "-s") == " M file\n?? new\n"
        assert git(view.mount, "status", "-s") == " M file\n?? new\n"
        asked = self.asked(view)
        assert asked[0][0] == "2"
        assert {words[-1] for words in asked} == {str(view.mount)}
        assert [words[1] for words in asked][-1] == "t2"

    def test_questions_without_a_token(self, view, answers):
        hook = view.common / "anvcs/fsmonitor"
        (view.dir / "index").unlink()
        git(view.mount, "read-tree", "HEAD")
        git(view.mount, "update-index", "--refresh")
        assert self.asked(view)[0][1].isdecimal()  # the first question: a number of nanoseconds
        good = hook.read_text()
        hook.write_text("#!/bin/sh\nexit 1\n")
        git(view.mount, "status")
        hook.write_text(good)
        git(view.mount, "status")
        assert self.asked(view)[-1][1] == str(view.mount)  # an empty one

    def test_an_unknown_token_means_look_at_everything(self, view, answers):
        git(view.mount, "status")
        (view.mount / "file").write_text("changed\n")
        (view.mount / "new").write_text("new\n")
        shutil.rmtree(answers)
        assert git(view.mount, "status", "-s") == " M file\n?? new\n"

    def test_directories_are_told_by_their_entries(self, view, answers):
        for name in ("d", "e"):
            (view.mount / name).mkdir()
            (view.mount / name / "tracked").write_text("1\n")
        git(view.mount, "add", ".")
        git(view.mount, "commit", "-qm", "two")
        (view.mount / "u").mkdir()
        git(view.mount, "status")
        (view.mount / "d").rename(view.mount / "f")
        (view.mount / "u/new").write_text("new\n")
        (answers / "t1").write_bytes(b"t2\0d/tracked\0f/tracked\0u/new\0")
        (answers / "t2").write_bytes(b"t2\0")
        for _ in range(2):
            assert git(view.mount, "status", "-s") == " D d/tracked\n?? f/\n?? u/\n"
