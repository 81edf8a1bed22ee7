"""Typing sessions, replayed as stale saves through several windows: every letter is where it was typed.

Real sessions are replayed when ``ANVCS_TRACES`` names a folder of them.
"""

import gzip
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from anvcs.model.ids import Seq
from anvcs.rooms.fsck import fsck
from anvcs.rooms.room import Room
from anvcs_tools.bench.traces import Trace, load, play, replay, start_text
from support.rooms import Place, shown

pytestmark = pytest.mark.property

FOLDER = os.environ.get("ANVCS_TRACES")
RECORDED = sorted(Path(FOLDER).glob("*.json.gz")) if FOLDER else []


@dataclass
class RoomDesk:
    room: Room
    seen: Seq | None = None

    def read(self) -> bytes:
        self.room.catch_up()
        self.seen = self.room.seq
        return shown(self.room)[b"f"]

    def save(self, data: bytes) -> None:
        self.room.write(b"f", data, base=self.seen)


def synthetic(folder: Path, seed: int) -> Path:
    """A session as somebody may type it: words, corrections, lines opened elsewhere, blocks moved."""
    chance, text, steps = random.Random(seed), "", []
    at = 0
    while len(steps) < 600:
        act = chance.random()
        if act < 0.05 or at > len(text):
            at = chance.randrange(len(text) + 1)
        if act < 0.75:
            patch = [at, 0, chance.choice(["a", "b", " ", "if ", "x = 1", "\n", "    ", "\u00e9", "\N{SNAKE}", "}"])]
        elif act < 0.95:
            patch = [max(0, at - 1), min(1, at), ""]
        else:
            size = min(len(text) - at, chance.randrange(40))
            patch = [at, size, text[at : at + size].upper() + "\n"]
        text = text[: patch[0]] + patch[2] + text[patch[0] + patch[1] :]
        at = patch[0] + len(patch[2])
        steps.append({"time": "1970-01-01T00:00:00.000Z", "patches": [patch]})
    file = folder / "synthetic.json.gz"
    file.write_bytes(gzip.compress(json.dumps({"startContent": "", "endContent": text, "txns": steps}).encode()))
    return file


def converges(trace: Trace, desks: int, folder: Path, every: int, steps: int | None = None) -> None:
    here = Place(folder)
    commit = here.tree.commit({b"f": start_text(trace, desks)})
    rooms = [here.room(f"typist{number}", commit) for number in range(desks)]
    saves, wanted = play(trace, [RoomDesk(room) for room in rooms], every=every, steps=steps, seed=desks)
    assert saves > 0
    for room in [*rooms, here.room("late")]:
        room.catch_up()
        assert shown(room)[b"f"] == wanted
        room.close()
    if steps is None:
        assert wanted.count(trace.end.encode()) >= desks
    assert fsck(here.file).ok


@pytest.mark.parametrize("desks", [2, 3, 4])
def test_a_made_up_session_arrives_letter_by_letter(tmp_path: Path, desks: int):
    converges(load(synthetic(tmp_path, desks)), desks, tmp_path, every=4)


@pytest.mark.fuse
def test_a_session_arrives_through_mounted_views(tmp_path: Path):
    trace = load(synthetic(tmp_path, 9))
    found = replay(trace, 2, tmp_path / "work", every=20, steps=None)
    assert found.exact
    assert found.saves >= 2 * 600 // 20
    assert found.log_bytes > 0


@pytest.mark.skipif(not RECORDED, reason="ANVCS_TRACES names no folder of recorded sessions (*.json.gz)")
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name)
def test_a_recorded_session_arrives_letter_by_letter(tmp_path: Path, file: Path):
    converges(load(file), 3, tmp_path, every=40, steps=6000)
