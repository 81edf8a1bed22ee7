"""What we tell the kernel: mount options, and what it must forget."""

import pyfuse3
from pyfuse3 import InodeT


class KernelNotifier:
    """Sends invalidations to the kernel; called only from the notifier's thread."""

    def forget_content(self, ino: int) -> None:
        """Drop pages and attributes."""
        pyfuse3.invalidate_inode(InodeT(ino))

    def forget_attributes(self, ino: int) -> None:
        """Drop attributes."""
        pyfuse3.invalidate_inode(InodeT(ino), attr_only=True)

    def forget_entry(self, parent: int, name: bytes) -> None:
        """Drop a name; where the kernel never looked it up, the listing it cached."""
        pyfuse3.invalidate_entry(InodeT(parent), name)

    def forget_deleted(self, parent: int, name: bytes, ino: int) -> None:
        """Drop a name whose file is gone; those who watch the file are told by inotify."""
        pyfuse3.invalidate_entry(InodeT(parent), name, InodeT(ino))


def fuse_options(*, name: str, allow_other: bool, default_permissions: bool, read_only: bool) -> set[str]:
    """Mount options for `pyfuse3.init`."""
    options = set(pyfuse3.default_options)
    # libfuse splits options at commas.
    escaped = name.replace("\\", "\\\\").replace(",", "\\,")
    options.update({f"fsname={escaped}", "subtype=anvcsfs"})
    if default_permissions:
        options.add("default_permissions")
    if allow_other:
        options.add("allow_other")
    if read_only:
        options.add("ro")
    return options
