"""A new file took the place of an older one, which got its content: what is known of both."""

from anvcs.model.ids import Seq
from anvcs.model.room import Content, Entry
from anvcsfs.bases import Seen
from anvcsfs.view import View


def saved_over(view: View, old: bytes, fresh: Entry, at: bytes, base: Seq, pid: int = 0) -> None:
    """The file that was *old* is *at* now with the content of *fresh*; who wrote that had seen *base*.

    *pid* is the process that did it, if that is one of this view.
    """
    entry = view.room.entry(at)
    seen = Seen(view.version(at, entry))
    if fresh.content is Content.TEXT and entry is not None:
        written = view.room.text_at(fresh.id, fresh.content_seq)
        if view.entry_bytes(entry) != written:  # what was merged into it nobody has read yet
            seen = Seen(base, written)
    view.bases.saved_over(old, fresh.path or at, at, fresh.content_seq, seen)
    if pid:
        view.bases.wrote(at, pid, seen.base or 0, seen.had)
