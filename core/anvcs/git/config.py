"""Git's configuration as git itself reads it: includes, conditions, system and user files.

Asking costs a process start, so the answer is kept, for the whole process, until one of the files it
came from changes.
"""

import os
from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import NamedTuple

from anvcs.git.program import Git

_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off", ""})


class Configuration:
    """Settings as seen from one git directory; cheap to ask again, follows changes on disk."""

    def __init__(self, git_dir: Path, common_dir: Path) -> None:
        self.git = Git(git_dir)
        # Files that may appear later, and HEAD, on which `includeIf "onbranch:"` depends.
        self._possible = (
            common_dir / "config",
            git_dir / "config.worktree",
            git_dir / "HEAD",
            Path("/etc/gitconfig"),
            Path(os.path.expanduser("~/.gitconfig")),  # noqa: PTH111 - Path.expanduser fails without a home
            Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "git/config",  # noqa: PTH111 - as above
        )
        self._key = (git_dir, self._possible)
        self._fixed: Mapping[str, list[str | None]] | None = None

    def still(self) -> "Configuration":
        """The settings of this moment: they cost nothing to ask, and what changes on disk doesn't change them."""
        fixed = copy(self)
        fixed._fixed = self._load()  # noqa: SLF001 - a copy of ourselves
        return fixed

    def get(self, key: str) -> str | None:
        """The last value of *key*: ``section.name`` or ``section.middle.name``, the outer parts in any case."""
        values = self._load().get(_normal(key))
        return (values[-1] or "") if values else None

    def get_all(self, key: str) -> list[str]:
        """Every value of *key*, in order."""
        return [value or "" for value in self._load().get(_normal(key), ())]

    def get_bool(self, key: str, default: bool) -> bool:
        """*key* as git reads a boolean; anything git would not take for one is *default*."""
        values = self._load().get(_normal(key))
        if not values:
            return default
        value = values[-1]
        if value is None or value.lower() in _TRUE:  # a key without "=" is true
            return True
        if value.lower() in _FALSE:
            return False
        return int(value) != 0 if value.lstrip("-").isdecimal() else default

    def get_path(self, key: str) -> Path | None:
        """*key* as a path, with ``~`` expanded as git does."""
        value = self.get(key)
        return Path(os.path.expanduser(value)) if value else None  # noqa: PTH111 - see above

    def sections(self, prefix: str) -> list[str]:
        """The middle parts of keys like ``remote.<name>.url``, in the order they first appear."""
        names = (key[len(prefix) + 1 :].rpartition(".")[0] for key in self._load() if key.startswith(prefix + "."))
        return list(dict.fromkeys(name for name in names if name))

    def _load(self) -> Mapping[str, list[str | None]]:
        if self._fixed is not None:
            return self._fixed
        known = _SNAPSHOTS.get(self._key)
        if known is None or known.stamp != _stamp(path for path, *_ in known.stamp):
            if len(_SNAPSHOTS) >= _SNAPSHOT_LIMIT:
                _SNAPSHOTS.clear()
            known = _SNAPSHOTS[self._key] = self._read()
        return known.values

    def _read(self) -> "_Snapshot":
        sources = dict.fromkeys(self._possible)
        stamp = _stamp(sources)  # before the look: a later change shows
        out = os.fsdecode(self.git.run("config", "--list", "--includes", "--show-origin", "-z").out)
        values: dict[str, list[str | None]] = {}
        included: dict[Path, None] = {}
        fields = out.split("\0")
        for origin, setting in zip(fields[::2], fields[1::2], strict=False):
            if origin.startswith("file:"):
                included[Path("/", origin.removeprefix("file:"))] = None
            key, newline, value = setting.partition("\n")
            values.setdefault(key, []).append(value if newline else None)
        return _Snapshot(stamp + _stamp(path for path in included if path not in sources), values)


class _Snapshot(NamedTuple):
    stamp: tuple[tuple[Path, int, int, int], ...]
    values: Mapping[str, list[str | None]]


_SNAPSHOTS: dict[tuple[Path, tuple[Path, ...]], _Snapshot] = {}
"""What was read, shared by all objects that look at the same place."""
_SNAPSHOT_LIMIT = 256


def _normal(key: str) -> str:
    """*key* as ``git config --list`` writes it."""
    section, dot, rest = key.partition(".")
    middle, inner, name = rest.rpartition(".")
    return section.lower() + dot + middle + inner + name.lower()


def _stamp(paths: Iterable[Path]) -> tuple[tuple[Path, int, int, int], ...]:
    """What changes when one of *paths* is written, created or removed."""
    stamps = []
    for path in paths:
        try:
            found = os.stat(path)  # noqa: PTH116 - asked a hundred times by one commit
        except OSError:  # absent, or not ours to see: git skips it too
            stamps.append((path, 0, 0, 0))
        else:
            stamps.append((path, found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(stamps)
