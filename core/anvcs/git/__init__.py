"""Git, through pygit2 and the git program; the only package that imports pygit2."""
