"""Parsing in a process of its own: tree-sitter keeps the interpreter's lock while it parses.

A file of 200 KB takes it a tenth of a second, in which a serving process would answer
nobody.  The helper is started when the first file has to be looked at, and ends by itself
when nobody has asked for a while or its parent is gone.
"""

import logging
import os
import select
import struct
import subprocess
import sys
import threading
from typing import IO

from anvcs.merging.parsing import broken_line

log = logging.getLogger(__name__)
_HEAD = struct.Struct("!II")
_ANSWER = struct.Struct("!q")
_NOBODY_KNOWS = -1
_IDLE_S = 60.0
_NICE = 5


class ParserProcess:
    """Asks a helper process; for any thread, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None

    def broken_line(self, path: bytes, data: bytes) -> int | None:
        """As `anvcs.merging.parsing.broken_line`; ``None`` also when the helper fails."""
        with self._lock:
            for _ in range(2):  # one that has been idle for long has just gone home
                try:
                    return self._ask(path, data)
                except (OSError, EOFError, struct.error):
                    self._end()
        log.warning("the parser's process doesn't answer: %r was not looked at", path)
        return None

    def close(self) -> None:
        """End the helper, if there is one."""
        with self._lock:
            self._end()

    def _ask(self, path: bytes, data: bytes) -> int | None:
        helper = self._helper
        if helper is None:
            helper = self._helper = subprocess.Popen(
                [sys.executable, "-m", "anvcs.merging.apart"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",  # never in a view: it would wait for itself
            )
        assert helper.stdin is not None
        assert helper.stdout is not None
        helper.stdin.write(_HEAD.pack(len(path), len(data)) + path + data)
        helper.stdin.flush()
        answer = _ANSWER.unpack(_exactly(helper.stdout, _ANSWER.size))[0]
        return None if answer == _NOBODY_KNOWS else int(answer)

    def _end(self) -> None:
        helper, self._helper = self._helper, None
        if helper is None:
            return
        helper.kill()
        helper.wait()
        for pipe in (helper.stdin, helper.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:  # what it had not read went with it
                continue


def _exactly(file: IO[bytes], size: int) -> bytes:
    parts: list[bytes] = []
    while size:  # a pipe gives what there is
        part = file.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def serve(source: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until *source* ends or nobody has asked for a minute."""
    while select.select([source], [], [], _IDLE_S)[0]:
        try:
            path_size, data_size = _HEAD.unpack(_exactly(source, _HEAD.size))
            path, data = _exactly(source, path_size), _exactly(source, data_size)
        except EOFError:
            return
        line = broken_line(path, data)
        try:
            answers.write(_ANSWER.pack(_NOBODY_KNOWS if line is None else line))
            answers.flush()
        except BrokenPipeError:  # whoever asked was killed meanwhile
            return


if __name__ == "__main__":
    os.nice(_NICE)
    # Unbuffered, or `select` would not see what is waiting in the buffer.
    with open(0, "rb", buffering=0, closefd=False) as pipe, open(1, "wb", buffering=0, closefd=False) as out:
        serve(pipe, out)
