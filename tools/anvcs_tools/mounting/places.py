"""Where a view may be mounted, and whether anything can be mounted here at all."""

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.mounts import Mount, mount_at, mount_of
from anvcs.store import Store
from anvcs.views import Views, view_of

DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")


class FuseMissing(AnvcsError):
    """This system can't mount FUSE file systems as it is."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class MountPlaceRefused(AnvcsError):
    """The directory can't be a mount point."""

    def __init__(self, place: Path, reason: str) -> None:
        super().__init__(f"can't mount at {place}: {reason}")
        self.place, self.reason = place, reason


def check_fuse(*, allow_other: bool = False) -> None:
    """Raise `FuseMissing` with the way out when nothing can be mounted."""
    if not DEVICE.exists():
        raise FuseMissing(
            "/dev/fuse is missing: load the module (modprobe fuse), or start the container with "
            "--device /dev/fuse --cap-add SYS_ADMIN"
        )
    if shutil.which("fusermount3") is None:
        raise FuseMissing("fusermount3 is missing: apt-get install fuse3")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise FuseMissing(
            "/dev/fuse can't be opened by this user; usually its mode is 0666; as root: chmod 666 /dev/fuse"
        )
    if allow_other and os.geteuid() != 0 and not _user_allow_other():
        raise FuseMissing("allow_other: an ordinary user may do this when /etc/fuse.conf has the line user_allow_other")


def _user_allow_other() -> bool:
    try:
        return re.search(r"^\s*user_allow_other\s*$", FUSE_CONF.read_text(), re.MULTILINE) is not None
    except OSError:  # not readable here is not readable for fusermount3's caller: it will say so itself
        return True


def stale_view(place: Path) -> Mount | None:
    """The view whose process died and left its mount behind at *place*, if that is what is there."""
    mount = mount_at(place)
    if mount is None or not mount.is_view:
        return None
    spec = view_of(mount)
    if spec is not None:
        served = Views(Store(spec.common_dir)).process(spec.name) is not None
        return None if served else mount
    # Nobody's: its repository is gone.  The kernel answers stat from its cache, statfs never.
    try:
        os.statvfs(place)
    except OSError as error:
        return mount if error.errno == errno.ENOTCONN else None
    return None


def check_place(place: Path, own_trees: Iterable[Path]) -> None:
    """Make *place* an empty directory fit for a mount, or raise `MountPlaceRefused`.

    *own_trees* are the repository's work trees and Git directories.
    """
    around = mount_of(place)
    if around is not None and around.is_view and around.path != place:
        raise MountPlaceRefused(place, f"it is inside the view at {around.path}")
    mount = mount_at(place)
    if mount is not None and mount.is_view:
        raise MountPlaceRefused(place, "a view is mounted there already; ai-vcs umount ends it")
    for tree in own_trees:
        if place == tree or tree in place.parents:
            raise MountPlaceRefused(
                place, f"it is inside the repository's own directory {tree}; choose a place beside it"
            )
        if place in tree.parents:
            raise MountPlaceRefused(place, f"it contains the repository {tree}; choose a place beside it")
    _make_empty(place)


def _make_empty(place: Path) -> None:
    try:
        place.mkdir(exist_ok=True)
        with os.scandir(place) as entries:
            occupied = next(entries, None) is not None
    except FileNotFoundError:
        raise MountPlaceRefused(place, f"the directory {place.parent} doesn't exist") from None
    except FileExistsError:
        raise MountPlaceRefused(place, "it is not a directory") from None
    except PermissionError:
        raise MountPlaceRefused(place, "you may not make or read it") from None
    if occupied:
        raise MountPlaceRefused(
            place, "it is not empty, and the mount would hide what is in it; name an empty or a new directory"
        )
    if os.geteuid() != 0 and not os.access(place, os.W_OK):
        raise MountPlaceRefused(place, "you can't write there, and fusermount3 refuses such a place")
