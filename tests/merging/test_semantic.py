"""What two versions differ in, by entity."""

import pytest

from anvcs.merging.semantic import changes, entities, entity_lines

PYTHON = b'''import os


class Parser:
    """A parser."""

    def parse(self, text):
        return text.split()

    def render(self, words):
        out = []
        for word in words:
            out.append(word)
        return " ".join(out)


def helper(a, b):
    total = a + b
    print(total)
    return total
'''


def told(path: bytes, old: bytes, new: bytes) -> list[tuple[str, str]]:
    before, after = entities(path, old), entities(path, new)
    assert before is not None
    assert after is not None
    return [(change.what, change.entity) for change in changes(before, after)]


def moved(text: bytes) -> bytes:
    """``helper`` before the class."""
    head, tail = text.split(b"class Parser"), text[text.index(b"def helper") :]
    return head[0] + tail + b"\n\nclass Parser" + head[1][: head[1].index(b"def helper")].rstrip() + b"\n"


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (PYTHON, []),
        (PYTHON.replace(b"import os\n", b"import os\nimport re\n"), []),
        (
            PYTHON.replace(b"(self, text)", b"(self, text, sep=None)"),
            [("signature changed", "class Parser \u203a def parse")],
        ),
        (PYTHON.replace(b"a + b", b"b + a"), [("body changed", "def helper")]),
        (PYTHON.replace(b"def helper", b"def adder"), [("renamed", "def adder")]),
        (moved(PYTHON), [("moved", "def helper")]),
        (PYTHON + b"\n\ndef new():\n    pass\n", [("added", "def new")]),
        (PYTHON[: PYTHON.index(b"def helper")], [("removed", "def helper")]),
        (PYTHON.replace(b"A parser", b"The parser"), [("body changed", "class Parser")]),
        (PYTHON.replace(b"class Parser", b"class Reader"), [("renamed", "class Reader")]),
    ],
    ids=["same", "import", "signature", "body", "renamed", "moved", "added", "removed", "docstring", "class"],
)
def test_python(new: bytes, expected: list[tuple[str, str]]) -> None:
    found = [one for one in told(b"m.py", PYTHON, new) if "import" not in one[1]]
    assert found == expected


def test_keys_of_data() -> None:
    old, new = b'{"a": 1, "b": {"c": 2}, "d": 3}\n', b'{"a": 2, "b": {"c": 2, "e": 4}}\n'
    assert told(b"x.json", old, new) == [
        ("value changed", "key a"),
        ("key added", "key b \u203a key e"),
        ("key removed", "key d"),
    ]


def test_where_a_line_is() -> None:
    at = entity_lines(b"m.py", PYTHON)
    assert at(1) in {"", "import os"}
    assert at(8) == "class Parser \u203a def parse"
    assert at(5) == "class Parser"
    assert at(20) == "def helper"
    assert entity_lines(b"m.unknown", PYTHON)(8) == ""


@pytest.mark.parametrize("path", [b"m.unknown", b"m.py"])
def test_what_nobody_can_read(path: bytes) -> None:
    assert entities(path, b"def (:\n") is None
