"""What can be configured about artifacts: which files they are and where their bytes live."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anvcs.config.kinds import MIB, Kind, setting
from anvcs.model.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """Which object store holds artifacts."""

    mode: str = setting(
        "local",
        Kind.TEXT,
        "local: a folder in the repository's store, on this machine only. s3, nfs, ipfs: see adapters. hybrid: primary "
        "with fallback behind it. Or the name of a store that another package registers.",
    )
    primary: str = setting("s3", Kind.TEXT, "Of a hybrid: the store that counts.")
    fallback: str = setting(
        "local", Kind.TEXT, "Of a hybrid: keeps what was read, and takes uploads while the primary can't be reached."
    )
    offline: str = setting(
        "fail",
        Kind.CHOICE,
        "What reading an artifact does that is not here while the store can't be reached. fail: an error after a "
        "second or two, and at once for a while after that. wait: try again until deadline_s.",
        choices=("fail", "wait"),
    )
    deadline_s: int = setting(
        60, Kind.INTEGER, "After so many seconds without any byte a waiting reader gets an error.", low=1, high=86_400
    )
    cache_size: int = setting(
        50 << 30,
        Kind.SIZE,
        "How large the cache of verified bytes may grow. What is open, or not uploaded yet, stays beyond it.",
        low=MIB,
        high=1 << 50,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobsConfig:
    """Which files are artifacts."""

    track: tuple[str, ...] = setting(
        (),
        Kind.LIST,
        "Patterns by the rules of .gitignore; a file that matches is an artifact. A file that .gitattributes gives to "
        "Git LFS (filter=lfs) is not.",
    )
    max_git_size: int = setting(
        0, Kind.SIZE, "A new file larger than this is an artifact, too. 0: size alone makes none.", high=1 << 40
    )
    upload_on_commit: bool = setting(
        True, Kind.BOOLEAN, "Upload before the commit is made. false: queue it; `ai-vcs retry-uploads` uploads."
    )
    compress: bool = setting(
        False, Kind.BOOLEAN, "Store artifacts compressed (zstd). Their hash and size stay those of the content."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Config:
    """A versioned bucket of AWS S3 or a server that speaks its protocol."""

    provider: str = setting(
        "aws",
        Kind.CHOICE,
        "Which server: it decides what is asked of it and how buckets are addressed.",
        choices=("aws", "minio", "spaces", "other"),
    )
    bucket: str = setting("", Kind.TEXT, "The bucket. It must keep versions.")
    region: str = setting("", Kind.TEXT, "The bucket's region. Empty: from the usual AWS settings.")
    endpoint_url: str = setting("", Kind.TEXT, "Address of the server, when it isn't AWS.")
    addressing: str = setting(
        "auto",
        Kind.CHOICE,
        "Bucket in the host name (virtual) or in the path. auto: virtual for aws and spaces, else path.",
        choices=("auto", "virtual", "path"),
    )
    access_key_id: Secret | None = setting(
        None, Kind.SECRET, "Empty: the usual AWS chain (environment, profile, SSO, web identity, instance role)."
    )
    secret_access_key: Secret | None = setting(None, Kind.SECRET, "Belongs to access_key_id.")
    session_token: Secret | None = setting(None, Kind.SECRET, "Belongs to access_key_id, when that is temporary.")
    profile: str = setting("", Kind.TEXT, "Profile of the AWS settings to take credentials from.")
    use_presigned: bool = setting(
        False,
        Kind.BOOLEAN,
        "Sign each request in its address: no header Authorization, and reads are plain GETs without headers of AWS, "
        "for networks that let only these pass.",
    )
    multipart_threshold: int = setting(
        64 * MIB, Kind.SIZE, "Larger files are uploaded in parts.", low=5 * MIB, high=5 << 30
    )
    part_size: int = setting(16 * MIB, Kind.SIZE, "Size of a part.", low=5 * MIB, high=512 * MIB)
    concurrency: int = setting(4, Kind.INTEGER, "Requests at the same time for one file.", low=1, high=32)
    encryption: str = setting(
        "", Kind.TEXT, "Server-side encryption: AES256, aws:kms, or aws:kms:<key id>. Empty: the bucket's default."
    )
    storage_class: str = setting("", Kind.TEXT, "Storage class of uploads, such as STANDARD_IA. Empty: the default.")


@dataclass(frozen=True, slots=True, kw_only=True)
class IpfsConfig:
    """A node of IPFS, and a service that keeps what it has."""

    gateway: str = setting("", Kind.TEXT, "Where bytes are read, such as http://127.0.0.1:8080. Empty: from the node.")
    rpc: str = setting(
        "http://127.0.0.1:5001", Kind.TEXT, "The RPC address of the node that takes uploads (Kubo's API)."
    )
    pinning_service: str = setting("", Kind.TEXT, "Address of a pinning service (its API), which keeps uploads online.")
    api_token: Secret | None = setting(
        None, Kind.SECRET, "Bearer token of the pinning service; sent over HTTPS or to this machine only."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsConfig:
    """A folder that several machines mount."""

    mount_path: str = setting(
        "", Kind.TEXT, "The folder. It must exist: an unmounted share is an error, not an empty store."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptersConfig:
    """Access to each object store."""

    s3: S3Config = S3Config()
    ipfs: IpfsConfig = IpfsConfig()
    nfs: NfsConfig = NfsConfig()
    other: Mapping[str, Any] = field(default_factory=dict)
    """What registered stores are told, by name; secrets are wrapped in `Secret`."""
