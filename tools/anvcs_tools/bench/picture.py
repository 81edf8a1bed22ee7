"""The storm as a picture: edits lost and conflicts left, by how many agents worked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Storm = Mapping[str, Any]

_COLORS: Final = {"directory": "#c2410c", "worktrees": "#a16207", "views": "#0f766e"}
_NAMES: Final = {"directory": "one plain directory", "worktrees": "Git worktrees, merged", "views": "ANVCS views"}
_WIDTH, _HEIGHT = 860, 400
_PANEL_WIDTH, _PANEL_HEIGHT, _TOP = 350, 215, 120
_BAR, _GAP = 20, 4


def draw(storms: Sequence[Storm]) -> str:
    """SVG; *storms* are the ``storms`` of the benchmark's JSON."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" fill="#1f2937">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(40, 34, _title(storms), size=17, weight="bold"),
        *_legend([place for place in _COLORS if any(storm["place"] == place for storm in storms)]),
        *_panel(50, "Edits lost", storms, lambda storm: int(storm["lost"])),
        *_panel(470, "Conflicts left for a person", storms, lambda storm: int(storm["conflicts"])),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _title(storms: Sequence[Storm]) -> str:
    rounds = max((int(storm["rounds"]) for storm in storms), default=0)
    return f"Agents editing the same 20 files at the same time, {rounds} saves each"


def _legend(places: Sequence[str]) -> Iterator[str]:
    for number, place in enumerate(places):
        x = 40 + number * 200
        yield f'<rect x="{x}" y="54" width="13" height="13" fill="{_COLORS[place]}"/>'
        yield _text(x + 20, 65, _NAMES[place])


def _panel(left: int, title: str, storms: Sequence[Storm], value: Callable[[Storm], int]) -> Iterator[str]:
    """One diagram: a group of bars for each number of agents."""
    highest = max((value(storm) for storm in storms), default=0) or 1
    bottom = _TOP + _PANEL_HEIGHT
    yield _text(left, _TOP - 18, title, weight="bold")
    yield f'<line x1="{left}" y1="{bottom}" x2="{left + _PANEL_WIDTH}" y2="{bottom}" stroke="#6b7280"/>'
    counts = sorted({int(storm["agents"]) for storm in storms})
    for group, agents in enumerate(counts):
        middle = left + _PANEL_WIDTH * (group + 0.5) / len(counts)
        bars = sorted((s for s in storms if s["agents"] == agents), key=lambda s: list(_COLORS).index(s["place"]))
        start = middle - (len(bars) * (_BAR + _GAP) - _GAP) / 2
        for number, storm in enumerate(bars):
            yield from _bar(start + number * (_BAR + _GAP), bottom, value(storm), highest, _COLORS[storm["place"]])
        yield _text(middle, bottom + 20, f"{agents} agents", anchor="middle")


def _bar(x: float, bottom: int, value: int, highest: int, color: str) -> Iterator[str]:
    height = max(2.0, _PANEL_HEIGHT * 0.92 * value / highest)  # a zero is a thin line, to be seen
    yield f'<rect x="{x:.1f}" y="{bottom - height:.1f}" width="{_BAR}" height="{height:.1f}" fill="{color}"/>'
    yield _text(x + _BAR / 2, bottom - height - 5, str(value), size=11, anchor="middle")


def _text(x: float, y: float, text: str, *, size: int = 13, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">{text}</text>'
    )
