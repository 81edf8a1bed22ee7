"""What leaves with the store of a repository: contents of artifacts that are nowhere else, as far as is known here."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anvcs.pinned import pinned

if TYPE_CHECKING:
    from anvcs.repository import Repository

_SHOWN = 5


class OnlyCopies(NamedTuple):
    """Contents in one folder of the store."""

    folder: Path
    contents: int
    size: int
    """Bytes, as far as they are in the folder."""
    paths: tuple[bytes, ...]
    """Where branches have some of them now; older commits may need the others."""
    way_out: str

    def __str__(self) -> str:
        shown = ", ".join(path.decode("utf-8", "backslashreplace") for path in self.paths[:_SHOWN])
        more = f" and {len(self.paths) - _SHOWN} more" if len(self.paths) > _SHOWN else ""
        which = f", among them {shown}{more}" if shown else ""
        size = f" ({self.size / (1 << 20):.1f} MiB)" if self.size else ""
        return f"{self.folder} holds the only copy of {self.contents} contents{size}{which}: {self.way_out}"


def only_copies(repository: "Repository") -> list[OnlyCopies]:
    """The folders that hold any, what is not sent yet first."""
    root = repository.store.root
    queued = sorted((root / "queue" / "uploads").glob("*.json")) + sorted((root / "stores").glob("*/behind/*.json"))
    versions = sorted((root / "blobs").glob("k*/*"))
    if not queued and not versions:
        return []
    pins = dict(_pins(repository))
    found: list[OnlyCopies] = []
    if queued:
        waiting = {path.stem for path in queued}
        paths = [path for path, (_, sha256, key) in pins.items() if waiting & {sha256, key.rpartition("/")[2]}]
        way_out = "`ai-vcs retry-uploads` sends them"
        found.append(OnlyCopies(queued[0].parent, len(waiting), 0, tuple(sorted(set(paths))), way_out))
    if versions:
        paths = [path for path, (storage, _, _) in pins.items() if storage == "local"]
        size = sum(path.stat().st_size for path in versions)
        way_out = (
            f"`cp -a {root / 'blobs'} ELSEWHERE` keeps them, and copied back after `ai-vcs init` they are what the commits "
            "name; ordinary files of a checkout stay as they are"
        )
        found.append(OnlyCopies(root / "blobs", len(versions), size, tuple(sorted(set(paths))), way_out))
    return found


def _pins(repository: "Repository") -> Iterator[tuple[bytes, tuple[str, str, str]]]:
    """Path, and storage, hash and key, of each artifact that a branch has now."""
    for commit in dict.fromkeys(repository.refs.list("refs/heads/").values()):
        for item in pinned(repository.objects, commit):
            if item.pin is not None:
                yield item.path, (item.pin.storage, item.pin.sha256, item.pin.key)
