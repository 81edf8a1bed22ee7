"""Notes that are about to be written: ``queue/notes/<commit>.json`` in the store.

A commit's note is written after its ref has moved.  The queue remembers it in
between, so that a crash leaves either no commit or, after the next start, both.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from anvcs.model.ids import Oid


class NoteQueue:
    """A folder of notes that await their commit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, commit: Oid, stream: str, note: bytes) -> None:
        """Remember *note* before the ref of *stream* moves to *commit*."""
        self._folder.mkdir(parents=True, exist_ok=True)
        body = {"stream": stream, "note": note.decode("utf-8", "surrogateescape")}
        file = self._file(commit)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(body))
        part.rename(file)

    def done(self, commit: Oid) -> None:
        """The note of *commit* is written, or will never be needed."""
        self._file(commit).unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[Oid, str, bytes]]:
        """Notes left by a process that died: commit, stream, note."""
        if not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob("*.json")):
            body = json.loads(file.read_text())
            yield Oid(bytes.fromhex(file.stem)), body["stream"], body["note"].encode("utf-8", "surrogateescape")

    def _file(self, commit: Oid) -> Path:
        return self._folder / f"{commit.hex()}.json"
