"""Pins that would be published although their bytes are on this machine only."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from anvcs.errors import AnvcsError
from anvcs.git.program import Git
from anvcs.model.ids import Oid
from anvcs.model.pin import Pin
from anvcs.model.pointer import LIMIT, decode_pointer, is_pointer

if TYPE_CHECKING:
    from anvcs.artifact_access import Artifacts
    from anvcs.git.objects import ObjectStore


class UnsentArtifacts(AnvcsError):
    """A push would publish pins of artifacts that nobody else can fetch."""

    def __init__(self, paths: list[bytes]) -> None:
        shown = ", ".join(path.decode(errors="backslashreplace") for path in paths[:5])
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        super().__init__(
            f"not uploaded yet: {shown}{more}; `ai-vcs retry-uploads` uploads, --allow-unsent pushes all the same"
        )
        self.paths = paths


def check_sent(objects: "ObjectStore", artifacts: "Artifacts", branch: str, remote: str) -> None:
    """Raise `UnsentArtifacts` if *branch* has pins in the queue that *remote* has not seen."""
    waiting = artifacts.unsent()
    if not waiting:
        return
    keys = {item.key for item in waiting if item.key}
    digests = {item.sha256 for item in waiting}
    paths = []
    for path, pin in _new_pins(objects, branch, remote):
        parts = {pin.key} if pin.pieces is None else {pin.key, pin.pieces.key}
        if parts & keys or pin.sha256 in digests:
            paths.append(path)
    if paths:
        raise UnsentArtifacts(sorted(set(paths)))


def _new_pins(objects: "ObjectStore", branch: str, remote: str) -> Iterator[tuple[bytes, Pin]]:
    """Pins in commits of *branch* that no branch of *remote* has, as far as is known here."""
    listed = Git(objects.common_dir).run(
        "rev-list", "--objects", f"--filter=blob:limit={LIMIT}", f"refs/heads/{branch}", "--not", f"--remotes={remote}"
    )
    for line in listed.out.splitlines():
        name, _, path = line.partition(b" ")
        oid = Oid(bytes.fromhex(name.decode()))
        if not path or objects.kind(oid) != "blob":
            continue
        data = objects.blob(oid)
        if is_pointer(data):
            try:
                yield path, decode_pointer(data)
            except AnvcsError:  # a damaged one names nothing that could be missing
                continue
