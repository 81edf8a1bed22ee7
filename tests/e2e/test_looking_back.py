"""Two agents in two mounts: who wrote what, how it was, and taking one's work back."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs
from support.kernel import fails
from support.trees import assert_same_tree
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

NOTES = Path("project/notes.txt")


@pytest.fixture
def ann(repository: Path, tmp_path: Path, mounted) -> MountedView:
    return mounted(repository, tmp_path / "ann", "--agent", "ann", "--model", "m-1")


@pytest.fixture
def ben(repository: Path, tmp_path: Path, mounted, ann: MountedView) -> MountedView:
    return mounted(repository, tmp_path / "ben", "--agent", "ben", "--model", "m-2")


def edit(view: MountedView, old: str, new: str, path: Path = NOTES) -> None:
    file = view.path / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def shows(view: MountedView, text: str, path: Path = NOTES) -> bool:
    return text in (view.path / path).read_text()


def seq(view: MountedView) -> int:
    return int(json.loads((view.control / "status").read_text())["seq"])


def agents(text: str) -> dict[str, str]:
    """Each line of a blame by what it says, with its columns before that."""
    lines = [line.partition(") ") for line in text.splitlines()]
    return {content: head for head, _, content in lines}


def test_blame_names_who_wrote_each_line_before_and_after_a_commit(ann, ben):
    edit(ann, "line 20\n", "anns line\n")
    eventually(lambda: shows(ben, "anns line"))
    edit(ben, "line 30\n", "bens line\n")
    eventually(lambda: shows(ann, "bens line"))
    told = agents((ann.control / "blame" / NOTES).read_text())
    assert "op " in told["anns line"]
    assert " ann " in told["anns line"]
    assert " m-1 " in told["anns line"]
    assert " ben " in told["bens line"]
    assert " m-2 " in told["bens line"]
    assert "op " not in told["line 25"]
    (ann.control / "commit").write_text("ann commits both\n")
    told = agents((ben.control / "blame" / NOTES).read_text())
    assert "op " not in told["bens line"]
    assert " ann " in told["anns line"]
    assert " ben " in told["bens line"]
    by_command = json.loads(ai_vcs("blame", "--json", ann.path / NOTES, cwd=ann.path))
    line = next(line for line in by_command["lines"] if line["text"] == "bens line\n")
    assert (line["agent"], line["model"]) == ("ben", "m-2")
    assert line["commit"] == json.loads((ann.control / "status").read_text())["base"]


def test_blame_is_a_tree_like_the_view(ann):
    (ann.path / "new.txt").write_text("mine\n")
    names = os.listdir(ann.control / "blame")
    assert sorted(names) == sorted(name for name in os.listdir(ann.path) if name != ".git")
    # A new file is nobody's before the room hears of it.
    eventually(lambda: "new.txt" in (ann.control / "ops").read_text())
    assert " ann " in (ann.control / "blame" / "new.txt").read_text()
    file = ann.control / "blame" / NOTES
    text = file.read_bytes()
    assert file.stat().st_size == len(text)
    assert (ann.control / "blame" / "project").is_dir()
    fails(errno.ENOENT, (ann.control / "blame" / "missing").read_bytes)
    fails(errno.EINVAL, (ann.control / "blame" / "project" / "binary.dat").read_bytes)
    fails(errno.EACCES, lambda: file.write_bytes(b"x"))


def test_every_moment_is_a_tree(ann, tmp_path):
    before = tmp_path / "before"
    ai = ann.path / "project"
    assert_same_tree(ai, ann.control / "at" / "0" / "project")
    ai.joinpath("made").mkdir()
    (ai / "made" / "file").write_text("made\n")
    (ai / "run.sh").unlink()
    (ai / "app.py").rename(ai / "renamed.py")
    edit(ann, "line 12\n", "changed\n")
    (ai / "empty.txt").chmod(0o755)
    eventually(lambda: "made/file" in (ann.control / "ops").read_text())
    shutil.copytree(ai, before, symlinks=True)
    moment = seq(ann)
    edit(ann, "changed\n", "changed again\n")
    (ai / "made" / "file").unlink()
    (ai / "renamed.py").unlink()
    then = ann.control / "at" / str(moment) / "project"
    assert_same_tree(before, then)
    assert "changed again" in (ann.control / "at" / str(seq(ann)) / NOTES).read_text()
    assert "line 12" in (ann.control / "at" / "0" / NOTES).read_text()
    fails(errno.EROFS, lambda: (then / "app.py").write_text("x"))
    assert str(moment) in os.listdir(ann.control / "at")


def test_a_moment_may_be_a_time_or_an_age(ann):
    edit(ann, "line 12\n", "changed\n")
    op = [json.loads(line) for line in (ann.control / "ops").read_text().splitlines()][-1]
    when = op["time"]
    assert "changed" in (ann.control / "at" / str(when) / NOTES).read_text()
    assert "line 12" in (ann.control / "at" / "2001-01-01T00:00:00Z" / NOTES).read_text()
    assert "line 12" in (ann.control / "at" / "-1d" / NOTES).read_text()
    assert "changed" in (ann.control / "at" / "-0s" / NOTES).read_text()
    for wrong in ("99999", "junk", "-5x"):
        fails(errno.ENOENT, lambda wrong=wrong: os.listdir(ann.control / "at" / wrong))


def test_undo_in_one_view_leaves_the_others_work_and_shows_everywhere(ann, ben):
    edit(ann, "line 20\n", "anns line\n")
    eventually(lambda: shows(ben, "anns line"))
    edit(ben, "line 30\n", "bens line\n")
    (ben.path / "bens.txt").write_text("new\n")
    eventually((ann.path / "bens.txt").exists)
    told = json.loads(ai_vcs("undo", "--agent", "ben", "--json", cwd=ann.path))
    assert {one["path"] for one in told["paths"]} == {str(NOTES), "bens.txt"}
    for view in (ann, ben):
        eventually(lambda view=view: shows(view, "line 30\n") and not (view.path / "bens.txt").exists())
        assert shows(view, "anns line")
    ai_vcs("undo", "--op", str(told["seq"]), cwd=ann.path)
    for view in (ann, ben):
        eventually(lambda view=view: shows(view, "bens line") and (view.path / "bens.txt").exists())


def test_collecting_while_views_are_mounted_changes_nothing_that_they_show(ann, ben):
    for number in range(20):
        edit(ann, "line 20\n" if not number else f"step {number - 1}\n", f"step {number}\n")
    (ann.control / "commit").write_text("all of it\n")
    eventually(lambda: shows(ben, "step 19"))
    last = seq(ann)
    told = json.loads(ai_vcs("gc", "--older-than", "0s", "--json", cwd=ann.path))
    assert told["rooms"][0]["ops"] == last
    assert shows(ann, "step 19")
    assert shows(ben, "step 19")
    edit(ben, "line 30\n", "bens line\n")
    eventually(lambda: shows(ann, "bens line"))
    assert str(last) in os.listdir(ann.control / "at")
    fails(errno.ENOENT, lambda: os.listdir(ann.control / "at" / "3"))
    assert "sound" in ai_vcs("fsck", cwd=ann.path) or ai_vcs("fsck", cwd=ann.path) == ""
