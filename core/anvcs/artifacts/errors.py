"""What can go wrong with an artifact.

AnvcsError
└── ArtifactError
    ├── StoreError            a store said no, or said nothing
    │   ├── Passing           may be gone at the next try
    │   │   ├── StoreUnreachable   no connection: DNS, network, proxy, TLS, time-out
    │   │   ├── StoreBusy          the store asks to come back later (500, 503, SlowDown)
    │   │   └── TransferBroken     a body ended before its end
    │   ├── NoSuchVersion     the store doesn't have this version (any 404)
    │   ├── NoSuchBucket      the store doesn't have the bucket or folder
    │   ├── AccessDenied      the credentials don't allow it
    │   ├── CredentialsBad    no credentials, wrong ones or expired ones
    │   ├── ClockSkewed       this machine's clock is off
    │   ├── BucketUnversioned the bucket keeps no versions
    │   └── StoreRefused      any other refusal
    ├── StorageNotConfigured  nothing is known of the store that a pin names
    ├── DigestMismatch        bytes don't hash to what the pin says
    ├── HydrationTimedOut     no byte came for too long
    ├── HydrationCancelled    nobody wants it any more
    ├── UploadCancelled       whoever asked for it has left
    ├── CacheFull             no space left for the bytes
    └── NotCached             the bytes were needed without a fetch and aren't here
"""

from pathlib import Path

from anvcs.errors import AnvcsError


class ArtifactError(AnvcsError):
    """Something about an artifact that a caller can act on."""


class StoreError(ArtifactError):
    """A store failed at a request."""

    advice = ""

    def __init__(self, store: str, what: str) -> None:
        super().__init__(f"{store}: {what}" + (f" ({self.advice})" if self.advice else ""))
        self.store, self.what = store, what


class Passing(StoreError):
    """A failure that may be gone at the next try."""


class StoreUnreachable(Passing):
    """There is no connection to the store."""

    advice = "is the network up? `ai-vcs storage doctor` looks at DNS, proxy and TLS"


class StoreBusy(Passing):
    """The store asks to come back later."""

    advice = "it was asked several times; try again later"


class TransferBroken(Passing):
    """A body ended before its end."""

    advice = "it was tried several times; `ai-vcs storage doctor` looks at what is between"


class NoSuchVersion(StoreError):
    """The store doesn't have this version of this key."""

    advice = "was it deleted? restore it there, or use a commit whose artifact is still there"

    def __init__(self, store: str, key: str, version_id: str | None) -> None:
        super().__init__(store, f"there is no version {version_id} of {key}" if version_id else f"there is no {key}")
        self.key, self.version_id = key, version_id


class NoSuchBucket(StoreError):
    """The store doesn't have the bucket, or the folder isn't there."""


class AccessDenied(StoreError):
    """The credentials don't allow the request."""

    advice = "ask the owner of the bucket for the right, or check which credentials are used: `ai-vcs storage doctor`"


class CredentialsBad(StoreError):
    """There are no credentials, or the store doesn't take them."""

    advice = "log in again, or see where they come from: `ai-vcs storage doctor --verbose`"


class ClockSkewed(StoreError):
    """This machine's clock and the store's are too far apart for signatures."""

    advice = "set this machine's clock, for instance with `timedatectl set-ntp true`"


class BucketUnversioned(StoreError):
    """The bucket keeps one version of each key, so nothing could be pinned."""

    def __init__(self, store: str, bucket: str, command: str) -> None:
        super().__init__(store, f"the bucket {bucket} keeps no versions, so nothing can be pinned; run: {command}")
        self.bucket, self.command = bucket, command


class StoreRefused(StoreError):
    """The store refuses for a reason of its own."""


class StorageNotConfigured(ArtifactError):
    """Nothing says how to reach the store."""

    def __init__(self, storage: str, why: str) -> None:
        super().__init__(f"the storage {storage} can't be used: {why}")
        self.storage = storage


class DigestMismatch(ArtifactError):
    """Bytes that a store gave are not those that were pinned."""

    def __init__(self, what: str, want: str, got: str) -> None:
        super().__init__(
            f"{what}: expected sha256 {want}, received {got}; nothing of it was used. "
            "If this stays, the stored object is damaged or the pin is wrong"
        )
        self.what, self.want, self.got = what, want, got


class HydrationTimedOut(ArtifactError):
    """No byte came for longer than the deadline."""

    def __init__(self, what: str, seconds: float, last: Exception | None) -> None:
        why = f"; the last problem was: {last}" if last is not None else ""
        super().__init__(f"{what}: nothing arrived for {seconds:g} s (storage.deadline_s){why}")
        self.what, self.seconds, self.last = what, seconds, last


class HydrationCancelled(ArtifactError):
    """Whoever waited for the bytes doesn't any more."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: the fetch was cancelled")
        self.what = what


class UploadCancelled(ArtifactError):
    """Whoever asked for an upload was interrupted or has ended."""

    def __init__(self) -> None:
        super().__init__(
            "interrupted while artifacts were uploaded: nothing was committed, and what has been uploaded "
            "is not sent again by the next commit"
        )


class CacheFull(ArtifactError):
    """There is no space for the bytes; what was there is untouched."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"no space left in {root}: free some, or make the cache smaller with `ai-vcs artifacts evict --all`"
        )
        self.root = root


class NotCached(ArtifactError):
    """The bytes aren't on this machine."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"the content {sha256} is not in the cache; `ai-vcs artifacts fetch` gets it")
        self.sha256 = sha256
