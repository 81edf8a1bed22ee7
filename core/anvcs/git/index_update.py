"""Following a moved HEAD in a view's index, without losing what git keeps there.

Git itself changes the entries, in a copy, and thus keeps the extensions (the untracked cache,
the file system monitor's state, the trees).  It leaves the stat data of changed entries empty;
they are filled in afterwards, so that the next ``git status`` has nothing to hash.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from hashlib import sha1
from mmap import mmap
from pathlib import Path

from anvcs.git.index_format import OID_OFFSET, Stat, encode_numbers
from anvcs.git.program import GitFailed, git_program, plain_environment
from anvcs.model.ids import Oid
from anvcs.model.tree import Leaf

_ZERO = b"0" * 40
_CHECKSUM = 20
_PATCHABLE = (2, 3)  # version 4 cuts the paths short, so entries can't be found by them
# Asked by git in our hands, the monitor has nothing new to tell: the token stays, and what changed
# since then git learns when it is run in the view.
_SILENT_MONITOR = """f() { printf '%s\\0' "$2"; }; f"""


def index_info(changes: Mapping[bytes, Leaf | None]) -> bytes:
    """What ``update-index --index-info`` reads; removals first, they may make way for a directory."""
    gone = [b"0 %b\t%b\0" % (_ZERO, path) for path, leaf in changes.items() if leaf is None]
    there = [
        b"%o %b\t%b\0" % (leaf.mode, leaf.oid.hex().encode(), path)
        for path, leaf in changes.items()
        if leaf is not None
    ]
    return b"".join(gone + there)


def fill_in(
    data: mmap, changes: Mapping[bytes, Leaf | None], stats: Mapping[bytes, Stat | None], owner: tuple[int, int]
) -> None:
    """Write stat data into the entries of an index, and its checksum again."""
    if int.from_bytes(data[4:8], "big") not in _PATCHABLE:
        return
    at = 0
    for path in sorted(changes):
        leaf, stat = changes[path], stats.get(path)
        if leaf is None or stat is None:
            continue
        numbers = encode_numbers(path, leaf.mode, leaf.oid, stat, owner)
        # An id, flags that say "no stage, nothing special", the name: nothing else looks like that.
        found = data.find(numbers[OID_OFFSET:] + path + b"\0", at)
        if found >= 0:
            data[found - OID_OFFSET : found - OID_OFFSET + len(numbers)] = numbers
            at = found
    if any(data[-_CHECKSUM:]):  # index.skipHash leaves zeros
        with memoryview(data) as whole, whole[:-_CHECKSUM] as body:
            digest = sha1(body, usedforsecurity=False).digest()
        data[-_CHECKSUM:] = digest


def copy_path(admin_dir: Path) -> Path:
    """Where this process changes a copy of the index; one that was killed may have left a command at work on its own."""
    return admin_dir / f"index.anvcs-{os.getpid()}"


class Plumbing:
    """Git on a copy of a view's index, with a work tree that is not the view."""

    def __init__(self, admin_dir: Path) -> None:
        # The directory is never looked into, but has to exist.  With none at all git would take the
        # repository for bare and drop the file system monitor's state.
        places = {"GIT_DIR": admin_dir, "GIT_WORK_TREE": admin_dir, "GIT_INDEX_FILE": copy_path(admin_dir)}
        self._env = plain_environment({name: str(place) for name, place in places.items()})

    def run(self, *args: str, stdin: bytes = b"") -> bytes:
        """The output of a git command."""
        # The untracked cache notes its work tree: as it is another here, git would throw it away.
        config = ("-c", "core.untrackedCache=keep", "-c", f"core.fsmonitor={_SILENT_MONITOR}")
        command = [git_program(), *config, *args]
        done = subprocess.run(command, cwd="/", env=self._env, input=stdin, capture_output=True, check=False)
        if done.returncode != 0:
            raise GitFailed(args[0], done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def raw(self, *args: str) -> dict[bytes, Leaf | None]:
        """A comparison's new side by path."""
        fields = self.run(*args, "--raw", "-z", "--no-renames", "--abbrev=40").split(b"\0")
        return dict(_leaves(fields[0::2], fields[1::2]))


def _leaves(heads: Iterable[bytes], paths: Iterable[bytes]) -> Iterable[tuple[bytes, Leaf | None]]:
    for head, path in zip(heads, paths, strict=False):
        _, mode, _, name, _ = head.split()
        yield path, None if int(mode, 8) == 0 else Leaf(int(mode, 8), Oid(bytes.fromhex(name.decode())))
