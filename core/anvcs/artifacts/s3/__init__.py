"""Versioned buckets of S3; the only place where boto3 is imported, and only when a bucket is used."""

from typing import TYPE_CHECKING

from anvcs.artifacts.s3.options import options_from

if TYPE_CHECKING:
    from anvcs.artifacts.protocol import StoreSettings
    from anvcs.artifacts.s3.store import S3VersionedBlobStore


def make(settings: "StoreSettings") -> "S3VersionedBlobStore":
    """From the configuration: ``adapters.s3``."""
    from anvcs.artifacts.s3.store import S3VersionedBlobStore

    return S3VersionedBlobStore(options_from(settings.options), settings.state)
