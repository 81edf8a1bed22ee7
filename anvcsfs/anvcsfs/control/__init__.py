"""``.anvcs`` and ``.git``: what a view offers beyond the repository's files."""
