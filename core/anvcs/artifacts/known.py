"""Pins of contents that this machine has uploaded: ``cache/pins/ab/<62 digits>.json``.

So that the same content, under whatever path, is uploaded once.  May be lost: then it is
uploaded again.
"""

import json
import os
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.model.pin import Pin, pin_from_document


class KnownPins:
    """The folder; for any number of processes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, sha256: str, store: str) -> Pin | None:
        """The pin of a content in the store of this name."""
        found = self._read(sha256).get(store)
        try:
            pin = pin_from_document(found) if isinstance(found, dict) else None
        except AnvcsError:
            return None
        return pin if pin is not None and pin.sha256 == sha256 else None

    def add(self, pin: Pin, store: str) -> None:
        """Remember a pin."""
        file = self._file(pin.sha256)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(self._read(pin.sha256) | {store: pin.document()}), encoding="utf-8")
        part.replace(file)

    def forget(self, sha256: str) -> None:
        """The store doesn't have it any more."""
        self._file(sha256).unlink(missing_ok=True)

    def _read(self, sha256: str) -> dict[str, object]:
        try:
            found = json.loads(self._file(sha256).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _file(self, sha256: str) -> Path:
        return self._root / sha256[:2] / f"{sha256[2:]}.json"
