"""Path patterns of ``.gitignore`` and ``.gitattributes``, compiled for speed.

Git decides what these patterns mean, so its program is the oracle of the tests.
A list of patterns becomes two dictionaries (plain names, ``*.extension``) and a
regular expression of alternatives, the last line first: asking about one name
costs a microsecond or two.  Patterns come from repositories and are untrusted:
stars become atomic groups, so no pattern makes matching exponential.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

_SPECIAL = frozenset(b"*?[\\")
_SLASH = 0x2F
_BACKSLASH = 0x5C
_STAR = 0x2A
_ALTERNATIVES = 100  # of one regular expression; more go into further ones
_CLASSES: dict[bytes, Callable[[int], bool]] = {
    b"alnum": lambda c: chr(c).isalnum(),
    b"alpha": lambda c: chr(c).isalpha(),
    b"blank": lambda c: c in b" \t",
    b"cntrl": lambda c: c < 32 or c == 127,
    b"digit": lambda c: 48 <= c <= 57,
    b"graph": lambda c: 33 <= c <= 126,
    b"lower": lambda c: 97 <= c <= 122,
    b"print": lambda c: 32 <= c <= 126,
    b"punct": lambda c: 33 <= c <= 126 and not chr(c).isalnum(),
    b"space": lambda c: c in b" \t\n\v\f\r",
    b"upper": lambda c: 65 <= c <= 90,
    b"xdigit": lambda c: c in b"0123456789abcdefABCDEF",
}


class Pattern(NamedTuple):
    """One line's pattern, without its ``!`` and slashes at the ends."""

    text: bytes
    literal: int
    """How many bytes at the start are plain; Git compares them apart from the rest."""
    names_only: bool
    """It has no slash: it is compared with the last component, at any depth."""
    dirs_only: bool


def parse_pattern(text: bytes) -> Pattern:
    """The pattern that *text* (no leading ``!``) says."""
    dirs_only = text.endswith(b"/")
    if dirs_only:
        text = text[:-1]
    names_only = b"/" not in text
    literal = next((i for i, c in enumerate(text) if c in _SPECIAL), len(text))
    if not names_only and text.startswith(b"/"):
        text, literal = text[1:], max(literal - 1, 0)
    return Pattern(text, literal, names_only, dirs_only)


class Matcher:
    """Finds the last of some numbered patterns that matches a path.

    With *fold*, as ``core.ignoreCase`` asks, everything is compared in lower case.
    """

    def __init__(self, patterns: Iterable[tuple[int, Pattern]], *, fold: bool = False) -> None:
        self._fold = fold
        self._names: dict[bytes, int] = {}
        self._extensions: dict[bytes, int] = {}
        self._paths: dict[bytes, int] = {}
        names: list[tuple[int, bytes]] = []
        paths: list[tuple[int, bytes]] = []
        for number, pattern in sorted(patterns, reverse=True):
            if self._file_plain(number, pattern):
                continue
            source = translate(pattern, fold=fold)
            if source is not None:
                (names if pattern.names_only else paths).append((number, source))
        self._name_chunks = _chunks(names)
        self._path_chunks = _chunks(paths)
        self.empty = not (self._names or self._extensions or self._paths or names or paths)

    def _file_plain(self, number: int, pattern: Pattern) -> bool:
        """Whether the pattern went into a dictionary; larger numbers come first and stay."""
        text = pattern.text.lower() if self._fold else pattern.text
        if pattern.literal == len(text):
            (self._names if pattern.names_only else self._paths).setdefault(text, number)
            return True
        if pattern.names_only and text.startswith(b"*.") and not _SPECIAL.intersection(text[1:]):
            extension = text[2:]
            if b"." not in extension:
                self._extensions.setdefault(extension, number)
                return True
        return False

    def last(self, name: bytes, path: bytes) -> int:
        """The largest number whose pattern matches; -1 when none does.

        *name* is the last component of *path*, *path* is relative to the pattern's file.
        """
        if self._fold:
            name, path = name.lower(), path.lower()
        best = self._names.get(name, -1)
        if self._extensions:
            _, dot, extension = name.rpartition(b".")
            if dot:
                best = max(best, self._extensions.get(extension, -1))
        if self._paths:
            best = max(best, self._paths.get(path, -1))
        for match, numbers in self._name_chunks:
            if numbers[0] > best and (found := match(name)):
                best = max(best, numbers[(found.lastindex or 1) - 1])
                break
        for match, numbers in self._path_chunks:
            if numbers[0] > best and (found := match(path)):
                best = max(best, numbers[(found.lastindex or 1) - 1])
                break
        return best


_Match = Callable[[bytes], re.Match[bytes] | None]


def _chunks(sources: list[tuple[int, bytes]]) -> list[tuple[_Match, list[int]]]:
    chunks: list[tuple[_Match, list[int]]] = []
    for start in range(0, len(sources), _ALTERNATIVES):
        part = sources[start : start + _ALTERNATIVES]
        joined = b"|".join(b"(" + source + b")" for _, source in part)
        # \Z ends every alternative, so a shorter match never hides a later line.
        expression = re.compile(b"(?:" + joined + rb")\Z", re.DOTALL)
        chunks.append((expression.match, [number for number, _ in part]))
    return chunks


def predicate(pattern: Pattern, *, fold: bool = False) -> Callable[[bytes, bytes], bool]:
    """A test of one pattern: ``test(name, path)``, arguments as those of `Matcher.last`."""
    single = Matcher([(0, pattern)], fold=fold)
    return lambda name, path: single.last(name, path) == 0


def translate(pattern: Pattern, *, fold: bool = False) -> bytes | None:
    """A regular expression without groups of its own; None for what can never match."""
    plain, wild = pattern.text[: pattern.literal], pattern.text[pattern.literal :]
    tokens = _tokens(wild, deep=not pattern.names_only, fold=fold)
    if tokens is None or not pattern.text:
        return None
    return re.escape(plain.lower() if fold else plain) + _assemble(tokens)


_ONE_STAR, _DIRS, _ANYTHING = b"*", b"**/", b"**"


def _tokens(wild: bytes, *, deep: bool, fold: bool) -> list[bytes] | None:
    """Pieces of the expression, with the three stars standing for themselves."""
    tokens: list[bytes] = []
    at = 0
    while at < len(wild):
        c = wild[at]
        if c == _STAR:
            token, at = _stars(wild, at, deep=deep)
            tokens.append(token)
        elif c == 0x3F:
            tokens.append(b"[^/]")
            at += 1
        elif c == 0x5B:
            parsed = _bracket(wild, at + 1, fold=fold)
            if parsed is None:
                return None
            tokens.append(parsed[0])
            at = parsed[1]
        else:
            plain = wild[at : at + 1].lower() if fold else wild[at : at + 1]
            if c == _BACKSLASH:
                at += 1
                if at == len(wild):
                    return None  # nothing to escape: such a line matches nothing
                plain = wild[at : at + 1]  # what is escaped Git doesn't fold
            tokens.append(re.escape(plain))
            at += 1
    return tokens


def _stars(wild: bytes, at: int, *, deep: bool) -> tuple[bytes, int]:
    """Which star begins at *at*, and where the pattern goes on."""
    end = at
    while end < len(wild) and wild[end] == _STAR:
        end += 1
    # "Start" is where the wild part starts, so a/b**/c means b**/ as Git does it.
    whole = at == 0 or wild[at - 1] == _SLASH
    if end - at < 2 or not deep or not whole:
        return _ONE_STAR, end
    if wild[end : end + 1] == b"/":
        return _DIRS, end + 1
    if end == len(wild) or wild[end : end + 2] == b"\\/":
        return _ANYTHING, end
    return _ONE_STAR, end


def _assemble(tokens: list[bytes]) -> bytes:
    """Join tokens so that each star takes the first place that fits and never comes back.

    Taking the first place is safe: what a later place would reach, the next star
    reaches as well.  Only the part before the end has to try again.
    """
    groups: list[tuple[bytes, list[bytes]]] = [(b"", [])]
    for token in tokens:
        if token == _DIRS:
            groups.append((b"(?:[^/]*/)*?", []))
        elif token == _ANYTHING:
            groups.append((b".*?", []))
        else:
            groups[-1][1].append(token)
    parts = [lead + _one_level(body, last=i == len(groups) - 1) for i, (lead, body) in enumerate(groups)]
    return b"".join(b"(?>" + part + b")" for part in parts[:-1]) + parts[-1]


def _one_level(tokens: list[bytes], *, last: bool) -> bytes:
    segments: list[list[bytes]] = [[]]
    for token in tokens:
        if token == _ONE_STAR:
            segments.append([])
        else:
            segments[-1].append(token)
    parts = [b"".join(segment) for segment in segments]
    stars = parts[1:]
    if not last:
        return parts[0] + b"".join(b"(?>[^/]*?" + part + b")" for part in stars)
    if not stars:
        return parts[0]
    return parts[0] + b"".join(b"(?>[^/]*?" + part + b")" for part in stars[:-1]) + b"[^/]*" + stars[-1]


def _bracket(wild: bytes, at: int, *, fold: bool) -> tuple[bytes, int] | None:
    """A set of bytes from after its ``[``, and where it ends; None if it never does."""
    negated = wild[at : at + 1] in {b"!", b"^"}
    at += negated
    members: set[int] = set()
    previous: int | None = None
    first = True
    while first or wild[at : at + 1] != b"]":
        first = False
        item = _set_item(wild, at, previous)
        if item is None:
            return None
        members |= item[0]
        if fold and item[2] is None:  # ranges and classes are folded, single bytes are not
            members |= {c + 32 for c in item[0] if 65 <= c <= 90}
        at, previous = item[1], item[2]
    if negated:
        members = set(range(256)) - members
    members.discard(_SLASH)
    return _set_expression(members), at + 1


def _set_item(wild: bytes, at: int, previous: int | None) -> tuple[set[int], int, int | None] | None:
    """One byte, range or class of a set: its members, where it ends, a range's possible start."""
    if wild.startswith(b"[:", at):
        named = _named_class(wild, at + 2)
        if named is None:
            return None
        if named[0] is not None:
            return named[0], named[1], None
    if previous is not None and wild.startswith(b"-", at) and wild[at + 1 : at + 2] not in {b"", b"]"}:
        end = _escaped(wild, at + 1)
        return None if end is None else (set(range(previous, wild[end] + 1)), end + 1, None)
    plain = _escaped(wild, at)
    return None if plain is None else ({wild[plain]}, plain + 1, wild[plain])


def _escaped(wild: bytes, at: int) -> int | None:
    """Where the byte is that stands at *at*, perhaps behind a backslash."""
    if wild.startswith(b"\\", at):
        at += 1
    return at if at < len(wild) else None


def _named_class(wild: bytes, at: int) -> tuple[set[int] | None, int] | None:
    """``[:alpha:]`` from after its ``[:``; a set of None says it is no class after all."""
    end = wild.find(b"]", at)
    if end < 0:
        return None
    if end == at or wild[end - 1] != 0x3A:
        return None, at
    test = _CLASSES.get(wild[at : end - 1])
    if test is None:
        return None
    return {c for c in range(128) if test(c)}, end + 1


def _set_expression(members: set[int]) -> bytes:
    if not members:
        return b"(?!)"
    return b"[" + b"".join(b"\\x%02x" % c for c in sorted(members)) + b"]"
