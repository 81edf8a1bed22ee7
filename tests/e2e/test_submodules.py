"""Submodules: a directory that Git fills, and a pin that only Git moves."""

import json
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs
from support.programs import git

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def view(tmp_path: Path, mounted) -> MountedView:
    library, top = tmp_path / "library", tmp_path / "top"
    for place in (library, top):
        git("init", "-q", "-b", "main", str(place), cwd=tmp_path)
    (library / "lib.c").write_text("int one;\n")
    git("add", ".", cwd=library)
    git("commit", "-qm", "library", cwd=library)
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendor/lib", cwd=top)
    git("commit", "-qm", "with a submodule", cwd=top)
    ai_vcs("init", str(top), cwd=tmp_path)
    return mounted(top, tmp_path / "view")


def status(view: MountedView) -> str:
    return git("status", "--porcelain", cwd=view.path)


def test_git_fills_it_and_moves_its_pin(view):
    inside = view.path / "vendor" / "lib"
    assert list(inside.iterdir()) == []
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", cwd=view.path)
    assert (inside / "lib.c").read_text() == "int one;\n"
    assert status(view) == ""
    (inside / "lib.c").write_text("int two;\n")
    assert status(view).split() == ["M", "vendor/lib"]
    git("commit", "-qam", "two", cwd=inside)
    git("add", "vendor/lib", cwd=view.path)
    git("commit", "-qm", "another pin", cwd=view.path)
    assert status(view) == ""
    assert json.loads((view.control / "status").read_text())["changed"] == []
    view.remount()
    assert (inside / "lib.c").read_text() == "int two;\n"
    assert status(view) == ""
