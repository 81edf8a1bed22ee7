"""Rows that read: walking, searching, packing, and Git's status, warm and cold."""

# ruff: noqa: PTH114, PTH118, PTH123 - plain calls: what is timed should be the file system, not pathlib

import os
import shutil
import subprocess
from collections.abc import Callable

from anvcs_tools.bench.rows import NotPossible, Place, Row

_NEVER = "qzxjkv-never-in-a-file"


def shell(command: str, needs: str = "sh") -> Callable[[Place], None]:
    """Work that is a shell command in the place's directory; output thrown away."""

    def work(place: Place) -> None:
        if shutil.which(needs) is None:
            raise NotPossible(f"{needs} is not installed")
        done = subprocess.run(["/bin/sh", "-c", command], cwd=place.path, stdout=subprocess.DEVNULL, check=False)
        if done.returncode not in (0, 1):  # 1: grep and rg found nothing, which is the plan
            raise RuntimeError(f"{command}: exit {done.returncode} in {place.path}")

    return work


def fresh(place: Place) -> None:
    """Preparation of the cold rows."""
    place.fresh()


def _read_everything(place: Place) -> None:
    for folder, names, files in os.walk(place.path):
        names[:] = [name for name in names if name != ".git"]
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with open(path, "rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass


_FIND = "find . -name .git -prune -o -print"
_PLAIN = "git -c core.fsmonitor=false status --porcelain"
# A file in the one tree, a file in the other, and each says something else.
_GREP = f"grep -r --exclude-dir=.git {_NEVER} ."
_TAR = "tar cf - --exclude=./.git . | cat"

ROWS = (
    Row(key="find", title="warm find", goal=8, work=shell(_FIND)),
    Row(key="ls", title="warm ls -lR", goal=3.5, work=shell("ls -lR")),
    Row(key="status-fsmonitor", title="warm git status, fsmonitor", goal=1.1, work=shell("git status --porcelain")),
    Row(key="status-uno", title="warm git status -uno", goal=1.3, work=shell(_PLAIN + " -uno")),
    Row(key="status", title="warm git status, plain", goal=6, work=shell(_PLAIN)),
    Row(key="grep", title="warm grep -r", goal=7, work=shell(_GREP)),
    Row(key="rg", title="warm rg", goal=8, work=shell(f"rg {_NEVER} .", "rg")),
    Row(key="tar", title="warm tar c", goal=5, work=shell(_TAR)),
    Row(key="cold-find", title="cold find", goal=15, work=shell(_FIND), prepare=fresh, rounds=3),
    Row(key="cold-read", title="cold read everything", goal=12, work=_read_everything, prepare=fresh, rounds=3),
    Row(key="cold-status", title="cold first git status", goal=17, work=shell(_PLAIN), prepare=fresh, rounds=3),
)
