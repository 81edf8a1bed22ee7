"""Two files that nobody can make one: both are kept until somebody decides."""

import os
from pathlib import Path

import pytest

from anvcs.model.pin import Pin
from anvcs.model.pointer import encode_pointer
from anvcs.repository import Repository
from anvcs_tools import exit_codes
from support.merge_commands import WAITS, Run, branched, content, runner
from support.programs import git

BASE = {"m/model.bin": b"\0base", "kept": "kept\n"}
THEIRS = "m/model~side.bin"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repository = branched(
        tmp_path / "repository", BASE, BASE | {"m/model.bin": b"\0ours"}, BASE | {"m/model.bin": b"\0theirs"}
    )
    monkeypatch.chdir(repository)
    return repository


def only(run: Run) -> str:
    """The id of the only conflict."""
    (found,) = run("conflicts", "--stream", WAITS)["conflicts"]
    return str(found["id"])


def files(place: Path) -> dict[str, bytes]:
    """What is in the folder of ``main`` after all."""
    return {name: (place / "m" / name).read_bytes() for name in os.listdir(place / "m")}


def test_both_are_there_and_named(place: Path, run: Run) -> None:
    answer = run("merge", "side", code=exit_codes.FAILED)
    assert [(one["path"], one["reason"]) for one in answer["conflicts"]] == [("m/model.bin", "both-changed")]
    assert content(place, WAITS, "m/model.bin") == b"\0ours"
    assert content(place, WAITS, THEIRS) == b"\0theirs"
    (record,) = run("conflicts", "--stream", WAITS)["conflicts"]
    assert f"ours is in m/model.bin, theirs in {THEIRS}" in record["note"]
    assert files(place) == {"model.bin": b"\0ours"}, "the target has nothing of it"


@pytest.mark.parametrize(
    ("side", "left"),
    [
        ("ours", {"model.bin": b"\0ours"}),
        ("theirs", {"model.bin": b"\0theirs"}),
        ("both", {"model.bin": b"\0ours", "model~side.bin": b"\0theirs"}),
    ],
)
def test_decided(side: str, left: dict[str, bytes], place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    run("conflicts", "resolve", only(run), f"--{side}", "--stream", WAITS)
    run("merge", "--continue")
    assert files(place) == left
    assert git("status", "--porcelain", cwd=place) == ""


def test_no_file_is_left_by_accident(place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    name = only(run)
    refused = run("conflicts", "resolve", name, "--stream", WAITS, code=exit_codes.INVALID)
    assert f"{THEIRS} is still there" in refused["error"]["message"]
    with Repository.open(place).room(WAITS) as opened:
        opened.room.rename(THEIRS.encode(), b"m/model.bin")
    run("conflicts", "resolve", name, "--stream", WAITS)
    run("merge", "--continue")
    assert files(place) == {"model.bin": b"\0theirs"}


def test_what_was_edited_is_not_taken_away(place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    with Repository.open(place).room(WAITS) as opened:
        opened.room.write(THEIRS.encode(), b"\0theirs, and more")
    refused = run("conflicts", "resolve", only(run), "--ours", "--stream", WAITS, code=exit_codes.INVALID)
    assert "was edited" in refused["error"]["message"]
    assert content(place, WAITS, THEIRS) == b"\0theirs, and more"
    run("conflicts", "resolve", only(run), "--both", "--stream", WAITS)
    run("merge", "--continue")
    assert files(place) == {"model.bin": b"\0ours", "model~side.bin": b"\0theirs, and more"}


def pointer(text: bytes) -> bytes:
    import hashlib

    digest = hashlib.sha256(text).hexdigest()
    return encode_pointer(
        Pin(storage="local", bucket="b", region="", key="k", version_id=digest, sha256=digest, size=len(text))
    )


def test_pins(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    base, ours, theirs = ({"model.bin": pointer(text)} for text in (b"base", b"ours", b"theirs"))
    place = branched(tmp_path / "repository", base, ours, theirs)
    monkeypatch.chdir(place)
    run("merge", "side", code=exit_codes.FAILED)
    tree = "refs/anvcs/merges/" + WAITS + ":tree/"
    assert git("show", tree + "model.bin", cwd=place).encode() + b"\n" == ours["model.bin"], "no marker is in it"
    assert git("show", tree + "model~side.bin", cwd=place).encode() + b"\n" == theirs["model.bin"]
    run("conflicts", "resolve", only(run), "--theirs", "--stream", WAITS)
    run("merge", "--continue")
    assert (place / "model.bin").read_bytes() == theirs["model.bin"]
    assert not (place / "model~side.bin").exists()


def test_a_name_that_is_taken_and_links(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"a": b"\0base", "a~side": "mine\n", "link": "link:base"}
    ours, theirs = base | {"a": b"\0ours", "link": "link:ours"}, base | {"a": b"\0theirs", "link": "link:theirs"}
    place = branched(tmp_path / "repository", base, ours, theirs)
    monkeypatch.chdir(place)
    run("merge", "side", code=exit_codes.FAILED)
    for record in run("conflicts", "--stream", WAITS)["conflicts"]:
        run("conflicts", "resolve", record["id"], "--both", "--stream", WAITS)
    run("merge", "--continue")
    assert {name: (place / name).read_bytes() for name in ("a", "a~side", "a~side_1")} == {
        "a": b"\0ours", "a~side": b"mine\n", "a~side_1": b"\0theirs",
    }  # fmt: skip
    assert [os.readlink(place / name) for name in ("link", "link~side")] == ["ours", "theirs"]


@pytest.mark.parametrize(("side", "there"), [("ours", False), ("theirs", True)])
def test_a_file_that_the_target_has_deleted(
    side: str, there: bool, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branched(tmp_path / "repository", {"a": "a\n", "b": "b\n"}, {"b": "b\n"}, {"a": "a\nmore\n", "b": "b\n"})
    monkeypatch.chdir(place)
    run("merge", "side", code=exit_codes.FAILED)
    run("conflicts", "resolve", only(run), f"--{side}", "--stream", WAITS)
    run("merge", "--continue")
    assert (place / "a").exists() is there


def test_a_decision_is_changed(place: Path, run: Run) -> None:
    run("merge", "side", code=exit_codes.FAILED)
    name = only(run)
    for side in ("theirs", "ours"):
        run("conflicts", "resolve", name, f"--{side}", "--stream", WAITS)
    run("merge", "--continue")
    assert files(place) == {"model.bin": b"\0ours"}
