"""Laws of looking back: undo leaves others' work, epochs change nothing that is shown, then is what it was."""

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anvcs.model.ids import Seq
from anvcs.model.moment import Moment
from anvcs.model.room import Author
from anvcs.rooms import texts
from anvcs.rooms.fsck import fsck
from anvcs.rooms.pruning import Limits
from anvcs.rooms.records import EPOCH_SHIFT
from anvcs.rooms.room import Room
from anvcs.rooms.undoing import Wanted
from support.past import shown_at
from support.rooms import Place, shown

pytestmark = pytest.mark.property

LINES = [b"line %d\n" % number for number in range(8)]
BASE = {b"a": b"".join(LINES), b"b": b"".join(LINES[:3]), b"d/c": b"c\n"}
PATHS = sorted(BASE)
AGENTS = ("ann", "ben")

# What one agent does: to which file, from which older read, at which line, and what.
EDITS = st.tuples(
    st.sampled_from(AGENTS),
    st.sampled_from([b"a", b"b"]),
    st.integers(0, 4),
    st.integers(0, 7),
    st.sampled_from(["insert", "replace", "delete", "word"]),
)
STEPS = st.one_of(
    EDITS,
    st.tuples(
        st.sampled_from(AGENTS), st.sampled_from(PATHS), st.sampled_from(["remove", "rename", "chmod", "create"])
    ),
)


class Game:
    """Windows of two agents on one room, and what each has read."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.here = Place(folder)
        commit = self.here.tree.commit(BASE)
        self.rooms = {agent: stack.enter_context(self.here.room(agent, commit)) for agent in AGENTS}
        self.read: dict[bytes, list[tuple[Seq, bytes]]] = {path: [(Seq(0), data)] for path, data in BASE.items()}
        self.numbers = itertools.count()

    @property
    def any(self) -> Room:
        room = self.rooms["ann"]
        room.catch_up()
        return room

    def do(self, step: tuple) -> None:
        """Carry one step out."""
        room = self.rooms[step[0]]
        room.catch_up()
        if len(step) == 5:
            self.edit(room, *step[1:])
        else:
            self.change(room, *step[1:])

    def edit(self, room: Room, path: bytes, age: int, at: int, how: str) -> None:
        known = self.read[path]
        seq, seen = known[max(0, len(known) - 1 - age)]
        lines = seen.splitlines(keepends=True)
        at = min(at, len(lines))
        mark = b"%s %d\n" % (room.author.agent.encode(), next(self.numbers))
        if how == "insert" or at == len(lines):
            lines.insert(at, mark)
        elif how == "replace":
            lines[at] = mark
        elif how == "word":
            lines[at] = lines[at].rstrip(b"\n") + b" " + mark
        else:
            del lines[at]
        if path in shown(room):
            room.write(path, b"".join(lines), base=seq)
            self.read[path].append((room.seq, shown(room).get(path, b"")))

    @staticmethod
    def change(room: Room, path: bytes, how: str) -> None:
        there = path in shown(room)
        if how == "remove" and there:
            room.remove(path)
        elif how == "chmod" and there:
            room.set_mode(path, 0o100755)
        elif how == "rename" and there and path + b".moved" not in shown(room):
            room.rename(path, path + b".moved")
        elif how == "create" and path + b".new" not in shown(room):
            room.write(path + b".new", b"new\n")


@pytest.fixture(autouse=True)
def eager_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start documents again after every third edit."""
    monkeypatch.setattr(texts, "_UPDATES_BEFORE_SNAPSHOT", 3)
    monkeypatch.setattr(texts, "_GROWTH", 0)
    monkeypatch.setattr(texts, "_SLACK", 0)


def play(steps: list, each=lambda game: None) -> dict[bytes, bytes]:
    """Carry *steps* out, look at the room after each; what is shown at the end, the same in every window."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        game = Game(Path(folder), stack)
        for step in steps:
            game.do(step)
            each(game)
        for room in game.rooms.values():
            room.catch_up()
        first, second = (shown(room) for room in game.rooms.values())
        assert first == second
        with game.here.room("reader") as fresh:
            assert shown(fresh) == first
        assert fsck(game.here.file).problems == []
        return first


@given(st.lists(EDITS, max_size=20))
def test_epochs_change_nothing_that_is_shown(steps: list) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_SLACK", 1 << 30)
        plain = play(steps)

    def look(game: Game) -> None:
        core = game.any._core
        for file in core.state.by_id:
            edits = [seq for seq, flags in core.log.touches(file) if flags >> EPOCH_SHIFT == core.log.epoch_of(file)]
            assert len(edits) <= 4 * len(AGENTS)  # each window counts what it has seen since it loaded the document

    assert play(steps, look) == plain


@given(st.lists(STEPS, max_size=20))
def test_every_moment_is_what_was_shown_then(steps: list) -> None:
    then: dict[Seq, dict[bytes, bytes]] = {}

    def look(game: Game) -> None:
        room = game.any
        then[room.seq] = shown(room)
        for seq, files in then.items():
            past = room.past(Moment(seq, None))
            assert past is not None
            assert shown_at(room, room.snapshot(past)) == files, seq

    play(steps, look)


@given(st.lists(STEPS, max_size=16))
def test_undo_is_an_op_that_can_be_taken_back(steps: list) -> None:
    def check(game: Game) -> None:
        room = game.any
        before = shown(room)
        told = room.undo(Wanted(agent="ben"), author=Author(agent="cat"))
        if told.seq is not None:
            room.undo(Wanted(agent="cat", ops=(told.seq,)), author=Author(agent="cat"))
        assert shown(room) == before

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        game = Game(Path(folder), stack)
        for step in steps:
            game.do(step)
        check(game)


@given(st.lists(STEPS, max_size=16))
def test_undo_leaves_every_line_of_the_others(steps: list) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        game = Game(Path(folder), stack)
        for step in steps:
            game.do(step)
        room = game.any
        before = b"".join(shown(room).values())
        told = room.undo(Wanted(agent="ben"))
        after = b"".join(shown(room).values())
        for line in before.splitlines():
            if b"ann" in line and b"ben" not in line and b"line" not in line:
                assert after.count(line) >= 1, (line, told)
        kept = any(one.kept for one in told.paths)
        if not kept and not any(len(step) == 3 for step in steps):
            assert b"ben" not in after


@given(st.lists(st.one_of(STEPS, st.integers(0, 12)), max_size=24))
def test_pruning_never_changes_the_present_nor_what_is_left_of_the_past(steps: list) -> None:
    then: dict[Seq, dict[bytes, bytes]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        game = Game(Path(folder), stack)
        for step in steps:
            room = game.any
            if isinstance(step, int):
                before = shown(room)
                limits = Limits(before_ns=room.time_of(Seq(max(0, room.seq - step))), uncommitted=True)
                room.prune(limits)
                assert shown(room) == before
                for agent in game.rooms.values():
                    agent.catch_up()
                    assert shown(agent) == before
            else:
                game.do(step)
            then[game.any.seq] = shown(game.any)
            for seq, files in then.items():
                past = room.past(Moment(seq, None))
                assert (past is None) == (seq < room.floor)
                if past is not None:
                    assert shown_at(room, room.snapshot(past)) == files, seq
        with game.here.room("reader") as fresh:
            assert shown(fresh) == shown(game.any)
        assert fsck(game.here.file).problems == []
