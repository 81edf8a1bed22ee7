"""Documents start again when that is worth it, also while nobody pauses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.rooms import texts
from anvcs.rooms.errors import RoomBusy
from anvcs.rooms.fsck import fsck
from anvcs.rooms.room import Room
from support.rooms import Place, shown

TEXT = b"".join(b"line %d\n" % number for number in range(20))


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def room(here: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.setattr(texts, "_SLACK", 512)
    with here.room("ann", here.tree.commit({b"a": TEXT})) as opened:
        yield opened


def edit(room: Room, times: int) -> None:
    for number in range(times):
        lines = shown(room)[b"a"].splitlines(keepends=True)
        lines[number % 20] = b"edited %d\n" % (number + room.seq)
        room.write(b"a", b"".join(lines))


def test_a_much_edited_document_starts_again(room: Room) -> None:
    edit(room, 300)
    file = room.entry(b"a").id
    live = room._core.docs.head(file, room.seq)
    assert live.epoch > 0
    assert len(live.document.state()) < 8 * len(live.read()) + 64 * 100
    assert room._core.log._rows("SELECT count(*) FROM docs")[0][0] <= 4


def test_a_base_in_an_old_epoch_is_still_a_base(here: Place, room: Room) -> None:
    stale = shown(room)[b"a"]
    edit(room, 1)
    seq, stale = room.seq, shown(room)[b"a"]
    edit(room, 300)
    now = shown(room)[b"a"]
    with here.room("ben") as other:
        other.write(b"a", stale + b"the end\n", base=seq)
        assert shown(other)[b"a"] == now + b"the end\n"
    room.catch_up()
    assert shown(room)[b"a"] == now + b"the end\n"
    assert room.text_at(room.entry(b"a").id, seq) == stale
    assert fsck(here.file).ok


def test_a_record_that_names_an_old_epoch_is_refused_and_can_be_retried(here: Place, room: Room) -> None:
    edit(room, 300)
    file, seq, before = room.entry(b"a").id, room.seq, shown(room)
    room._core.docs.head(file, seq).epoch = 0  # a window that missed the change
    with pytest.raises(RoomBusy, match="not 0, try again"):  # callers wait and come again
        room.write(b"a", TEXT)
    assert (room.seq, shown(room)) == (seq, before)
    room.write(b"a", TEXT)
    assert shown(room)[b"a"] == TEXT


def test_blame_and_undo_reach_over_epochs(room: Room) -> None:
    edit(room, 300)
    assert {line.agent for line in room.blame(b"a")} == {"ann"}
    assert len({line.seq for line in room.blame(b"a")}) == 20
