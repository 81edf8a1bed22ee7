"""Processes of a room find and wake each other."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from anvcs.presence import Bell, Presence, folder_of


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def enter(stack: ExitStack, room: Path, view: str) -> Presence:
    presence = Presence(room, view)
    stack.callback(presence.close)
    return presence


def hears(presence: Presence) -> bool:
    return bool(select.select([presence], [], [], 0)[0]) and presence.drain()


def test_everybody_else_is_woken(tmp_path: Path, stack: ExitStack) -> None:
    ann, ben, eve = (enter(stack, tmp_path / "main.sqlite", name) for name in ("ann", "ben", "eve"))
    ann.bell.ring()
    assert [hears(each) for each in (ann, ben, eve)] == [False, True, True]
    assert [hears(each) for each in (ann, ben, eve)] == [False, False, False]


def test_a_command_wakes_all(tmp_path: Path, stack: ExitStack) -> None:
    bell = Bell(folder_of(tmp_path / "main.sqlite"))
    stack.callback(bell.close)
    bell.ring()  # nobody was ever there
    ann = enter(stack, tmp_path / "main.sqlite", "ann")
    bell.ring()
    assert hears(ann)


def test_rooms_with_similar_names_are_apart(tmp_path: Path, stack: ExitStack) -> None:
    ann = enter(stack, tmp_path / "v1.2.sqlite", "ann")
    ben = enter(stack, tmp_path / "v1.3.sqlite", "ben")
    ann.bell.ring()
    assert not hears(ben)


def test_a_full_queue_stops_nobody(tmp_path: Path, stack: ExitStack) -> None:
    ann, ben = (enter(stack, tmp_path / "main.sqlite", name) for name in ("ann", "ben"))
    for _ in range(5000):
        ann.bell.ring()
    assert hears(ben)


def test_the_dead_are_removed(tmp_path: Path, stack: ExitStack) -> None:
    ann = enter(stack, tmp_path / "main.sqlite", "ann")
    folder = folder_of(tmp_path / "main.sqlite")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(os.fspath(folder / "ben.1-00000000.sock"))
    (folder / "ben.1-00000000.json").write_text("{}")
    ann.bell.ring()
    assert sorted(file.suffix for file in folder.iterdir()) == [".sock"]


def test_cards(tmp_path: Path, stack: ExitStack) -> None:
    ann, ben = (enter(stack, tmp_path / "main.sqlite", name) for name in ("ann", "ben"))
    assert list(ann.others()) == []
    ann.show({"view": "ann"})
    ben.show({"view": "ben", "editing": ["f"]})
    assert [card["view"] for card in ann.others()] == ["ann", "ben"]
    ben.close()
    assert [card["view"] for card in ann.others()] == ["ann"]
    ben.close()  # once more does no harm


def test_a_card_that_is_no_json_is_left_out(tmp_path: Path, stack: ExitStack, caplog) -> None:
    ann = enter(stack, tmp_path / "main.sqlite", "ann")
    ann.show({"view": "ann"})
    [card] = folder_of(tmp_path / "main.sqlite").glob("*.json")
    card.write_text("{half")
    assert list(ann.others()) == []
    assert "can't be read" in caplog.text


def test_moving_to_another_room(tmp_path: Path, stack: ExitStack) -> None:
    ann, ben = (enter(stack, tmp_path / "main.sqlite", name) for name in ("ann", "ben"))
    ann.show({"view": "ann"})
    number = ann.fileno()
    ann.move(tmp_path / "other.sqlite")
    assert ann.fileno() == number
    ben.bell.ring()
    assert not hears(ann)
    ben.move(tmp_path / "other.sqlite")
    ben.bell.ring()
    assert hears(ann)
    assert [card["view"] for card in ben.others()] == ["ann"]
    assert list(folder_of(tmp_path / "main.sqlite").iterdir()) == []


def test_what_is_left_wakes_its_own_process(tmp_path: Path, stack: ExitStack) -> None:
    ann = enter(stack, tmp_path / "main.sqlite", "ann")
    ann.poke()
    assert hears(ann)


def test_a_path_longer_than_a_sockets_address(tmp_path: Path, stack: ExitStack) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    ann, ben = (enter(stack, deep / "main.sqlite", name * 21) for name in ("ann", "ben"))
    ann.bell.ring()
    assert hears(ben)
