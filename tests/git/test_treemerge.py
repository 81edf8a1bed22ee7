"""Trees merged as ``git merge`` merges them: names, modes, links, submodules, histories of every shape."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anvcs.file_merging import Names
from anvcs.git.objects import ObjectStore
from anvcs.git.treemerge import UnrelatedHistories, merge_bases
from anvcs.merge_ways import Ways
from anvcs.model.pin import Pin
from anvcs.model.pointer import encode_pointer
from anvcs.model.stream_merge import Merged
from anvcs.tree_merging import TreeMerger
from support.merges import EXECUTABLE, LINK, PIN, Tree, commit, empty, forked, listing, merged_by_git
from support.programs import git, run

LINES = "".join(f"line {number}\n" for number in range(1, 21))
OTHER = "".join(f"other {number}\n" for number in range(1, 21))
PINS = [f"{PIN}{digit * 40}" for digit in "123"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return empty(tmp_path / "repository")


def merge(place: Path, strategy: str = "structure") -> Merged:
    objects = ObjectStore(place / ".git")
    names = Names("main", "side")
    return TreeMerger(objects, Ways(strategy)).merge(objects.resolve("main"), objects.resolve("side"), names)


def changed(text: str, number: int, word: str = "changed") -> str:
    return text.replace(f" {number}\n", f" {number} {word}\n")


BASE = {"a": LINES, "b": OTHER, "dir/x": LINES + OTHER, "dir/y": OTHER + LINES, "run": EXECUTABLE + "#!/bin/sh\n"}

SCENARIOS: dict[str, tuple[Tree, Tree, Tree]] = {
    "lines of one file": (BASE, BASE | {"a": changed(LINES, 2)}, BASE | {"a": changed(LINES, 18)}),
    "the same lines": (BASE, BASE | {"a": changed(LINES, 2, "ours")}, BASE | {"a": changed(LINES, 2, "theirs")}),
    "the same change": (BASE, BASE | {"a": changed(LINES, 2)}, BASE | {"a": changed(LINES, 2)}),
    "a renamed file is edited": (
        BASE,
        {name: text for name, text in BASE.items() if name != "a"} | {"renamed": LINES},
        BASE | {"a": changed(LINES, 9)},
    ),
    "renamed and edited on both sides": (
        BASE,
        {name: text for name, text in BASE.items() if name != "a"} | {"renamed": changed(LINES, 2)},
        BASE | {"a": changed(LINES, 18)},
    ),
    "a renamed directory gets a file": (
        BASE,
        {name.replace("dir/", "moved/"): text for name, text in BASE.items()},
        BASE | {"dir/new": "new\n", "dir/x": changed(LINES + OTHER, 4)},
    ),
    "renamed two ways": (
        BASE,
        {name: text for name, text in BASE.items() if name != "a"} | {"one": LINES},
        {name: text for name, text in BASE.items() if name != "a"} | {"two": LINES},
    ),
    "deleted and edited": (
        BASE,
        {name: text for name, text in BASE.items() if name != "a"},
        BASE | {"a": changed(LINES, 9)},
    ),
    "deleted on both sides": (BASE, {"b": OTHER}, {"b": OTHER}),
    "both add the same": (BASE, BASE | {"new": "new\n"}, BASE | {"new": "new\n"}),
    "both add something else": (BASE, BASE | {"new": "ours\n"}, BASE | {"new": "theirs\n"}),
    "mode here, text there": (BASE, BASE | {"a": EXECUTABLE + LINES}, BASE | {"a": changed(LINES, 9)}),
    "a link is turned, a file edited": (
        BASE | {"link": LINK + "a"},
        BASE | {"link": LINK + "b"},
        BASE | {"link": LINK + "a", "a": changed(LINES, 9)},
    ),
    "a link turned two ways": (
        BASE | {"link": LINK + "a"},
        BASE | {"link": LINK + "b"},
        BASE | {"link": LINK + "dir/x"},
    ),
    "a file becomes a link": (BASE, BASE | {"b": LINK + "a"}, BASE | {"b": changed(OTHER, 3)}),
    "a submodule moves": (
        BASE | {"sub": PINS[0]},
        BASE | {"sub": PINS[1]},
        BASE | {"sub": PINS[0], "a": changed(LINES, 9)},
    ),
    "a submodule moves two ways": (BASE | {"sub": PINS[0]}, BASE | {"sub": PINS[1]}, BASE | {"sub": PINS[2]}),
    "a file where a directory comes": (BASE, BASE | {"place": "file\n"}, BASE | {"place/inner": "inner\n"}),
    "bytes": (BASE | {"d": b"\0\1\2" * 50}, BASE | {"d": b"\0\1\3" * 50}, BASE | {"d": b"\0\1\4" * 50}),
    "CRLF, no last newline": (
        {"w": LINES.replace("\n", "\r\n").removesuffix("\r\n")},
        {"w": changed(LINES, 2).replace("\n", "\r\n").removesuffix("\r\n")},
        {"w": changed(LINES, 15).replace("\n", "\r\n").removesuffix("\r\n")},
    ),
    "odd names": (
        {"new\nline": LINES, "\udcff\udcfe": LINES},
        {"new\nline": changed(LINES, 2), "\udcff\udcfe": LINES},
        {"new\nline": changed(LINES, 15), "\udcff\udcfe": changed(LINES, 3)},
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_git_merges(name: str, place: Path, tmp_path: Path) -> None:
    forked(place, *SCENARIOS[name])
    merged = merge(place)
    by_git = merged_by_git(place, tmp_path / "work")
    if by_git is None:
        assert merged.disputes, "git has a conflict, and a wrong clean merge is the worst there is"
    else:
        assert not merged.disputes
        assert listing(place, merged.tree.hex()) == by_git


def test_a_clash_is_told_with_its_sides(place: Path) -> None:
    forked(place, *SCENARIOS["deleted and edited"])
    (dispute,) = merge(place).disputes
    assert (dispute.path, dispute.reason) == (b"a", "modify/delete")
    assert "main" in dispute.detail
    assert "side" in dispute.detail
    assert dispute.stages is not None
    assert dispute.stages.ours is None
    assert dispute.stages.theirs is not None


def test_two_files_of_one_name_are_told_apart_by_branch(place: Path) -> None:
    forked(place, *SCENARIOS["a file where a directory comes"])
    merged = merge(place)
    names = [line.partition("\t")[2] for line in listing(place, merged.tree.hex())]
    assert "place/inner" in names
    assert "place~main" in names
    assert merged.disputes[0].path == b"place~main"


def test_how_each_file_came_about(place: Path) -> None:
    code = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
    base = {"m.py": code, "x": LINES, "y": OTHER}
    ours = {
        "m.py": code.replace("return 2", "return 2\n\n\ndef three():\n    return 3"),
        "x": changed(LINES, 2),
        "y": OTHER,
    }
    theirs = {
        "m.py": code.replace("return 2", "return 2\n\n\ndef four():\n    return 4"),
        "x": changed(LINES, 15),
        "y": changed(OTHER, 1),
    }
    forked(place, base, ours, theirs)
    merged = merge(place)
    assert {file.path: file.how for file in merged.files} == {b"m.py": "ast", b"x": "line", b"y": "identical"}
    text = git("show", f"{merged.tree.hex()}:m.py", cwd=place)
    assert "def three" in text
    assert "def four" in text
    by_lines = merge(place, "line")
    assert [dispute.path for dispute in by_lines.disputes] == [b"m.py"]
    assert {file.path: file.how for file in by_lines.files}[b"m.py"] == "line"


def test_criss_cross(place: Path, tmp_path: Path) -> None:
    """Two best common ancestors, which agree on what the two sides then change."""
    start = commit(place, "start", {"f": LINES})
    one = commit(place, "one", {"f": changed(LINES, 2)}, start)
    two = commit(place, "two", {"f": changed(LINES, 18)}, start)
    both = changed(changed(LINES, 2), 18)
    left = commit(place, "left", {"f": both}, one, two)
    right = commit(place, "right", {"f": both}, two, one)
    commit(place, "main", {"f": changed(both, 6)}, left)
    commit(place, "side", {"f": changed(both, 12)}, right)
    objects = ObjectStore(place / ".git")
    assert len(merge_bases(objects, objects.resolve("main"), objects.resolve("side"))) == 2
    merged = merge(place)
    assert not merged.disputes
    assert listing(place, merged.tree.hex()) == merged_by_git(place, tmp_path / "work")
    commit(place, "side", {"f": changed(both, 6, "otherwise")}, right)
    assert merge(place).disputes


def test_attributes_are_looked_at(place: Path, tmp_path: Path) -> None:
    base = {
        ".gitattributes": "*.log merge=union\n",
        "dir/.gitattributes": "raw -merge\n",
        "x.log": "1\n",
        "dir/raw": LINES,
    }
    ours = base | {"x.log": "1\nours\n", "dir/raw": changed(LINES, 2)}
    theirs = base | {"x.log": "1\ntheirs\n", "dir/raw": changed(LINES, 18)}
    forked(place, base, ours, theirs)
    merged = merge(place)
    assert [dispute.path for dispute in merged.disputes] == [b"dir/raw"], "git merge has a conflict there, too"
    assert git("show", f"{merged.tree.hex()}:x.log", cwd=place) == "1\nours\ntheirs"
    assert git("show", f"{merged.tree.hex()}:dir/raw", cwd=place) + "\n" == ours["dir/raw"]
    assert merged_by_git(place, tmp_path / "work") is None
    forked(place, base, base | {"x.log": "1\nours\n"}, base | {"x.log": "1\ntheirs\n"})
    assert listing(place, merge(place).tree.hex()) == merged_by_git(place, tmp_path / "again")


@pytest.mark.parametrize("first", ["anvcs artifact 1", "version https://git-lfs.github.com/spec/v1"])
def test_two_pins_are_not_mixed(first: str, place: Path) -> None:
    """Lines that stand for an artifact: git would take the digest of one and the size of the other."""
    pin = "".join(f"{line}\n" for line in (first, "sha256 1", "a 1", "b 1", "c 1", "size 1"))
    forked(place, {"m": pin}, {"m": pin.replace("sha256 1", "sha256 2")}, {"m": pin.replace("size 1", "size 2")})
    merged = merge(place)
    assert [(dispute.path, dispute.lines) for dispute in merged.disputes] == [(b"m", (0, 0))]
    assert git("show", f"{merged.tree.hex()}:m", cwd=place) + "\n" == pin.replace("sha256 1", "sha256 2")
    forked(place, {"m": pin}, {"m": pin}, {"m": pin.replace("sha256 1", "sha256 2")})
    assert not merge(place).disputes, "only one has changed: it is taken"


def test_one_artifact_pinned_by_both(place: Path) -> None:
    """What is pinned is the content: where it lies and when it was written is no quarrel."""
    pins = [Pin(storage="s3", key=key, sha256=64 * "a", size=1, mtime_ns=time) for key, time in (("m", 1), ("n", 2))]
    ours, theirs = (encode_pointer(pin).decode() for pin in pins)
    for base in ({}, {"m": "anvcs artifact 1\nsha256 1\n"}):
        forked(place, {"x": "x"} | base, {"x": "x", "m": ours}, {"x": "x", "m": theirs})
        merged = merge(place)
        assert merged.disputes == ()
        assert git("show", f"{merged.tree.hex()}:m", cwd=place) + "\n" == ours


def test_unrelated_histories(place: Path) -> None:
    commit(place, "main", {"f": "1\n"})
    commit(place, "side", {"f": "2\n"})
    with pytest.raises(UnrelatedHistories):
        merge(place)


EDITS = st.dictionaries(st.integers(1, 20), st.sampled_from(["", "x", "y"]), max_size=4)
SIDE = st.dictionaries(st.sampled_from(["a", "b", "dir/x"]), EDITS | st.none(), max_size=3)


def edited(base: dict[str, str], side: dict[str, dict[int, str] | None]) -> dict[str, str]:
    tree = dict(base)
    for name, edits in side.items():
        if edits is None:
            del tree[name]
            continue
        lines = tree[name].splitlines(keepends=True)
        for number, word in edits.items():
            lines[number - 1] = f"{word} {number}\n" if word else ""
        tree[name] = "".join(lines)
    return tree or {"kept": "kept\n"}


@pytest.mark.property
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ours=SIDE, theirs=SIDE)
def test_never_clean_where_git_is_not_and_equal_where_it_is(place: Path, ours, theirs) -> None:
    """With merging by lines the two agree on everything."""
    base = {"a": LINES, "b": OTHER, "dir/x": LINES + OTHER}
    forked(place, base, edited(base, ours), edited(base, theirs))
    merged = merge(place, "line")
    command = ["git", "-c", "merge.directoryRenames=true", "merge-tree", "--write-tree", "main", "side"]
    by_git = run(*command, cwd=place)
    assert bool(merged.disputes) == (by_git.code != 0)
    if not merged.disputes:
        assert merged.tree.hex() == by_git.output.split()[0]


def test_files_after_a_criss_cross_merge_are_looked_at_again(place: Path) -> None:
    code = "def one():\n    return 1\n\n\ndef two():\n    return 2\n\n\ndef three():\n    return 3\n"
    start = commit(place, "start", {"m.py": code, "x": LINES})
    ours = commit(place, "ours", {"m.py": code, "x": changed(LINES, 2)}, start)
    theirs = commit(place, "theirs", {"m.py": code, "x": changed(LINES, 18)}, start)
    both = {"m.py": code, "x": changed(changed(LINES, 2), 18)}
    first, second = (
        commit(place, name, both, *sides) for name, sides in (("a", (ours, theirs)), ("b", (theirs, ours)))
    )
    added = "def added():\n    return {}\n\n\n"
    commit(place, "main", both | {"m.py": added.format(1) + code}, first)
    commit(place, "side", both | {"m.py": code + "\n\n" + added.format(2).rstrip("\n") + "\n"}, second)
    merged = merge(place)
    assert len(merged.bases) == 2
    assert [(one.path, one.reason) for one in merged.disputes] == [(b"m.py", "same-key")]
