"""Whether a file parses, for languages that a tree-sitter grammar is installed for.

Nothing is imported before the first file of a language is looked at: a mount and most
commands never need it.
"""

import threading
from collections import deque
from typing import Any

from anvcs.merging.profiles import Profile, profile_for

_LARGEST = 2 << 20
"""Bytes above which a file isn't parsed."""
_REMEMBERED, _REMEMBERED_BYTES = 2, 256 << 10
"""How many trees each thread keeps, and of how large texts: who merges a file is asked whether it parses next."""


class _Recent(threading.local):
    def __init__(self) -> None:
        self.trees: deque[tuple[Profile, bytes, Any]] = deque(maxlen=_REMEMBERED)


_recent = _Recent()


def syntax_tree(text: bytes, profile: Profile) -> Any:
    """The tree of *text* by tree-sitter; the grammar of *profile* must be installed."""
    for known, its_text, tree in _recent.trees:
        if known is profile and its_text == text:
            return tree
    from tree_sitter import Parser

    tree = Parser(profile.language()).parse(text)
    if len(text) <= _REMEMBERED_BYTES:
        _recent.trees.append((profile, text, tree))
    return tree


def has_error(text: bytes, profile: Profile) -> bool:
    """Whether *text*, a part of a file, can't be parsed."""
    from tree_sitter import Parser

    return bool(Parser(profile.language()).parse(text).root_node.has_error)


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
    if profile.language() is None:
        return None
    root = syntax_tree(data, profile).root_node
    return _first_error(root) if root.has_error else 0


def _first_error(root: Any) -> int:
    """The line of the first node that is an error or missing."""
    node = root
    while True:
        below = next((child for child in node.children if child.has_error or child.is_missing), None)
        if below is None or node.is_error:
            return int(node.start_point[0]) + 1
        node = below
