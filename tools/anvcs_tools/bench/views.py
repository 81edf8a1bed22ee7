"""Views as a benchmark or a test needs them: mounted by the real command, always unmounted.

Everything goes through the command line, because that is what people wait for.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from anvcs_tools.waiting import is_readable

COMMAND: Final = (sys.executable, "-m", "anvcs_tools")
PATIENCE: Final = 60.0
"""Seconds; a command that takes longer hangs."""
_TOOLS = Path(__file__).resolve().parents[2]


class CommandFailed(RuntimeError):
    """The ``ai-vcs`` command returned an exit code other than 0."""

    def __init__(self, arguments: Sequence[str], code: int, output: str, errors: str) -> None:
        super().__init__(f"ai-vcs {' '.join(arguments)}: exit {code}\n{output}\n{errors}".strip())
        self.code, self.output, self.errors = code, output, errors


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment in which a child finds the packages this process runs from."""
    roots = [str(_TOOLS.parent / name) for name in ("core", "anvcsfs", "tools")]
    known = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    # Only a source checkout has the three roots side by side; an installed package needs no help.
    path = {"PYTHONPATH": os.pathsep.join(roots + known)} if Path(roots[0], "anvcs").is_dir() else {}
    return {**os.environ, **path, **(extra or {})}


def start_command(words: Sequence[str], cwd: Path | None, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run ``ai-vcs`` as a new process."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=PATIENCE,
        check=False,
    )


runner: Callable[[Sequence[str], Path | None, Mapping[str, str]], "subprocess.CompletedProcess[str]"] = start_command
"""How `run_command` runs the command.  The tests, which run it thousands of times, have a cheaper way."""


def run_command(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``ai-vcs`` and return what it did, whatever the exit code."""
    return runner([str(argument) for argument in arguments], cwd, environment(env))


def ai_vcs(*arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Standard output of an ``ai-vcs`` command that must succeed."""
    done = run_command(*arguments, cwd=cwd, env=env)
    if done.returncode:
        raise CommandFailed([str(argument) for argument in arguments], done.returncode, done.stdout, done.stderr)
    return done.stdout


def why_not() -> str | None:
    """Why views cannot be mounted here, or ``None``."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing or not open to this user"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is not installed"
    return None


def is_mounted(path: Path) -> bool:
    """Whether a file system is mounted at *path*, asked without touching it."""
    wanted = str(path.parent.resolve() / path.name)
    lines = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    return wanted in (_unescaped(line.split(" ")[1]) for line in lines)


def _unescaped(field_text: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field_text = field_text.replace(octal, character)
    return field_text


def wait_gone(pid: int, timeout: float = 20.0) -> bool:
    """Wait until the process *pid* has ended; works for processes that are not our children."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return is_readable(descriptor, timeout)
    finally:
        os.close(descriptor)


def kill_server(pid: int, path: Path) -> None:
    """End the process *pid* at once, and return when the mount at *path* that it served is dead."""
    os.kill(pid, signal.SIGKILL)
    if not wait_gone(pid):
        raise RuntimeError(f"process {pid} survives SIGKILL")
    # A child that it was just starting may hold the device for a moment more: a question waits
    # until that has let go, and is aborted; from then on the kernel says ENOTCONN.
    with suppress(OSError):
        os.statvfs(path)


@dataclass(slots=True)
class MountedView:
    """A view mounted through the command line.  ``pid`` is the process that serves it."""

    repository: Path
    path: Path
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    on_mount: Callable[["MountedView"], None] | None = None
    pid: int = 0

    @property
    def control(self) -> Path:
        """Directory of the control files."""
        return self.path / ".anvcs"

    @property
    def store(self) -> Path:
        """Directory of the store in the repository."""
        if (self.repository / "HEAD").is_file():
            return self.repository / "anvcs"
        return self.repository / ".git" / "anvcs"

    @property
    def description(self) -> dict[str, Any]:
        """What ``ai-vcs views --json`` says about this view."""
        listed = json.loads(ai_vcs("views", "--json", cwd=self.repository, env=self.env))
        wanted = str(self.path.parent.resolve() / self.path.name)
        for row in listed["views"]:
            if row["mountpoint"] == wanted:
                found: dict[str, Any] = row
                return found
        raise RuntimeError(f"ai-vcs views does not list {wanted}: {listed}")

    def mount(self) -> Self:
        """Mount and return when the command does."""
        if not is_mounted(self.path):  # a stale mount answers nothing, not even whether it is there
            self.path.mkdir(parents=True, exist_ok=True)
        told = json.loads(ai_vcs("mount", self.repository, self.path, "--json", *self.options, env=self.env))
        self.pid = int(told["pid"])
        if self.on_mount:
            self.on_mount(self)
        return self

    @property
    def alive(self) -> bool:
        """Whether the serving process runs."""
        return bool(self.pid) and not wait_gone(self.pid, 0)

    def unmount(self) -> None:
        """Unmount as a user does, and wait until the serving process has ended."""
        ai_vcs("umount", self.path, env=self.env)
        if self.pid and not wait_gone(self.pid):
            raise RuntimeError(f"the serving process {self.pid} lives on after umount")
        self.pid = 0

    def kill(self) -> None:
        """End the serving process as the kernel would: at once, without a chance to tidy up."""
        pid, self.pid = self.pid or int(self.description["pid"]), 0
        kill_server(pid, self.path)

    def remount(self) -> None:
        """Unmount if the view is served, then mount again (over a stale mount after a kill)."""
        if self.alive:
            self.unmount()
        self.mount()

    def release(self) -> None:
        """Unmount by whatever works; for clean-up, after anything may have failed."""
        if is_mounted(self.path):
            done = run_command("umount", self.path, env=self.env)
            if done.returncode or is_mounted(self.path):
                subprocess.run(["fusermount3", "-uz", str(self.path)], check=False, capture_output=True)
        if self.pid and not wait_gone(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        self.pid = 0

    def __enter__(self) -> Self:
        try:
            self.mount()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def commit(view: Path, request: str | Mapping[str, Any]) -> dict[str, Any]:
    """Commit through the control file of the view at *view*; the answer, read from the same handle."""
    text = request if isinstance(request, str) else json.dumps(request)
    descriptor = os.open(view / ".anvcs" / "commit", os.O_RDWR)
    try:
        os.write(descriptor, text.encode())
        # Reading from the same handle carries the request out.
        answer: dict[str, Any] = json.loads(read_to_end(descriptor))
        return answer
    finally:
        os.close(descriptor)


def read_to_end(descriptor: int) -> bytes:
    """Everything a descriptor gives, from offset 0."""
    parts: list[bytes] = []
    while part := os.pread(descriptor, 1 << 20, sum(map(len, parts))):
        parts.append(part)
    return b"".join(parts)
