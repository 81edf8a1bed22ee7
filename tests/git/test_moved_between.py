"""Definitions that one side moves to another file while the other side edits them."""

from pathlib import Path

import pytest

from anvcs.explaining import explained
from anvcs.git.objects import ObjectStore
from anvcs.merge_ways import Ways
from anvcs.model.stream_merge import Merged
from anvcs.tree_merging import Names, TreeMerger
from support.merges import Tree, empty, forked
from support.programs import git

PARSE = '''def parse(text):
    """Words of a text."""
    words = text.split()
    found = []
    for word in words:
        found.append(word.strip())
    return found
'''
COUNT = """def count(text):
    total = 0
    for line in text.split():
        total += len(line)
    return total
"""
HEAD = "import os\n\nLIMIT = 1000\n\n\n"
PARSE_EDITED = PARSE.replace("word.strip()", "word.strip().lower()")
COUNT_EDITED = COUNT.replace("len(line)", "len(line) + 1")
A = HEAD + PARSE + "\n\n" + COUNT
B = '"""Other things."""\n\n\ndef other():\n    return 1\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return empty(tmp_path / "repository")


def merge(place: Path, base: Tree, ours: Tree, theirs: Tree) -> Merged:
    forked(place, base, ours, theirs)
    objects = ObjectStore(place / ".git")
    merger = TreeMerger(objects, Ways("structure"))
    return merger.merge(objects.resolve("main"), objects.resolve("side"), Names("main", "side"))


def content(place: Path, merged: Merged, path: str) -> str:
    return git("show", f"{merged.tree.hex()}:{path}", cwd=place) + "\n"


def names(place: Path, merged: Merged) -> list[str]:
    return git("ls-tree", "-r", "--name-only", merged.tree.hex(), cwd=place).split()


def both_ways(place: Path, base: Tree, mover: Tree, editor: Tree) -> list[Merged]:
    """The merge, and that with the sides exchanged."""
    return [merge(place, base, mover, editor), merge(place, base, editor, mover)]


BASE = {"a.py": A, "b.py": B}
MOVED = {"a.py": HEAD + COUNT, "b.py": B + "\n\n" + PARSE}
EDITED = {"a.py": A.replace(PARSE, PARSE_EDITED), "b.py": B}


def test_to_a_file_that_was_there(place: Path) -> None:
    for merged in both_ways(place, BASE, MOVED, EDITED):
        assert not merged.disputes
        assert content(place, merged, "a.py") == MOVED["a.py"]
        assert content(place, merged, "b.py") == B + "\n\n" + PARSE_EDITED
        assert {file.path: file.how for file in merged.files} == {b"a.py": "ast", b"b.py": "ast"}
    told = {file["path"]: file for file in explained(ObjectStore(place / ".git"), merged)}
    assert "def parse: moved to b.py by theirs" in told["a.py"]["notes"][0]
    assert "def parse: moved here from a.py by theirs" in told["b.py"]["notes"][0]
    decisions = [[block["decision"] for block in told[path]["blocks"]] for path in ("a.py", "b.py")]
    assert decisions == [
        ["theirs, which moved to another file what the other changed"],
        ["both: what one side moved here, with what the other changed"],
    ]


def test_to_a_new_file_and_both_files_edited(place: Path) -> None:
    mover = {"a.py": HEAD.replace("1000", "2000") + COUNT, "new/c.py": PARSE, "b.py": B}
    editor = EDITED | {"a.py": EDITED["a.py"].replace("total = 0", "total = 10")}
    for merged in both_ways(place, BASE, mover, editor):
        assert not merged.disputes
        assert content(place, merged, "new/c.py") == PARSE_EDITED
        assert content(place, merged, "a.py") == mover["a.py"].replace("total = 0", "total = 10")


def test_the_other_file_changed_on_both_sides_and_renamed(place: Path) -> None:
    editor = {"a.py": EDITED["a.py"], "renamed.py": B.replace("return 1", "return 2")}
    for merged in both_ways(place, BASE, MOVED, editor):
        assert not merged.disputes
        assert content(place, merged, "renamed.py") == editor["renamed.py"] + "\n\n" + PARSE_EDITED


def test_moved_and_edited_there_too(place: Path) -> None:
    mover = MOVED | {"b.py": B + "\n\n" + PARSE.replace("text.split()", "text.split(',')")}
    for merged in both_ways(place, BASE, mover, EDITED):
        assert not merged.disputes
        assert content(place, merged, "b.py") == mover["b.py"].replace("word.strip()", "word.strip().lower()")


def test_moved_into_a_class_and_indented(place: Path) -> None:
    method = "".join(f"    {line}" for line in PARSE.splitlines(keepends=True))
    mover = MOVED | {"b.py": B + "\n\nclass Tool:\n    @staticmethod\n" + method}
    for merged in both_ways(place, BASE, mover, EDITED):
        assert not merged.disputes
        assert content(place, merged, "b.py") == mover["b.py"].replace("word.strip()", "word.strip().lower()")


def test_renamed_on_the_way(place: Path) -> None:
    mover = MOVED | {"b.py": B + "\n\n" + PARSE.replace("parse", "words_of")}
    for merged in both_ways(place, BASE, mover, EDITED):
        assert not merged.disputes
        assert content(place, merged, "b.py") == B + "\n\n" + PARSE_EDITED.replace("parse", "words_of")


def test_a_constant(place: Path) -> None:
    mover = {"a.py": A.replace("LIMIT = 1000\n", "from b import LIMIT\n"), "b.py": "LIMIT = 1000\n" + B}
    editor = BASE | {"a.py": A.replace("LIMIT = 1000", "LIMIT = 5000")}
    for merged in both_ways(place, BASE, mover, editor):
        assert not merged.disputes
        assert content(place, merged, "b.py") == "LIMIT = 5000\n" + B
        assert content(place, merged, "a.py") == mover["a.py"]


def test_an_attribute_that_another_class_has_too(place: Path) -> None:
    base = {"a.py": A + "\n\nclass One:\n    page = 'all'\n    size = 1\n", "b.py": B}
    mover = {"a.py": base["a.py"].replace("    page = 'all'\n", ""), "b.py": B + "\n\nclass Two:\n    page = 'all'\n"}
    editor = base | {"a.py": base["a.py"].replace("'all'", "'some'")}
    for merged in both_ways(place, base, mover, editor):
        (dispute,) = merged.disputes
        assert "may have moved" not in dispute.detail
        assert content(place, merged, "b.py") == mover["b.py"]


def test_a_file_split_in_two(place: Path) -> None:
    """The file itself is gone, and everything that was changed in it is found."""
    filler = "".join(f"def f{number}():\n    return {number}\n\n\n" for number in range(8))
    base = {"a.py": filler + PARSE + "\n\n" + COUNT, "b.py": B}
    mover = {"b.py": B + "\n\n" + PARSE, "one.py": "import re\n\n\n" + COUNT}
    editor = {"a.py": filler + PARSE_EDITED + "\n\n" + COUNT_EDITED, "b.py": B}
    for merged in both_ways(place, base, mover, editor):
        assert not merged.disputes
        assert names(place, merged) == ["b.py", "one.py"]
        assert content(place, merged, "b.py") == B + "\n\n" + PARSE_EDITED
        assert content(place, merged, "one.py") == "import re\n\n\n" + COUNT_EDITED
    editor["a.py"] += "\n\ndef more():\n    return 1\n"
    for merged in both_ways(place, base, mover, editor):
        (dispute,) = merged.disputes
        assert dispute.reason == "modify/delete", "what was added to it is nowhere else"
        assert content(place, merged, "b.py") == mover["b.py"]


def test_the_file_renamed_and_one_function_moved_out_of_it(place: Path) -> None:
    mover = {"renamed.py": HEAD + COUNT + "\n\n" + B, "c.py": PARSE}
    base = {"a.py": A + "\n\n" + B}
    editor = {"a.py": A.replace(PARSE, PARSE_EDITED) + "\n\n" + B}
    for merged in both_ways(place, base, mover, editor):
        assert not merged.disputes
        assert content(place, merged, "c.py") == PARSE_EDITED
        assert content(place, merged, "renamed.py") == mover["renamed.py"]


def test_two_places_are_told(place: Path) -> None:
    mover = MOVED | {"c.py": PARSE}
    for merged in both_ways(place, BASE, mover, EDITED):
        (dispute,) = merged.disputes
        assert dispute.path == b"a.py"
        assert "may have moved def parse to b.py, line 8 or c.py, line 1" in dispute.detail
        assert content(place, merged, "b.py") == MOVED["b.py"]


def test_a_name_that_the_new_place_lacks(place: Path) -> None:
    """The edit uses an import of its own file."""
    edited = PARSE.replace("word.strip()", "word.strip(os.sep)")
    for merged in both_ways(place, BASE, MOVED, EDITED | {"a.py": A.replace(PARSE, edited)}):
        (dispute,) = merged.disputes
        assert "may have moved def parse to b.py, line 8" in dispute.detail
        assert content(place, merged, "b.py") == MOVED["b.py"]


def test_the_same_lines_edited_on_both_sides(place: Path) -> None:
    mover = MOVED | {"b.py": B + "\n\n" + PARSE.replace("word.strip()", "word.title()")}
    for merged in both_ways(place, BASE, mover, EDITED):
        assert [dispute.path for dispute in merged.disputes] == [b"a.py"]
        assert "b.py, line 8" in merged.disputes[0].detail


def test_what_was_there_before_has_not_moved(place: Path) -> None:
    base = BASE | {"b.py": MOVED["b.py"]}
    for merged in both_ways(place, base, base | {"a.py": MOVED["a.py"]}, base | {"a.py": EDITED["a.py"]}):
        (dispute,) = merged.disputes
        assert "may have moved" not in dispute.detail


def test_methods_of_classes_in_typescript(place: Path) -> None:
    method = "  area(width: number): number {\n    const twice = width * 2;\n    return twice * width;\n  }\n"
    shape = f"export class Shape {{\n  name = 'shape';\n\n{method}}}\n"
    base = {"shape.ts": shape, "box.ts": "export class Box {\n  side = 1;\n}\n"}
    mover = {
        "shape.ts": shape.replace("\n" + method, ""),
        "box.ts": f"export class Box {{\n  side = 1;\n\n{method}}}\n",
    }
    editor = base | {"shape.ts": shape.replace("width * 2", "width * 3")}
    for merged in both_ways(place, base, mover, editor):
        assert not merged.disputes
        assert content(place, merged, "box.ts") == mover["box.ts"].replace("width * 2", "width * 3")


def test_only_where_the_structure_decides(place: Path) -> None:
    attributes = {".gitattributes": "b.py -merge\n"}
    for merged in both_ways(place, BASE | attributes, MOVED | attributes, EDITED | attributes):
        assert [dispute.path for dispute in merged.disputes] == [b"a.py"]
        assert content(place, merged, "b.py") == MOVED["b.py"]


def test_both_moved_it_each_elsewhere(place: Path) -> None:
    """Git's merge has it twice, and no conflict."""
    ours = {"a.py": HEAD + COUNT, "b.py": B + "\n\n" + PARSE}
    theirs = {"a.py": HEAD + COUNT, "b.py": B, "c.py": PARSE_EDITED + "\n\nX = 1\n"}
    merged = merge(place, BASE, ours, theirs)
    here, there = merged.disputes
    assert (here.path, here.reason, here.entity) == (b"b.py", "doubled", "def parse")
    assert "ours moved def parse here, theirs to c.py" in here.detail
    assert (there.path, there.theirs, there.ours) == (b"c.py", PARSE_EDITED.encode(), b"")
    assert content(place, merged, "b.py") == (
        f"{B}\n\n<<<<<<< main def parse\n{PARSE}=======\n>>>>>>> side def parse\n"
    )
    assert content(place, merged, "c.py").endswith(f"=======\n{PARSE_EDITED}>>>>>>> side def parse\n\n\nX = 1\n")


def test_both_moved_it_to_one_file(place: Path) -> None:
    for editor in (MOVED, MOVED | {"b.py": MOVED["b.py"].replace("return 1", "return 2")}):
        for merged in both_ways(place, BASE, MOVED, editor):
            assert not merged.disputes
            assert content(place, merged, "b.py") == editor["b.py"]


def test_both_deleted_the_file_and_moved_what_was_in_it(place: Path) -> None:
    ours = {"b.py": B + "\n\n" + PARSE + "\n\n" + COUNT}
    theirs = {"b.py": B, "c.py": PARSE + "\n\n" + COUNT}
    filler = "".join(f"def f{number}():\n    return {number}\n\n\n" for number in range(20))
    merged = merge(place, BASE | {"a.py": filler + A}, ours, theirs)
    assert sorted((one.path, one.entity) for one in merged.disputes) == [
        (path, f"def {name}") for path in (b"b.py", b"c.py") for name in ("count", "parse")
    ]


def test_one_moved_it_within_the_file_and_one_out_of_it(place: Path) -> None:
    rest = COUNT + "".join(f"\n\ndef f{number}():\n    return {number}\n" for number in range(8))
    base = BASE | {"a.py": HEAD + PARSE + "\n\n" + rest}
    outside = {"a.py": HEAD + rest, "b.py": B, "c.py": PARSE + "\n\nX = 1\n"}
    for merged in both_ways(place, base, outside, BASE | {"a.py": HEAD + rest + "\n\n" + PARSE}):
        assert [(one.path, one.reason) for one in merged.disputes] == [(b"a.py", "doubled"), (b"c.py", "doubled")]
    beside = BASE | {"a.py": HEAD + PARSE + "\n\ndef more():\n    pass\n\n\n" + COUNT}
    for merged in both_ways(place, BASE, MOVED, beside):
        assert not merged.disputes
        assert "def parse" not in content(place, merged, "a.py")
