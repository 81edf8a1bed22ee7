"""Running somebody's command: by a shell, with a time limit, with bounded output, and without leftovers."""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from anvcs.git.program import own_environment

_SHELL = "/bin/sh"
# Entered by the shell: the place may be a mount that this very process serves.
_RUN = 'cd "$1" && exec /bin/sh -c "$2"'


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    in_time: bool
    output: bytes
    """Its last bytes."""
    size: int
    """How many bytes it was in all."""
    seconds: float


def run_bounded(
    command: str,
    place: Path,
    *,
    limit_s: float,
    keep: int,
    stdin: bytes = b"",
    with_errors: bool = True,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Ran:
    """Run *command* at *place*, with all its children, for *limit_s* at most; the last *keep* bytes of its output.

    *env* is added to our environment.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        process = subprocess.Popen(
            [_SHELL, "-c", _RUN, _SHELL, os.fspath(place), command],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if with_errors else subprocess.DEVNULL,
            cwd="/",
            env=own_environment() | dict(env),
            start_new_session=True,
        )
    assert process.stdout is not None
    ended = os.pidfd_open(process.pid)
    try:
        output, size, in_time = _listen(process.stdout.fileno(), ended, started + limit_s, keep)
    finally:
        # What it left running would keep the place busy.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        os.close(ended)
    return Ran(process.returncode, in_time, output, size, time.monotonic() - started)


def _listen(pipe: int, ended: int, until: float, keep: int) -> tuple[bytes, int, bool]:
    """The end of what comes through *pipe* until its writer has *ended*, how much it was, and whether *until* was kept."""
    tail, size = b"", 0
    waiting = select.poll()
    for source in (pipe, ended):
        waiting.register(source, select.POLLIN)
    while True:
        ready = {source for source, _ in waiting.poll(max(0.0, until - time.monotonic()) * 1000)}
        if not ready or time.monotonic() > until:
            return tail, size, False
        if pipe in ready:
            data = os.read(pipe, 1 << 16)
            tail, size = (tail + data)[-keep:], size + len(data)
            if not data:
                waiting.unregister(pipe)
        elif ended in ready:
            return tail, size, True
