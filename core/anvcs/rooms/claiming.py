"""Names that two files claim: the second gets another one, and names that differ only in case."""

from collections.abc import Iterable

from anvcs.rooms.core import Core
from anvcs.rooms.tree import fold

_NAME_MAX = 255
_SAID_MAX = 100
_NUMBER_MAX = 6


def free_name(core: Core, path: bytes, agent: str) -> bytes:
    """``path~agent``, or with a number behind it where that is in use, too."""
    said = agent.encode(errors="surrogateescape").replace(b"/", b"_").replace(b"\0", b"_")
    directory, slash, name = path.rpartition(b"/")
    mark = b"~" + _cut(said, _SAID_MAX)
    stem = directory + slash + _cut(name, _NAME_MAX - _NUMBER_MAX - len(mark)) + mark
    free, number = stem, 1
    while is_taken(core, free):
        number += 1
        free = b"%s~%d" % (stem, number)
    return free


def _cut(name: bytes, limit: int) -> bytes:
    """*name*, not longer than *limit*, and not cut inside a character."""
    if len(name) <= limit:
        return name
    while limit and name[limit] & 0xC0 == 0x80:
        limit -= 1
    return name[:limit]


def is_taken(core: Core, path: bytes) -> bool:
    """Whether *path* shows something, or hides something of the base that may come back."""
    state = core.state
    if path in state.by_path or path in state.by_base or core.base.find(path) is not None:
        return True
    node = state.node(path)
    return node is not None and bool(node.live)


class Cases:
    """Finds names that differ from others of their directory only in case."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._of_base: dict[bytes, dict[bytes, list[bytes]]] = {}
        self._commit = core.base.commit

    def twin(self, path: bytes) -> bytes | None:
        """Another shown path that differs from *path* only in the case of its last name."""
        core = self._core
        for other in core.state.like(path):
            if other != path:
                return other
        directory, slash, name = path.rpartition(b"/")
        for found in self._base_names(directory).get(fold(name), ()):
            other = directory + slash + found
            if other != path and (core.visible_leaf(other) is not None or core.base_shows_below(other)):
                return other
        return None

    def _base_names(self, directory: bytes) -> dict[bytes, list[bytes]]:
        core = self._core
        if core.base.commit != self._commit:
            self._of_base.clear()
            self._commit = core.base.commit
        found = self._of_base.get(directory)
        if found is None:
            found = self._of_base[directory] = _by_fold(core.base.names(directory))
        return found


def _by_fold(names: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Only names that a file system without case would take for each other need be looked at."""
    found: dict[bytes, list[bytes]] = {}
    for name in names:
        found.setdefault(fold(name), []).append(name)
    return found
