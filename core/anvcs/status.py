"""What is not committed in a stream, told from its room alone.

The same document as a view's ``.anvcs/status``, without what only a view knows.
"""

from typing import Any

from anvcs.conflict_reports import conflict_summary
from anvcs.repository import Repository


def room_status(repository: Repository, stream: str) -> dict[str, Any]:
    """Describe the uncommitted work of *stream* (``docs/reference/control-files.md``)."""
    head = repository.refs.get(f"refs/heads/{stream}")
    document: dict[str, Any] = {
        "view": None,
        "stream": stream,
        "base": head.hex() if head else None,
        "seq": 0,
        "changed": [],
        "conflicts": [],
        "last_error": None,
    }
    if not repository.store.room_file(stream).exists():
        return document
    with repository.room(stream) as opened:
        room = opened.room
        document["base"] = room.base.hex() if room.base else None
        document["seq"] = room.seq
        document["conflicts"] = [conflict_summary(room, record) for record in room.conflicts()]
        for change in sorted(room.changes(), key=lambda change: change.path):
            item = {"path": change.path.decode("utf-8", "backslashreplace"), "status": change.status}
            if change.renamed_from is not None:
                item["renamed_from"] = change.renamed_from.decode("utf-8", "backslashreplace")
            document["changed"].append(item)
    return document
