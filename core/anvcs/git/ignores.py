"""What Git ignores, decided from the contents of the ignore files alone.

Nothing here reads a work tree: the caller says which ``.gitignore`` files there are.
"""

from collections.abc import Mapping
from typing import NamedTuple

from anvcs.git.patterns import Matcher, Pattern, parse_pattern

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MOST_DIRECTORIES = 1 << 16  # remembered at once; asking again costs microseconds


class IgnoreList:
    """The lines of one ignore file, compiled."""

    __slots__ = ("_dirs", "_files", "_negated")

    def __init__(self, data: bytes, *, fold: bool = False) -> None:
        patterns: list[Pattern] = []
        self._negated: list[bool] = []
        for line in _lines(data):
            negated = line.startswith(b"!")
            patterns.append(parse_pattern(line[negated:]))
            self._negated.append(negated)
        numbered = list(enumerate(patterns))
        self._dirs = Matcher(numbered, fold=fold)
        if any(pattern.dirs_only for pattern in patterns):
            self._files = Matcher([(n, p) for n, p in numbered if not p.dirs_only], fold=fold)
        else:
            self._files = self._dirs

    @property
    def empty(self) -> bool:
        """Whether no line can ever say anything."""
        return self._dirs.empty

    def opinion(self, name: bytes, path: bytes, *, is_dir: bool) -> bool | None:
        """True: ignored, False: taken back by a ``!`` line, None: not mentioned."""
        number = (self._dirs if is_dir else self._files).last(name, path)
        return None if number < 0 else not self._negated[number]


def _lines(data: bytes) -> list[bytes]:
    """The lines that hold patterns, trimmed as Git trims them."""
    found = []
    for raw in data.removeprefix(_BYTE_ORDER_MARK).split(b"\n"):
        if raw.startswith(b"#"):
            continue
        line = _without_trailing_spaces(raw.removesuffix(b"\r").partition(b"\0")[0])
        if line:
            found.append(line)
    return found


def _without_trailing_spaces(line: bytes) -> bytes:
    """Spaces at the end go, unless a backslash keeps the first of them."""
    bare = line.rstrip(b" ")
    slashes = len(bare) - len(bare.rstrip(b"\\"))
    if slashes % 2 and len(bare) < len(line):
        return bare + b" "
    return bare


class _Directory(NamedTuple):
    ignored: bool
    chain: tuple[tuple[IgnoreList, int], ...]
    """Lists that apply to its entries, the nearest first, with the length of their own prefix."""


class IgnoreRules:
    """All ignore files of one state of a work tree; made anew when one of them changes.

    Safe to ask from several threads: what is remembered is only ever added.
    """

    def __init__(self, files: Mapping[bytes, IgnoreList], common: tuple[IgnoreList, ...]) -> None:
        """*files*: by directory; *common*: those outside the tree, the strongest first."""
        self._files = files
        outside = tuple((rules, 0) for rules in common if not rules.empty)
        self._top = _Directory(ignored=False, chain=self._with(b"", outside))
        self._directories: dict[bytes, _Directory] = {b"": self._top}

    def ignored(self, path: bytes, *, is_dir: bool) -> bool:
        """Whether Git would ignore *path* if it were untracked."""
        parent, _, name = path.rpartition(b"/")
        directory = self._directories.get(parent) or self._directory(parent)
        return directory.ignored or _judge(directory.chain, name, path, is_dir=is_dir)

    def _with(self, path: bytes, chain: tuple[tuple[IgnoreList, int], ...]) -> tuple[tuple[IgnoreList, int], ...]:
        own = self._files.get(path)
        if own is None or own.empty:
            return chain
        return ((own, len(path) + 1 if path else 0), *chain)

    def _directory(self, path: bytes) -> _Directory:
        """A directory's rules, made from those of the nearest known ancestor downwards."""
        if len(self._directories) > _MOST_DIRECTORIES:
            self._directories = {b"": self._top}
        known = self._directories
        missing = []
        while (found := known.get(path)) is None:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for path in reversed(missing):
            # Nothing below an ignored directory is looked at, a !line in it included.
            name = path.rpartition(b"/")[2]
            if found.ignored or _judge(found.chain, name, path, is_dir=True):
                found = _Directory(ignored=True, chain=())
            else:
                found = _Directory(ignored=False, chain=self._with(path, found.chain))
            known[path] = found
        return found


def _judge(chain: tuple[tuple[IgnoreList, int], ...], name: bytes, path: bytes, *, is_dir: bool) -> bool:
    for rules, skip in chain:
        opinion = rules.opinion(name, path[skip:], is_dir=is_dir)
        if opinion is not None:
            return opinion
    return False
