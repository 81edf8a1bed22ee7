"""Who keeps a file's bytes: Git, Git LFS, or an object store.

One order, everywhere: what ``.gitattributes`` gives to LFS is LFS's; else what
``blobs.track`` matches is an artifact, or what is larger than ``blobs.max_git_size``;
the rest is Git's.
"""

from collections.abc import Callable, Iterable
from enum import Enum

from anvcs.git.ignores import IgnoreList, IgnoreRules


class Owner(Enum):
    """Who keeps the bytes."""

    GIT = "git"
    LFS = "lfs"
    ARTIFACT = "artifact"


class Ownership:
    """The rules of one state of a tree."""

    def __init__(
        self, track: Iterable[str], lfs: Callable[[bytes], bool] = lambda _: False, *, max_git_size: int = 0
    ) -> None:
        """*lfs* says whether a path has ``filter=lfs``; *max_git_size* of 0 is no limit."""
        lines = "\n".join(track).encode("utf-8", "surrogateescape")
        self._rules = IgnoreRules({b"": IgnoreList(lines)}, ())
        self._lfs = lfs
        self._max_git_size = max_git_size

    def tracked(self, path: bytes) -> bool:
        """Whether ``blobs.track`` matches a file, whoever keeps it."""
        return self._rules.ignored(path, is_dir=False)

    def owner(self, path: bytes, size: int = 0) -> Owner:
        """Who keeps the file at *path*, which has *size* bytes."""
        if self.tracked(path) or 0 < self._max_git_size < size:
            return Owner.LFS if self._lfs(path) else Owner.ARTIFACT
        return Owner.LFS if self._lfs(path) else Owner.GIT

    def claimed_twice(self, path: bytes) -> bool:
        """Whether both LFS and ``blobs.track`` name the file; LFS has it."""
        return self.tracked(path) and self._lfs(path)
