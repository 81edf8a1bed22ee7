"""What each error means to a script: one table, walked by a test."""

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
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

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
    REMOTE: "the remote could not be reached or did not accept",
    NOT_FOUND: "no such view, stream, commit or path",
    NO_SPACE: "the disk is full or can't be written",
    INTERRUPTED: "interrupted from the keyboard",
    BROKEN_PIPE: "whoever read the output went away",
}

EXIT: Final[dict[str, int]] = {
    "anvcs.config.loading.ConfigInvalid": INVALID,
    "anvcs.store.NetworkFileSystem": NOT_READY,
    "anvcs.store.StoreMissing": NOT_READY,
    "anvcs.store.StoreVersionUnknown": NOT_READY,
    "anvcs.views.NoSuchView": NOT_FOUND,
    "anvcs.views.ViewDescriptionDamaged": DAMAGED,
    "anvcs.views.ViewNameInvalid": INVALID,
}
"""By qualified name, so that the table imports nothing."""


def qualified(kind: type) -> str:
    """Module and name of a class, as the table has it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def exit_code(error: BaseException) -> int:
    """The code for *error*; an unlisted class has that of its nearest base."""
    return next((EXIT[name] for name in map(qualified, type(error).__mro__) if name in EXIT), FAILED)
