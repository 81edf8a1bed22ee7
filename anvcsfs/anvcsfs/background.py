"""How many requests of a view may be under way at the same time.

The kernel reads ahead "in the background" and lets a mount have 12 such requests at once.
A dozen readers that a slow store keeps waiting would then hold up everybody who reads what
isn't cached.  libfuse has no option for that number that pyfuse3 could pass on, so it is set where
the kernel shows it: in the control file system of FUSE, which belongs to whoever mounted.
"""

import logging
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from anvcs.mounts import mount_at

log = logging.getLogger(__name__)

BACKGROUND: Final = 1024
"""Requests in the background; one that waits costs a few KiB."""
TASKS: Final = BACKGROUND + 512
"""Requests of any kind: those in the background never take all."""

_CONTROL = Path("/sys/fs/fuse/connections")
_NAMES = {"max_background": BACKGROUND, "congestion_threshold": BACKGROUND * 3 // 4}
_SET_IN_PRIVATE = """
mount -t fusectl fusectl "$0" || exit 1
cd "$0/$1" || exit 1
shift
while [ $# -gt 1 ]; do echo "$2" > "$1" || exit 1; shift 2; done
"""
_PATIENCE_S = 10.0


def allow_many(mountpoint: Path) -> None:
    """Let many readers of the view at *mountpoint* wait without keeping others; says in the log when that can't be."""
    mount = mount_at(mountpoint)
    if mount is None:
        return  # unmounted already
    try:
        for name, value in _NAMES.items():
            (_CONTROL / str(mount.number) / name).write_text(str(value))
    except OSError as error:
        if not _set_in_private(mount.number):
            log.warning(
                "a dozen readers that wait for a store can hold up other reads of this view (%s); mount the control "
                "file system of FUSE to avoid that: mount -t fusectl fusectl %s",
                error.strerror,
                _CONTROL,
            )


def _set_in_private(number: int) -> bool:
    """Set it as root in a mount namespace of a child, where the control file system isn't mounted for all."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    words = [word for name, value in _NAMES.items() for word in (name, str(value))]
    command = ["unshare", "--mount", "sh", "-c", _SET_IN_PRIVATE, str(_CONTROL), str(number), *words]
    try:
        done = subprocess.run(command, cwd="/", check=False, capture_output=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
