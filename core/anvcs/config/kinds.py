"""What a setting is: its kind, default, limits and description."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

MIB: Final = 1 << 20


class Kind(Enum):
    """How a setting is written."""

    TEXT = "text"
    CHOICE = "one of"
    SIZE = "size: a number of bytes, or with a unit such as 512KiB, 4MiB, 2GB"
    INTEGER = "whole number"
    BOOLEAN = "true or false"
    LIST = "list of text"
    SECRET = "${VARIABLE}, a secret of the environment"  # noqa: S105  # describes one


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of the file."""

    section: str
    name: str
    kind: Kind
    default: str | int | bool | tuple[str, ...] | None
    doc: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key with its section, as messages name it."""
        return f"{self.section}.{self.name}"


def setting(default: Any, kind: Kind, doc: str, *, low: int = 0, high: int = 0, choices: tuple[str, ...] = ()) -> Any:
    """A field of a section, described for the loader, the template and the reference page."""
    described = {"default": default, "kind": kind, "doc": doc, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=described)
