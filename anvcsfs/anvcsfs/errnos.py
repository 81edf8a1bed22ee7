"""What each of our errors means to the kernel, in one table."""

import errno
import os
import sqlite3

from anvcs.errors import AnvcsError
from anvcs.git.program import GitFailed

ERRNO: dict[str, int] = {
    # requests
    "BadRequest": errno.EINVAL,
    "FollowInvalid": errno.EINVAL,
    "BadMoment": errno.EINVAL,
    "NoText": errno.EINVAL,
    "NothingAt": errno.ENOENT,
    "EmptyMessage": errno.EINVAL,
    "UnusableMessage": errno.EINVAL,
    "CommitAgainstPolicy": errno.EPERM,
    "NothingToCommit": errno.ENODATA,
    "StreamMoved": errno.EAGAIN,
    "StreamBusy": errno.EAGAIN,
    "CheckoutInTheWay": errno.EBUSY,
    "HookFailed": errno.ECANCELED,
    "NoIdentity": errno.EINVAL,
    "SigningFailed": errno.EKEYREJECTED,
    # merges
    "MergeUnderWay": errno.EBUSY,
    "NoAnswer": errno.EIO,
    "SameStream": errno.EINVAL,
    "UnrelatedHistories": errno.EINVAL,
    "NoSuchStrategy": errno.EINVAL,
    "StrategyFailed": errno.EIO,
    "NoGuards": errno.EPERM,
    "CommandsNotTrusted": errno.EPERM,
    "GuardsFailed": errno.EPERM,
    "StillOpen": errno.EBUSY,
    "NoSuchProposal": errno.ENOENT,
    "CannotDecide": errno.EINVAL,
    # rooms
    "RoomError": errno.EIO,
    "RoomBusy": errno.EAGAIN,
    "NotCompared": errno.EAGAIN,
    "RoomFull": errno.ENOSPC,
    "RoomReadOnly": errno.EROFS,
    "RoomDamaged": errno.EIO,
    "StoreVersion": errno.EPROTO,
    "NoSuchConflict": errno.ENOENT,
    "NoSuchPath": errno.ENOENT,
    "PathInUse": errno.EEXIST,
    "DirectoryNotEmpty": errno.ENOTEMPTY,
    "MalformedRecord": errno.EIO,
    "DocumentFailed": errno.EIO,
    # git
    "ConversionFailed": errno.EIO,
    "HelperDied": errno.EIO,
    "UnreadableSettings": errno.EIO,
    "DamagedObject": errno.EIO,
    "UnstorablePath": errno.EINVAL,
    "ClashingChanges": errno.EEXIST,
    "MissingObject": errno.EIO,
    "WrongType": errno.EIO,
    "NoSuchCommit": errno.ENOENT,
    "AmbiguousPrefix": errno.ENOENT,
    "DamagedHead": errno.EIO,
    "NotesBusy": errno.EAGAIN,
    "NoteTooLarge": errno.EFBIG,
    "RefLocked": errno.EAGAIN,
    "RefClash": errno.EEXIST,
    "RefMoved": errno.EAGAIN,
    "BadRefName": errno.EINVAL,
    "DamagedRef": errno.EIO,
    "GitFailed": errno.EIO,
    "GitMissing": errno.ENOENT,
    "IndexLocked": errno.EAGAIN,
    "IndexingFailed": errno.EIO,
    "NotARepository": errno.EINVAL,
    "UnsupportedRepository": errno.ENOTSUP,
    "GitTooOld": errno.ENOTSUP,
    "NoRemote": errno.EINVAL,
    "NoSuchRemoteBranch": errno.ENOENT,
    "PullConflict": errno.EBUSY,
    "PushRejected": errno.EBUSY,
    "TransportFailed": errno.EIO,
    # artifacts: a reader gets EIO, and its view's status and log say why
    "MalformedPin": errno.EINVAL,
    "MalformedPointer": errno.EINVAL,
    "PointerVersionUnknown": errno.EPROTO,
    "PointerTooLong": errno.ENAMETOOLONG,
    "ArtifactError": errno.EIO,
    "StoreError": errno.EIO,
    "Passing": errno.EIO,
    "StoreUnreachable": errno.EIO,
    "StoreBusy": errno.EIO,
    "TransferBroken": errno.EIO,
    "NoSuchVersion": errno.EIO,
    "NoSuchBucket": errno.EIO,
    "AccessDenied": errno.EIO,
    "CredentialsBad": errno.EIO,
    "ClockSkewed": errno.EIO,
    "BucketUnversioned": errno.EIO,
    "StoreRefused": errno.EIO,
    "StorageNotConfigured": errno.EIO,
    "DigestMismatch": errno.EIO,
    "HydrationTimedOut": errno.EIO,
    "HydrationCancelled": errno.EINTR,
    "UploadCancelled": errno.EINTR,
    "CacheFull": errno.ENOSPC,
    "NotCached": errno.EIO,
    "UnsentArtifacts": errno.EBUSY,
    "FilterProtocolError": errno.EPROTO,
    "NothingToImport": errno.ENODATA,
    # configuration, store and views: they show before a mount answers
    "ConfigInvalid": errno.EINVAL,
    "StoreMissing": errno.ENOENT,
    "StoreVersionUnknown": errno.EPROTO,
    "NetworkFileSystem": errno.ENOTSUP,
    "ViewDescriptionDamaged": errno.EIO,
    "NoSuchView": errno.ENOENT,
    "ViewNameInvalid": errno.EINVAL,
    # streams and views of a whole repository: met by the command line only
    "ArtifactsWouldGo": errno.EBUSY,
    "GitAtWork": errno.EBUSY,
    "HeadDetached": errno.EINVAL,
    "NoSuchStream": errno.ENOENT,
    "NothingCommitted": errno.ENOENT,
    "OperationUnderWay": errno.EBUSY,
    "SeveralStreams": errno.EINVAL,
    "StreamCheckedOut": errno.EBUSY,
    "StreamExists": errno.EEXIST,
    "StreamGone": errno.ENOENT,
    "StreamHasWork": errno.EBUSY,
    "StreamInUse": errno.EBUSY,
    "StreamNameInvalid": errno.EINVAL,
    "UncommittedWork": errno.EBUSY,
    "ViewHasWork": errno.EBUSY,
    "ViewShowsAnother": errno.EBUSY,
    "ViewsInUse": errno.EBUSY,
}
"""Class name → errno; by name, so that nothing is imported only to be listed.  A test walks every leaf."""

_GIT_NO_SPACE = "No space left on device"
"""Git speaks English to us."""


def errno_of(error: BaseException) -> int:
    """The errno for *error*; EIO when nothing fits better."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, GitFailed) and _GIT_NO_SPACE in error.stderr:
        return errno.ENOSPC
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return errno.ENOSPC
    for kind in type(error).__mro__:
        number = ERRNO.get(kind.__name__)
        if number is not None:
            return number
    return errno.EIO


def words_of(error: BaseException) -> str:
    """What to tell a person."""
    return str(error) if isinstance(error, AnvcsError) else os.strerror(errno_of(error))
