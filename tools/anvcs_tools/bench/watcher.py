"""Notices when something arrives in views: ``python -m anvcs_tools.bench.watcher``.

Each line on standard input is a JSON list ``[file, size, text]``; the answer, when *file* has
*size* bytes and ends with *text*, is the time in nanoseconds of the system's monotonic clock.
It stands by itself because the reader of a view is another process than its writer.
"""

# ruff: noqa: PTH116, PTH123 - plain calls: what is timed should be the file system, not pathlib

import json
import os
import select
import sys
import time

_LOOK_EVERY_S = 0.0003
_PATIENCE_S = 10.0
Wanted = tuple[str, int, bytes]


def arrived(wanted: Wanted) -> bool:
    """Whether the new bytes can be read."""
    file, size, text = wanted
    # stat costs the server nothing until the kernel is told of a change.
    if os.stat(file).st_size != size:
        return False
    with open(file, "rb", buffering=0) as opened:
        opened.seek(size - len(text))
        return opened.read(len(text) + 1) == text


def main() -> int:
    """Answer until standard input ends."""
    waiting: dict[str, tuple[Wanted, float]] = {}
    commands = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115 - unbuffered: select tells all
    rest = b""
    while True:
        if select.select([commands], [], [], _LOOK_EVERY_S if waiting else None)[0]:
            part = commands.read(1 << 16)
            if not part:
                return 0
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                file, size, text = json.loads(line)
                waiting[text] = ((file, size, text.encode()), time.monotonic() + _PATIENCE_S)
        for key, (wanted, deadline) in list(waiting.items()):
            if arrived(wanted):
                print(json.dumps([key, time.monotonic_ns()]), flush=True)
                del waiting[key]
            elif time.monotonic() > deadline:
                print(json.dumps([key, None]), flush=True)
                del waiting[key]


if __name__ == "__main__":
    sys.exit(main())
