"""Merging by syntax: the one package that knows tree-sitter."""
