"""Attributes of paths, decided from the contents of the attribute files alone.

Only attributes that change bytes between a blob and a file are of interest, so lines
that say nothing about them (nor about macros) are dropped when a file is parsed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from anvcs.git.patterns import Matcher, Pattern, parse_pattern, predicate

Value = bool | bytes | None
"""Set, unset, a value, or (None) unspecified."""
Attributes = Mapping[bytes, Value]

CONVERTING = frozenset({b"text", b"eol", b"crlf", b"ident", b"filter", b"working-tree-encoding"})

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_LINE = 2048  # Git ignores longer ones
_LARGEST_FILE = 100 << 20  # and larger files
_BLANK = b" \t\r\n"
_NAME = re.compile(rb"[A-Za-z0-9_.][-A-Za-z0-9_.]*")
_ESCAPES = {c: bytes([value]) for c, value in zip(b'abfnrtv\\"', b'\a\b\f\n\r\t\v\\"', strict=True)}


class _Rule(NamedTuple):
    matches: Callable[[bytes, bytes], bool]
    states: tuple[tuple[bytes, Value], ...]
    """In the order in which they count: the line's last one first."""


class AttributeList:
    """The lines of one attribute file, compiled."""

    __slots__ = ("_any", "_fold", "_patterns", "_rules", "macros")

    def __init__(self, data: bytes, *, fold: bool = False, macros: Iterable[bytes] = ()) -> None:
        """*macros*: names defined elsewhere, whose use in a line matters."""
        lines = list(_lines(data))
        self.macros = {name: states for name, pattern, states in lines if pattern is None}
        names = CONVERTING.union(macros, self.macros, _BUILT_IN)
        self._rules: list[_Rule] = []
        patterns: list[tuple[int, Pattern]] = []
        for _, pattern, states in lines:
            relevant = tuple(state for state in states if state[0] in names)
            # A pattern for directories never matches a file, and only files have contents.
            if pattern is None or pattern.dirs_only or not relevant:
                continue
            patterns.append((len(self._rules), pattern))
            self._rules.append(_Rule(predicate(pattern, fold=fold), relevant))
        self._any = Matcher(patterns, fold=fold)
        self._patterns, self._fold = patterns, fold

    def matcher(self, wanted: Callable[["_States"], bool]) -> Matcher:
        """Finds paths for which a line sets something that is *wanted*, whatever other lines say."""
        chosen = [(number, pattern) for number, pattern in self._patterns if wanted(self._rules[number].states)]
        return Matcher(chosen, fold=self._fold)

    @property
    def empty(self) -> bool:
        """Whether no line can change what any file's bytes are."""
        return not self._rules

    def matching(self, name: bytes, path: bytes) -> Iterable[tuple[tuple[bytes, Value], ...]]:
        """What each matching line sets, the last line first."""
        last = self._any.last(name, path)
        if last < 0:
            return
        yield self._rules[last].states
        for rule in reversed(self._rules[:last]):
            if rule.matches(name, path):
                yield rule.states


_States = tuple[tuple[bytes, Value], ...]
_BUILT_IN: dict[bytes, _States] = {b"binary": ((b"text", False), (b"merge", False), (b"diff", False))}


def macros_defined(data: bytes) -> dict[bytes, _States]:
    """The macros that an attribute file defines."""
    if b"[attr]" not in data:
        return {}
    return {name: states for name, pattern, states in _lines(data) if pattern is None}


class AttributeRules:
    """All attribute files of one state of a work tree; made anew when one of them changes."""

    def __init__(
        self,
        first: AttributeList | None,
        files: Mapping[bytes, AttributeList],
        others: Iterable[AttributeList],
    ) -> None:
        """*first*: ``info/attributes``; *files*: by directory; *others*: the user's, the system's."""
        self._first = first
        self._files = files
        self._others = tuple(others)
        self.macros = _macros(first, files.get(b""), self._others)
        self.neutral = all(rules.empty for rules in (*files.values(), *self._others, *([first] if first else [])))

    def get(self, path: bytes) -> Attributes:
        """The converting attributes of the file at *path* that are specified."""
        found: dict[bytes, Value] = {}
        name = path.rpartition(b"/")[2]
        for rules, rest in self._chain(path):
            for states in rules.matching(name, rest):
                _fill(found, states, self.macros)
        return {key: value for key, value in found.items() if value is not None and key in CONVERTING}

    def suspects(self, wanted: Callable[[bytes, Value], bool]) -> Callable[[bytes], bool] | None:
        """A cheap test that no path fails for which `get` has a *wanted* value; None: there is no such path."""

        def sets(states: _States) -> bool:
            found: dict[bytes, Value] = {}
            _fill(found, states, self.macros)
            return any(wanted(name, value) for name, value in found.items())

        everywhere = [rules.matcher(sets) for rules in (*([self._first] if self._first else []), *self._others)]
        everywhere = [matcher for matcher in everywhere if not matcher.empty]
        below = {directory: rules.matcher(sets) for directory, rules in self._files.items()}
        below = {directory: matcher for directory, matcher in below.items() if not matcher.empty}
        if (top := below.pop(b"", None)) is not None:
            everywhere.append(top)
        if not everywhere and not below:
            return None

        def suspect(path: bytes) -> bool:
            name = path.rpartition(b"/")[2]
            if any(matcher.last(name, path) >= 0 for matcher in everywhere):
                return True
            end = len(path) if below else 0
            while (end := path.rfind(b"/", 0, end)) >= 0:
                matcher = below.get(path[:end])
                if matcher is not None and matcher.last(name, path[end + 1 :]) >= 0:
                    return True
            return False

        return suspect

    def _chain(self, path: bytes) -> Iterable[tuple[AttributeList, bytes]]:
        """The lists that speak about *path*, the strongest first, each with its own name for it."""
        if self._first is not None:
            yield self._first, path
        if self._files:
            end = len(path)
            while (end := path.rfind(b"/", 0, end)) >= 0:
                if rules := self._files.get(path[:end]):
                    yield rules, path[end + 1 :]
            if rules := self._files.get(b""):
                yield rules, path
        for rules in self._others:
            yield rules, path


def _macros(
    first: AttributeList | None, top: AttributeList | None, others: Iterable[AttributeList]
) -> Mapping[bytes, _States]:
    macros = dict(_BUILT_IN)
    for rules in reversed([rules for rules in (first, top, *others) if rules is not None]):
        macros.update(rules.macros)
    return macros


def _fill(found: dict[bytes, Value], states: _States, macros: Mapping[bytes, _States]) -> None:
    """Set what is still open; a macro that becomes set says its own part at once."""
    pending = list(reversed(states))
    while pending:
        name, value = pending.pop()
        if name in found:
            continue
        found[name] = value
        if value is True and name in macros:
            pending.extend(reversed(macros[name]))


def attribute_lines(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    """The pattern of each line, without its quotes, and what follows it."""
    if len(data) > _LARGEST_FILE:
        return
    for raw in data.removeprefix(_BYTE_ORDER_MARK).split(b"\n"):
        line = raw.partition(b"\0")[0].lstrip(_BLANK)
        if line and not line.startswith(b"#") and len(raw) < _LONGEST_LINE:
            yield _pattern_text(line)


def _lines(data: bytes) -> Iterable[tuple[bytes, Pattern | None, _States]]:
    """Name and states of each macro, pattern and states of each other line."""
    for text, rest in attribute_lines(data):
        if text.startswith(b"[attr]") and len(text) > len(b"[attr]"):
            name, _, more = (text[6:] + b" " + rest).lstrip(_BLANK).partition(b" ")
            states = _states(more)
            if _NAME.fullmatch(name) and states is not None:
                yield name, None, states
            continue
        states = _states(rest)
        if states is not None and text and not text.startswith(b"!"):
            yield b"", parse_pattern(text), states


def _pattern_text(line: bytes) -> tuple[bytes, bytes]:
    """The pattern, perhaps quoted, and the rest of the line."""
    if line.startswith(b'"'):
        quoted = _unquote(line)
        if quoted is not None:
            return quoted
    text = re.split(rb"[ \t\r\n]", line, maxsplit=1)
    return text[0], text[1] if len(text) > 1 else b""


def _unquote(line: bytes) -> tuple[bytes, bytes] | None:
    """Undo C quotes at the start of *line*; None if they are wrong."""
    out = bytearray()
    at = 1
    while at < len(line):
        c = line[at]
        if c == 0x22:
            return bytes(out), line[at + 1 :]
        if c != 0x5C:
            out.append(c)
            at += 1
            continue
        if octal := re.compile(rb"\\([0-3][0-7]{2})").match(line, at):
            out.append(int(octal[1], 8))
            at += 4
        elif (escape := _ESCAPES.get(line[at + 1 : at + 2][0] if at + 1 < len(line) else -1)) is not None:
            out += escape
            at += 2
        else:
            return None
    return None


def _states(text: bytes) -> _States | None:
    """What the words after a pattern set, the last first; None if one of them is no attribute."""
    states: list[tuple[bytes, Value]] = []
    for word in text.strip(_BLANK).split():
        name, equals, value = word.partition(b"=")
        state: Value = value if equals else True
        if name[:1] in {b"-", b"!"}:
            # git ignores a value behind a minus
            state = False if name[:1] == b"-" else None
            name = name[1:]
        if not _NAME.fullmatch(name):
            return None
        states.append((name, state))
    return tuple(reversed(states))
