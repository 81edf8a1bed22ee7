"""Texts that were read lately, by version: what a save from a stale read is compared with."""

from collections import OrderedDict

from anvcs.model.ids import FileId, Seq

_BYTES = 4 << 20
_LARGEST = 1 << 20


class RecentTexts:
    """What files contained after certain ops, as shown; the least recently used dropped first."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[FileId, Seq], bytes] = OrderedDict()
        self._size = 0

    def get(self, file: FileId, seq: Seq) -> bytes | None:
        """The content of *file* whose version is *seq*."""
        found = self._texts.get((file, seq))
        if found is not None:
            self._texts.move_to_end((file, seq))
        return found

    def put(self, file: FileId, seq: Seq, text: bytes) -> None:
        """Keep *text*.  *seq* is an op that the log has: what it says never changes."""
        if len(text) > _LARGEST or (file, seq) in self._texts:
            return
        self._texts[file, seq] = text
        self._size += len(text)
        while self._size > _BYTES:
            _, gone = self._texts.popitem(last=False)
            self._size -= len(gone)

    def clear(self) -> None:
        """Keep nothing."""
        self._texts.clear()
        self._size = 0
