"""What pruning asks of the log's tables and does to them."""

from anvcs.model.ids import FileId, Seq
from anvcs.rooms.logfile import LogFile
from anvcs.rooms.records import BYTES_CHANGED, DROPPED

_WASTE = 4
"""The file is rewritten when one part in so many of it is empty."""


class PrunableLog(LogFile):
    """The old end of the log."""

    def floor(self) -> Seq:
        """The oldest moment that the log still tells: 0, or the op into which older ones were folded."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'floor'")
        return Seq(rows[0][0]) if rows else Seq(0)

    def set_floor(self, first: Seq, until: Seq) -> None:
        """Say that everything up to op *until* is folded into the records from *first* to it."""
        self._run("INSERT OR REPLACE INTO meta VALUES ('first', ?), ('floor', ?)", (first, until))

    def files_until(self, until: Seq) -> set[FileId]:
        """Files that ops up to *until* touched."""
        return {row[0] for row in self._rows("SELECT DISTINCT file FROM history WHERE seq <= ?", (until,))}

    def edited_until(self, until: Seq) -> set[FileId]:
        """Files whose bytes ops up to *until* changed."""
        sql = "SELECT DISTINCT file FROM history WHERE seq <= ? AND flags & ?"
        return {row[0] for row in self._rows(sql, (until, BYTES_CHANGED))}

    def traces_until(self, until: Seq) -> list[tuple[bytes, FileId]]:
        """The last path that each file has left, for those that left none after *until*."""
        sql = "SELECT path, file, max(seq) FROM traces GROUP BY file HAVING max(seq) <= ? ORDER BY path"
        return [(path, file) for path, file, _ in self._rows(sql, (until,))]

    def count_until(self, until: Seq) -> int:
        """How many records there are up to *until*."""
        count: int = self._rows("SELECT count(*) FROM ops WHERE seq <= ?", (until,))[0][0]
        return count

    def seq_by_size(self, most_bytes: int, each: int) -> Seq:
        """The last op that must go for those after it to have *most_bytes*, at *each* beside the payload."""
        taken = 0
        for seq, size in self._rows("SELECT seq, length(payload) FROM ops ORDER BY seq DESC"):
            taken += size + each
            if taken > most_bytes:
                return Seq(seq)
        return self.floor()

    def uncommitted_since(self, file: FileId) -> Seq | None:
        """The first op on *file* since it was last as in the base."""
        sql = (
            "SELECT min(seq) FROM history WHERE file = ?1"
            " AND seq > (SELECT ifnull(max(seq), 0) FROM history WHERE file = ?1 AND flags & ?2)"
        )
        first: Seq | None = self._rows(sql, (file, DROPPED))[0][0]
        return first

    def first_open_conflict(self) -> Seq | None:
        """The op of the oldest conflict that nobody has resolved."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'conflicts'"):
            return None
        first: Seq | None = self._rows("SELECT min(seq) FROM conflicts WHERE resolved = 0")[0][0]
        return first

    def remove_until(self, until: Seq) -> None:
        """Take out every record up to *until* and all that was told by it alone."""
        base = self._rows("SELECT oid FROM bases WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (until,))[0][0]
        for table in ("ops", "history", "docs", "traces", "bases"):
            self._run(f"DELETE FROM {table} WHERE seq <= ?", (until,))  # noqa: S608 - our own names
        if self._rows("SELECT 1 FROM sqlite_master WHERE name = 'conflicts'"):
            self._run("DELETE FROM conflicts WHERE seq <= ?", (until,))
        self._run("INSERT INTO bases VALUES (0, ?)", (base,))

    def give_back(self) -> bool:
        """Return empty pages to the disk if they are many and nobody else is busy; whether it was done."""
        pages = self._rows("PRAGMA page_count")[0][0]
        empty = self._rows("PRAGMA freelist_count")[0][0]
        if empty * _WASTE < pages:
            return False
        self._rows("VACUUM")
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return True

    def size(self) -> int:
        """Bytes of the file's pages that are in use."""
        pages = self._rows("PRAGMA page_count")[0][0] - self._rows("PRAGMA freelist_count")[0][0]
        bytes_: int = pages * self._rows("PRAGMA page_size")[0][0]
        return bytes_
