"""A store that a test holds, takes away or damages while views use it: registered as any third party's would be."""

import json
import os
from pathlib import Path

_MODULE = """
import time
from pathlib import Path
from anvcs.artifacts.errors import StoreUnreachable
from anvcs.artifacts.folders import LocalBlobStore


class HeldStore(LocalBlobStore):
    def __init__(self, root):
        super().__init__(root / "blobs")
        self.hands = root
        self.name = "held"

    def local_file(self, key, version_id):
        return None

    def _pass(self, what):
        with (self.hands / "log").open("a") as log:
            log.write(what + "\\n")
        while (self.hands / "hold").exists():
            time.sleep(0.005)
        if (self.hands / "away").exists():
            raise StoreUnreachable(self.name, "no connection")

    def upload(self, local_path, key, *, sha256=None, moved=None):
        self._pass("upload " + key)
        return super().upload(local_path, key, sha256=sha256, moved=moved)

    def read(self, key, version_id, start=0, length=None):
        self._pass("read " + key)
        yield from super().read(key, version_id, start, length)


def make(settings):
    return HeldStore(Path(settings.options["root"]))
"""


class Held:
    """The test's hands on the store."""

    def __init__(self, top: Path) -> None:
        self.root = top / "store"
        self.root.mkdir()
        packages = top / "packages"
        about = packages / "held_store-1.dist-info"
        about.mkdir(parents=True)
        (packages / "anvcs_held_store.py").write_text(_MODULE)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: held-store\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[anvcs.blob_stores]\nheld = anvcs_held_store:make\n")
        known = os.environ.get("PYTHONPATH", "")
        self.env = {"PYTHONPATH": os.pathsep.join([str(packages), *([known] if known else [])])}

    def config(self, *track: str) -> str:
        """``ai-vcs.config.yaml`` that keeps artifacts here."""
        return (
            f"blobs:\n  track: {json.dumps(track)}\n"
            "storage:\n  mode: held\n  deadline_s: 60\n"
            f"adapters:\n  held:\n    root: {json.dumps(str(self.root))}\n"
        )

    def hold(self) -> None:
        """Answer nothing until `let_go`."""
        (self.root / "hold").touch()

    def let_go(self) -> None:
        """Answer again."""
        (self.root / "hold").unlink(missing_ok=True)

    def go_away(self) -> None:
        """Be unreachable until `come_back`."""
        (self.root / "away").touch()

    def come_back(self) -> None:
        """Be reachable again."""
        (self.root / "away").unlink(missing_ok=True)

    def asked(self) -> list[str]:
        """Every request so far: ``read KEY`` or ``upload KEY``."""
        log = self.root / "log"
        return log.read_text().splitlines() if log.exists() else []

    def versions(self, key: str) -> list[Path]:
        """The files that are the versions of a key."""
        return sorted((self.root / "blobs" / f"k{key}").iterdir())
