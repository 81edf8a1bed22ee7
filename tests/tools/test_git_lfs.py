"""Git LFS itself, in a repository that has artifacts, too: who owns a file, and how it changes hands."""

import json
import os
import shutil
from pathlib import Path

import pytest

from anvcs_tools.bench.views import ai_vcs, run_command
from anvcs_tools.exit_codes import REMOTE
from support.programs import git

pytestmark = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")

GIVEN = "filter=lfs diff=lfs merge=lfs -text"
ARTIFACT, LFS = "anvcs artifact 1\n", "version https://git-lfs.github.com/spec/v1\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``*.pt`` and ``*.psd`` are artifacts, but LFS has ``*.psd`` everywhere and ``*.pt`` in one folder."""
    monkeypatch.setenv("GIT_CLONE_PROTECTION_ACTIVE", "false")  # LFS has hooks of its own
    top = tmp_path / "repository"
    git("init", "-q", "-b", "main", str(top), cwd=tmp_path)
    git("lfs", "install", "--local", cwd=top)
    (top / "old").mkdir()
    (top / "ai-vcs.config.yaml").write_text('blobs:\n  track: ["*.pt", "*.psd"]\n')
    (top / ".gitattributes").write_text(f"*.psd {GIVEN}\n")
    (top / "old" / ".gitattributes").write_text(f"*.pt {GIVEN}\n")
    git("add", "-A", cwd=top)
    git("commit", "-q", "-m", "start", cwd=top)
    ai_vcs("init", top)
    return top


@pytest.fixture
def contents(checkout: Path) -> dict[str, bytes]:
    """Committed by plain Git."""
    found = {name: os.urandom(2000) for name in ("model.pt", "old/model.pt", "a.psd", "old/b.psd", "plain.bin")}
    for name, data in found.items():
        (checkout / name).write_bytes(data)
    git("add", "-A", cwd=checkout)
    git("commit", "-q", "-m", "contents", cwd=checkout)
    return found


def stored(checkout: Path, name: str, revision: str = "HEAD") -> str:
    return git("cat-file", "-p", f"{revision}:{name}", cwd=checkout) + "\n"


def test_lfs_goes_first_in_every_directory(checkout: Path, contents: dict[str, bytes], tmp_path: Path):
    assert stored(checkout, "model.pt").startswith(ARTIFACT)
    for name in ("old/model.pt", "a.psd", "old/b.psd"):
        assert stored(checkout, name).startswith(LFS), name
    assert git("status", "--porcelain", cwd=checkout) == ""
    for name in contents:
        (checkout / name).unlink()
    git("checkout", "-q", "--", ".", cwd=checkout)
    assert {name: (checkout / name).read_bytes() for name in contents} == contents
    checked = run_command("storage", "check", "--json", cwd=checkout)
    assert checked.returncode == REMOTE
    (owners,) = [one for one in json.loads(checked.stdout)["checks"] if one["check"] == "owners"]
    assert not owners["ok"]
    for name in ("old/model.pt", "a.psd", "old/b.psd"):
        assert name in owners["detail"]
    assert " model.pt" not in owners["detail"]
    assert json.loads(ai_vcs("artifacts", "list", "--json", cwd=checkout))["artifacts"][0]["path"] == "model.pt"


def test_files_change_hands(checkout: Path, contents: dict[str, bytes]):
    """From LFS to artifacts, for one folder: history stays, and no byte is lost."""
    before = git("rev-parse", "HEAD", cwd=checkout)
    refused = run_command("artifacts", "track", "*.pt", "--import", cwd=checkout)
    assert refused.returncode
    assert "filter=lfs is gone" in refused.stderr
    git("rm", "-q", "old/.gitattributes", cwd=checkout)
    git("commit", "-q", "-m", "not with LFS", cwd=checkout)
    told = json.loads(ai_vcs("artifacts", "track", "*.pt", "--import", "--json", cwd=checkout))
    assert told["imported"] == ["old/model.pt"]
    ai_vcs("commit", "-m", "pins", "--stream", "main", cwd=checkout)
    assert stored(checkout, "old/model.pt").startswith(ARTIFACT)
    assert stored(checkout, "a.psd").startswith(LFS)
    assert stored(checkout, "old/model.pt", before).startswith(LFS)
    assert {name: (checkout / name).read_bytes() for name in contents} == contents
    assert git("status", "--porcelain", cwd=checkout) == ""
