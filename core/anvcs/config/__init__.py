"""The repository's own settings, ``ai-vcs.config.yaml``: read, checked, described.

The file comes with the repository, so it is untrusted input: sizes and depths are
limited, YAML is read without tags, anchors or aliases, and an environment variable
that looks like a secret can only go into a key that is one.
"""

from anvcs.config.loading import MAX_BYTES, ConfigInvalid, Problem, parse_config
from anvcs.config.schema import (
    FILE_NAME,
    LATER,
    AgentConfig,
    Config,
    Kind,
    MountConfig,
    RoomConfig,
    Secret,
    Setting,
    settings,
)
from anvcs.config.template import config_template

__all__ = [
    "FILE_NAME",
    "LATER",
    "MAX_BYTES",
    "AgentConfig",
    "Config",
    "ConfigInvalid",
    "Kind",
    "MountConfig",
    "Problem",
    "RoomConfig",
    "Secret",
    "Setting",
    "config_template",
    "parse_config",
    "settings",
]
