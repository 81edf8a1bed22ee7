"""What can be configured: the values, their defaults and limits, and what each is for.

The dataclasses are the single source: the loader, the commented template and the
reference page are all made from their fields.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final

from anvcs.config.kinds import MIB, Kind, Setting, setting
from anvcs.config.merging import MergeConfig
from anvcs.config.storage import AdaptersConfig, BlobsConfig, IpfsConfig, NfsConfig, S3Config, StorageConfig

FILE_NAME: Final = "ai-vcs.config.yaml"

_SECRET_NAME = re.compile(r"secret|passw|token|credential|private|api_?key|access_key", re.IGNORECASE)


def looks_secret(name: str) -> bool:
    """Whether a key or a variable of this name holds something that must not be shown."""
    return _SECRET_NAME.search(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Who writes, when the command line does not say."""

    name: str = setting(
        "", Kind.TEXT, "Name of the agent. Empty: commits carry Git's own identity (user.name and user.email)."
    )
    model: str = setting("", Kind.TEXT, "Model behind the agent, recorded in each commit's metadata.")
    commit_policy: str = setting(
        "any",
        Kind.CHOICE,
        "any: a commit is made whenever it is asked for. tests_passed: a commit request is refused unless it says "
        "that the tests passed.",
        choices=("any", "tests_passed"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomConfig:
    """Limits and timing of a stream's live state."""

    text_limit: int = setting(
        4 * MIB,
        Kind.SIZE,
        "A UTF-8 file up to this size is text, merged edit by edit; a larger one is kept as a whole value.",
        low=1 << 10,
        high=64 * MIB,
    )
    max_share_size: int = setting(
        64 * MIB,
        Kind.SIZE,
        "A new file above this size stays in its view until it is committed; no file above it is saved at refs/anvcs/wip.",
        low=MIB,
        high=1 << 40,
    )
    publish_after_ms: int = setting(
        500,
        Kind.INTEGER,
        "How long a new file must live, in milliseconds, before other views see it, so that swap and temporary "
        "files make no noise.",
        high=60_000,
    )
    wip_interval_s: int = setting(
        60,
        Kind.INTEGER,
        "How often, in seconds, uncommitted work is saved at refs/anvcs/wip/<stream>. 0: only at unmount.",
        high=86_400,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MountConfig:
    """How views are mounted."""

    allow_other: bool = setting(
        False,
        Kind.BOOLEAN,
        "Let other users into the mount. An ordinary user also needs user_allow_other in /etc/fuse.conf.",
    )
    default_permissions: bool = setting(True, Kind.BOOLEAN, "Let the kernel check file modes, as on any file system.")
    xattr: bool = setting(
        True, Kind.BOOLEAN, "Extended attributes, kept locally in the view. false: programs are told there are none."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file, checked; every missing key has its default."""

    agent: AgentConfig = AgentConfig()
    room: RoomConfig = RoomConfig()
    mount: MountConfig = MountConfig()
    storage: StorageConfig = StorageConfig()
    blobs: BlobsConfig = BlobsConfig()
    adapters: AdaptersConfig = field(default_factory=AdaptersConfig)
    merge: MergeConfig = field(default_factory=MergeConfig)
    later: Mapping[str, Any] = field(default_factory=dict)
    """Sections of `LATER` as they stand, secrets wrapped in `Secret`."""
    warnings: tuple[str, ...] = ()


SECTIONS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "agent": AgentConfig,
        "room": RoomConfig,
        "mount": MountConfig,
        "storage": StorageConfig,
        "blobs": BlobsConfig,
        "adapters.s3": S3Config,
        "adapters.ipfs": IpfsConfig,
        "adapters.nfs": NfsConfig,
        "merge": MergeConfig,
    }
)
"""A name with a dot is a section within another."""

LATER: Final[Mapping[str, str]] = MappingProxyType({})
"""Sections that are accepted and not used yet."""


def settings() -> Iterator[Setting]:
    """Every setting, in the order of the file."""
    for section, kind in SECTIONS.items():
        for item in fields(kind):
            yield Setting(section=section, name=item.name, **item.metadata)
