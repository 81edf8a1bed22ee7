"""Whatever is committed elsewhere while whatever is changed here: windows agree, and ``keep`` keeps every byte."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anvcs.model.ids import Oid
from anvcs.rooms.errors import RoomError
from anvcs.rooms.room import Room
from support.rooms import Place, shown

pytestmark = pytest.mark.property

PATHS = [b"a", b"b", b"d", b"d/a", b"d/b", b"d/e/a", b"e"]
paths = st.sampled_from(PATHS)
contents = st.sampled_from([b"", b"one\ntwo\n", b"one\n2\n", b"1\ntwo\n", b"\xff", b"x\r\n"])
trees = st.dictionaries(paths, contents).map(
    lambda files: {p: d for p, d in files.items() if not any(q.startswith(p + b"/") for q in files)}
)
steps = st.one_of(
    st.tuples(st.just("write"), paths, contents),
    st.tuples(st.just("remove"), paths, st.none()),
    st.tuples(st.just("rename"), paths, paths),
    st.tuples(st.just("base"), trees, st.booleans()),
)


def perform(here: Place, room: Room, step: tuple) -> None:
    kind, first, second = step
    try:
        if kind == "write":
            room.write(first, second)
        elif kind == "remove":
            room.remove(first)
        elif kind == "rename":
            room.rename(first, second)
        else:
            room.move_base(here.tree.commit(first), keep=second)
    except RoomError:
        return  # refused as a file system would


def check(here: Place, rooms: list[Room]) -> None:
    for room in rooms:
        room.catch_up()
    with here.room("fresh") as fresh:
        files = shown(fresh)
        assert all(shown(room) == files for room in rooms)
        base: Oid | None = fresh.base
        leaves = here.tree.commits[base] if base else {}
        covered = [entry.base_path for entry in fresh.changed() if entry.base_path is not None]
        assert len(covered) == len(set(covered))
        assert set(covered) <= set(leaves)
        live = [entry.path for entry in fresh.changed() if entry.path is not None]
        assert len(live) == len(set(live))
        told = {change.path: change.status for change in fresh.changes()}
        for path in {*leaves, *files}:
            old = here.tree.show(leaves[path].oid, path) if path in leaves else None
            assert (files.get(path) != old) == (path in told)


@given(base=trees, plan=st.lists(st.tuples(st.integers(0, 1), steps), max_size=12))
def test_windows_agree_after_any_history(base: dict[bytes, bytes], plan: list[tuple[int, tuple]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Place(Path(folder))
        rooms = [here.room("ann", here.tree.commit(base)), here.room("bob")]
        for who, step in plan:
            if step[0] == "base":
                rooms[who].catch_up()
                before = shown(rooms[who])
                perform(here, rooms[who], step)
                if step[2]:
                    assert shown(rooms[who]) == before
            else:
                perform(here, rooms[who], step)
        check(here, rooms)
        for room in rooms:
            room.close()
