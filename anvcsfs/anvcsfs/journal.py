"""Which paths of the view changed since a token: the answer to Git's fsmonitor.

A token is ``<run>:<count>``.  A token of another run, or one older than what is
kept, is answered with ``/``: look at everything.
"""

import os
from collections import OrderedDict

_KEPT = 50_000


class Journal:
    """The last change of each path, newest last."""

    def __init__(self) -> None:
        self._run = os.urandom(6).hex()
        self._count = 0
        self._oldest = 0
        self._paths: OrderedDict[bytes, int] = OrderedDict()

    @property
    def count(self) -> int:
        """How many changes there have been; equal counts mean nothing changed."""
        return self._count

    @property
    def token(self) -> bytes:
        """Names this moment."""
        return f"{self._run}:{self._count}".encode()

    def add(self, path: bytes) -> None:
        """*path* changed; a trailing slash stands for everything below it."""
        self._count += 1
        self._paths[path] = self._count
        self._paths.move_to_end(path)
        if len(self._paths) > _KEPT:
            _, self._oldest = self._paths.popitem(last=False)

    def since(self, token: bytes) -> list[bytes] | None:
        """Paths changed after *token*; ``None`` when that can't be told."""
        run, _, count = token.partition(b":")
        if run != self._run.encode() or not count.isdigit() or int(count) < self._oldest:
            return None
        found = []
        for path, changed in reversed(self._paths.items()):
            if changed <= int(count):
                break
            found.append(path)
        return found

    def answer(self, token: bytes) -> bytes:
        """The bytes that a version-2 fsmonitor hook prints."""
        paths = self.since(token)
        return b"\0".join([self.token, *([b"/"] if paths is None else paths), b""])
