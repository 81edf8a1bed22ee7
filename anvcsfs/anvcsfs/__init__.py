"""The kernel's side: FUSE requests become library calls, library events become invalidations."""
