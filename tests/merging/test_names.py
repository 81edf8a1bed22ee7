"""Python names that a merge tears from their definitions."""

import pytest

from anvcs.merging.names import python_error, torn_between, torn_inside, undefined


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("print(here)\n", {"here"}),
        ("import os\nprint(os.sep, __name__, len([]))\n", set()),
        ("def f(a, *b, c=1, **d):\n    return a, b, c, d, f, gone\n", {"gone"}),
        ("class C:\n    x = 1\n    def m(self):\n        return __class__, x\n", {"x"}),
        ("def f():\n    global made\n    made = 1\n\ndef g():\n    return made\n", set()),
        ("from module import *\nprint(anything)\n", set()),
        ("print([one for one in range(3) if two])\n", {"two"}),
        ("try:\n    pass\nexcept E as error:\n    print(error)\n", {"E"}),
        ("if (n := 3) > 2:\n    print(n)\n", set()),
        ("import a.b as c, d.e\nprint(c, d)\n", set()),
        ("x: int = y\n", {"y"}),
    ],
)
def test_undefined(source: str, names: set[str]) -> None:
    assert undefined(source.encode()) == names


def test_what_is_no_python() -> None:
    assert undefined(b"def (:\n") is None
    assert undefined(b"\xff\xfe\n") is None
    assert python_error(b"x = (\n") == 1
    assert python_error(b"x = 1\n") == 0


def test_only_what_is_new_is_told() -> None:
    merged = b"import os\n\n\ndef new():\n    return late\n\n\nprint(old())\n"
    ours = b"import os\n\n\ndef old():\n    return late\n\n\nprint(old())\n"
    theirs = b"import os\n\n\ndef new():\n    return late\n"
    assert [(one.name, one.line) for one in torn_inside(b"m.py", merged, ours, (ours, theirs))] == [("old", 8)]
    assert torn_inside(b"m.py", ours, ours, (ours, theirs)) == []


BASE = {b"lib.py": b"def old():\n    return 1\n", b"user.py": b"x = 1\n", b"pkg/__init__.py": b"LIMIT = 1\n"}


def reader(tree: dict[bytes, bytes]):
    return tree.get


@pytest.mark.parametrize(
    "user",
    [
        b"import lib\n\nprint(lib.old())\n",
        b"from lib import old\n\nprint(old())\n",
        b"from . import lib as other\n\nprint(other.old())\n",
        b"from .lib import old as o\n\nprint(o())\n",
    ],
)
def test_one_side_renames_what_the_other_newly_calls(user: bytes) -> None:
    ours, theirs = BASE | {b"user.py": user}, BASE | {b"lib.py": b"def new():\n    return 1\n"}
    merged = ours | {b"lib.py": theirs[b"lib.py"]}
    found = torn_between(BASE, reader(BASE), reader(merged), (reader(ours), reader(theirs)))
    assert [(one.path, one.name, one.module) for one in found] == [(b"user.py", "old", b"lib.py")]
    assert "user.py:" in found[0].sentence
    assert "lib.py has no more" in found[0].sentence


def test_a_renamed_function_that_everybody_followed() -> None:
    theirs = BASE | {b"lib.py": b"def new():\n    return 1\n", b"user.py": b"from lib import new\n"}
    assert torn_between(BASE, reader(BASE), reader(theirs), (reader(BASE), reader(theirs))) == []
    # Broken on a side already: not the merge's fault.
    broken = BASE | {b"lib.py": b"def new():\n    return 1\n", b"user.py": b"from lib import old\n"}
    assert torn_between(BASE, reader(BASE), reader(broken), (reader(BASE), reader(broken))) == []


def test_a_constant_of_a_package() -> None:
    user = b"import pkg\n\nprint(pkg.LIMIT)\n"
    ours, theirs = BASE | {b"user.py": user}, BASE | {b"pkg/__init__.py": b"MAXIMUM = 1\n"}
    merged = ours | {b"pkg/__init__.py": theirs[b"pkg/__init__.py"]}
    found = torn_between(BASE, reader(BASE), reader(merged), (reader(ours), reader(theirs)))
    assert [one.name for one in found] == ["LIMIT"]
