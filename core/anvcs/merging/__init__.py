"""Merging by syntax: the one package that knows tree-sitter."""

from anvcs.merging.marking import Marking
from anvcs.merging.merge import Options, merge_file
from anvcs.merging.profiles import known_patterns

__all__ = ["Marking", "Options", "known_patterns", "merge_file"]
