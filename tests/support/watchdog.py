"""A process beside the tests that frees them when a mount hangs.

A thread would not do: a page fault in an ``mmap`` waits for the mount while it holds the
interpreter's lock, and a caller in the kernel is woken only when the serving process dies.
Lines on standard input: ``watch PID PATH``, ``forget PID``, ``arm SECONDS``, ``disarm``.
"""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress


class Watchdog:
    """The tests' end: a running watchdog process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, bufsize=0)

    def say(self, *words: object) -> None:
        """Send one line."""
        assert self._process.stdin
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


def main() -> None:
    """Follow the lines until standard input ends."""
    watched: dict[int, str] = {}
    deadline: float | None = None
    rest = b""
    while True:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([0], [], [], patience)[0]:
            _free(watched)
            deadline = None
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            verb, *words = line.decode().split(" ", 2)
            if verb == "watch":
                watched[int(words[0])] = words[1]
            elif verb == "forget":
                watched.pop(int(words[0]), None)
            else:
                deadline = time.monotonic() + float(words[0]) if verb == "arm" else None


def _free(watched: dict[int, str]) -> None:
    for pid, path in watched.items():
        sys.stderr.write(f"watchdog: the mount at {path} hangs; its server {pid} is killed\n")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["fusermount3", "-uz", path], check=False, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
