"""How far an upload, a fetch or a check is, in one line of a terminal."""

import json
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from anvcs.pinning import Pinning

TICK_S = 0.2
_WINDOW_S = 4.0


class Rate:
    """Bytes a second, over the last few: they come in parts of several MiB."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def at(self, moved: int) -> float:
        """The rate now that *moved* bytes have come in all."""
        now = time.monotonic()
        self._seen.append((now, moved))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW_S:
            self._seen.popleft()
        then, before = self._seen[0]
        return max(moved - before, 0) / max(now - then, TICK_S)


def progress_line(verb: str, files: tuple[int, int], moved: int, total: int, rate: float) -> str:
    """One line: files and bytes done of all, and bytes a second."""
    share = 100 * min(moved, total) // total if total else 100
    return (
        f"{verb} {files[0]}/{files[1]} files, {size_text(moved)} of {size_text(total)} ({share} %), {size_text(rate)}/s"
    )


def size_text(count: float) -> str:
    """Bytes, for people."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1024:.1f} KiB"


class UploadMeter:
    """Shows the progress of a commit's uploads while it is entered, if there is a terminal to show it on."""

    def __init__(self, control: Path | None) -> None:
        """*control*: the view's control files, whose status tells; without them see `look_at`."""
        self._control = control
        self._pinning: Pinning | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._rate = Rate()

    def look_at(self, pinning: "Pinning") -> None:
        """Ask *pinning* how far it is."""
        self._pinning = pinning

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _show(self) -> None:
        while not self._over.wait(TICK_S):
            for one in self._uploads():
                print(f"\r\033[K{self._line(one)}", end="", file=sys.stderr, flush=True)

    def _uploads(self) -> list[dict[str, int]]:
        report: Any = None
        if self._pinning is not None:
            report = self._pinning.report()
        elif self._control is not None:
            try:
                report = json.loads((self._control / "status").read_bytes()).get("artifacts")
            except (OSError, ValueError):  # the view has other things to do
                return []
        uploads: list[dict[str, int]] = (report or {}).get("uploading", [])
        return uploads

    def _line(self, one: dict[str, int]) -> str:
        moved = one["bytes_moved"]
        files = one["files_done"], one["files"]
        return progress_line("uploading", files, moved, one["bytes"], self._rate.at(moved))


class Counter:
    """Shows how many of so many are done while it is entered, if there is a terminal to show it on."""

    def __init__(self, verb: str, total: int, size: int) -> None:
        """*size* in bytes, of all."""
        self._verb, self._total, self._size = verb, total, size
        self._done = self._bytes = 0
        self._shown_s = 0.0
        self._rate = Rate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown_s:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def add(self, size: int) -> None:
        """One more is done, of *size* bytes; by one thread at a time."""
        self._done, self._bytes = self._done + 1, self._bytes + size
        if sys.stderr.isatty() and time.monotonic() - self._shown_s > TICK_S:
            self._shown_s = time.monotonic()
            files = self._done, self._total
            text = progress_line(self._verb, files, self._bytes, self._size, self._rate.at(self._bytes))
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
