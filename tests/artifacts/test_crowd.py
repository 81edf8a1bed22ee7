"""Many at a time: as many as wait, and an end that comes at once when it is asked for."""

import threading

import pytest

from anvcs.artifacts import crowd
from anvcs.artifacts.crowd import Crowd
from anvcs.artifacts.retrying import Canceller


def test_each_is_done_once():
    done: list[int] = []
    Crowd(range(500), lambda number, _: done.append(number), Canceller()).run()
    assert sorted(done) == list(range(500))


def test_more_are_in_flight_while_the_processor_is_idle():
    everybody = threading.Barrier(crowd.MOST)  # as a server that answers when all have asked
    Crowd(range(3 * crowd.MOST), lambda *_: everybody.wait(20), Canceller(), has_time=lambda: True).run()
    assert not everybody.broken


def test_no_more_are_in_flight_than_the_processor_can_do():
    threads = set()
    Crowd(range(200), lambda *_: threads.add(threading.get_ident()), Canceller(), has_time=lambda: False).run()
    assert len(threads) <= crowd.FIRST


def test_a_source_that_fails_is_told():
    def source():
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        Crowd(source(), lambda *_: None, Canceller()).run()


def test_nothing_begins_after_the_end():
    cancel, done = Canceller(), []

    def one(number, _):
        done.append(number)
        cancel.cancel()

    Crowd(range(1000), one, cancel).run()
    assert len(done) <= crowd.FIRST


def test_what_hangs_is_not_waited_for_after_an_interrupt(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    cancel, hanging = Canceller(), threading.Event()
    monkeypatch.setattr(threading.Condition, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Crowd(range(8), lambda *_: hanging.wait(20), cancel).run()
    assert cancel.thrown
    hanging.set()
