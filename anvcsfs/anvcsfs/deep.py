"""Names for files that lie deeper than PATH_MAX.

A view's files lie below a folder of the store, so a path that a tool may use in the
mount can be too long on the real disk.  Such a path is cut: its upper part is opened
as a directory, and the rest is named through ``/proc/self/fd``.
"""

import os
from collections.abc import Callable

DEEP_BYTES = 3000
"""Longer paths are cut; leaves room below PATH_MAX (4096) for the store's own folder."""
_OPEN = 8


class DeepNames:
    """A few open directories, the latest kept while their names are asked for."""

    def __init__(self, real: Callable[[bytes], bytes]) -> None:
        self._real = real
        self._open: list[int] = []

    def prefix(self, path: bytes) -> bytes:
        """The upper part of *path*, itself not longer than a multiple of the limit."""
        cut = (len(path) - 1) // DEEP_BYTES * DEEP_BYTES
        return path[: path.rindex(b"/", 0, cut + 1)]

    def name(self, path: bytes) -> bytes:
        """A name for *path*; valid until a few more names have been asked for."""
        upper = self.prefix(path)
        fd = os.open(self._real(upper), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open.append(fd)
        if len(self._open) > _OPEN:
            os.close(self._open.pop(0))
        return b"/proc/self/fd/%d/%b" % (fd, path[len(upper) + 1 :])
