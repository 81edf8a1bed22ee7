"""What the changed parts of a file tell of the whole: never that it can be parsed when it can't."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anvcs.linediff import line_hunks
from anvcs.merging.lines import line_merge
from anvcs.merging.parsing import parses
from anvcs.merging.pieces import is_clean, text_of
from anvcs.merging.profiles import load
from anvcs.merging.segments import well_formed_segments
from anvcs.merging.wellformed import broken_by_merging

BASE = '''"""A module.

def sample(): in a text
    pass
"""
import os

NAMES = [
    one,

    two,
]


class Parser:
    """Parses.

    def example(self):
        return 1
    """

    @property
    def name(self):
        return os.name

    def parse(self, text):
        values = [
            text,
            self.name,
        ]

        return values


def main():
    if NAMES:
        return call(
            1,

            two=2,
        )
    return None
'''
LINES = BASE.splitlines(keepends=True)
NEW = [
    '"""\n', "    '''\n", "    )\n", "    ]\n", "\n", "    return (\n", "def other():\n", "    pass\n", "        x = 1,\n", "x = 1\n",
    "    def more(self):\n        return 2\n", "if x:\n", "else:\n", "            three,\n", "class New:\n    pass\n\n\n", "    @staticmethod\n",
]  # fmt: skip

edits = st.lists(
    st.tuples(st.integers(0, len(LINES) - 1), st.integers(0, 3), st.lists(st.sampled_from(NEW), max_size=2)),
    min_size=1,
    max_size=3,
)


def edited(changes: list[tuple[int, int, list[str]]]) -> bytes:
    lines = list(LINES)
    for at, count, new in sorted(changes, reverse=True):
        lines[at : at + count] = new
    return "".join(lines).encode()


@settings(max_examples=300)
@given(edits, edits)
def test_it_is_never_said_that_a_broken_file_can_be_parsed(ours: list, theirs: list) -> None:  # type: ignore[type-arg]
    left, right = edited(ours), edited(theirs)
    assume(parses(b"m.py", left) and parses(b"m.py", right))
    lines = line_merge(BASE.encode(), left, right, line_hunks)
    pieces = lines.pieces()
    assume(is_clean(pieces))
    merged = text_of(pieces)
    if well_formed_segments(merged, lines, load("python")) is not None:
        assert parses(b"m.py", merged), merged.decode()


def test_two_changes_in_places_of_their_own() -> None:
    left = BASE.replace("os.name\n", "os.name.lower()\n").encode()
    right = BASE.replace("return None", "return 0").encode()
    lines = line_merge(BASE.encode(), left, right, line_hunks)
    found = well_formed_segments(text_of(lines.pieces()), lines, load("python"))
    assert found is not None
    assert [(one.by_left, one.by_right) for one in found] == [(True, False), (False, True)]
    assert found[0].text.startswith(b"class _:\n    @property\n    def name")
    assert b"def parse" not in found[0].text


@pytest.mark.parametrize(
    ("left", "right"),
    [
        # Each side's call is right; Python minds what tree-sitter lets pass.
        (BASE.replace("            1,\n", "            1, **{},\n"), BASE.replace("two=2", "*NAMES, 3")),
    ],
)
def test_what_only_python_minds(left: str, right: str) -> None:
    base, ours, theirs = BASE.encode(), left.encode(), right.encode()
    merged = text_of(line_merge(base, ours, theirs, line_hunks).pieces())
    assert broken_by_merging(b"m.py", merged, base, (ours, theirs)) > 0
    assert broken_by_merging(b"m.py", ours, base, (ours, base)) == 0
