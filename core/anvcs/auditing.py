"""Who decided what about merges: one JSON object a line in ``audit/`` of the store, only ever appended to."""

import json
import time
from collections.abc import Iterable, Mapping

from anvcs.repository import Repository


def now() -> str:
    """This moment in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def audit(repository: Repository, name: str, about: Mapping[str, str], entries: Iterable[Mapping[str, str]]) -> None:
    """Append each of *entries*, with *about* in front, to the file *name*."""
    lines = [json.dumps({**about, "time": now(), **entry}) + "\n" for entry in entries]
    if not lines:
        return
    folder = repository.store.root / "audit"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(lines)
