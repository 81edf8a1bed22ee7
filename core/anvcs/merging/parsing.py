"""Whether a file parses, for languages that a tree-sitter grammar is installed for.

Nothing is imported before the first file of a language is looked at: a mount and most
commands never need it.
"""

from functools import cache
from importlib import import_module
from typing import Any

_LARGEST = 2 << 20
"""Bytes above which a file isn't parsed."""

_GRAMMARS = {
    b"py": ("tree_sitter_python", "language"),
    b"pyi": ("tree_sitter_python", "language"),
    b"js": ("tree_sitter_javascript", "language"),
    b"mjs": ("tree_sitter_javascript", "language"),
    b"cjs": ("tree_sitter_javascript", "language"),
    b"jsx": ("tree_sitter_javascript", "language"),
    b"ts": ("tree_sitter_typescript", "language_typescript"),
    b"mts": ("tree_sitter_typescript", "language_typescript"),
    b"tsx": ("tree_sitter_typescript", "language_tsx"),
    b"json": ("tree_sitter_json", "language"),
    b"c": ("tree_sitter_c", "language"),
    b"h": ("tree_sitter_c", "language"),
    b"cc": ("tree_sitter_cpp", "language"),
    b"cpp": ("tree_sitter_cpp", "language"),
    b"hpp": ("tree_sitter_cpp", "language"),
    b"go": ("tree_sitter_go", "language"),
    b"rs": ("tree_sitter_rust", "language"),
    b"java": ("tree_sitter_java", "language"),
    b"yaml": ("tree_sitter_yaml", "language"),
    b"yml": ("tree_sitter_yaml", "language"),
    b"toml": ("tree_sitter_toml", "language"),
    b"sh": ("tree_sitter_bash", "language"),
    b"bash": ("tree_sitter_bash", "language"),
    b"html": ("tree_sitter_html", "language"),
    b"css": ("tree_sitter_css", "language"),
}
"""Suffix → module and the function in it that gives the language."""


def parses(path: bytes, data: bytes) -> bool | None:
    """Whether *data* is a well-formed file of the language that *path* tells; ``None``: nobody knows."""
    line = broken_line(path, data)
    return None if line is None else line == 0


def broken_line(path: bytes, data: bytes) -> int | None:
    """The first line of *data*, from 1, that can't be parsed; 0: all can; ``None``: nobody knows.

    For any thread, one at a time for each language.
    """
    stem, _, suffix = path.rpartition(b"/")[2].rpartition(b".")
    grammar = _GRAMMARS.get(suffix.lower())
    if not stem or grammar is None or len(data) > _LARGEST:
        return None
    language = _language(*grammar)
    if language is None:
        return None
    from tree_sitter import Parser

    root = Parser(language).parse(data).root_node
    return _first_error(root) if root.has_error else 0


@cache
def _language(module: str, function: str) -> Any:
    try:
        from tree_sitter import Language

        return Language(getattr(import_module(module), function)())
    except ImportError:  # an installation without this grammar
        return None


def _first_error(root: Any) -> int:
    """The line of the first node that is an error or missing."""
    node = root
    while True:
        below = next((child for child in node.children if child.has_error or child.is_missing), None)
        if below is None or node.is_error:
            return int(node.start_point[0]) + 1
        node = below
