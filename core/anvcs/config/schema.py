"""What can be configured: the values, their defaults and limits, and what each is for.

The dataclasses are the single source: the loader, the commented template and the
reference page are all made from their fields.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

FILE_NAME: Final = "ai-vcs.config.yaml"

_SECRET_NAME = re.compile(r"secret|passw|token|credential|private|api_?key|access_key", re.IGNORECASE)

MIB: Final = 1 << 20


def looks_secret(name: str) -> bool:
    """Whether a key or a variable of this name holds something that must not be shown."""
    return _SECRET_NAME.search(name) is not None


class Secret:
    """A value that is never printed; `reveal` hands it to whoever needs it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Kind(Enum):
    """How a setting is written."""

    TEXT = "text"
    CHOICE = "one of"
    SIZE = "size: a number of bytes, or with a unit such as 512KiB, 4MiB, 2GB"
    INTEGER = "whole number"
    BOOLEAN = "true or false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of the file."""

    section: str
    name: str
    kind: Kind
    default: str | int | bool
    doc: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key with its section, as messages name it."""
        return f"{self.section}.{self.name}"


def _setting(default: Any, kind: Kind, doc: str, *, low: int = 0, high: int = 0, choices: tuple[str, ...] = ()) -> Any:
    described = {"default": default, "kind": kind, "doc": doc, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=described)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Who writes, when the command line does not say."""

    name: str = _setting(
        "", Kind.TEXT, "Name of the agent. Empty: commits carry Git's own identity (user.name and user.email)."
    )
    model: str = _setting("", Kind.TEXT, "Model behind the agent, recorded in each commit's metadata.")
    commit_policy: str = _setting(
        "any",
        Kind.CHOICE,
        "any: a commit is made whenever it is asked for. tests_passed: a commit request is refused unless it says "
        "that the tests passed.",
        choices=("any", "tests_passed"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomConfig:
    """Limits and timing of a stream's live state."""

    text_limit: int = _setting(
        4 * MIB,
        Kind.SIZE,
        "A UTF-8 file up to this size is text, merged edit by edit; a larger one is kept as a whole value.",
        low=1 << 10,
        high=64 * MIB,
    )
    max_share_size: int = _setting(
        64 * MIB,
        Kind.SIZE,
        "A new file above this size stays in its view until it is committed.",
        low=MIB,
        high=1 << 40,
    )
    publish_after_ms: int = _setting(
        500,
        Kind.INTEGER,
        "How long a new file must live, in milliseconds, before other views see it, so that swap and temporary "
        "files make no noise.",
        high=60_000,
    )
    wip_interval_s: int = _setting(
        60,
        Kind.INTEGER,
        "How often, in seconds, uncommitted work is saved at refs/anvcs/wip/<stream>. 0: only at unmount.",
        high=86_400,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MountConfig:
    """How views are mounted."""

    allow_other: bool = _setting(
        False,
        Kind.BOOLEAN,
        "Let other users into the mount. An ordinary user also needs user_allow_other in /etc/fuse.conf.",
    )
    default_permissions: bool = _setting(True, Kind.BOOLEAN, "Let the kernel check file modes, as on any file system.")
    xattr: bool = _setting(
        True, Kind.BOOLEAN, "Extended attributes, kept locally in the view. false: programs are told there are none."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file, checked; every missing key has its default."""

    agent: AgentConfig = AgentConfig()
    room: RoomConfig = RoomConfig()
    mount: MountConfig = MountConfig()
    later: Mapping[str, Any] = field(default_factory=dict)
    """Sections of `LATER` as they stand, secrets wrapped in `Secret`."""
    warnings: tuple[str, ...] = ()


SECTIONS: Final[Mapping[str, type]] = MappingProxyType({"agent": AgentConfig, "room": RoomConfig, "mount": MountConfig})

LATER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "storage": "Which object store holds artifacts.",
        "blobs": "Which files are artifacts.",
        "adapters": "Access to each object store.",
        "merge": "How streams are merged.",
    }
)
"""Sections that are accepted and not used yet."""


def settings() -> Iterator[Setting]:
    """Every setting, in the order of the file."""
    for section, kind in SECTIONS.items():
        for item in fields(kind):
            yield Setting(section=section, name=item.name, **item.metadata)
