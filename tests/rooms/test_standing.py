"""A window that stands still shows one moment and its own work, whatever the others do."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from support.rooms import Place, shown

_PATHS = st.sampled_from([b"a", b"b", b"d/c", b"d/e", b"x/y/z"])
_STEPS = st.lists(st.tuples(st.sampled_from(["write", "remove", "rename"]), _PATHS, _PATHS), max_size=12)


def _do(room, step: tuple[str, bytes, bytes], text: bytes) -> None:
    verb, path, other = step
    files = shown(room)
    if verb == "write":
        if not any(name.startswith(path + b"/") for name in files):
            room.write(path, text)
    elif path in files and verb == "remove":
        room.remove(path)
    elif path in files and other not in files:
        room.rename(path, other)


@given(before=_STEPS, theirs=_STEPS, later=_STEPS)
def test_others_change_nothing_until_release(tmp_path_factory, before, theirs, later) -> None:
    place = Place(tmp_path_factory.mktemp("room"))
    with place.room("ann") as ann, place.room("ben") as ben:
        for number, step in enumerate(before):
            _do(ann, step, b"before %d\n" % number)
        ben.catch_up()
        ben.hold()
        still = shown(ben)
        for number, step in enumerate([*theirs, *later]):
            _do(ann, step, b"after %d\n" % number)
            assert ben.catch_up() == []
            assert shown(ben) == still
        ben.write(b"own", b"own\n")
        assert shown(ben) == still | {b"own": b"own\n"}
        held = ben.held_back
        ben.release()
        assert len(ben.catch_up()) == held
        ann.catch_up()
        assert shown(ben) == shown(ann)


def test_a_base_that_others_moved_is_held_back(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first = place.tree.commit({b"f": b"one\n"})
    second = place.tree.commit({b"f": b"two\n", b"g": b"new\n"})
    with place.room("ann", base=first) as ann, place.room("ben") as ben:
        ben.hold()
        ann.move_base(second, keep=False)
        ben.catch_up()
        assert ben.base == first
        assert ben.stands_behind
        assert shown(ben) == {b"f": b"one\n"}
        ben.write(b"h", b"ben's\n")
        assert shown(ben) == {b"f": b"one\n", b"h": b"ben's\n"}
        ben.release()
        ben.catch_up()
        assert ben.base == second
        assert shown(ben) == {b"f": b"two\n", b"g": b"new\n", b"h": b"ben's\n"}


def test_what_moves_the_base_here_ends_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first, second = place.tree.commit({b"f": b"one\n"}), place.tree.commit({b"f": b"two\n"})
    with place.room("ann", base=first) as room:
        room.hold()
        room.move_base(second, keep=False)
        assert not room.held
        assert shown(room) == {b"f": b"two\n"}
