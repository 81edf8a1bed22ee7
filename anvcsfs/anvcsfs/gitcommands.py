"""Which process is Git, which command it carries out, and which process that command began with."""

import os

from anvcs.views import Process

_DEPTH = 16
_VALUED = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"})
"""Options of ``git`` itself whose value is the next argument."""
_DISCARDING = frozenset({"checkout", "checkout--worker", "clean", "reset", "restore"})
_OF_HEAD = frozenset(
    [
        "am",
        "bisect",
        "checkout",
        "cherry-pick",
        "commit",
        "merge",
        "pull",
        "rebase",
        "reset",
        "restore",
        "revert",
        "rm",
        "stash",
        "switch",
    ]
)
"""Commands that go by what HEAD has, to commit or to write something on top of it."""
_OF_A_STASH = frozenset({"apply", "rm", "checkout-index"})
"""What ``git stash push`` lets other commands of Git do to the work tree."""


def command_of(pid: int) -> str | None:
    """Which command of Git the process carries out (``checkout``); ``None`` when it isn't Git."""
    if pid <= 0 or _read(f"/proc/{pid}/comm").rstrip(b"\n") != b"git":
        return None
    words = [os.fsdecode(word) for word in _read(f"/proc/{pid}/cmdline").split(b"\0")]
    program = os.path.basename(words[0])
    if program.startswith("git-"):
        return program[4:]
    rest = iter(words[1:])
    for word in rest:
        if word in _VALUED:
            next(rest, None)
        elif word and not word.startswith("-"):
            return word
    return ""


def first_of(pid: int) -> int:
    """The process that the command began with: ``git stash`` lets a ``git reset`` do a part of its work."""
    for _ in range(_DEPTH):
        above = parent_of(pid)
        if above <= 1 or command_of(above) is None:
            break
        pid = above
    return _leader(pid)


def discards(command: str, first: str | None) -> bool:
    """Whether *command*, a part of the command *first*, throws changes of the work tree away."""
    return command in _DISCARDING or (command in _OF_A_STASH and first == "stash")


def builds_on_head(pid: int) -> bool:
    """Whether *pid* is a command that goes by what HEAD has and that somebody else than Git has begun."""
    command = command_of(pid)
    return command in _OF_HEAD and command_of(parent_of(pid)) is None


def process_of(pid: int) -> Process | None:
    """The process *pid*, unless it has ended."""
    return Process.of(pid)


def parent_of(pid: int) -> int:
    """The process that started *pid*."""
    return _number(pid, b"PPid:")


def _leader(pid: int) -> int:
    return _number(pid, b"Tgid:") or pid


def _number(pid: int, field: bytes) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return 0


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
