"""Refs of a repository: cheap reads, compare-and-swap writes, for branches, notes and our own.

Names are ``str`` with surrogate escapes.  Reading asks the loose file first and then ``packed-refs``,
which is parsed once and trusted until its stat data change.
"""

# ruff: noqa: PTH113, PTH116 - plain strings: the mount asks often, and a Path costs as much as the read
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from anvcs.errors import AnvcsError
from anvcs.git.config import Configuration
from anvcs.git.history import Signature
from anvcs.git.objects import MissingObject, ObjectStore
from anvcs.git.program import Git, GitFailed
from anvcs.git.reflock import RefClash, RefLocked, append_log, clear_empty_folders, locked
from anvcs.model.ids import Oid

__all__ = ["BadRefName", "DamagedRef", "RefClash", "RefLocked", "RefMoved", "Refs"]

ZERO = b"0" * 40

_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.lock(?:/|\Z)|^/|[/.]\Z|^@\Z|^-")
_REF = re.compile(r"refs/|[A-Z_]+\Z")  # the rest of the directory is no ref
_LOGGED = ("refs/heads/", "refs/remotes/", "refs/notes/")
_SYMBOLIC_DEPTH = 5  # as git
_LONGEST_VALUE = 4200  # bytes: a symbolic ref may name a long path
_PEELED_MEMO = 100_000


class RefMoved(AnvcsError):
    """A compare-and-swap failed: somebody else moved the ref first."""

    def __init__(self, name: str, expected: Oid | None, found: Oid | None) -> None:
        super().__init__(f"{name} is at {_short(found)}, not at {_short(expected)}: somebody moved it meanwhile")
        self.name, self.expected, self.found = name, expected, found


class BadRefName(AnvcsError):
    """Git allows no ref of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not a valid name for a ref")
        self.name = name


class DamagedRef(AnvcsError):
    """A ref's file holds neither an id nor the name of another ref, or leads in a circle."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the ref {name} cannot be read")
        self.name = name


class _Packed(NamedTuple):
    stamp: tuple[int, int, int]
    values: dict[str, Oid]


class Refs:
    """All refs of one common directory; any thread may call it."""

    def __init__(self, store: ObjectStore, who: Signature | None = None) -> None:
        self._store = store
        self._root = os.fspath(store.common_dir)
        self._git = Git(store.common_dir)
        self._who = who
        self._config = Configuration(store.common_dir, store.common_dir)
        self._packed = _Packed((0, 0, 0), {})
        self._commits: dict[Oid, Oid | None] = {}

    # Reading

    def get(self, name: str) -> Oid | None:
        """The commit that *name* leads to; ``None`` when there is no such ref or it names no commit."""
        if _BAD_NAME.search(name) or not _REF.match(name):
            return None
        _, oid = self._resolve(name)
        return None if oid is None else self._peel(oid)

    def list(self, prefix: str) -> dict[str, Oid]:
        """Every ref whose name begins with *prefix* and that leads to a commit, sorted by name."""
        names = {name for name in self._packed_refs() if name.startswith(prefix)}
        names.update(self._loose_names(prefix))
        found: dict[str, Oid] = {}
        for name in sorted(names):
            try:
                commit = self.get(name)
            except (DamagedRef, MissingObject):  # one broken ref hides no other; get() of it says why
                continue
            if commit is not None:
                found[name] = commit
        return found

    def symbolic_target(self, name: str) -> str | None:
        """The ref that the symbolic ref *name* (often ``HEAD``) points to, which need not exist."""
        value = self._loose(name)
        return os.fsdecode(value[4:].strip()) if value is not None and value.startswith(b"ref:") else None

    # Writing

    def move(
        self,
        name: str,
        new: Oid,
        old: Oid | None,
        message: str,
        *,
        who: Signature | None = None,
        at_once: bool = True,
    ) -> None:
        """Point *name* at *new* if it is at *old* (``None``: if it does not exist), with a reflog entry.

        What this process wrote is made durable first: a ref never names an object that power loss can take.
        With *at_once* it can't take the move either when this returns.
        Raises :class:`RefMoved`, :class:`RefLocked`, :class:`RefClash`.
        """
        check_name(name)
        self._store.sync()
        target, _ = self._resolve(name)
        if self._has_transaction_hook():
            self._move_by_program(name, new, old, message)
            return
        with locked(self._root, target) as lock:
            _, found = self._resolve(target)
            if not self._same(found, old):
                raise RefMoved(name, old, found)
            if found == new:
                return
            if found is None:
                self._make_room(target)
            self._log({name, target}, found, new, message, who or self._who)
            lock.publish(new.hex().encode() + b"\n", at_once=at_once)

    def delete(self, name: str, old: Oid) -> None:
        """Remove *name*, loose and packed, with its log, if it is at *old*."""
        check_name(name)
        _, found = self._resolve(name)
        if not self._same(found, old):
            raise RefMoved(name, old, found)
        assert found is not None
        try:
            # git itself rewrites packed-refs; deleting is rare.
            self._git.run("update-ref", "--no-deref", "-d", name, found.hex())
        except GitFailed as error:
            raise self._refusal(name, old, error) from error

    # Inside

    def _resolve(self, name: str) -> tuple[str, Oid | None]:
        """The last name in a chain of symbolic refs, and the unpeeled id there."""
        for _ in range(_SYMBOLIC_DEPTH):
            value = self._loose(name)
            if value is None:
                return name, self._packed_refs().get(name)
            if not value.startswith(b"ref:"):
                return name, _parse_value(name, value)
            name = os.fsdecode(value[4:].strip())
            if _BAD_NAME.search(name):
                break
        raise DamagedRef(name)

    def _loose(self, name: str) -> bytes | None:
        try:
            fd = os.open(f"{self._root}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.read(fd, _LONGEST_VALUE)
        except IsADirectoryError:
            return None
        finally:
            os.close(fd)

    def _packed_refs(self) -> dict[str, Oid]:
        path = f"{self._root}/packed-refs"
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return {}
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        packed = self._packed
        if packed.stamp != stamp:
            packed = self._packed = _Packed(stamp, _parse_packed(Path(path).read_bytes()))
        return packed.values

    def _loose_names(self, prefix: str) -> set[str]:
        found: set[str] = set()
        pending = [prefix.rpartition("/")[0]]
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(f"{self._root}/{folder}"))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                name = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if name.startswith(prefix) or prefix.startswith(name + "/"):
                        pending.append(name)
                elif name.startswith(prefix) and not _BAD_NAME.search(name):
                    found.add(name)
        return found

    def _peel(self, oid: Oid) -> Oid | None:
        memo = self._commits
        if oid not in memo:
            if len(memo) >= _PEELED_MEMO:
                memo.clear()
            memo[oid] = self._store.peel(oid)
        return memo[oid]

    def _same(self, found: Oid | None, old: Oid | None) -> bool:
        return found == old or (found is not None and old is not None and self._peel(found) == old)

    def _make_room(self, name: str) -> None:
        """Check that a new ref may exist beside the others, and clear empty folders out of its way."""
        parts = name.split("/")
        packed = self._packed_refs()
        for count in range(2, len(parts)):
            if (parent := "/".join(parts[:count])) in packed:
                raise RefClash(name, parent)
        below = name + "/"
        other = next((ref for ref in packed if ref.startswith(below)), None)
        other = other or next(iter(sorted(self._loose_names(below))), None)
        if other is not None:
            raise RefClash(name, other)
        clear_empty_folders(f"{self._root}/{name}")

    def _log(self, names: set[str], old: Oid | None, new: Oid, message: str, who: Signature | None) -> None:
        line = b"%b %b %b\t%b\n" % (
            old.hex().encode() if old else ZERO,
            new.hex().encode(),
            (who or self._default_identity()).line(),
            " ".join(message.split()).encode("utf-8", "surrogateescape"),
        )
        for name in names:
            path = f"{self._root}/logs/{name}"
            if self._keeps_log(name) or os.path.isfile(path):
                append_log(path, line)

    def _keeps_log(self, name: str) -> bool:
        setting = (self._config.get("core.logallrefupdates") or "unset").lower()
        if setting == "always":
            return True
        if setting == "unset":
            wanted = not self._config.get_bool("core.bare", default=False)
        else:
            wanted = self._config.get_bool("core.logallrefupdates", default=True)
        return wanted and (name == "HEAD" or name.startswith(_LOGGED))

    def _default_identity(self) -> Signature:
        name = self._config.get("committer.name") or self._config.get("user.name") or "anvcs"
        email = self._config.get("committer.email") or self._config.get("user.email") or "anvcs@localhost"
        return Signature(name=name, email=email, time_s=int(time.time()))

    def _has_transaction_hook(self) -> bool:
        hooks = self._config.get_path("core.hookspath")
        # A relative path would be looked up in a work tree, where this hook does not run for us.
        folder = hooks if hooks is not None and hooks.is_absolute() else Path(self._root, "hooks")
        return os.access(folder / "reference-transaction", os.X_OK)

    def _move_by_program(self, name: str, new: Oid, old: Oid | None, message: str) -> None:
        """Let git move the ref, so that the user's ``reference-transaction`` hook runs and may refuse."""
        _, found = self._resolve(name)
        if not self._same(found, old):
            raise RefMoved(name, old, found)
        expected = found.hex() if found else ZERO.decode()
        try:
            self._git.run("update-ref", "-m", " ".join(message.split()), name, new.hex(), expected)
        except GitFailed as error:
            raise self._refusal(name, old, error) from error

    def _refusal(self, name: str, old: Oid | None, error: GitFailed) -> AnvcsError:
        """What a failed ``git update-ref`` means."""
        _, found = self._resolve(name)
        if not self._same(found, old):
            return RefMoved(name, old, found)
        if ".lock" in error.stderr:
            return RefLocked(name, Path(f"{self._root}/{name}.lock"))
        return error


def check_name(name: str) -> None:
    """Raise :class:`BadRefName` for what ``git check-ref-format`` rejects; only ``HEAD`` lies outside ``refs/``."""
    if _BAD_NAME.search(name) or not (name == "HEAD" or (name.startswith("refs/") and name.count("/") > 1)):
        raise BadRefName(name)


def _parse_value(name: str, value: bytes) -> Oid:
    """The id in a loose ref's file."""
    try:
        oid = bytes.fromhex(value[:40].decode("ascii"))
    except ValueError:
        oid = b""
    if len(oid) != len(ZERO) // 2 or value[40:41].strip():
        raise DamagedRef(name)
    return Oid(oid)


def _parse_packed(data: bytes) -> dict[str, Oid]:
    """Name to unpeeled id, from the lines of ``packed-refs`` (``#`` is a header, ``^`` what a tag peels to)."""
    values: dict[str, Oid] = {}
    for line in data.split(b"\n"):
        if line[40:41] == b" ":
            values[os.fsdecode(line[41:])] = Oid(bytes.fromhex(line[:40].decode("ascii")))
    return values


def _short(oid: Oid | None) -> str:
    return oid.hex()[:12] if oid else "no commit"
