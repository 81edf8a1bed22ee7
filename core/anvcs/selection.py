"""What the next commit takes: the paths that ``ai-vcs add`` chose.

One file, one path a line, each as hexadecimal bytes, so that any name works.  An
empty or missing file means that nothing was chosen and a commit takes everything.
"""

from collections.abc import Iterable
from pathlib import Path

from anvcs.store import write_durably


class Selection:
    """The chosen paths of one view or stream.  A chosen directory stands for all below it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self) -> tuple[bytes, ...]:
        """The chosen paths, sorted."""
        try:
            lines = self._file.read_text().split()
        except FileNotFoundError:
            return ()
        return tuple(bytes.fromhex(line) if line != "." else b"" for line in lines)

    def add(self, paths: Iterable[bytes]) -> tuple[bytes, ...]:
        """Choose *paths* too; returns the whole choice."""
        chosen = tuple(sorted({*self.get(), *paths}))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # The top of the tree is the empty path, which a line can't show.
        write_durably(self._file, "".join(f"{path.hex() or '.'}\n" for path in chosen).encode())
        return chosen

    def clear(self) -> None:
        """Forget the choice; after a commit has taken it."""
        self._file.unlink(missing_ok=True)
