"""What the figures were measured on."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts a reader needs to compare two tables."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    git: str
    disk: str


def describe_machine(where: Path) -> Machine:
    """This machine, and the file system that holds *where*."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=platform.python_version(),
        git=_output("git", "--version").removeprefix("git version "),
        disk=_output("stat", "-f", "-c", "%T", str(where)),
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
