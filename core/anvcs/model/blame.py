"""Who last wrote a line."""

from dataclasses import dataclass

from anvcs.model.ids import Oid, Seq
from anvcs.model.room import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class BlamedLine:
    """One line of a file with what is known of its last writer."""

    text: bytes
    """With its line end."""
    agent: str
    model: str = ""
    time_ns: int
    seq: Seq | None = None
    """The op that wrote it, when that is not committed."""
    commit: Oid | None = None
    """The commit that brought it, when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLine:
    """One line of a room's text: the op that wrote it, or the base's line that it is."""

    text: bytes
    seq: Seq | None
    agent: str = ""
    model: str = ""
    time_ns: int = 0
    base_line: int = 0
    """The line of the base's text, from 1, that this is; 0 when an op wrote it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a window shows at a path, for another window that is to explain it."""

    entry: Entry | None
    """The room's entry there."""
    below: Oid | None
    """The commit whose file shows there when there is no entry; ``None``: nothing does."""
    base: Oid | None
    """The commit that the window stands on."""
