"""Who waits to append sleeps, and gets its turn although others go on appending."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.rooms.turnstile import Turnstile
from support.rooms import Place
from support.waiting import eventually

_GREEDY = """
import sys
from pathlib import Path
from anvcs.rooms.turnstile import Turnstile
turn = Turnstile(Path(sys.argv[1]))
turn.take()
print("inside", flush=True)
sys.stdin.readline()
turn.give()
print("outside", flush=True)
while not turn.take():
    pass
turn.give()
print("again", flush=True)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "owner"
    path.touch()
    return path


@pytest.fixture
def two(file: Path) -> Iterator[tuple[Turnstile, Turnstile]]:
    """As in two processes: each has descriptors of its own."""
    turns = Turnstile(file), Turnstile(file)
    yield turns
    for turn in turns:
        turn.close()


@pytest.fixture
def greedy(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the turn, and wants it again as soon as it has given it back."""
    process = subprocess.Popen(
        [sys.executable, "-c", _GREEDY, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout.readline() == b"inside\n"
    yield process
    process.kill()
    process.communicate()


def waiting(turn: Turnstile, seconds: float = 20) -> tuple[threading.Thread, list[bool]]:
    """A thread that waits for *turn*, once it sleeps, and what it was told."""
    told: list[bool] = []
    thread = threading.Thread(target=lambda: told.append(turn.wait(seconds)))
    thread.start()
    eventually(lambda: turn._waiting)
    return thread, told


def test_one_at_a_time(two):
    one, other = two
    assert one.take()
    assert one.take()
    assert not other.take()
    one.give()
    assert other.take()
    assert not one.take()


def test_who_waits_is_woken_and_has_the_turn(two):
    one, other = two
    one.take()
    thread, told = waiting(other)
    one.give()
    thread.join(20)
    assert told == [True]
    assert not one.take()
    assert other.take()
    other.give()
    assert one.take()


def test_several_that_wait_in_one_process_come_one_after_the_other(two):
    one, other = two
    one.take()
    threads = [waiting(other) for _ in range(3)]
    one.give()
    for thread, told in threads:
        eventually(other.take, what="the turn of the next")
        other.give()
        thread.join(20)
        assert told == [True]
    eventually(one.take, what="the turn after all of them")


def test_a_turn_that_nobody_uses_is_given_back(two):
    one, other = two
    one.take()
    thread, _ = waiting(other)
    one.give()
    thread.join(20)
    eventually(one.take, what="the turn that the other never took")


def test_who_gives_up_waiting_leaves_nothing_behind(two):
    one, other = two
    one.take()
    thread, told = waiting(other, 0.01)
    thread.join(20)
    assert told == [False]
    one.give()
    eventually(one.take, what="the turn, although somebody had waited")


def test_the_turn_ends_with_its_process(file, greedy):
    turn = Turnstile(file)
    thread, told = waiting(turn)
    greedy.kill()
    thread.join(20)
    assert told == [True]
    turn.close()


def test_another_process_that_wants_it_again_at_once_waits(file, greedy):
    turn = Turnstile(file)
    thread, told = waiting(turn)
    greedy.stdin.write(b"\n")
    greedy.stdin.flush()
    thread.join(20)
    assert told == [True]
    turn.give()
    assert greedy.communicate()[0] == b"outside\nagain\n"
    turn.close()


def test_an_append_uses_the_turn_that_was_waited_for(tmp_path: Path):
    here = Place(tmp_path)
    with here.room() as room, here.room("other") as other:
        with room._core.change(b"f"):
            thread = threading.Thread(target=other.wait_writable)
            thread.start()
        thread.join(20)
        other.write(b"g", b"text\n")
        room.write(b"f", b"text\n")
        assert other.version(b"g")
