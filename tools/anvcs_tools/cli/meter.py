"""How far an upload or a check is, in one line of a terminal."""

import json
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from anvcs.pinning import Pinning

_TICK_S = 0.2


class UploadMeter:
    """Shows the progress of a commit's uploads while it is entered, if there is a terminal to show it on."""

    def __init__(self, control: Path | None) -> None:
        """*control*: the view's control files, whose status tells; without them see `look_at`."""
        self._control = control
        self._pinning: Pinning | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._moved, self._rate = 0, 0.0

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
        while not self._over.wait(_TICK_S):
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
        self._rate = 0.8 * self._rate + 0.2 * max(moved - self._moved, 0) / _TICK_S
        self._moved = moved
        return (
            f"uploading: {one['files_done']}/{one['files']} files, {_mib(moved)} of {_mib(one['bytes'])}, "
            f"{_mib(self._rate)}/s"
        )


class Counter:
    """Shows how many of so many are done while it is entered, if there is a terminal to show it on."""

    def __init__(self, what: str, total: int, size: int) -> None:
        """*size* in bytes, of all."""
        self._what, self._total, self._size = what, total, size
        self._done = self._bytes = 0
        self._shown_s = 0.0

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
        if sys.stderr.isatty() and time.monotonic() - self._shown_s > _TICK_S:
            self._shown_s = time.monotonic()
            text = f"{self._what} {self._done}/{self._total} files, {_mib(self._bytes)} of {_mib(self._size)}"
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _mib(count: float) -> str:
    return f"{count / (1 << 20):.1f} MiB"
