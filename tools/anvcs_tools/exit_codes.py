"""What each error means to a script: one table, walked by a test."""

import errno
from typing import Final

FAILED: Final = 1
USAGE: Final = 2
NOT_READY: Final = 3
NOTHING_TO_DO: Final = 4
REFUSED: Final = 5
MOVED: Final = 6
CANNOT_MOUNT: Final = 7
BUSY: Final = 8
INVALID: Final = 9
DAMAGED: Final = 10
REMOTE: Final = 11
NOT_FOUND: Final = 12
NO_SPACE: Final = 13
MERGE_USAGE: Final = 129
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

MEANING: Final[dict[int, str]] = {
    0: "done",
    FAILED: "failed for a reason that has no code of its own, such as a file that can't be read",
    USAGE: "the command line was wrong",
    NOT_READY: "not a repository, not prepared with `ai-vcs init`, or of a kind that is not supported",
    NOTHING_TO_DO: "there is nothing to commit",
    REFUSED: "refused, because it would lose or hide work, or because a hook or a rule said no",
    MOVED: "somebody else was faster, more than once: try again",
    CANNOT_MOUNT: "the directory or this system doesn't allow the mount",
    BUSY: "something is in use: a view with open files, a locked room or index",
    INVALID: "the configuration or the request is not valid",
    DAMAGED: "stored data is damaged; `ai-vcs fsck` tells more",
    REMOTE: "the remote or the object store could not be reached or did not accept",
    NOT_FOUND: "no such view, stream, commit or path",
    NO_SPACE: "the disk is full or can't be written",
    MERGE_USAGE: "the command line of `ai-vcs merge-file` was wrong",
    INTERRUPTED: "interrupted from the keyboard",
    BROKEN_PIPE: "whoever read the output went away",
}

EXIT: Final[dict[str, int]] = {
    "anvcs.artifacts.errors.AccessDenied": REMOTE,
    "anvcs.artifacts.errors.BucketUnversioned": REMOTE,
    "anvcs.artifacts.errors.CacheFull": NO_SPACE,
    "anvcs.artifacts.errors.ClockSkewed": REMOTE,
    "anvcs.artifacts.errors.CredentialsBad": REMOTE,
    "anvcs.artifacts.errors.DigestMismatch": DAMAGED,
    "anvcs.artifacts.errors.HydrationCancelled": INTERRUPTED,
    "anvcs.artifacts.errors.HydrationTimedOut": REMOTE,
    "anvcs.artifacts.errors.NoSuchBucket": REMOTE,
    "anvcs.artifacts.errors.NoSuchVersion": REMOTE,
    "anvcs.artifacts.errors.NotCached": NOT_FOUND,
    "anvcs.artifacts.errors.StorageNotConfigured": INVALID,
    "anvcs.artifacts.errors.StoreBusy": REMOTE,
    "anvcs.artifacts.errors.StoreRefused": REMOTE,
    "anvcs.artifacts.errors.StoreUnreachable": REMOTE,
    "anvcs.artifacts.errors.TransferBroken": REMOTE,
    "anvcs.artifacts.errors.UploadCancelled": INTERRUPTED,
    "anvcs.assisting.NoAnswer": FAILED,
    "anvcs.attribution.NoText": INVALID,
    "anvcs.attribution.NothingAt": NOT_FOUND,
    "anvcs.commit_policy.CommitAgainstPolicy": REFUSED,
    "anvcs.committing.NothingToCommit": NOTHING_TO_DO,
    "anvcs.committing.StreamBusy": MOVED,
    "anvcs.committing.StreamGone": NOT_FOUND,
    "anvcs.committing.StreamMoved": MOVED,
    "anvcs.config.loading.ConfigInvalid": INVALID,
    "anvcs.concluding.GuardsFailed": REFUSED,
    "anvcs.concluding.StillOpen": REFUSED,
    "anvcs.deciding.CannotDecide": INVALID,
    "anvcs.forgetting.ViewHasWork": REFUSED,
    "anvcs.git.admin.DamagedHead": DAMAGED,
    "anvcs.git.checkouts.CheckoutInTheWay": REFUSED,
    "anvcs.git.commits.NoIdentity": INVALID,
    "anvcs.git.commits.SigningFailed": REFUSED,
    "anvcs.git.filter_protocol.FilterProtocolError": USAGE,
    "anvcs.git.filters.ConversionFailed": FAILED,
    "anvcs.git.helpers.HelperDied": FAILED,
    "anvcs.git.hooks.HookFailed": REFUSED,
    "anvcs.git.indexing.IndexLocked": BUSY,
    "anvcs.git.indexing.IndexingFailed": FAILED,
    "anvcs.git.messages.EmptyMessage": INVALID,
    "anvcs.git.messages.UnusableMessage": INVALID,
    "anvcs.git.notes.NoteTooLarge": DAMAGED,
    "anvcs.git.notes.NotesBusy": MOVED,
    "anvcs.git.objects.AmbiguousPrefix": NOT_FOUND,
    "anvcs.git.objects.MissingObject": DAMAGED,
    "anvcs.git.objects.NoSuchCommit": NOT_FOUND,
    "anvcs.git.objects.WrongType": DAMAGED,
    "anvcs.git.program.GitFailed": FAILED,
    "anvcs.git.program.GitMissing": NOT_READY,
    "anvcs.git.reflock.RefClash": INVALID,
    "anvcs.git.reflock.RefLocked": BUSY,
    "anvcs.git.refs.BadRefName": INVALID,
    "anvcs.git.refs.DamagedRef": DAMAGED,
    "anvcs.git.refs.RefMoved": MOVED,
    "anvcs.git.settings.UnreadableSettings": NOT_READY,
    "anvcs.git.setup.NotARepository": NOT_READY,
    "anvcs.git.setup.UnsupportedRepository": NOT_READY,
    "anvcs.git.transport.GitTooOld": NOT_READY,
    "anvcs.git.transport.NoRemote": NOT_FOUND,
    "anvcs.git.transport.NoSuchRemoteBranch": NOT_FOUND,
    "anvcs.git.transport.PullConflict": REFUSED,
    "anvcs.git.transport.PushRejected": REMOTE,
    "anvcs.git.transport.TransportFailed": REMOTE,
    "anvcs.git.trees.ClashingChanges": FAILED,
    "anvcs.git.trees.DamagedObject": DAMAGED,
    "anvcs.git.trees.UnstorablePath": REFUSED,
    "anvcs.git.treemerge.UnrelatedHistories": REFUSED,
    "anvcs.guarding.NoGuards": REFUSED,
    "anvcs_tools.cli.stream_merging.ViewReadOnly": REFUSED,
    "anvcs.trusting.CommandsNotTrusted": REFUSED,
    "anvcs.merging.strategies.NoSuchStrategy": INVALID,
    "anvcs.merging.strategies.StrategyFailed": FAILED,
    "anvcs.importing.NothingToImport": NOTHING_TO_DO,
    "anvcs.model.moment.BadMoment": INVALID,
    "anvcs.model.pin.MalformedPin": INVALID,
    "anvcs.model.pointer.MalformedPointer": DAMAGED,
    "anvcs.model.pointer.PointerTooLong": INVALID,
    "anvcs.model.pointer.PointerVersionUnknown": NOT_READY,
    "anvcs.model.request.BadRequest": INVALID,
    "anvcs.repository.ArtifactsWouldGo": REFUSED,
    "anvcs.proposals.NoSuchProposal": NOT_FOUND,
    "anvcs.repository.HeadDetached": NOT_FOUND,
    "anvcs.repository.NoSuchStream": NOT_FOUND,
    "anvcs.repository.NothingCommitted": NOTHING_TO_DO,
    "anvcs.repository.SeveralStreams": USAGE,
    "anvcs.repository.StreamExists": REFUSED,
    "anvcs.repository.StreamNameInvalid": INVALID,
    "anvcs.repository.UncommittedWork": REFUSED,
    "anvcs.repository.ViewShowsAnother": REFUSED,
    "anvcs.repository.ViewsInUse": BUSY,
    "anvcs.rooms.documents.DocumentFailed": DAMAGED,
    "anvcs.rooms.errors.DirectoryNotEmpty": FAILED,
    "anvcs.rooms.errors.NoSuchConflict": NOT_FOUND,
    "anvcs.rooms.errors.NoSuchPath": NOT_FOUND,
    "anvcs.rooms.errors.NotCompared": BUSY,
    "anvcs.rooms.errors.PathInUse": FAILED,
    "anvcs.rooms.errors.RoomBusy": BUSY,
    "anvcs.rooms.errors.RoomDamaged": DAMAGED,
    "anvcs.rooms.errors.RoomFull": NO_SPACE,
    "anvcs.rooms.errors.RoomReadOnly": NO_SPACE,
    "anvcs.rooms.errors.StoreVersion": NOT_READY,
    "anvcs.rooms.records.MalformedRecord": DAMAGED,
    "anvcs.store.NetworkFileSystem": NOT_READY,
    "anvcs.store.StoreMissing": NOT_READY,
    "anvcs.store.StoreVersionUnknown": NOT_READY,
    "anvcs.stream_merging.MergeUnderWay": REFUSED,
    "anvcs.stream_merging.SameStream": INVALID,
    "anvcs.streams.GitAtWork": BUSY,
    "anvcs.streams.OperationUnderWay": REFUSED,
    "anvcs.streams.StreamCheckedOut": REFUSED,
    "anvcs.streams.StreamHasWork": REFUSED,
    "anvcs.streams.StreamInUse": REFUSED,
    "anvcs.unsent.UnsentArtifacts": REFUSED,
    "anvcs.views.NoSuchView": NOT_FOUND,
    "anvcs.views.ViewDescriptionDamaged": DAMAGED,
    "anvcs.views.ViewNameInvalid": INVALID,
    "anvcs_tools.cli.back.BadSize": INVALID,
    "anvcs_tools.cli.places.NotInWorkTree": INVALID,
    "anvcs_tools.cli.places.PathOutside": INVALID,
    "anvcs_tools.cli.places.ViewStale": NOT_READY,
    "anvcs_tools.cli.reviews.ReviewIncomplete": USAGE,
    "anvcs_tools.cli.streams.NotInView": INVALID,
    "anvcs_tools.cli.streams.PlaceNotNamed": USAGE,
    "anvcs_tools.cli.streams.StreamNotNamed": USAGE,
    "anvcs_tools.cli.work.NothingThere": NOT_FOUND,
    "anvcs_tools.cli.work.RequestMalformed": INVALID,
    "anvcs_tools.mounting.options.MountOptionInvalid": INVALID,
    "anvcs_tools.mounting.places.FuseMissing": CANNOT_MOUNT,
    "anvcs_tools.mounting.places.MountPlaceRefused": CANNOT_MOUNT,
    "anvcs_tools.mounting.unmounting.NotMounted": NOT_FOUND,
    "anvcs_tools.mounting.unmounting.ServerLingers": BUSY,
    "anvcs_tools.mounting.unmounting.UnmountFailed": FAILED,
    "anvcs_tools.mounting.unmounting.ViewBusy": BUSY,
}
"""By qualified name, so that the table imports nothing."""


def qualified(kind: type) -> str:
    """Module and name of a class, as the table has it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def exit_code(error: BaseException) -> int:
    """The code for *error*; an unlisted class has that of its nearest base."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return NO_SPACE
    told: int | None = getattr(error, "exit_code", None)  # of an error that happened in another process
    if told is not None:
        return told
    return next((EXIT[name] for name in map(qualified, type(error).__mro__) if name in EXIT), FAILED)


def code_by_name(name: str) -> int:
    """The code for an error that a view told by its class name alone."""
    return next((code for known, code in EXIT.items() if known.rpartition(".")[2] == name), FAILED)
