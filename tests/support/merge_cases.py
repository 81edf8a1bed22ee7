"""Cases of merges as text files: a head of ``name: value`` lines, then sections."""

from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).resolve().parents[1] / "merging" / "corpus"
_SECTION = "==== "


class MergeCase(NamedTuple):
    path: str
    how: str
    conflicts: list[str]
    """Reason and entity of each, as ``same-key in class A``."""
    base: str
    left: str
    right: str
    merged: str


def merge_cases() -> list[Path]:
    return sorted(CORPUS.glob("*/*.case"))


def read_case(file: Path) -> MergeCase:
    head, *parts = file.read_text().split(f"\n{_SECTION}")
    values = dict(line.split(": ", 1) for line in head.splitlines())
    sections = {name: text for name, _, text in (part.partition("\n") for part in parts)}
    conflicts = [each.strip() for each in values.get("conflicts", "").split(";") if each.strip()]
    return MergeCase(
        values["path"],
        values["how"],
        conflicts,
        sections["base"],
        sections["left"],
        sections["right"],
        sections["merged"],
    )
