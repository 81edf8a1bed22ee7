"""Git's own program as the converter for encodings and filter drivers.

One conversion in a process of its own costs three milliseconds and the start of the
filter.  So ``git cat-file --batch --filters`` and ``git hash-object --stdin-paths`` are kept
running, and with them the long-running filters (``filter.<name>.process``, LFS) they start.
They see a work tree that holds nothing but attribute files, never a mount.
"""

import os
import secrets
import subprocess
import threading
import zlib
from hashlib import sha1
from pathlib import Path
from typing import IO

from anvcs.errors import AnvcsError
from anvcs.git.helpers import COMPLAINT_BYTES, Helper, HelperDied, Pool, PrivateObjects, kill_group
from anvcs.git.program import git_program, plain_environment
from anvcs.model.ids import Oid

DEADLINE_SECONDS = 600.0
"""For one conversion.  Filters fetch files over networks, so it is long."""


class ConversionFailed(AnvcsError):
    """A filter or an encoding could not convert a file; Git would refuse as well."""

    def __init__(self, path: bytes, complaint: str) -> None:
        super().__init__(f"{os.fsdecode(path)!r}: {complaint.strip() or 'the filter failed'}")
        self.path, self.complaint = path, complaint


class Filters:
    """Conversions by the git program against a tree of attribute files.  Thread-safe."""

    def __init__(
        self, common_dir: Path, git_dir: Path, work_tree: Path, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        self._work_tree = work_tree
        self._deadline = deadline_seconds
        self._env = _environment(git_dir, work_tree)
        self._objects = git_dir / "objects", common_dir / "objects"
        # A warning about line ends must not become an error that blocks.
        self._git = [git_program(), "-c", "core.safecrlf=false"]
        smudge = [*self._git, "cat-file", "--batch", "--filters"]
        clean = [*self._git, "hash-object", "-w", "--stdin-paths"]
        self._smudge = Pool(smudge, work_tree, self._env, self._objects)
        self._clean = Pool(clean, work_tree, self._env, self._objects)
        self._lock = threading.Lock()
        self._placed: set[bytes] = set()

    def expire(self) -> None:
        """Attribute files or settings changed: what runs has read the old ones."""
        self._smudge.expire()
        self._clean.expire()

    def close(self) -> None:
        """End every helper that is not at work."""
        self._smudge.close()
        self._clean.close()

    def smudge(self, path: bytes, data: bytes, oid: Oid | None = None) -> bytes:
        """The file's bytes.  *oid*: the blob, when the repository has it."""
        if path[:1] in {b" ", b"\t"} or b"\n" in path:
            objects = PrivateObjects(*self._objects)
            try:
                name = _name(objects, data, oid)
                return self._once(path, ["cat-file", "--filters", b"--path=" + path, name], objects=objects)
            finally:
                objects.remove()
        try:
            with self._smudge.lend() as helper:
                return self._smudge_with(helper, path, _name(helper.objects, data, oid))
        except HelperDied as dead:
            raise ConversionFailed(path, str(dead)) from None

    def _smudge_with(self, helper: Helper, path: bytes, name: str) -> bytes:
        # The size that git prints is the blob's, so a name that can't exist marks the end.
        mark = secrets.token_hex(16).encode()
        request = name.encode() + b" " + path + b"\n" + mark + b"\n"
        answer = helper.ask(request, mark + b" missing\n", self._deadline)
        helper.objects.loose(name).unlink(missing_ok=True)
        header, _, content = answer.partition(b"\n")
        if header.endswith(b" missing"):
            raise ConversionFailed(path, f"the repository lacks the object {name}")
        return content[:-1]

    def clean(self, path: bytes, data: bytes) -> bytes:
        """The blob's bytes."""
        placed = self._place(path, data)
        if placed is None:
            return self._clean_once(path, data)
        try:
            with self._clean.lend() as helper:
                name = helper.ask(path + b"\n", b"\n", self._deadline).decode()
                return self._read(path, helper.objects, name)
        except HelperDied as dead:
            raise ConversionFailed(path, str(dead)) from None
        finally:
            placed.unlink(missing_ok=True)
            with self._lock:
                self._placed.discard(path)

    def _clean_once(self, path: bytes, data: bytes) -> bytes:
        objects = PrivateObjects(*self._objects)
        try:
            name = self._once(path, ["hash-object", "-w", "--stdin", b"--path=" + path], data, objects=objects)
            return self._read(path, objects, name.decode().strip())
        finally:
            objects.remove()

    def _place(self, path: bytes, data: bytes) -> Path | None:
        """Put the content where its path says, for git to find; None where that can't be done."""
        if path.startswith(b'"') or b"\n" in path or path.rpartition(b"/")[2] == b".gitattributes":
            return None
        with self._lock:
            if path in self._placed:
                return None
            self._placed.add(path)
        place = self._work_tree / os.fsdecode(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError:
            # An attribute file is in the way, or the name is too long: the road over stdin takes any.
            with self._lock:
                self._placed.discard(path)
            return None
        return place

    def _read(self, path: bytes, objects: PrivateObjects, name: str) -> bytes:
        """A blob that git has just written, or found in the repository and left there."""
        place = objects.loose(name)
        try:
            packed = place.read_bytes()
        except FileNotFoundError:
            return self._once(path, ["cat-file", "blob", name])
        place.unlink()
        return zlib.decompress(packed).partition(b"\0")[2]

    def smudge_file(self, path: bytes, oid: Oid, destination: Path) -> None:
        """Write the file's bytes to *destination*, without holding them here."""
        with destination.open("wb") as out:
            self._once(path, ["cat-file", "--filters", b"--path=" + path, oid.hex()], out=out)

    def clean_file(self, path: bytes, source: Path) -> Oid:
        """Store the blob for the file at *source* in the repository, without holding it here."""
        name = self._once(path, ["hash-object", "-w", b"--path=" + path, "--", os.fspath(source)])
        return Oid(bytes.fromhex(name.decode()))

    def _once(
        self,
        path: bytes,
        args: list[str | bytes],
        data: bytes = b"",
        out: IO[bytes] | None = None,
        objects: PrivateObjects | None = None,
    ) -> bytes:
        process = subprocess.Popen(
            [*self._git, *args],
            cwd=self._work_tree,
            env=self._env if objects is None else objects.environment(self._env),
            stdin=subprocess.PIPE,
            stdout=out or subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            answer, complaint = process.communicate(data, timeout=self._deadline)
        except subprocess.TimeoutExpired:
            kill_group(process)
            process.communicate()
            raise ConversionFailed(path, f"took longer than {self._deadline:g} s") from None
        if process.returncode != 0:
            raise ConversionFailed(path, complaint[-COMPLAINT_BYTES:].decode(errors="replace"))
        return answer or b""


def _environment(git_dir: Path, work_tree: Path) -> dict[str, str]:
    env = plain_environment({"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(work_tree)})
    # Filters are the user's programs and run in the user's language: `sort` depends on it.
    for name in ("LC_ALL", "LANGUAGE"):
        env.pop(name, None)
        if name in os.environ:
            env[name] = os.environ[name]
    return env


def _name(objects: PrivateObjects, data: bytes, oid: Oid | None) -> str:
    """The blob's name; without *oid* it is written where git will find it."""
    if oid is not None:
        return oid.hex()
    stored = b"blob %d\0" % len(data) + data
    name = sha1(stored, usedforsecurity=False).hexdigest()
    place = objects.loose(name)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(stored, 1))
    return name
