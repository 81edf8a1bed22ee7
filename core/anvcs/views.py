"""The register of views: which there are, where they are mounted, and by which process.

``views/<name>/view.json`` describes a view and outlives its process; ``views/<name>/pid``
names the process that serves it.  Specified in ``docs/reference/formats/store.md``.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from anvcs.errors import AnvcsError
from anvcs.mounts import Mount, mount_at
from anvcs.store import Store, write_durably

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_JSON = 64 << 10
_SOURCE = "anvcs:"

_OLDER_S = 2
"""Files of a new view are this much older than its index, or Git would take them for changed since."""


FOLLOW = ("live", "manual")
"""Ways in which a view shows what its peers do."""


class ViewDescriptionDamaged(AnvcsError):
    """``view.json`` does not say what it must."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}; remove the folder {file.parent} to give up its local files")
        self.file = file


class NoSuchView(AnvcsError):
    """No view has this name or is mounted there."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"there is no view {wanted}; `ai-vcs views` lists them")
        self.wanted = wanted


class ViewNameInvalid(AnvcsError):
    """A name that can't be a folder's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} can't name a view: letters, digits, dot, dash and underscore, at most 64")
        self.name = name


class ViewState(Enum):
    """What can be said of a view without touching its mount."""

    MOUNTED = "mounted"
    STARTING = "starting"
    """A process runs and nothing is mounted: on its way up or down."""
    STALE = "stale"
    """Mounted, and its process is gone: everything answers ENOTCONN until the next mount."""
    UNMOUNTED = "unmounted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSpec:
    """Everything the serving process needs to know about a view."""

    name: str
    common_dir: Path
    mountpoint: Path
    stream: str
    agent: str = ""
    model: str = ""
    epoch_ns: int
    """Time stamp of everything unchanged; kept over remounts so that Git's index stays right."""
    uid: int
    gid: int
    read_only: bool = False
    follow: str = "live"
    """``live`` shows peers' work at once, ``manual`` when it is asked for."""
    options: Mapping[str, bool] = field(default_factory=dict)
    """``allow_other``, ``default_permissions``, ``xattr``."""

    @property
    def folder(self) -> Path:
        """The view's folder in the store."""
        return Store(self.common_dir).views / self.name


@dataclass(frozen=True, slots=True)
class Process:
    """A process that can't be confused with a later one of the same number."""

    pid: int
    started: str
    """Boot id and start time in clock ticks since boot."""

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has this number now."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name in parentheses may hold anything; field 3 follows its last ")".
        fields = stat[stat.rindex(b")") + 2 :].split()
        if fields[0] in (b"Z", b"X"):
            return None
        return cls(pid, f"{_BOOT_ID.read_text().strip()}/{fields[19].decode()}")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return Process.of(self.pid) == self


@dataclass(frozen=True, slots=True)
class ViewInfo:
    """A view and how it stands now."""

    spec: ViewSpec
    state: ViewState
    process: Process | None


class Views:
    """The views of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.views

    def list(self) -> list[ViewInfo]:
        """Every view, by name; damaged descriptions raise."""
        names = sorted(file.parent.name for file in self._folder.glob("*/view.json"))
        return [self.info(self.load(name)) for name in names]

    def load(self, name: str) -> ViewSpec:
        """Read the description of a view."""
        file = self._file(name)
        try:
            with file.open("rb") as stream:
                data = stream.read(_MAX_JSON)
        except FileNotFoundError:
            raise NoSuchView(name) from None
        try:
            return _decoded(name, self._store.common_dir, json.loads(data))
        except (ValueError, KeyError, TypeError) as error:
            raise ViewDescriptionDamaged(file, f"not a view's description ({error})") from None

    def save(self, spec: ViewSpec) -> None:
        """Record *spec*; the folder is made when it is new."""
        spec.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self._file(spec.name), _encoded(spec))

    def at(self, mountpoint: Path) -> ViewInfo | None:
        """The view whose place is *mountpoint*: one that is served, else the one that was there last."""
        found = [info for info in self.list() if info.spec.mountpoint == mountpoint]
        return max(found, key=lambda info: (info.process is not None, self._last_used(info.spec)), default=None)

    def info(self, spec: ViewSpec) -> ViewInfo:
        """How a view stands, told without touching its mount."""
        process = self.process(spec.name)
        mount = mount_at(spec.mountpoint)
        mounted = mount is not None and mount.is_view
        if process is not None:
            return ViewInfo(spec, ViewState.MOUNTED if mounted else ViewState.STARTING, process)
        # Another repository's view may be there meanwhile: then this one isn't what is stale.
        if mounted and mount is not None and mount.source == source_name(spec.common_dir):
            return ViewInfo(spec, ViewState.STALE, None)
        return ViewInfo(spec, ViewState.UNMOUNTED, None)

    def create(self, **fields: Any) -> ViewSpec:
        """A new view, recorded; its name comes from the agent or the directory when none is given."""
        name = fields.pop("name", "") or self._free_name(fields["agent"] or fields["mountpoint"].name)
        self._file(name)
        spec = ViewSpec(
            name=name,
            common_dir=self._store.common_dir,
            epoch_ns=(time.time_ns() // 10**9 - _OLDER_S) * 10**9,
            **fields,
        )
        self.save(spec)
        return spec

    def update(self, name: str, **fields: Any) -> ViewSpec:
        """Record what has changed about a view (a stream switch, another place)."""
        spec = replace(self.load(name), **fields)
        self.save(spec)
        return spec

    def remove(self, name: str) -> None:
        """Forget a view and its local files; the caller has made sure that it isn't mounted."""
        shutil.rmtree(self._file(name).parent)

    def process(self, name: str) -> Process | None:
        """The process that serves the view, if it lives."""
        try:
            pid, started = self._pid_file(name).read_text().split()
            process = Process(int(pid), started)
        except (FileNotFoundError, ValueError):  # a torn pid file is from a crash: nobody serves
            return None
        return process if process.alive else None

    def claim(self, name: str) -> None:
        """Record the calling process as the one that serves the view."""
        process = Process.of(os.getpid())
        assert process is not None
        part = self._pid_file(name).with_suffix(".new")
        part.write_text(f"{process.pid} {process.started}\n")
        part.replace(self._pid_file(name))

    def release(self, name: str) -> None:
        """Record that nobody serves the view any more."""
        self._pid_file(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Exclude other mounts and unmounts of this repository; yields the descriptor that holds the lock.

        A process forked meanwhile closes its copy, or the lock lives as long as it does.
        """
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ViewNameInvalid(name)
        return self._folder / name / "view.json"

    def _last_used(self, spec: ViewSpec) -> int:
        return self._file(spec.name).stat().st_mtime_ns  # written at each mount

    def _pid_file(self, name: str) -> Path:
        return self._folder / name / "pid"

    def _free_name(self, wanted: str) -> str:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted)[:48].lstrip(".-") or "view"
        number, name = 1, stem
        while (self._folder / name).exists():
            number += 1
            name = f"{stem}-{number}"
        return name


def source_name(common_dir: Path) -> str:
    """What the table of mounts shows as the source of a repository's views."""
    return f"{_SOURCE}{common_dir}"


def view_of(mount: Mount) -> ViewSpec | None:
    """The view that is mounted there, whichever repository it belongs to; None when its record is gone."""
    common_dir = Path(mount.source.removeprefix(_SOURCE))
    if not mount.is_view or not mount.source.startswith(_SOURCE) or not common_dir.is_dir():
        return None
    found = Views(Store(common_dir)).at(mount.path)
    return found.spec if found else None


def _encoded(spec: ViewSpec) -> bytes:
    fields = asdict(spec) | {"mountpoint": str(spec.mountpoint), "format": 1}
    for derived in ("name", "common_dir"):  # the folder says both, also after a repository has moved
        del fields[derived]
    return json.dumps(fields, indent=2).encode() + b"\n"


def _decoded(name: str, common_dir: Path, fields: dict[str, Any]) -> ViewSpec:
    if fields.pop("format") != 1:
        raise ValueError("unknown format")
    if fields.get("follow", "live") not in FOLLOW:
        raise ValueError(f"follow is {fields['follow']!r}")
    fields["mountpoint"] = Path(fields["mountpoint"])
    return ViewSpec(name=name, common_dir=common_dir, **fields)
