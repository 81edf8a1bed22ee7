"""Which processes belong together: threads, parents, sessions."""

import os
import signal
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_DEPTH = 12
_FLAGS, _EXIT_CODE = 6, 49
"""Fields of ``/proc/<pid>/stat`` after the process's name."""
_PF_EXITING = 0x4
_ENDINGS = sum(
    1 << (number - 1) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM)
)


def family(pid: int) -> Iterator[int]:
    """*pid*, the leader of its thread group, then its ancestors, nearest first.

    A save's writer and the reader of what it saved are often different processes of
    one shell or one agent; the nearest common one tells.
    """
    for _ in range(_DEPTH):
        if pid <= 1:
            return
        yield pid
        status = _status(pid)
        leader = status.get("Tgid", 0)
        if leader not in (0, pid):
            yield leader
        pid = status.get("PPid", 0)


def _status(pid: int) -> dict[str, int]:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {
        key[:-1]: int(value)
        for key, value, *_ in (line for line in lines if len(line) > 1)
        if key in ("Tgid:", "PPid:")
    }


def holds_for_writing(pid: int, mountpoint: str, path: bytes) -> bool:
    """Whether process *pid* still has the file *path* of the mount open for writing; as `holds`."""
    wanted = os.path.join(os.fsencode(mountpoint), path)
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    return any(_link(f"/proc/{pid}/fd/{number}") == wanted and _is_writable(pid, number) for number in numbers)


def _is_writable(pid: int, number: str) -> bool:
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
            text = file.read()
    except OSError:
        return False
    at = text.find(b"flags:")
    return at >= 0 and int(text[at + 6 :].split(None, 1)[0], 8) & os.O_ACCMODE != os.O_RDONLY


def holds(pid: int, mountpoint: str, path: bytes) -> bool:
    """Whether process *pid* still has the file *path* of the mount open.

    At a FLUSH the descriptor that is being closed has already left the process's
    table, so "no" says that the opener has let go and a remaining one is a child's.
    Reading the links asks the kernel only: no request comes back to us.
    """
    wanted = os.path.join(os.fsencode(mountpoint), path)
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return False  # gone, or not ours to see: the flush stands
    return any(_link(f"{folder}/{number}") == wanted for number in numbers)


def _link(path: str) -> bytes:
    try:
        return os.readlink(os.fsencode(path))
    except OSError:
        return b""


def is_mapped(ino: int, threads: Iterable[int]) -> bool:
    """Whether one of *threads* has mapped the file with inode number *ino*, or may have."""
    number = str(ino).encode()
    for thread in set(threads):
        try:
            with open(f"/proc/{thread}/maps", "rb") as file:
                if any(len(fields := line.split(None, 5)) > 4 and fields[4] == number for line in file):
                    return True
        except OSError:  # gone, and somebody has inherited what it opened; or not ours to see
            return True
    return False


class Asker:
    """Who waits for an answer of ours, which can take long."""

    def __init__(self, thread: int) -> None:
        """*thread* made the request; 0: it is in another world."""
        self._leader = _words_of(thread).get(b"Tgid", thread) if thread > 0 else 0
        ending = _ends(self._leader)
        if ending.under_way and not ending.killed:
            self._leader = 0  # it closed the file by ending, or somebody else goes on in its place

    def waits(self) -> bool:
        """Whether it does: as far as we can see, it neither ended nor was told to.

        The kernel lets a process that waits for our answer not even be killed before it has one.  It tells us of the
        signal, but pyfuse3 doesn't pass that on.  The signal is pending meanwhile.
        """
        return self._leader == 0 or not self._has_left()

    def _has_left(self) -> bool:
        words = _words_of(self._leader)
        if not words or _ends(self._leader).under_way:
            return True
        return bool((words[b"SigPnd"] | words[b"ShdPnd"]) & ~words[b"SigBlk"] & _ENDINGS)


def _words_of(pid: int) -> dict[bytes, int]:
    """Leader and signals of a process or thread; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            rows = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}
    found = {name: int(rows[name], 16) for name in (b"SigPnd", b"ShdPnd", b"SigBlk")}
    return found | {b"Tgid": int(rows[b"Tgid"])}


class _Ending(NamedTuple):
    """How a process ends."""

    under_way: bool
    killed: bool
    """By a signal."""


def _ends(pid: int) -> _Ending:
    """Whether a process is on its way out: it closes its files then, and they may be ours."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _Ending(under_way=True, killed=False)
    under_way = bool(int(fields[_FLAGS]) & _PF_EXITING)
    return _Ending(under_way, under_way and bool(int(fields[_EXIT_CODE]) & 0x7F))
