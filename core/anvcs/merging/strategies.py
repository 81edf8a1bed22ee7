"""Which way a file is merged: a strategy by name, chosen by the file's path.

A strategy is a function of the three versions, the path and the options; other packages offer
theirs under the entry point group ``anvcs.merge_strategies``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points

from anvcs.errors import AnvcsError
from anvcs.merging.merge import Options, merge_file
from anvcs.model.merge import Conflict, MergeResult
from anvcs.model.stream_merge import SIDES

GROUP = "anvcs.merge_strategies"
DEFAULT = "structure"

Strategy = Callable[[bytes, bytes, bytes, bytes, Options], MergeResult]
"""Base, left, right, path, options."""


class NoSuchStrategy(AnvcsError):
    """Nothing installed merges by this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no merge strategy {name!r}; known are: {', '.join(known_strategies())}")
        self.name = name


class StrategyFailed(AnvcsError):
    """A strategy of another package raised something, or gave something that is no result."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"the merge strategy {name} failed: {why}")
        self.name = name


def _structure(base: bytes, left: bytes, right: bytes, path: bytes, options: Options) -> MergeResult:
    return merge_file(base, left, right, path, options)


def _line(base: bytes, left: bytes, right: bytes, path: bytes, options: Options) -> MergeResult:
    del path  # a file without a name is of no language
    return merge_file(base, left, right, b"", options)


def _favouring(side: str) -> Strategy:
    def merge(base: bytes, left: bytes, right: bytes, path: bytes, options: Options) -> MergeResult:
        return decided(merge_file(base, left, right, path, options), side)

    return merge


_BUILT_IN: Mapping[str, Strategy] = {
    DEFAULT: _structure,
    "line": _line,
    **{side: _favouring(side) for side in SIDES},
}


def known_strategies() -> list[str]:
    """Every name that `strategy` takes."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


@cache
def strategy(name: str) -> Strategy:
    """The strategy called *name*; raises `NoSuchStrategy`."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    for point in entry_points(group=GROUP, name=name):
        return _guarded(name, point.load())
    raise NoSuchStrategy(name)


def _guarded(name: str, merge: Strategy) -> Strategy:
    """*merge* of another package: whatever it raises is an error of ours, and what it returns is looked at."""

    def guarded(base: bytes, left: bytes, right: bytes, path: bytes, options: Options) -> MergeResult:
        try:
            result = merge(base, left, right, path, options)
        except Exception as error:
            raise StrategyFailed(name, str(error) or type(error).__name__) from error
        if not isinstance(result, MergeResult):
            raise StrategyFailed(name, f"it gave a {type(result).__name__}")
        return result

    return guarded


class Chooser:
    """Which strategy a path gets: that of the last pattern that matches, else the general one."""

    def __init__(self, general: str, patterns: Iterable[tuple[Callable[[bytes], bool], str]] = ()) -> None:
        self._general = strategy(general)
        self._patterns: Sequence[tuple[Callable[[bytes], bool], Strategy]] = [
            (matches, strategy(name)) for matches, name in patterns
        ]

    def __call__(self, path: bytes, otherwise: str = "") -> Strategy:
        """The strategy for *path*; where no pattern matches, the one called *otherwise* if that is given."""
        found = strategy(otherwise) if otherwise else self._general
        for matches, chosen in self._patterns:
            if matches(path):
                found = chosen
        return found


def decided(result: MergeResult, side: str) -> MergeResult:
    """*result* with every conflict decided for one of `SIDES`."""
    if result.clean:
        return result
    whole = next((one for one in result.conflicts if not one.first_line), None)
    if whole is not None:
        # Nobody looks into such a file, so nothing can be united.
        return result if side == "union" else replace(result, content=_pick(whole, side), conflicts=())
    lines = result.content.splitlines(keepends=True)
    for one in sorted(result.conflicts, key=lambda one: -one.first_line):
        lines[one.first_line - 1 : one.last_line] = [_pick(one, side)]
    return replace(result, content=b"".join(lines), conflicts=())


def _pick(conflict: Conflict, side: str) -> bytes:
    if side == "ours":
        return conflict.left
    if side == "theirs":
        return conflict.right
    left = conflict.left
    return left + (b"" if not left or left.endswith(b"\n") else b"\n") + conflict.right
