"""A moment of a room's life as people name it: an op's number, a time, or how long ago."""

import re
import time
from datetime import UTC, datetime
from typing import NamedTuple

from anvcs.errors import AnvcsError
from anvcs.model.ids import Seq

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"-?([0-9]{1,9})([smhdw])")
_SECOND = 1_000_000_000


class BadMoment(AnvcsError):
    """The text names no moment."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is no moment: give an op's number (120), a time (2026-11-23T10:00:00Z) or an age (5m, 2h, 3d)"
        )
        self.text = text


class Moment(NamedTuple):
    """Right after op ``seq``, or after all ops up to a time."""

    seq: Seq | None
    time_ns: int | None


def parse_moment(text: str, now_ns: int | None = None) -> Moment:
    """The moment that *text* names; a time without a zone is local.  Raises `BadMoment`."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return Moment(Seq(int(text)), None)
    try:
        return Moment(None, (time.time_ns() if now_ns is None else now_ns) - parse_age(text))
    except BadMoment:
        pass
    try:
        when = datetime.fromisoformat(text)
        stamp = when.timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadMoment(text) from None
    # To the end of the microsecond, which is all that such a text can tell: an op's own time has that op in it.
    return Moment(None, int(stamp // 1) * _SECOND + when.microsecond * 1000 + 999)


def parse_age(text: str) -> int:
    """Nanoseconds of an age like ``5m`` or ``30d``; raises `BadMoment`."""
    found = _AGO.fullmatch(text)
    if found is None:
        raise BadMoment(text)
    return int(found[1]) * _UNITS[found[2]] * _SECOND


def moment_text(time_ns: int) -> str:
    """A time as programs and people read it: UTC, in microseconds."""
    seconds, rest = divmod(time_ns, _SECOND)
    when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")
