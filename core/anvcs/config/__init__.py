"""The repository's own settings, ``ai-vcs.config.yaml``: read, checked, described.

The file comes with the repository, so it is untrusted input: sizes and depths are
limited, YAML is read without tags, anchors or aliases, and an environment variable
that looks like a secret can only go into a key that is one.
"""

from anvcs.config.kinds import Kind, Setting
from anvcs.config.loading import MAX_BYTES, ConfigInvalid, Problem, parse_config
from anvcs.config.merging import MergeConfig
from anvcs.config.schema import FILE_NAME, LATER, SECTIONS, AgentConfig, Config, MountConfig, RoomConfig, settings
from anvcs.config.storage import AdaptersConfig, BlobsConfig, IpfsConfig, NfsConfig, S3Config, StorageConfig
from anvcs.config.template import config_template
from anvcs.model.secret import Secret

__all__ = [
    "FILE_NAME",
    "LATER",
    "MAX_BYTES",
    "SECTIONS",
    "AdaptersConfig",
    "AgentConfig",
    "BlobsConfig",
    "Config",
    "ConfigInvalid",
    "IpfsConfig",
    "Kind",
    "MergeConfig",
    "MountConfig",
    "NfsConfig",
    "Problem",
    "RoomConfig",
    "S3Config",
    "Secret",
    "Setting",
    "StorageConfig",
    "config_template",
    "parse_config",
    "settings",
]
