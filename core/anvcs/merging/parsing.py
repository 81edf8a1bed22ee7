"""Whether a file parses, for languages that a tree-sitter grammar is installed for.

Nothing is imported before the first file of a language is looked at: a mount and most
commands never need it.
"""

from typing import Any

from anvcs.merging.profiles import profile_for

_LARGEST = 2 << 20
"""Bytes above which a file isn't parsed."""


def parses(path: bytes, data: bytes) -> bool | None:
    """Whether *data* is a well-formed file of the language that *path* tells; ``None``: nobody knows."""
    line = broken_line(path, data)
    return None if line is None else line == 0


def broken_line(path: bytes, data: bytes) -> int | None:
    """The first line of *data*, from 1, that can't be parsed; 0: all can; ``None``: nobody knows.

    For any thread, one at a time for each language.
    """
    profile = profile_for(path)
    if profile is None or len(data) > _LARGEST:
        return None
    language = profile.language()
    if language is None:
        return None
    from tree_sitter import Parser

    root = Parser(language).parse(data).root_node
    return _first_error(root) if root.has_error else 0


def _first_error(root: Any) -> int:
    """The line of the first node that is an error or missing."""
    node = root
    while True:
        below = next((child for child in node.children if child.has_error or child.is_missing), None)
        if below is None or node.is_error:
            return int(node.start_point[0]) + 1
        node = below
