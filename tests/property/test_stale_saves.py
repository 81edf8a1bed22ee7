"""Many saves from stale reads through several windows on one room: all agree, and no acknowledged edit is lost.

``ANVCS_FUZZ_SLICES`` says how many slices of 2,000 saves are run (default 2; 50 make 10^5); ``--slow`` runs those 50.
"""

import dataclasses
import inspect
import os
import random
import textwrap
from pathlib import Path

import pytest

from anvcs.model.ids import Seq
from anvcs.rooms.fsck import fsck
from anvcs.rooms.room import Room
from anvcs_tools.bench.marks import Marks, lost_edits
from support.rooms import Place, shown

pytestmark = pytest.mark.property

SAVES = 200
ROOMS_IN_A_SLICE = 10
SLICES = int(os.environ.get("ANVCS_FUZZ_SLICES", "2"))
DEEP = 50
AGENTS = ("ann", "bob", "cyd", "dan")

_SOURCE = inspect.getsource(textwrap).encode()
STARTS = {
    b"real.py": _SOURCE[:12_000],
    b"dos.py": _SOURCE[:3_000].replace(b"\n", b"\r\n") + b"\r\n",
    b"short": b"def f():\n    pass",
    b"empty": b"",
    b"words.txt": "\n\n".join(f"gr\u00fc\u00dfe \N{SNAKE} {n}\n\u4e2d\u6587" for n in range(40)).encode(),
}


@dataclasses.dataclass
class Agent:
    """One writer with a window of its own and a memory of what it has read."""

    room: Room
    chance: random.Random
    marks: dict[bytes, Marks]
    read: dict[bytes, list[tuple[Seq, bytes]]]

    def look(self, path: bytes) -> None:
        """Read the file as it is now."""
        self.room.catch_up()
        self.read[path].append((self.room.seq, content(self.room, path)))

    def save(self, path: bytes) -> None:
        """Edit what was read some time ago, and save it as that."""
        known = self.read[path]
        seq, seen = known[max(0, len(known) - 1 - int(self.chance.expovariate(1.0)))]
        marks = self.marks[path]
        self.room.write(path, marks.edit(seen, self.chance), base=seq)
        marks.acknowledge()


def content(room: Room, path: bytes) -> bytes:
    entry = room.entry(path)
    if entry is not None:
        return room.read(entry)
    tree = room._core.base.tree
    return tree.show(tree.commits[room.base][path].oid, path)


def make_agent(here: Place, name: str, chance: random.Random, start: dict[bytes, bytes], **options) -> Agent:
    room = here.room(name, here.tree.commit(start), **options)
    # As wide as names can be, so that marks of two agents differ early or late.
    marks = {path: Marks(f"{name}{'x' * chance.randrange(3)}") for path in start}
    agent = Agent(room, chance, marks, {path: [] for path in start})
    for path in start:
        agent.look(path)
    return agent


def one_room(folder: Path, seed: int) -> int:
    """Let some agents work on two files of one room, and check it; the number of saves."""
    chance = random.Random(seed)
    here = Place(folder)
    start = {path: STARTS[path] for path in chance.sample(sorted(STARTS), 2)}
    names = AGENTS[: chance.randrange(2, len(AGENTS) + 1)]
    agents = [make_agent(here, name, chance, start, budget=chance.choice([0, 32 << 20])) for name in names]
    for _ in range(SAVES):
        agent, path = chance.choice(agents), chance.choice(list(start))
        if chance.random() < 0.4:
            agent.look(path)
        agent.save(path)
        if chance.random() < 0.01:
            commit(here, agent)
    check(here, agents)
    return SAVES


def commit(here: Place, agent: Agent) -> None:
    """What all agents have made so far becomes a commit, and the room stands on it."""
    agent.room.catch_up()
    agent.room.move_base(here.tree.commit(shown(agent.room)), keep=True)


def check(here: Place, agents: list[Agent]) -> None:
    with here.room("fresh") as fresh:
        files = shown(fresh)
    for agent in agents:
        agent.room.catch_up()
        assert shown(agent.room) == files
    for path in agents[0].marks:
        assert not lost_edits(files[path], [agent.marks[path].lines for agent in agents]), path
    reader = agents[0]
    for path, known in reader.read.items():
        entry = reader.room.entry(path)
        if entry is not None:
            for seq, text in reader.chance.sample(known, min(5, len(known))):
                assert reader.room.text_at(entry.id, seq) == text
    for agent in agents:
        agent.room.close()
    report = fsck(here.file)
    assert report.ok, report.problems


def one_slice(folder: Path, number: int) -> int:
    done = 0
    for index in range(ROOMS_IN_A_SLICE):
        place = folder / str(index)
        place.mkdir()
        done += one_room(place, number * ROOMS_IN_A_SLICE + index)
    return done


@pytest.mark.parametrize("number", range(SLICES))
def test_stale_saves_lose_nothing(tmp_path: Path, number: int):
    assert one_slice(tmp_path, number) == SAVES * ROOMS_IN_A_SLICE


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1000, 1000 + DEEP))
def test_a_hundred_thousand_stale_saves_lose_nothing(tmp_path: Path, number: int):
    assert one_slice(tmp_path, number) == SAVES * ROOMS_IN_A_SLICE
