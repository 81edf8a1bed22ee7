"""Long-running git processes that answer one question at a time, and a pool of them.

Each has an object directory of its own, in front of the repository's: what it writes is
read back and thrown away, and two of them never meet.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from anvcs.errors import AnvcsError

COMPLAINT_BYTES = 2000
"""How much of what a program said goes into an error."""
_MOST_HELPERS = 4
_CHUNK = 1 << 20
_LEAVE_SECONDS = 2.0


class HelperDied(AnvcsError):
    """A helper ended, or was ended at its deadline; the text is what it said."""


class PrivateObjects:
    """An object directory that shows the repository's objects and keeps new ones to itself."""

    def __init__(self, parent: Path, objects: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(dir=parent))
        (self.path / "info").mkdir()
        (self.path / "info/alternates").write_bytes(os.fsencode(objects) + b"\n")

    def loose(self, name: str) -> Path:
        """Where the object called *name* lies."""
        return self.path / name[:2] / name[2:]

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """*env* for a git that writes here."""
        return {**env, "GIT_OBJECT_DIRECTORY": str(self.path)}

    def remove(self) -> None:
        """Throw the directory away."""
        shutil.rmtree(self.path, ignore_errors=True)


class Helper:
    """One long-running git process.  One thread at a time."""

    def __init__(
        self, command: Sequence[str], work_tree: Path, env: Mapping[str, str], objects: PrivateObjects
    ) -> None:
        self.objects = objects
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody drains would block it
        self._process = subprocess.Popen(
            command,
            cwd=work_tree,
            env=objects.environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # so that its filters end with it
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._out, selectors.EVENT_READ)

    def ask(self, request: bytes, end: bytes, deadline_seconds: float) -> bytes:
        """Send *request* and return what comes before *end*."""
        try:
            self._in.write(request)
        except BrokenPipeError:
            raise HelperDied(self._said()) from None
        until = time.monotonic() + deadline_seconds
        answer = bytearray()
        while not answer.endswith(end):
            if not self._waiting.select(max(until - time.monotonic(), 0)):
                raise HelperDied(f"took longer than {deadline_seconds:g} s")
            chunk = os.read(self._out.fileno(), _CHUNK)
            if not chunk:
                raise HelperDied(self._said())
            answer += chunk
        return bytes(memoryview(answer)[: -len(end)])

    def _said(self) -> str:
        self._stderr.seek(max(self._stderr.seek(0, os.SEEK_END) - COMPLAINT_BYTES, 0))
        return self._stderr.read().decode(errors="replace")

    def dismiss(self) -> None:
        """Let it end by itself; doesn't wait."""
        self._waiting.close()
        self._in.close()
        self._out.close()

    def bury(self, patience_seconds: float = _LEAVE_SECONDS) -> None:
        """See a dismissed helper and its filters out, by force after a while."""
        try:
            self._process.wait(timeout=patience_seconds)
        except subprocess.TimeoutExpired:
            kill_group(self._process)
            self._process.wait()
        self._stderr.close()
        self.objects.remove()


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a child that leads a session, and all it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Pool:
    """Helpers of one kind, lent to one thread each; those from before `expire` are not lent again."""

    def __init__(
        self, command: Sequence[str], work_tree: Path, env: Mapping[str, str], objects: tuple[Path, Path]
    ) -> None:
        """*objects*: the parent of private object directories, and the repository's objects."""
        self._command, self._work_tree, self._env, self._objects = command, work_tree, env, objects
        self._idle: list[Helper] = []
        self._leaving: list[Helper] = []
        self._generation = 0
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_MOST_HELPERS)

    @contextlib.contextmanager
    def lend(self) -> Iterator[Helper]:
        """A helper that nobody else talks to; one whose borrower fails is ended."""
        with self._places:
            generation, helper = self._take()
            try:
                yield helper
            except BaseException:
                helper.dismiss()
                helper.bury(0)
                raise
            self._give_back(generation, helper)

    def _take(self) -> tuple[int, Helper]:
        with self._lock:
            leaving, self._leaving = self._leaving, []
            generation = self._generation
            helper = self._idle.pop() if self._idle else None
        for old in leaving:
            old.bury()
        if helper is None:
            helper = Helper(self._command, self._work_tree, self._env, PrivateObjects(*self._objects))
        return generation, helper

    def _give_back(self, generation: int, helper: Helper) -> None:
        with self._lock:
            if generation == self._generation:
                self._idle.append(helper)
                return
            self._leaving.append(helper)
        helper.dismiss()

    def expire(self) -> None:
        """From now on lend only helpers that start later; doesn't wait for the others to end."""
        with self._lock:
            self._generation += 1
            old, self._idle = self._idle, []
            self._leaving += old
        for helper in old:
            helper.dismiss()

    def close(self) -> None:
        """End the idle helpers and wait for them."""
        self.expire()
        with self._lock:
            leaving, self._leaving = self._leaving, []
        for helper in leaving:
            helper.bury()
