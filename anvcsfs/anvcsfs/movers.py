"""Who moved a branch: Git in this view, Git in another view, or somebody outside all views.

HEAD's log of a view tells: Git writes it before the branch moves, and it writes it only in the
view where it works.  What the last line says counts once: a branch may come back to a commit
that this view made long ago.
"""

from pathlib import Path

from anvcs.git import admin
from anvcs.model.ids import Oid
from anvcs.store import Store
from anvcs.views import Views


class Movers:
    """Reads the logs of HEAD of the views of one repository."""

    def __init__(self, folder: Path, admin_dir: Path) -> None:
        self._folder = folder
        self._admin = admin_dir
        self._log = admin_dir / "logs" / "HEAD"
        self._file = folder / "head-log"
        self._seen = self._remembered()

    def here(self, target: Oid) -> bool:
        """Whether Git in this view brought its branch to *target*, and that is news."""
        if self._size() == self._seen:
            return False
        move = admin.last_head_move(self._admin)
        return move is not None and move.new == target

    def origin(self) -> Oid | None:
        """Where HEAD was before its last move."""
        move = admin.last_head_move(self._admin)
        return None if move is None else move.old

    def note(self, base: Oid | None) -> None:
        """The room stands on *base*: what the log says up to there is known."""
        size = self._size()
        if size == self._seen:
            return
        move = admin.last_head_move(self._admin)
        if move is None or move.new != base:
            return  # Git is about to move the branch
        self._seen = size
        part = self._file.with_suffix(".part")
        part.write_text(str(size))
        part.replace(self._file)

    def elsewhere(self, stream: str, target: Oid) -> bool:
        """Whether Git in another view that is served and shows *stream* brought it to *target*."""
        wanted = admin.Branch(f"refs/heads/{stream}")
        for folder in self._folder.parent.iterdir():
            directory = folder / "git"
            if folder == self._folder or not (directory / "HEAD").exists():
                continue
            try:
                head, move = admin.read_head(directory), admin.last_head_move(directory)
            except (admin.DamagedHead, FileNotFoundError):
                continue
            if head == wanted and move is not None and move.new == target and self._is_served(folder.name):
                return True
        return False

    def _is_served(self, name: str) -> bool:
        common_dir = self._folder.parent.parent.parent
        return Views(Store(common_dir)).process(name) is not None

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def _remembered(self) -> int:
        try:
            return int(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return -1
