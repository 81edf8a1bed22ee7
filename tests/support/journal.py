"""What writers outside were promised, and whether a directory keeps it."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.writer import digest

ABSENT = "absent"


@dataclass(slots=True)
class Promises:
    """State that was acknowledged, and the one call that may or may not have happened."""

    contents: dict[str, str] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)
    pending: tuple[Any, ...] = ()

    def take(self, line: Sequence[Any]) -> None:
        """Follow one line of a writer's journal."""
        if line[0] == "try":
            self.pending = tuple(line[1:])
        elif line[0] == "done":
            self._apply(*self.pending)
            self.pending = ()

    def _apply(self, operation: str, name: str, *more: Any) -> None:
        if operation in ("write", "append", "replace"):
            self.contents[name] = more[0]
            if operation == "replace":
                self.modes.pop(name, None)  # another file has the name now
        elif operation == "chmod":
            self.modes[name] = more[0]
        elif operation == "rename":
            self.contents[more[0]] = self.contents.pop(name)
            if name in self.modes:
                self.modes[more[0]] = self.modes.pop(name)
        elif operation == "unlink":
            self.contents.pop(name)
            self.modes.pop(name, None)
        else:
            self.directories.add(name)

    def broken(self, top: Path) -> list[str]:
        """A line for each promise that *top* does not keep."""
        uncertain = {word for word in self.pending[1:] if isinstance(word, str)}
        lines = []
        for name, wanted in self.contents.items():
            found = content(top / name)
            if found != wanted and name not in uncertain:
                lines.append(f"{name}: acknowledged content {wanted[:12]}, found {found[:12]}")
        for name, mode in self.modes.items():
            if name not in uncertain and stat.S_IMODE(os.stat(top / name).st_mode) != mode:
                lines.append(f"{name}: acknowledged mode {mode:o}, found {os.stat(top / name).st_mode:o}")
        lines += [
            f"{name}: acknowledged directory is missing" for name in self.directories if not (top / name).is_dir()
        ]
        return lines + self._broken_pending(top)

    def _broken_pending(self, top: Path) -> list[str]:
        """A call that did not return has happened or not, but not by half (a plain write may stop midway)."""
        if not self.pending or self.pending[0] in ("write", "mkdir", "chmod"):
            return []
        operation, name, *more = self.pending
        old = self.contents.get(name, ABSENT)
        if operation in ("append", "replace"):
            allowed = {(old,), (more[0],)}
            found: tuple[str, ...] = (content(top / name),)
        elif operation == "rename":
            allowed = {(old, ABSENT), (ABSENT, old)}
            found = (content(top / name), content(top / more[0]))
        else:
            allowed = {(old,), (ABSENT,)}
            found = (content(top / name),)
        return [] if found in allowed else [f"{operation} of {name} happened by half: {found}"]

    def adopt(self, top: Path) -> None:
        """After a check: what the uncertain call left is the state from now on."""
        for name in [word for word in self.pending[1:] if isinstance(word, str)]:
            self.modes.pop(name, None)
            found = content(top / name)
            if found == ABSENT or (top / name).is_dir():
                self.contents.pop(name, None)
            elif "." in name:
                self.contents[name] = found
        self.pending = ()


def content(path: Path) -> str:
    """Digest of a file, or that there is none."""
    try:
        return digest(path.read_bytes())
    except FileNotFoundError:
        return ABSENT
    except IsADirectoryError:
        return "directory"
