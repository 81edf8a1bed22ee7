"""Names for files that must step aside."""

from anvcs.rooms.core import Core


def free_name(core: Core, path: bytes, agent: str) -> bytes:
    """A name at which nothing is and nothing was in the base: *path* with *agent* behind it."""
    suffix = agent.encode(errors="surrogateescape").replace(b"/", b"_").replace(b"\0", b"_")
    name = path + b"~" + suffix
    free, number = name, 1
    while _is_taken(core, free):
        number += 1
        free = b"%s~%d" % (name, number)
    return free


def _is_taken(core: Core, path: bytes) -> bool:
    state = core.state
    return path in state.by_path or path in state.by_base or core.base.find(path) is not None
