"""Benchmarks: every kind of work in a view against the same work in a native directory.

``python -m anvcs_tools.bench`` runs them; see ``--help``.
"""
