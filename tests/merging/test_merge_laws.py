"""What holds for every merge, clean or not."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anvcs.linediff import sequence_hunks
from anvcs.merging import Options, merge_file
from anvcs.merging.histogram import compared
from anvcs.merging.parsing import parses
from anvcs.model.merge import How

NAMES = st.sampled_from("abcdefgh")
_FEW = settings(max_examples=40, deadline=None)


@st.composite
def modules(draw: st.DrawFn) -> list[str]:
    """A module of Python as a list of statements with different names."""
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    out = []
    for name in names:
        kind = draw(st.sampled_from(("import", "def", "class", "name")))
        number = draw(st.integers(0, 3))
        match kind:
            case "import":
                out.append(f"import {name}\n")
            case "def":
                out.append(f"\n\ndef {name}(x={number}):\n    y = {number}\n    return x + y\n")
            case "class":
                out.append(f"\n\nclass {name}:\n    def m{number}(self):\n        return {number}\n")
            case _:
                out.append(f"{name} = f({number}, k={number})\n")
    return out


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, str]:
    """A module and two changes of it."""
    base = draw(modules())
    sides = []
    for side in ("left", "right"):
        statements = list(base)
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(statements)))
            match draw(st.sampled_from(("add", "drop", "change"))):
                case "add":
                    name = draw(NAMES)
                    statements.insert(at, draw(st.sampled_from((f"import {side}_{name}\n", f"{name}_{side} = 1\n"))))
                case "drop":
                    del statements[at : at + 1]
                case _ if at < len(statements):
                    statements[at] = statements[at].replace("1", "4").replace("0", "5")
        sides.append("".join(statements))
    return "".join(base), sides[0], sides[1]


texts = st.text(st.sampled_from("ab\n {}()[]:,=\"'#\r\té\0"), max_size=60).map(str.encode) | st.binary(max_size=40)
paths = st.sampled_from(["a.py", "a.js", "a.tsx", "a.json", "a.yaml", "a.toml", "a.csv", ".gitignore", "a.ipynb", "a"])


@_FEW
@given(paths, texts, texts)
def test_one_change_is_taken(path, base, new):
    for left, right in ((base, new), (new, base), (new, new)):
        assert merge_file(base, left, right, path).content == new


@_FEW
@given(paths, texts, texts, texts)
def test_garbage_ends_and_loses_no_line(path, base, left, right):
    found = merge_file(base, left, right, path)
    if found.how is How.OPAQUE:
        return
    for side, other in ((left, right), (right, left)):
        put = Counter(side.split()) - Counter(base.split())
        kept = Counter(found.content.split()) + Counter(base.split()) + Counter(other.split())
        assert not put.keys() - kept.keys() or not found.clean


@_FEW
@given(changes())
def test_what_is_clean_parses_and_keeps_both(change):
    base, left, right = (text.encode() for text in change)
    found = merge_file(base, left, right, "a.py")
    if not found.clean:
        return
    assert parses(b"a.py", found.content)
    for side in (left, right):
        mine = set(re.findall(rb"\w+_(?:left|right)\b|\b(?:left|right)_\w+", side))
        assert mine <= set(re.findall(rb"\w+", found.content))
        for word in mine:
            assert len(re.findall(rb"\b" + word + rb"\b", found.content)) == len(
                re.findall(rb"\b" + word + rb"\b", side)
            )


@_FEW
@given(changes())
def test_the_sides_are_equal_but_for_the_order(change):
    base, left, right = (text.encode() for text in change)
    one, other = merge_file(base, left, right, "a.py"), merge_file(base, right, left, "a.py")
    assert one.clean == other.clean
    if one.clean:
        assert sorted(re.findall(rb"\w+", one.content)) == sorted(re.findall(rb"\w+", other.content))


@_FEW
@given(changes())
def test_conflicts_tell_both_sides_and_where(change):
    base, left, right = (text.encode() for text in change)
    found = merge_file(base, left, right, "a.py")
    lines = found.content.split(b"\n")
    for conflict in found.conflicts:
        block = lines[conflict.first_line - 1 : conflict.last_line]
        assert block[0].startswith(b"<<<<<<< left")
        assert block[-1].startswith(b">>>>>>> right")
        middle = block.index(b"=======")
        assert b"\n".join(block[1:middle]) == conflict.left.removesuffix(b"\n")
        assert b"\n".join(block[middle + 1 : -1]) == conflict.right.removesuffix(b"\n")


@_FEW
@given(changes())
def test_never_more_to_decide_than_by_lines(change):
    base, left, right = (text.encode() for text in change)
    ours = merge_file(base, left, right, "a.py")
    lines = merge_file(base, left, right, "a.txt")
    if lines.clean and ours.how is How.LINE:
        assert ours.content == lines.content or ours.conflicts
    elif not lines.clean:
        assert len(ours.conflicts) <= len(lines.conflicts) or ours.how is How.AST


@_FEW
@given(
    st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=12),
    st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=12),
)
def test_hunks_lead_from_one_to_the_other(old, new):
    for method in (compared, sequence_hunks):
        out, at = [], 0
        for a0, a1, b0, b1 in method(old, new):
            assert a0 < a1 or b0 < b1
            out += old[at:a0] + new[b0:b1]
            at = a1
        assert out + old[at:] == new


@pytest.mark.parametrize(
    ("open_base", "open_left", "open_right", "open_merged"),
    [(False, True, False, True), (True, True, False, False), (True, True, True, True), (False, False, True, True)],
)
def test_the_end_of_the_last_line_is_merged_too(open_base, open_left, open_right, open_merged):
    def text(lines: str, is_open: bool) -> bytes:
        return (lines.removesuffix("\n") if is_open else lines).encode()

    found = merge_file(
        text("a = 1\n\nb = 2\n", open_base),
        text("a = 10\n\nb = 2\n", open_left),
        text("a = 1\n\nc = 3\n\nb = 2\n", open_right),
        "a.py",
    )
    assert found.content == text("a = 10\n\nc = 3\n\nb = 2\n", open_merged)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("text", ["s = 'ä'".encode(), b"s = '\xe4\xff'"])
def test_bytes_stay_as_they_are(mark, text):
    base = mark + text + b"\r\nclass A:\r\n\tdef f(self):\r\n\t\treturn 1\r\n"
    left = base + b"\r\n\tdef g(self):\r\n\t\treturn 2\r\n"
    right = base + b"\r\n\tdef h(self):\r\n\t\treturn 3\r\n"
    found = merge_file(base, left, right, "a.py")
    assert found.content == left + right.removeprefix(base)
    assert found.how is How.AST


def test_what_is_not_text_is_taken_whole():
    found = merge_file(b"\0a", b"\0b", b"\0a", "a.bin")
    assert (found.content, found.how) == (b"\0b", How.IDENTICAL)
    found = merge_file(b"\0a", b"\0b", b"\0c", "a.bin")
    assert (found.content, found.how, found.conflicts[0].right) == (b"\0b", How.OPAQUE, b"\0c")


def test_too_slow_falls_back_to_lines():
    both = [b"x = 1\n" + add for add in (b"", b"import a\n", b"import b\n")]
    assert merge_file(*both, "a.py").clean
    found = merge_file(*both, "a.py", Options(seconds=1e-9))
    assert (found.clean, found.how) == (False, How.LINE)
    assert "too much for the time" in found.notes[0]


def test_what_does_not_parse_falls_back_to_lines():
    found = merge_file(b"x = (\n", b"x = (\nimport a\n", b"x = (\nimport b\n", "a.py")
    assert (found.clean, found.how) == (False, How.LINE)
    assert "well-formed" in found.notes[0]


def test_depth_is_no_danger():
    deep = b"[" * 3000 + b"]" * 3000
    found = merge_file(deep, deep.replace(b"[]", b"[1]"), deep.replace(b"[]", b"[2]"), "a.json")
    assert not found.clean


def test_lock_files_by_choice():
    texts = (b'{"a": 1}\n', b'{"a": 2}\n', b'{"a": 3}\n')
    assert not merge_file(*texts, "x/package-lock.json").clean
    found = merge_file(*texts, "x/package-lock.json", Options(locks="right"))
    assert (found.clean, found.content) == (True, texts[2])
    assert "lock file" in found.notes[0]


def test_a_missing_grammar_is_told(monkeypatch):
    monkeypatch.setattr("anvcs.merging.profiles._language", lambda *_: None)
    found = merge_file(b"x = 1\n", b"import a\nx = 1\n", b"import b\nx = 1\n", "a.py")
    assert not found.clean
    assert "not installed" in found.notes[0]


def test_a_file_that_both_added_shows_only_what_differs():
    shared = b"".join(b"line %d\n" % number for number in range(10))
    found = merge_file(b"", b"a\n" + shared + b"b\n", b"c\n" + shared + b"d\n", "a.txt")
    assert [(each.left, each.right) for each in found.conflicts] == [(b"a\n", b"c\n"), (b"b\n", b"d\n")]
    few = merge_file(b"", b"a\nx\nb\n", b"c\nx\nd\n", "a.txt")
    assert [(each.left, each.right) for each in few.conflicts] == [(b"a\nx\nb\n", b"c\nx\nd\n")]
