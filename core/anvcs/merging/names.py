"""Python names that a merge has torn from their definitions: in one file, and between files.

Each side may be right by itself: one renames a function, the other begins to call it.  Only what is
wrong in the merged tree and in neither side is told.
"""

import ast
import builtins
import re
import symtable
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

Read = Callable[[bytes], bytes | None]
"""The content of a path in one tree; ``None`` when nothing is there."""

_KNOWN = frozenset(dir(builtins)) | {
    "__annotations__", "__builtins__", "__class__", "__dict__", "__doc__", "__file__", "__loader__", "__module__",
    "__name__", "__package__", "__path__", "__qualname__", "__spec__", "WindowsError",
}  # fmt: skip
_KNOWN_BYTES = frozenset(name.encode() for name in _KNOWN)
_TOP_LEVEL = re.compile(rb"^(?:(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|(\w+)[ \t]*(?::|=(?!=)))", re.MULTILINE)
_WORD = re.compile(rb"\w+")
_STAR = re.compile(rb"^[ \t]*from\b[^\n#]*\bimport[ \t(]*\*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Torn:
    """One name that nothing defines any more."""

    path: bytes
    line: int
    name: str
    module: bytes = b""
    """Where it was defined; empty: in the same file."""

    @property
    def sentence(self) -> str:
        """For people."""
        where = f"{self.path.decode('utf-8', 'backslashreplace')}:{self.line}"
        if not self.module:
            return f"{where}: uses {self.name}, which nothing defines"
        return f"{where}: uses {self.name}, which {self.module.decode('utf-8', 'backslashreplace')} has no more"


def python_error(source: bytes) -> int:
    """The line at which *source* is no Python; 0: it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError):  # a NUL, or nested too deeply to say
        return 0
    return 0


def undefined(source: bytes) -> frozenset[str] | None:
    """Names that *source* uses and nobody defines; ``None``: it isn't Python that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = symtable.symtable(source.decode("utf-8"), "merged", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return None
    if _STAR.search(source):  # what it brings, nobody knows
        return frozenset()
    tables = list(_tables(top))
    made = {symbol.get_name() for symbol in top.get_symbols() if _makes(symbol)}
    made |= {
        one.get_name() for table in tables for one in table.get_symbols() if one.is_declared_global() and _makes(one)
    }
    used = {
        one.get_name() for table in tables for one in table.get_symbols() if one.is_referenced() and one.is_global()
    }
    used |= {one.get_name() for one in top.get_symbols() if one.is_referenced()}
    return frozenset(used - made - _KNOWN)


def torn_inside(path: bytes, merged: bytes, base: bytes, sides: tuple[bytes, ...]) -> list[Torn]:
    """Names undefined in *merged* and in none of its *sides*, which come from *base*."""
    if not _lost_words(base, sides):
        return []
    found = undefined(merged)
    if not found:
        return []
    for side in sides:
        found -= undefined(side) or frozenset()
    return [Torn(path, _line_of(merged, name), name) for name in sorted(found)]


def torn_between(
    changed: Iterable[bytes],
    base: Read,
    merged: Read,
    sides: tuple[Read, Read],
    known: Mapping[bytes, Collection[str]] = MappingProxyType({}),
) -> list[Torn]:
    """Uses in *changed* files of what their modules have lost in the merge, though each side was right.

    Of some files it may be *known* what they have lost (`lost_names`).
    """
    files = [path for path in changed if path.endswith(b".py")]
    lost = {
        path: names
        for path in files
        if (names := known[path] if path in known else lost_names(base(path), merged(path)))
    }
    if not lost:
        return []
    words = {name.encode() for names in lost.values() for name in names}
    found = []
    for path in files:
        text = merged(path)
        if text is None or not words & {*_WORD.findall(text)}:
            continue
        for module, name, line in _uses(path, text, lost):
            if name in lost[module] and not any(_broken(path, module, name, side) for side in sides):
                found.append(Torn(path, line, name, module))
    return found


def _tables(top: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    waiting = list(top.get_children())
    while waiting:
        table = waiting.pop()
        yield table
        waiting.extend(table.get_children())


def _makes(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_annotated() or symbol.is_namespace()


def _lost_words(base: bytes, sides: tuple[bytes, ...]) -> set[bytes]:
    """Words that a side has less often than *base*: a definition can only be lost with one."""
    lines = base.splitlines()
    before = set(lines)
    lost: set[bytes] = set()
    for side in sides:
        other = side.splitlines()
        after = set(other)
        if before <= after:
            continue
        gone = Counter(_WORD.findall(b"\n".join(line for line in lines if line not in after)))
        come = Counter(_WORD.findall(b"\n".join(line for line in other if line not in before)))
        lost |= {word for word in gone - come if not word.isdigit()}
    return lost - _KNOWN_BYTES


def _line_of(text: bytes, name: str) -> int:
    match = re.search(rb"\b%b\b" % re.escape(name.encode()), text)
    return text.count(b"\n", 0, match.start()) + 1 if match else 1


def lost_names(before: bytes | None, after: bytes | None) -> set[str]:
    """What *before* defined at its top and *after* doesn't even mention there."""
    if before is None:
        return set()
    kept = set() if after is None else set(after.splitlines())
    gone = _defines(b"\n".join(line for line in before.splitlines() if line not in kept))
    left = _defines(after) if after is not None and gone else set()
    return {name for name in gone - left if not name.startswith("__")}


def _defines(text: bytes) -> set[str]:
    return {(first or second).decode("utf-8", "replace") for first, second in _TOP_LEVEL.findall(text)}


def _uses(path: bytes, text: bytes, modules: Iterable[bytes]) -> Iterator[tuple[bytes, str, int]]:
    """Which names of *modules* (paths) the file uses: by ``from`` import, or as an attribute of the module."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    known: dict[str, bytes] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = _path_of(path, node.module or "", node.level, modules)
            for alias in node.names:
                if source is not None:
                    yield source, alias.name, node.lineno
                inner = _path_of(path, ".".join(filter(None, (node.module, alias.name))), node.level, modules)
                if inner is not None:
                    known[alias.asname or alias.name] = inner
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found = _path_of(path, alias.name, 0, modules)
                if found is not None:
                    known[alias.asname or alias.name] = found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := _dotted(node.value)) in known:
            yield known[name], node.attr, node.lineno


def _path_of(path: bytes, module: str, level: int, modules: Iterable[bytes]) -> bytes | None:
    """Which of *modules* an import in *path* means; absolute names are found below any folder."""
    tail = module.replace(".", "/").encode()
    if level:
        folder = path
        for _ in range(level):
            folder = folder.rpartition(b"/")[0]
        tail = b"/".join(filter(None, (folder, tail)))
        wanted = {tail + b".py", tail + b"/__init__.py"}
        return next((one for one in modules if one in wanted), None)
    ends = (tail + b".py", tail + b"/__init__.py")
    found = [one for one in modules if tail and any(one == end or one.endswith(b"/" + end) for end in ends)]
    return found[0] if len(found) == 1 else None


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _broken(path: bytes, module: bytes, name: str, side: Read) -> bool:
    """Whether the same use was wrong on a side already."""
    text, source = side(path), side(module)
    if text is None or not any(used == name for _, used, _ in _uses(path, text, (module,))):
        return False
    return source is None or name not in _defines(source)
