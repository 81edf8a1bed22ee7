"""Throw-away places in which commands look at a merged tree, and clearing away what a dead process left of them.

Each has a folder ``anvcs-guard-…`` with a file ``owner``, on which whoever needs it has a shared lock: the one who
merges, and the program that shows the view.  A folder that nobody has locked is nobody's.  What runs there has the
folder's name in its environment, so that nothing goes on when its place goes.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from anvcs.forgetting import forget_view
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git
from anvcs.model.ids import Oid
from anvcs.mounts import mount_at
from anvcs.repository import Repository
from anvcs.views import ViewState

PREFIX = "anvcs-guard-"
VIEW_PREFIX = "guard-"
"""How the names of the views begin."""
PLACE_VARIABLE = "ANVCS_GUARD_PLACE"
_OWNER = "owner"
_YOUNG_S = 60.0
"""A folder without an owner that is younger may be about to get one."""
_MOUNTER = (sys.executable, "-m", "anvcs_tools.mounting.passing")
"""A program that shows a commit in a view for as long as its standard input is open; not ours to import."""
_MOUNTING_S = 60.0


@contextlib.contextmanager
def place_for(objects: ObjectStore, commit: Oid) -> Iterator[tuple[Path, str]]:
    """A directory that shows *commit* for a while, and what to tell about it."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with contextlib.ExitStack() as stack:
        stack.callback(clear_folder, folder)
        stack.enter_context(held(folder, create=True))
        top = folder / "tree"
        top.mkdir()
        why_not = _mount(objects, commit, top, stack)
        if why_not:
            _check_out(objects, commit, top, folder / "index")
            yield top, f"guards ran in a plain checkout, because no view can be mounted here: {why_not}"
        else:
            yield top, ""


def environment_of(place: Path) -> dict[str, str]:
    """What marks the commands that run at *place*."""
    return {PLACE_VARIABLE: os.fspath(place.parent)}


@contextlib.contextmanager
def held(folder: Path, *, create: bool = False) -> Iterator[None]:
    """While this lasts, nobody clears *folder* away."""
    flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    descriptor = os.open(folder / _OWNER, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def clear_folder(folder: Path) -> None:
    """End what runs there, take its mount away, and remove it."""
    end_commands(folder)
    top = folder / "tree"
    if mount_at(top) is not None:
        subprocess.run(["fusermount3", "-uz", os.fspath(top)], check=False, capture_output=True, cwd="/")
    if mount_at(top) is None:  # never through a mount
        shutil.rmtree(folder, ignore_errors=True)


def end_commands(folder: Path) -> None:
    """Kill whatever was started for *folder*, wherever it has gone since."""
    mark = os.fsencode(f"{PLACE_VARIABLE}={folder}")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # somebody else's, or ended
            descriptor = os.pidfd_open(int(process.name))
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)


def sweep(repository: Repository) -> None:
    """Clear away places whose owners have died, and views of this repository that were mounted for them."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if _is_abandoned(folder):
                clear_folder(folder)
    for info in repository.views.list():
        place = info.spec.mountpoint.parent
        if info.spec.name.startswith(VIEW_PREFIX) and place.name.startswith(PREFIX) and not place.exists():
            _forget(repository, info.spec.name)


def _is_abandoned(folder: Path) -> bool:
    found = folder.lstat()
    if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        return False
    try:
        descriptor = os.open(folder / _OWNER, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - found.st_mtime > _YOUNG_S
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _forget(repository: Repository, name: str) -> None:
    """Forget a view once the process that served it has ended, which it does without its mount."""
    process = repository.views.process(name)
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process.pid)
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if process.alive:
                waiting.poll(_MOUNTING_S * 1000)
            os.close(descriptor)
    if repository.views.info(repository.views.load(name)).state is ViewState.UNMOUNTED:
        forget_view(repository, name, force=True)


def _mount(objects: ObjectStore, commit: Oid, top: Path, stack: contextlib.ExitStack) -> str:
    """Mount a view of *commit* at *top* until *stack* unwinds; else why not."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or shutil.which("fusermount3") is None:
        return "FUSE is missing"
    process = subprocess.Popen(
        [*_MOUNTER, os.fspath(objects.common_dir), commit.hex(), os.fspath(top)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
        start_new_session=True,  # a key pressed for us is none for it: it has to clear up
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    output = process.stdout

    def end() -> None:
        process.stdin.close()  # type: ignore[union-attr]  # asserted above
        output.close()
        process.wait()

    stack.callback(end)
    waiting = select.poll()
    waiting.register(output, select.POLLIN)
    ready = waiting.poll(_MOUNTING_S * 1000)
    answer = output.readline().decode(errors="replace").strip() if ready else "mounting took too long"
    return "" if answer == "ready" else answer or "the mounting program failed"


def _check_out(objects: ObjectStore, commit: Oid, top: Path, index: Path) -> None:
    git = Git(objects.common_dir, top, {"GIT_INDEX_FILE": os.fspath(index)})
    git.run("read-tree", commit.hex())
    git.run("checkout-index", "--all", "--force")
