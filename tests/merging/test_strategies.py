"""Strategies: by name, by path, from other packages."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from anvcs.merging import strategies
from anvcs.merging.merge import Options
from anvcs.merging.strategies import Chooser, NoSuchStrategy, StrategyFailed, known_strategies, strategy
from anvcs.model.merge import How, MergeResult

BASE, LEFT, RIGHT = b"a\nb\nc\n", b"a\nleft\nc\n", b"a\nright\nc\n"


def merged(
    name: str, base: bytes = BASE, left: bytes = LEFT, right: bytes = RIGHT, path: bytes = b"f.txt"
) -> MergeResult:
    return strategy(name)(base, left, right, path, Options())


@pytest.mark.parametrize(("name", "text"), [("ours", LEFT), ("theirs", RIGHT), ("union", b"a\nleft\nright\nc\n")])
def test_a_side_decides_conflicts_and_nothing_else(name: str, text: bytes) -> None:
    assert merged(name).content == text
    assert merged(name).clean
    # What doesn't clash is taken from both sides all the same.
    both = merged(name, b"1\n2\n3\n4\n5\n6\n", b"one\n2\n3\n4\n5\n6\n", b"1\n2\n3\n4\n5\nsix\n")
    assert both.content == b"one\n2\n3\n4\n5\nsix\n"


def test_several_blocks() -> None:
    base = b"1\n2\n3\n4\n5\n6\n7\n"
    left, right = base.replace(b"1", b"l1").replace(b"7", b"l7"), base.replace(b"1", b"r1").replace(b"7", b"r7")
    assert merged("theirs", base, left, right).content == right
    assert merged("union", base, left, right).content == b"l1\nr1\n2\n3\n4\n5\n6\nl7\nr7\n"


def test_what_nobody_looks_into() -> None:
    sides = (b"\0base", b"\0left", b"\0right")
    assert merged("ours", *sides).content == sides[1]
    assert merged("theirs", *sides).content == sides[2]
    assert not merged("union", *sides).clean


def test_lines_alone() -> None:
    base = b"def one():\n    return 1\n"
    left, right = base + b"\n\ndef two():\n    pass\n", base + b"\n\ndef three():\n    pass\n"
    assert merged("structure", base, left, right, b"m.py").clean
    assert not merged("line", base, left, right, b"m.py").clean


def test_unknown() -> None:
    with pytest.raises(NoSuchStrategy, match="structure"):
        Chooser("magic")


def test_by_path() -> None:
    choose = Chooser(
        "line", [(lambda path: path.endswith(b".lock"), "theirs"), (lambda path: path == b"a.lock", "ours")]
    )
    assert choose(b"f.txt") is strategy("line")
    assert choose(b"b.lock") is strategy("theirs")
    assert choose(b"a.lock") is strategy("ours"), "the last pattern that matches counts"


def shout(base: bytes, left: bytes, right: bytes, path: bytes, options: Options) -> MergeResult:
    return MergeResult(b"MERGED\n", How.LINE)


def raises(*_: object) -> MergeResult:
    raise ValueError("no idea")


def nonsense(*_: object) -> str:
    return "text"


def test_from_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{name}", strategies.GROUP) for name in ("shout", "raises", "nonsense")
    )
    functions = {"shout": shout, "raises": raises, "nonsense": nonsense}
    monkeypatch.setattr(EntryPoint, "load", lambda self: functions[self.name])
    monkeypatch.setattr(strategies, "entry_points", points.select)
    strategy.cache_clear()
    try:
        assert {"shout", "structure"} <= {*known_strategies()}
        assert merged("shout").content == b"MERGED\n"
        for name in ("raises", "nonsense"):
            with pytest.raises(StrategyFailed, match=name):
                merged(name)
    finally:
        strategy.cache_clear()
