"""``ai-vcs fsck`` finds damage wherever it is, and repairs what can be repaired."""

import json
import subprocess
from pathlib import Path

import pytest

from anvcs.repository import Repository
from anvcs.views import Views
from anvcs_tools import exit_codes
from anvcs_tools.cli import main


@pytest.fixture
def repository(tmp_path) -> Repository:
    subprocess.run(["git", "init", "-q", tmp_path / "r"], check=True)
    repository, _ = Repository.init(tmp_path / "r")
    with repository.room("main") as opened:
        opened.room.write(b"text", b"words\n")
        opened.room.write(b"bytes", b"\xff" * 5000)
    return repository


@pytest.fixture
def fsck(repository, capsys):
    def call(*options, code):
        assert main(["fsck", "-C", str(repository.info.work_tree), "--json", *options]) == code
        return json.loads(capsys.readouterr().out)

    return call


def opaque(repository: Repository) -> Path:
    (found,) = repository.store.objects.glob("??/*")
    return found


def test_a_sound_store(fsck):
    assert fsck(code=0) == {"findings": [], "ok": True}


def test_a_changed_value(repository, fsck):
    path = opaque(repository)
    path.chmod(0o644)
    path.write_bytes(b"\xfe" * 5000)
    assert "has changed" in fsck(code=exit_codes.DAMAGED)["findings"][0]["what"]
    fsck("--repair", code=exit_codes.DAMAGED)  # the value itself can't be brought back
    (left,) = fsck(code=exit_codes.DAMAGED)["findings"]
    assert "bytes is missing" in left["what"]
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"\xfe" * 5000


def test_a_room_that_is_no_database(repository, fsck):
    repository.store.room_file("main").write_bytes(b"not a database" * 500)
    assert fsck(code=exit_codes.DAMAGED)["findings"]


def test_damaged_records_of_views(repository, fsck):
    views = Views(repository.store)
    spec = views.create(mountpoint=Path("/nowhere"), stream="main", agent="a", model="", uid=0, gid=0)
    (spec.folder / "view.json").write_text("{")
    (spec.folder / "view.sqlite").write_text("not a database at all" * 100)
    found = fsck(code=exit_codes.DAMAGED)["findings"]
    assert [finding["where"] for finding in found] == ["view a", "view a"]
