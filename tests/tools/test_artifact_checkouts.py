"""Artifacts in ordinary checkouts: Git asks the filter, commands fetch, import and refuse."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from anvcs_tools.bench.views import ai_vcs, run_command
from anvcs_tools.exit_codes import DAMAGED, NOTHING_TO_DO, REFUSED
from support.programs import git

MODEL = os.urandom(5 << 20)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository whose ``*.pt`` are artifacts, with one committed by plain Git."""
    top = tmp_path / "repository"
    git("init", "-q", "-b", "main", str(top), cwd=tmp_path)
    (top / "ai-vcs.config.yaml").write_text('blobs:\n  track: ["*.pt"]\n')
    git("add", "-A", cwd=top)
    git("commit", "-q", "-m", "start", cwd=top)
    ai_vcs("init", top)
    (top / "model.pt").write_bytes(MODEL)
    git("add", "model.pt", cwd=top)
    git("commit", "-q", "-m", "model", cwd=top)
    return top


def test_git_keeps_bytes_out_and_work_trees_have_them(checkout: Path):
    model = checkout / "model.pt"
    pointer = git("show", "HEAD:model.pt", cwd=checkout)
    assert pointer.startswith("anvcs artifact 1\n")
    model.write_bytes(b"changed")
    queued = sorted((checkout / ".git" / "anvcs" / "queue" / "uploads").iterdir())
    assert {"-size 5242880", "+size 7"} < set(git("diff", cwd=checkout).splitlines())
    assert git("status", "--porcelain", cwd=checkout) == " M model.pt"
    assert sorted((checkout / ".git" / "anvcs" / "queue" / "uploads").iterdir()) == queued  # looking keeps nothing
    git("stash", "-q", cwd=checkout)
    assert model.read_bytes() == MODEL
    git("stash", "pop", "-q", cwd=checkout)
    assert model.read_bytes() == b"changed"
    git("checkout", "-q", "--", "model.pt", cwd=checkout)
    assert model.read_bytes() == MODEL
    assert git("status", "--porcelain", cwd=checkout) == ""
    model.touch()
    git("add", "model.pt", cwd=checkout)  # the same content has the same pointer
    assert git("show", ":model.pt", cwd=checkout) == pointer
    git("switch", "-q", "-c", "old", "HEAD~1", cwd=checkout)
    git("switch", "-q", "main", cwd=checkout)
    assert model.read_bytes() == MODEL
    model.write_text(pointer + "\n")
    git("add", "model.pt", cwd=checkout)
    assert git("diff", "--cached", cwd=checkout) == ""


def test_a_push_waits_for_uploads_and_a_clone_is_filled_in(checkout: Path, tmp_path: Path):
    git("init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "remote.git"), cwd=checkout)
    refused = run_command("push", cwd=checkout)
    assert refused.returncode == REFUSED
    assert "not uploaded yet: model.pt" in refused.stderr
    ai_vcs("retry-uploads", cwd=checkout)
    ai_vcs("push", cwd=checkout)
    git("clone", "-q", str(tmp_path / "remote.git"), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    assert (clone / "model.pt").read_text().startswith("anvcs artifact 1\n")
    ai_vcs("init", clone)
    shutil.copytree(checkout / ".git" / "anvcs" / "blobs", clone / ".git" / "anvcs" / "blobs", dirs_exist_ok=True)
    fetched = json.loads(ai_vcs("artifacts", "fetch", "--json", cwd=clone))
    assert (fetched["fetched"], fetched["filled_in"]) == (1, ["model.pt"])
    assert (clone / "model.pt").read_bytes() == MODEL
    assert git("status", "--porcelain", cwd=clone) == ""


def test_a_name_that_no_pattern_matches(checkout: Path, tmp_path: Path):
    """Plain Git renames it: after a fetch Git hands it to the filter as it does with others."""
    pointer = git("show", "HEAD:model.pt", cwd=checkout)
    git("mv", "model.pt", "model [old]", cwd=checkout)
    git("commit", "-q", "-m", "rename", cwd=checkout)
    ai_vcs("retry-uploads", cwd=checkout)
    git("clone", "-q", str(checkout), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    shutil.copytree(checkout / ".git" / "anvcs" / "blobs", clone / ".git" / "anvcs" / "blobs")
    ai_vcs("init", clone)
    told = json.loads(ai_vcs("artifacts", "fetch", "--json", cwd=clone))
    assert told["filled_in"] == ["model [old]"]
    assert (clone / "model [old]").read_bytes() == MODEL
    (clone / "model [old]").touch()
    assert git("status", "--porcelain", cwd=clone) == ""
    (clone / "model [old]").write_bytes(b"changed")
    git("add", "-A", cwd=clone)
    assert git("show", ":model [old]", cwd=clone).startswith("anvcs artifact 1\n")
    ai_vcs("init", clone)  # which doesn't look into commits
    git("reset", "-q", "--hard", cwd=clone)
    assert (clone / "model [old]").read_bytes() == MODEL
    assert git("show", "HEAD:model [old]", cwd=clone) == pointer


def test_a_pointer_that_somebody_wrote_is_not_filled_in(checkout: Path, tmp_path: Path):
    """It is a change: the pin of another version."""
    git("commit", "-q", "--allow-empty", "-m", "again", cwd=checkout)
    pointer = git("show", "HEAD:model.pt", cwd=checkout) + "\n"
    (checkout / "model.pt").write_bytes(b"second")
    git("commit", "-q", "-am", "second", cwd=checkout)
    (checkout / "model.pt").write_text(pointer)
    assert json.loads(ai_vcs("artifacts", "fetch", "--json", cwd=checkout))["filled_in"] == []
    assert (checkout / "model.pt").read_text() == pointer


def test_files_of_git_and_lfs_become_artifacts(checkout: Path):
    content = os.urandom(2000)
    digest = hashlib.sha256(b"from lfs").hexdigest()
    stored = checkout / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"damaged!")
    (checkout / "a.bin").write_bytes(content)
    (checkout / "b.bin").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 8\n")
    git("add", "-A", cwd=checkout)
    git("commit", "-q", "-m", "binaries", cwd=checkout)
    before = git("rev-parse", "HEAD", cwd=checkout)
    damaged = run_command("artifacts", "track", "*.bin", "--import", cwd=checkout)
    assert damaged.returncode == DAMAGED
    assert digest in damaged.stderr
    stored.write_bytes(b"from lfs")
    told = json.loads(ai_vcs("artifacts", "track", "*.bin", "--import", "--json", cwd=checkout))
    assert told["imported"] == ["a.bin", "b.bin"]
    git("commit", "-q", "-am", "patterns", cwd=checkout)
    ai_vcs("commit", "-m", "pins", "--stream", "main", cwd=checkout)
    assert git("merge-base", "--is-ancestor", before, "HEAD", cwd=checkout) == ""
    for path in ("a.bin", "b.bin"):
        assert git("show", f"HEAD:{path}", cwd=checkout).startswith("anvcs artifact 1\n")
    assert (checkout / "a.bin").read_bytes() == content
    assert (checkout / "b.bin").read_bytes() == b"from lfs"
    again = run_command("artifacts", "track", "*.bin", "--import", cwd=checkout)
    assert again.returncode == NOTHING_TO_DO
