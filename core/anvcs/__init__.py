"""ANVCS, the library: rooms of live edits over Git.  No FUSE, no terminal, no web."""
