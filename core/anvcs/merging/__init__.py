"""Merging by syntax: the one package that knows tree-sitter."""

from anvcs.merging.merge import Options, merge_file

__all__ = ["Options", "merge_file"]
