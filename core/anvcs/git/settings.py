"""The Git settings and files outside the tree that decide about ignoring and conversion.

Git itself reads the configuration, includes and all.  What was read is trusted until one
of the files it came from changes on disk.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from anvcs.errors import AnvcsError
from anvcs.git.program import git_program, plain_environment

CHECK_SECONDS = 0.25
"""How long the files of the configuration go unchecked."""
_SYSTEM_ATTRIBUTES = Path("/etc/gitattributes")
_TRUE = frozenset({"true", "yes", "on", "1", ""})


class UnreadableSettings(AnvcsError):
    """Git refuses to read the configuration of the repository."""

    def __init__(self, complaint: str) -> None:
        super().__init__(f"git config: {complaint.strip()}")
        self.complaint = complaint


class Driver(NamedTuple):
    """A ``filter.<name>`` section."""

    clean: str | None = None
    smudge: str | None = None
    process: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration says about ignoring and conversion."""

    autocrlf: str = "false"
    """``true``, ``false`` or ``input``."""
    native_crlf: bool = False
    """``core.eol`` asks for CRLF in files whose attributes don't say."""
    fold_case: bool = False
    ignore_files: tuple[Path, ...] = ()
    """``info/exclude`` and the user's own list, the strongest first."""
    attribute_files: tuple[Path, ...] = ()
    """``info/attributes`` first, then those weaker than any in the tree."""
    drivers: Mapping[str, Driver] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()
    """Every file that was read, or would be if it existed."""


def read_settings(common_dir: Path, git_dir: Path) -> Settings:
    """Ask ``git config``, as seen from *git_dir*."""
    done = subprocess.run(
        [git_program(), "config", "--list", "--includes", "--show-origin", "-z"],
        cwd="/",
        env=plain_environment({"GIT_DIR": str(git_dir)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnreadableSettings(done.stderr.decode(errors="replace"))
    values: dict[str, str] = {}
    sources: dict[Path, None] = dict.fromkeys(_possible_sources(common_dir))
    fields = os.fsdecode(done.stdout).split("\0")
    for origin, setting in zip(fields[::2], fields[1::2], strict=False):
        if origin.startswith("file:"):
            sources[Path("/", origin.removeprefix("file:"))] = None
        key, newline, value = setting.partition("\n")
        # A key without "=" is true; git prints it without a line end.
        values[key] = value if newline else "true"
    return _settings(values, common_dir, tuple(sources))


def _settings(values: Mapping[str, str], common_dir: Path, sources: tuple[Path, ...]) -> Settings:
    home_config = _config_home()
    excludes = _path(values.get("core.excludesfile")) or home_config / "ignore"
    attributes = _path(values.get("core.attributesfile")) or home_config / "attributes"
    autocrlf = values.get("core.autocrlf", "false").lower()
    if autocrlf != "input":
        autocrlf = "true" if autocrlf in _TRUE else "false"
    system = () if os.environ.get("GIT_ATTR_NOSYSTEM", "").lower() in _TRUE - {""} else (_SYSTEM_ATTRIBUTES,)
    return Settings(
        autocrlf=autocrlf,
        # core.autocrlf decides before core.eol; "native" is LF on Linux.
        native_crlf=autocrlf == "true" or (autocrlf == "false" and values.get("core.eol", "").lower() == "crlf"),
        fold_case=values.get("core.ignorecase", "false").lower() in _TRUE,
        ignore_files=(common_dir / "info/exclude", excludes),
        attribute_files=(common_dir / "info/attributes", attributes, *system),
        drivers=_drivers(values),
        sources=sources,
    )


def _drivers(values: Mapping[str, str]) -> dict[str, Driver]:
    drivers: dict[str, Driver] = {}
    for key, value in values.items():
        section, _, rest = key.partition(".")
        name, dot, variable = rest.rpartition(".")
        if section != "filter" or not dot or variable not in Driver._fields:
            continue
        known = drivers.get(name, Driver())
        if variable == "required":
            drivers[name] = known._replace(required=value.lower() in _TRUE)
        else:
            drivers[name] = Driver(**{**known._asdict(), variable: value or None})
    return drivers


def _config_home() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")  # noqa: PTH111, PTH118 - bytes may be odd
    return Path(base, "git")


def _path(value: str | None) -> Path | None:
    if not value:
        return None
    return Path("/", os.path.expanduser(value))  # noqa: PTH111 - leaves an unknown ~user as it is


def _possible_sources(common_dir: Path) -> Iterable[Path]:
    yield common_dir / "config"
    if "GIT_CONFIG_GLOBAL" in os.environ:
        yield Path("/", os.environ["GIT_CONFIG_GLOBAL"])
    else:
        yield Path("~/.gitconfig").expanduser()
        yield _config_home() / "config"
    yield Path("/", os.environ.get("GIT_CONFIG_SYSTEM", "etc/gitconfig"))


def read_rules(path: Path) -> bytes:
    """A file of rules; like Git, nothing from one that is missing or can't be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError):
        return b""


_Stamp = tuple[int, int, int] | None


def stamp(path: Path) -> _Stamp:
    """What changes whenever the file at *path* does; None for none that can be read."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path method doubles the cost of this call
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Watched:
    """Calls back when one of a set of files has changed, looking at most so often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stamps: dict[Path, _Stamp] = {}
        self._due = 0.0

    def watch(self, paths: Iterable[Path]) -> None:
        """Take *paths* as they are now; call it before reading them."""
        self._stamps = {path: stamp(path) for path in paths}
        self._due = self._clock() + CHECK_SECONDS

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return self._clock() >= self._due

    def changed(self) -> bool:
        """Whether a file differs from when `watch` saw it."""
        self._due = self._clock() + CHECK_SECONDS
        return any(stamp(path) != seen for path, seen in self._stamps.items())
