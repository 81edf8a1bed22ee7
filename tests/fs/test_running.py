"""Threads that may still be inside a system call: what the kernel tells of them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcsfs.running import Running
from support.waiting import eventually


@pytest.fixture
def busy() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        yield child.pid
        child.kill()


@pytest.fixture
def asleep() -> Iterator[int]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        eventually(lambda: b" (cat) S " in Path(f"/proc/{child.pid}/stat").read_bytes())
        yield child.pid


def test_who_has_had_the_processor_is_through(busy: int):
    running = Running([busy])
    eventually(lambda: not running.go_on())


def test_who_gets_none_is_waited_for(busy: int):
    running = Running([busy])
    running._used[busy] += 10**15  # as if it had not run since
    eventually(running.go_on)


def test_who_sleeps_is_in_no_copy(asleep: int):
    assert not Running([asleep]).go_on()


def test_nobody_and_the_dead_are_not_waited_for():
    with subprocess.Popen(["true"]) as gone:
        pass
    assert not Running([gone.pid, 0, -1]).go_on()
    assert not Running([]).go_on()
