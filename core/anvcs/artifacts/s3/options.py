"""What the S3 store must know, checked before anything is imported for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from anvcs.artifacts.errors import StorageNotConfigured
from anvcs.artifacts.retrying import Backoff
from anvcs.model.secret import Secret

MIB: Final = 1 << 20
_VIRTUAL = frozenset({"aws", "spaces"})


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """A bucket and how to reach it.  ``adapters.s3`` of the configuration explains each."""

    bucket: str
    provider: str = "aws"
    region: str = ""
    endpoint_url: str = ""
    addressing: str = "auto"
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str = ""
    use_presigned: bool = False
    multipart_threshold: int = 64 * MIB
    part_size: int = 16 * MIB
    concurrency: int = 4
    encryption: str = ""
    storage_class: str = ""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    backoff: Backoff = Backoff()  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        if not self.bucket:
            raise StorageNotConfigured("s3", "adapters.s3.bucket names no bucket")
        if self.endpoint_url and not self.endpoint_url.startswith(("http://", "https://")):
            raise StorageNotConfigured("s3", "adapters.s3.endpoint_url must begin with https:// or http://")
        if bool(self.access_key_id) != bool(self.secret_access_key):
            missing = "secret_access_key" if self.access_key_id else "access_key_id"
            raise StorageNotConfigured("s3", f"adapters.s3.{missing} is empty: is its variable set in the environment?")

    @property
    def virtual_hosts(self) -> bool:
        """Whether the bucket stands in the host name."""
        if self.addressing == "auto":
            return self.provider in _VIRTUAL
        return self.addressing == "virtual"

    @property
    def extra(self) -> dict[str, str]:
        """What each upload asks for: encryption and storage class."""
        found: dict[str, str] = {}
        if self.encryption:
            kind, _, key = self.encryption.partition(":") if self.encryption == "AES256" else _kms(self.encryption)
            found["ServerSideEncryption"] = kind
            if key:
                found["SSEKMSKeyId"] = key
        if self.storage_class:
            found["StorageClass"] = self.storage_class
        return found

    @property
    def fix_versioning(self) -> str:
        """The command that makes the bucket keep versions."""
        server = f" --endpoint-url {self.endpoint_url}" if self.endpoint_url else ""
        return (
            f"aws s3api put-bucket-versioning --bucket {self.bucket} --versioning-configuration Status=Enabled{server}"
        )


def options_from(options: Mapping[str, Any]) -> S3Options:
    """From the section of the configuration; names that aren't ours are somebody else's."""
    names = S3Options.__slots__
    return S3Options(**{name: value for name, value in options.items() if name in names})


def _kms(text: str) -> tuple[str, str, str]:
    words = text.split(":", 2)
    return ":".join(words[:2]), "", words[2] if len(words) > 2 else ""
