"""Git at work in a view, compared with the same work in a native worktree.

With fixed dates the commit ids must be the same, which compares trees, parents and messages at once.
"""

import os
from pathlib import Path

import pytest

from support.fixtures import PRETEND, Twins
from support.programs import git, run

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


def edit(top: Path, old: str = "Hello", new: str = "Good day", name: str = "project/app.py") -> None:
    path = top / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _not_pretended() -> None:
    if PRETEND:
        pytest.skip("a native worktree plays the view")


def head(top: Path) -> str:
    return git("rev-parse", "HEAD", cwd=top)


def test_a_fresh_view_is_the_commit(twins: Twins):
    twins.compare()
    assert "# branch.head main" in twins.compare_status()
    assert twins.same(lambda top: git("status", "--porcelain", cwd=top)) == ""
    assert twins.same(lambda top: git("ls-files", "-s", cwd=top))
    assert twins.same(lambda top: git("log", "--oneline", "--graph", "--all", "--", "project", cwd=top))


def test_the_first_status_hashes_nothing(twins: Twins):
    """Content is read only when the index's stat data does not match what the view reports."""
    trace = {"GIT_TRACE2_PERF": "1", "GIT_OPTIONAL_LOCKS": "0"}
    git("rev-parse", "HEAD", cwd=twins.view.path)
    told = run("git", "-c", "core.fsmonitor=false", "diff-files", "--raw", cwd=twins.view.path, env=trace).must()
    # diff-files, unlike status, does not refresh: an entry whose stat data differs is listed.
    assert told.output == ""


def test_edit_status_diff_commit(twins: Twins):
    twins.same(edit)
    twins.same(lambda top: (top / "project" / "new.txt").write_text("new\n"))
    twins.same(lambda top: os.unlink(top / "project" / "unicode.txt"))
    twins.same(lambda top: os.chmod(top / "project" / "notes.txt", 0o755))
    assert twins.compare_status().count("\n") > 3
    for arguments in (["diff"], ["diff", "--stat"], ["diff", "--raw", "--abbrev=40"], ["diff", "HEAD"]):
        assert twins.same(lambda top, arguments=arguments: git(*arguments, cwd=top))
    twins.same(lambda top: git("add", "-A", cwd=top))
    twins.compare_status()
    twins.same(lambda top: git("diff", "--cached", cwd=top))
    twins.same(lambda top: git("commit", "-q", "-m", "work in the view", cwd=top))
    twins.same(head)
    assert git("status", "--porcelain", cwd=twins.view.path) == ""
    twins.compare_status()
    twins.compare()
    git("fsck", "--strict", cwd=twins.view.path)


def test_commit_dash_a_several_times(twins: Twins):
    for number in range(4):
        twins.same(
            lambda top, number=number: edit(top, f"line {number + 20}\n", f"twenty {number}\n", "project/notes.txt")
        )
        twins.same(lambda top, number=number: git("commit", "-q", "-a", "-m", f"step {number}", cwd=top))
        twins.same(head)
        assert twins.compare_status().count("\n") == 1
    twins.compare()


def test_log_blame_show(twins: Twins):
    twins.same(edit)
    twins.same(lambda top: git("commit", "-q", "-a", "-m", "greet", cwd=top))
    for arguments in (
        ["log", "--notes=anvcs", "--stat", "-3"],
        ["blame", "project/app.py"],
        ["show", "--stat", "HEAD"],
        ["grep", "-n", "Good day"],
        ["describe", "--tags"],
        ["shortlog", "-s", "HEAD"],
    ):
        assert twins.same(lambda top, arguments=arguments: git(*arguments, cwd=top))


def test_add_patch(twins: Twins):
    twins.same(lambda top: edit(top, "line 15\n", "line fifteen\n", "project/notes.txt"))
    twins.same(lambda top: edit(top, "line 35\n", "line thirty-five\n", "project/notes.txt"))
    twins.same(lambda top: git("add", "-p", "project/notes.txt", cwd=top, stdin="y\nn\n"))
    assert "fifteen" in twins.same(lambda top: git("diff", "--cached", cwd=top))
    assert "thirty-five" in twins.same(lambda top: git("diff", cwd=top))
    twins.same(lambda top: git("commit", "-q", "-m", "half", cwd=top))
    twins.same(head)
    twins.compare()
    twins.compare_status()


def test_stash(twins: Twins):
    twins.same(edit)
    twins.same(lambda top: (top / "project" / "untracked.txt").write_text("untracked\n"))
    twins.same(lambda top: git("stash", "push", "-q", "-u", cwd=top))
    assert twins.same(lambda top: git("status", "--porcelain", cwd=top)) == ""
    twins.compare()
    twins.same(lambda top: edit(top, "twice", "2 x", "project/util.h"))
    twins.same(lambda top: git("stash", "pop", "-q", cwd=top))
    twins.compare()
    twins.compare_status()


def test_checkout_and_restore_and_reset(twins: Twins):
    twins.same(edit)
    twins.same(lambda top: os.unlink(top / "project" / "binary.dat"))
    twins.same(lambda top: git("checkout", "-q", "--", "project/app.py", cwd=top))
    twins.same(lambda top: git("restore", "project/binary.dat", cwd=top))
    assert twins.same(lambda top: git("status", "--porcelain", cwd=top)) == ""
    twins.same(edit)
    twins.same(lambda top: git("add", "-A", cwd=top))
    twins.same(lambda top: git("reset", "-q", cwd=top))
    twins.compare_status()
    twins.same(lambda top: git("reset", "-q", "--hard", cwd=top))
    twins.compare()
    twins.same(lambda top: git("reset", "-q", "--hard", "HEAD~3", cwd=top))
    twins.same(head)
    twins.compare()
    assert twins.compare_status().count("\n") == 1
    twins.same(lambda top: git("reset", "-q", "--soft", "HEAD~2", cwd=top))
    twins.compare_status()
    twins.compare()


def test_clean(twins: Twins):
    twins.same(lambda top: (top / "project" / "untracked.txt").write_text("untracked\n"))
    twins.same(lambda top: (top / "project" / "build").mkdir())
    twins.same(lambda top: (top / "project" / "build" / "out.o").write_text("local\n"))
    twins.same(lambda top: git("clean", "-fd", cwd=top))
    twins.compare()
    twins.same(lambda top: git("clean", "-fdX", "project", cwd=top))
    twins.compare()
    assert (twins.view.path / ".anvcs" / "status").exists() or not twins.view.control.exists()


def test_switch(twins: Twins):
    twins.same(lambda top: git("switch", "-q", "feature", cwd=top))
    twins.same(head)
    twins.compare()
    twins.compare_status()
    twins.same(lambda top: git("switch", "-q", "-c", "fresh", "v2", cwd=top))
    twins.same(edit)
    twins.same(lambda top: git("commit", "-q", "-am", "on a fresh branch", cwd=top))
    twins.same(head)
    twins.compare_status()
    twins.same(lambda top: git("switch", "-q", "--detach", "culprit", cwd=top))
    twins.compare()
    twins.compare_status()
    twins.same(lambda top: git("switch", "-q", "main", cwd=top))
    twins.compare()
    twins.compare_status()


def test_switch_with_uncommitted_work(twins: Twins):
    """Git carries it along; in a view it stays in the room of the stream where it was made."""
    twins.same(lambda top: edit(top, "twice", "2 x", "project/util.h"))
    twins.same(lambda top: git("switch", "-q", "-c", "carried", cwd=top))
    if not PRETEND:
        git("switch", "-q", "main", cwd=twins.view.path)
        git("stash", "-q", cwd=twins.view.path)
        git("switch", "-q", "carried", cwd=twins.view.path)
        assert git("status", "--porcelain", cwd=twins.view.path) == ""
        git("stash", "pop", "-q", cwd=twins.view.path)
    twins.compare_status()
    twins.compare()
    refused = twins.same(lambda top: run("git", "switch", "--recurse-submodules", "nowhere", cwd=top))
    assert refused.code != 0


def test_merge(twins: Twins):
    twins.same(lambda top: git("merge", "-q", "--no-edit", "feature", cwd=top))
    twins.same(head)
    twins.compare()
    assert twins.compare_status().count("\n") == 1


def test_a_merge_with_a_conflict(twins: Twins):
    conflict = twins.same(lambda top: run("git", "merge", "--no-edit", "clash", cwd=top))
    assert conflict.code == 1
    twins.compare()
    twins.compare_status()
    assert "<<<<<<<" in twins.same(lambda top: (top / "project" / "notes.txt").read_text())
    twins.same(lambda top: git("checkout", "-q", "--theirs", "--", "project/notes.txt", cwd=top))
    twins.same(lambda top: git("add", "project/notes.txt", cwd=top))
    twins.same(lambda top: git("commit", "-q", "--no-edit", cwd=top))
    twins.same(head)
    twins.compare()
    twins.compare_status()


def test_an_aborted_merge(twins: Twins):
    twins.same(lambda top: run("git", "merge", "--no-edit", "clash", cwd=top).code)
    twins.same(lambda top: git("merge", "--abort", cwd=top))
    twins.compare()
    assert twins.compare_status().count("\n") == 1


def test_rebase(twins: Twins):
    twins.same(lambda top: git("switch", "-q", "feature", cwd=top))
    twins.same(lambda top: git("rebase", "-q", "main", cwd=top))
    twins.same(head)
    twins.compare()
    twins.compare_status()


def test_a_rebase_that_stops_and_goes_on(twins: Twins):
    twins.same(lambda top: git("switch", "-q", "clash", cwd=top))
    assert twins.same(lambda top: run("git", "rebase", "main", cwd=top).code) == 1
    twins.compare()
    twins.same(lambda top: git("checkout", "-q", "--theirs", "project/notes.txt", cwd=top))
    twins.same(lambda top: git("add", "-A", cwd=top))
    twins.same(lambda top: git("rebase", "--continue", cwd=top, env={"GIT_EDITOR": "true"}))
    twins.same(head)
    twins.compare()
    twins.compare_status()


def test_cherry_pick_and_revert(twins: Twins):
    twins.same(lambda top: git("cherry-pick", "feature", cwd=top))
    twins.same(head)
    twins.same(lambda top: git("revert", "--no-edit", "culprit", cwd=top))
    twins.same(head)
    twins.compare()
    twins.compare_status()


def test_bisect_run(twins: Twins, python: str):
    twins.same(lambda top: git("bisect", "start", "v2", "good", cwd=top))
    check = "import sys; sys.path.insert(0, 'project'); sys.dont_write_bytecode = True; import app; sys.exit(app.shift(1) != 2)"
    twins.same(lambda top: git("bisect", "run", python, "-c", check, cwd=top))
    found = twins.same(lambda top: git("rev-parse", "refs/bisect/bad", cwd=top))
    assert found == git("rev-parse", "culprit", cwd=twins.native)
    twins.compare()
    twins.same(lambda top: git("bisect", "reset", cwd=top))
    twins.compare()
    twins.compare_status()


def test_git_mv_and_rm(twins: Twins):
    twins.same(lambda top: git("mv", "project/app.py", "project/deep/application.py", cwd=top))
    twins.same(lambda top: git("mv", "project/deep", "moved", cwd=top))
    twins.same(lambda top: git("rm", "-q", "-r", "project/binary.dat", "odd", cwd=top))
    assert "R." in twins.compare_status()
    twins.same(lambda top: git("commit", "-q", "-m", "moved", cwd=top))
    twins.same(head)
    twins.compare()
    assert "project/app.py" in twins.same(
        lambda top: git("log", "--follow", "--name-only", "--format=", "moved/er/leaf.txt", cwd=top)
    ) or twins.same(lambda top: git("show", "-M", "--summary", cwd=top))
    twins.compare_status()


def test_a_branch_moved_by_somebody_else(twins: Twins, tmp_path: Path):
    """A commit made outside on the same branch is followed; uncommitted work stays and is merged."""
    _not_pretended()
    view = twins.view.path
    edit(view)
    (view / "project" / "mine.txt").write_text("mine\n")
    clone = tmp_path / "clone"
    git("clone", "-q", str(twins.view.repository), str(clone), cwd=tmp_path)
    edit(clone, "line 30\n", "line thirty\n", "project/notes.txt")
    edit(clone, '"""One more."""', '"""One more than that."""')
    git("commit", "-q", "-am", "from outside", cwd=clone)
    git("push", "-q", "origin", "main", cwd=clone)
    # The next command that asks must see it; there is no moment to wait for.
    assert git("rev-parse", "HEAD", cwd=view) == git("rev-parse", "HEAD", cwd=clone)
    assert "line thirty\n" in (view / "project" / "notes.txt").read_text()
    text = (view / "project" / "app.py").read_text()
    assert "One more than that." in text
    assert "Good day" in text
    status = git("status", "--porcelain", cwd=view).splitlines()
    assert sorted(status) == [" M project/app.py", "?? project/mine.txt"]


def test_worktrees_are_not_disturbed(twins: Twins):
    """A view is not registered as a worktree: other Git commands neither list nor prune it."""
    _not_pretended()
    listed = git("worktree", "list", "--porcelain", cwd=twins.view.repository)
    assert str(twins.view.path) not in listed
    git("worktree", "prune", cwd=twins.view.repository)
    git("branch", "-f", "elsewhere", "main", cwd=twins.view.repository)
    assert git("status", "--porcelain", cwd=twins.view.path) == ""
    git("gc", "-q", "--prune=now", cwd=twins.view.repository)
    twins.compare()


def test_git_from_a_subdirectory_and_from_outside(twins: Twins):
    twins.same(edit)
    twins.same(lambda top: git("status", "--short", cwd=top / "project"))
    twins.same(lambda top: run("git", "-C", str(top), "status", "--short", cwd=Path("/")).must().output)
    twins.same(lambda top: git("rev-parse", "--show-prefix", cwd=top / "project" / "deep"))
    assert git("rev-parse", "--show-toplevel", cwd=twins.view.path / "project") == str(twins.view.path.resolve())


def test_index_survives_a_remount(twins: Twins):
    twins.same(edit)
    twins.same(lambda top: git("add", "project/app.py", cwd=top))
    twins.same(lambda top: edit(top, "Good day", "Good night"))
    before = twins.compare_status()
    twins.view.remount()
    assert twins.compare_status() == before
    twins.compare()


def test_an_index_that_could_not_be_made_at_the_mount_is_made_for_the_next_command(twins: Twins):
    view = twins.view
    view.unmount()
    admin = view.store / "views" / view.path.name / "git"
    (admin / "index").unlink()
    (admin / "index.lock").touch()  # as a command of Git leaves it that was killed
    view.mount()
    assert run("git", "status", "--porcelain", cwd=view.path).code in {0, 128}
    (admin / "index.lock").unlink()
    assert git("status", "--porcelain", cwd=view.path) == ""
