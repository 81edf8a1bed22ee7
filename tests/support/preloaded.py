"""``ai-vcs`` commands without the start of Python: forked from a process that has imported everything.

Most tests that call the command are about what it does to a repository or a view, and
most of what they cost is imports.  The process here imports, starts no thread and opens
nothing; for each command it forks a child with the descriptors, directory and umask of a
new process, which runs what ``python -m anvcs_tools`` runs.  Tests
of the command itself are marked ``fresh``: they start a process, as users do.

A request is a JSON message on a socket with three descriptors: output, errors, and a pipe
that tells the child's pid and, after its end, its exit code.
"""

import atexit
import gc
import json
import os
import pkgutil
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from anvcs_tools.bench.views import PATIENCE, environment, start_command

_REQUEST_BYTES = 1 << 17
_WITHOUT_MEANING = frozenset({"PYTEST_CURRENT_TEST"})
_PACKAGES = ("anvcs", "anvcsfs", "anvcs_tools.cli", "anvcs_tools.mounting")
_PROGRAMS = frozenset({"anvcs.git.indexing", "anvcs.merging.apart", "anvcs.merging.parsing"})
"""Modules of processes that a command or a view starts: it does not import them itself."""


class Preloaded:
    """The tests' end; called, it does what `start_command` does."""

    def __init__(self) -> None:
        self._environment = environment()
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._channel, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def _start(self) -> None:
        """Start the process, at the first command: many tests need none."""
        descriptor = self._theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.preloaded", str(descriptor)],
            cwd=Path(__file__).parents[1],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # buffered as a pipe is
            pass_fds=[descriptor],
        )
        self._theirs.close()

    @property
    def pid(self) -> int:
        """The process that forks."""
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        """End the process.  Commands that still run are left alone, as a shell leaves them."""
        self._channel.close()
        self._theirs.close()
        if self._process is not None:
            assert self._process.wait(20) == 0

    def __call__(
        self, words: Sequence[str], cwd: Path | None, env: Mapping[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """Run one command; in a new process if its environment isn't the one in which everything was imported."""
        if _meant(env) != _meant(self._environment):
            return start_command(words, cwd, env)
        with self._starting:
            if self._process is None:
                self._start()
        pipes = [os.pipe() for _ in range(3)]
        try:
            request = json.dumps([list(words), os.path.abspath(cwd or "."), _umask()])
            socket.send_fds(self._channel, [request.encode()], [theirs for _, theirs in pipes])
        finally:
            for _, theirs in pipes:
                os.close(theirs)
        said, complained, told = _read_all([ours for ours, _ in pipes], words)
        _, _, code = told.partition(b" ")
        if not code:
            raise RuntimeError("the process that runs the commands has ended; its standard error says why")
        return subprocess.CompletedProcess(words, int(code), _text(said), _text(complained))


def _meant(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in _WITHOUT_MEANING}


def _umask() -> int:
    # umask(2) would have to change it, under the feet of other threads.
    found = re.search(r"^Umask:\s*([0-7]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1], 8)


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


def _read_all(pipes: list[int], words: Sequence[str]) -> list[bytes]:
    """What comes through *pipes* until all have ended; a command that takes too long is killed."""
    parts: dict[int, bytearray] = {pipe: bytearray() for pipe in pipes}
    poll = select.poll()
    for pipe in pipes:
        poll.register(pipe, select.POLLIN)
    waiting, deadline = set(pipes), time.monotonic() + PATIENCE
    while waiting:
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            if told := parts[pipes[-1]].split():
                os.kill(int(told[0]), signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, PATIENCE)
        for pipe, _ in ready:
            part = os.read(pipe, 1 << 16)
            parts[pipe] += part
            if not part:
                poll.unregister(pipe)
                os.close(pipe)
                waiting.remove(pipe)
    return [bytes(parts[pipe]) for pipe in pipes]


def load() -> None:
    """Import what any command or view may import."""
    for package in _PACKAGES:
        found = import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if module.name not in _PROGRAMS:
                import_module(module.name)
    gc.collect()
    gc.freeze()  # nothing of this is ever garbage, and looking at it would copy its pages


class Forker:
    """The process with everything in it: forks a child per request, and tells how each ended."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._running: dict[int, tuple[int, int]] = {}  # pidfd -> pid, status pipe
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)

    def next_command(self) -> list[str] | None:
        """The arguments of a command, returned in the child that is to run it; ``None`` at the end of all."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._running:
                    self._ended(descriptor)
                    continue
                request, descriptors, _, _ = socket.recv_fds(self._channel, _REQUEST_BYTES, 3)
                if not request:
                    return None
                words, cwd, umask = json.loads(request)
                if self._fork(descriptors):
                    os.umask(umask)
                    os.chdir(cwd)
                    return list(words)

    def _fork(self, descriptors: list[int]) -> bool:
        """Whether this is the child, with the descriptors of a new process."""
        assert len(os.listdir("/proc/self/task")) == 1, "a fork would lose threads"
        output, errors, status = descriptors
        pid = os.fork()
        if pid == 0:
            os.dup2(output, 1)
            os.dup2(errors, 2)
            self._channel.detach()  # its number may soon be another file's
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            return True
        os.close(output)
        os.close(errors)
        os.write(status, b"%d " % pid)
        pidfd = os.pidfd_open(pid)
        self._running[pidfd] = pid, status
        self._poll.register(pidfd, select.POLLIN)
        return False

    def _ended(self, pidfd: int) -> None:
        pid, status = self._running.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            os.write(status, b"%d" % code)
        except BrokenPipeError:  # nobody waits for it any more
            pass
        os.close(status)


class _End:
    """The very end of the process, after everything that Python does at exit but for taking all modules apart.

    That takes three times as long as most commands and changes nothing that anybody sees.
    """

    code: int = 1  # what an exception gives that nobody catches

    def __call__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.code)


def main(end: _End) -> None:
    """Serve, and in a child be the command."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    load()
    words = Forker(channel).next_command()
    if words is None:
        end.code = 0
        return
    from anvcs_tools import __main__ as program
    from anvcs_tools.cli import main as command

    sys.argv = [str(program.__file__), *words]
    try:
        end.code = command()
    except SystemExit as exited:
        end.code = int(exited.code or 0)  # argparse's are numbers


if __name__ == "__main__":
    last = _End()
    atexit.register(last)  # the first one registered is called last
    main(last)
