"""Merging by syntax: the one package that knows tree-sitter."""

from anvcs.merging.marking import Marking
from anvcs.merging.merge import Options, known_patterns, merge_file

__all__ = ["Marking", "Options", "known_patterns", "merge_file"]
