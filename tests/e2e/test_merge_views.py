"""Merges while views of the streams are mounted: what each of them shows, and when."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from anvcs.repository import Repository
from anvcs_tools.bench.views import MountedView, ai_vcs, run_command
from support.fixtures import Mounts
from support.merges import commit, empty, trust_commands
from support.programs import git
from support.sharing import edit, read, shows, status
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

CODE = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
BASE = {"m.py": CODE, "text": "1\n2\n3\n4\n5\n6\n"}
WAITS = "merge/side-into-main"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """``main``, which ``ok`` merges into cleanly and ``side`` doesn't; nothing is checked out."""
    place = empty(tmp_path / "repository")
    start = commit(place, "start", BASE)
    commit(place, "main", BASE | {"m.py": CODE.replace("return 1", "return 111")}, start)
    commit(place, "ok", BASE | {"text": "1\n2\n3\n4\n5\nsix\n", "fresh": "fresh\n"}, start)
    commit(place, "side", BASE | {"m.py": CODE.replace("return 1", "return 11")}, start)
    git("checkout", "-q", "--detach", "start", cwd=place)
    return place


def request(view: MountedView, line: str) -> dict[str, Any]:
    handle = os.open(view.control / "merge", os.O_RDWR)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
        return json.loads(os.pread(handle, 1 << 16, 0))
    finally:
        os.close(handle)


def test_the_views_of_the_target_follow_at_once(repository: Path, tmp_path: Path, mounted: Mounts) -> None:
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann")
    bob = mounted(repository, tmp_path / "bob", "--agent", "bob")
    edit(ann, "2\n", "ann's 2\n")
    (bob.path / "fresh").write_text("bob's own\n")  # the merge brings a file of this name
    shows(ann, "fresh", "bob's own\n")
    assert b"# Write a line here" in (ann.control / "merge").read_bytes()
    answer = request(ann, "ok\n")
    assert answer["outcome"] == "merged"
    assert read(ann) == "1\nann's 2\n3\n4\n5\nsix\n", "what nobody committed is carried over"
    eventually(lambda: status(ann) == [" M fresh", " M text"], what="status")
    shows(bob, "text", "1\nann's 2\n3\n4\n5\nsix\n")
    assert "bob's own\n" in {(bob.path / name).read_text() for name in os.listdir(bob.path) if name.startswith("fresh")}
    eventually(lambda: status(bob) == status(ann), what="status")
    assert git("log", "-1", "--format=%P|%an", "main", cwd=repository).split("|")[1] == "ann"
    assert json.loads((ann.control / "merge").read_bytes()) == answer
    # From outside of every view:
    commit(repository, "late", BASE | {"late": "late\n"}, Repository.open(repository).objects.resolve("start"))
    ai_vcs("merge", "late", "into", "main", "-C", repository)
    for view in (ann, bob):
        shows(view, "late", "late\n")
    with pytest.raises(OSError, match="Invalid argument"):
        request(ann, "ok side")
    assert "octopus" in json.loads((ann.control / "merge").read_bytes())["message"]
    assert request(bob, '{"source": "ok"}')["outcome"] == "up-to-date"


def test_conflicts_touch_nobody_until_they_are_decided(repository: Path, tmp_path: Path, mounted: Mounts) -> None:
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann")
    before = git("rev-parse", "main", cwd=repository)
    done = run_command("merge", "side", cwd=ann.path)
    assert done.returncode == 1
    assert WAITS in done.stderr
    assert status(ann) == []
    assert "111" in read(ann, "m.py")
    zoe = mounted(repository, tmp_path / "zoe", "--stream", WAITS, "--agent", "zoe")
    text = read(zoe, "m.py")
    assert "<<<<<<< main" in text
    (page,) = (zoe.control / "conflicts").iterdir()
    assert "m.py" in page.read_text()
    assert "--theirs" in page.read_text()
    assert status(zoe) == [" M m.py"]
    (zoe.path / "m.py").write_text(re.sub(r"<<<<<<<.*>>>>>>>[^\n]*\n", "    return 1234\n", text, flags=re.DOTALL))
    eventually(lambda: not list((zoe.control / "conflicts").iterdir()), what="resolved by the edit")
    assert git("rev-parse", "main", cwd=repository) == before
    ai_vcs("merge", "--continue", cwd=zoe.path)
    assert git("log", "-1", "--format=%an", "main", cwd=repository) == "zoe"
    assert git("rev-list", "--count", "--merges", f"{before}..main", cwd=repository) == "1"
    shows(ann, "m.py", CODE.replace("return 1", "return 1234"))
    eventually(lambda: status(ann) == status(zoe) == [], what="nothing is left to commit")


def test_guards_run_in_a_view_of_the_merge(repository: Path, tmp_path: Path, mounted: Mounts) -> None:
    test = "test -d .anvcs/commits && git status --porcelain && cat text m.py && echo junk > junk && git log -1 --format=%P"
    config = f"merge:\n  guards: ['{test}']\n"
    ai_vcs("init", "-q", repository)
    trust_commands(repository)
    start = Repository.open(repository).objects.resolve("main")
    tree = BASE | {"m.py": CODE.replace("return 1", "return 111"), "ai-vcs.config.yaml": config}
    tip = commit(repository, "main", tree, start)
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann")
    answer = request(ann, "ok --test-check")
    (guard,) = answer["guards"]
    assert guard["ok"], guard
    assert answer["notes"] == []
    assert "six" in guard["output"]
    assert "return 111" in guard["output"]
    assert guard["output"].splitlines()[-1].split()[0] == tip.hex()
    assert not (ann.path / "junk").exists()
    views = json.loads(ai_vcs("views", "--json", cwd=ann.path))["views"]
    assert [view["agent"] for view in views] == ["ann"], "the view of the guards is gone with all that it had"
    broken = tree | {"ai-vcs.config.yaml": "merge:\n  guards: ['echo no; false']\n"}
    tip = commit(repository, "main", broken, Repository.open(repository).objects.resolve("main"))
    shows(ann, "ai-vcs.config.yaml", broken["ai-vcs.config.yaml"])
    answer = request(ann, "side --strategy theirs")
    assert (answer["outcome"], answer["why"]) == ("proposal", "guards")
    assert os.listdir(ann.control / "reviews") == ["merge%2Fside-into-main.md"]
    assert "## echo no; false: failed" in (ann.control / "reviews" / "merge%2Fside-into-main.md").read_text()
    ai_vcs("review", "reject", WAITS, "--why", "no", cwd=ann.path)
    assert os.listdir(ann.control / "reviews") == []
    assert git("rev-parse", "main", cwd=repository) == tip.hex()


def test_an_edit_goes_along_with_a_renamed_file(repository: Path, tmp_path: Path, mounted: Mounts) -> None:
    ai_vcs("init", "-q", repository)
    start = Repository.open(repository).objects.resolve("start")
    moved = {"m.py": CODE, "sub/named": "1\n2\n3\n4\n5\nsix\n"}
    commit(repository, "moves", moved, start)
    ann = mounted(repository, tmp_path / "ann", "--agent", "ann")
    zoe = mounted(repository, tmp_path / "zoe", "--agent", "zoe")
    edit(ann, "1\n", "ONE\n")
    with (ann.path / "text").open("r") as reader:
        assert request(ann, "moves")["outcome"] == "merged"
        for view in (ann, zoe):
            shows(view, "sub/named", "ONE\n2\n3\n4\n5\nsix\n")
            eventually(lambda view=view: not (view.path / "text").exists(), what="the old name is gone")  # type: ignore[misc]
        assert reader.read().startswith("ONE\n2\n"), "who has it open reads on"
    eventually(lambda: status(ann) == status(zoe) == [" M sub/named"], what="status")


def test_a_read_only_view_merges_nothing_and_says_so(repository: Path, tmp_path: Path, mounted: Mounts) -> None:
    view = mounted(repository, tmp_path / "view", "--read-only", "--stream", "main")
    before = git("rev-parse", "main", cwd=repository)
    done = run_command("merge", "ok", cwd=view.path)
    assert done.returncode == 5
    assert "mounted read-only" in done.stderr
    assert git("rev-parse", "main", cwd=repository) == before
    looked = run_command("merge", "ok", "--dry-run", "--json", cwd=view.path)
    assert json.loads(looked.stdout)["why"] == "clean"
    compared = run_command("diff", "--semantic", "main", "ok", "-C", str(repository))
    assert compared.returncode == 0, "HEAD is on no branch, and none is needed"
