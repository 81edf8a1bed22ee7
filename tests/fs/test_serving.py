"""The loop that waits for requests."""

import errno
import os

import pyfuse3
import pytest
import trio

from anvcsfs import serving


def test_a_worker_goes_on_when_a_request_was_taken_back(monkeypatch: pytest.MonkeyPatch):
    """Its client was killed between our look and our read: there is nothing to read."""
    calls = []

    async def worker(*arguments: object) -> None:
        calls.append(arguments)
        await trio.lowlevel.checkpoint()
        if len(calls) < 3:
            raise OSError(errno.EAGAIN, "nothing there")

    monkeypatch.setattr(serving, "_WORKER", worker)
    trio.run(serving._lasting, "nursery", 1, 9)
    assert calls == [("nursery", 1, 9)] * 3


def test_other_failures_of_a_worker_end_it(monkeypatch: pytest.MonkeyPatch):
    async def worker(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(serving, "_WORKER", worker)
    with pytest.raises(OSError, match="broken"):
        trio.run(serving._lasting)


def test_the_line_never_blocks(monkeypatch: pytest.MonkeyPatch):
    """A read that blocks would keep Python's lock."""
    for name in ("trio", "_session_loop"):
        monkeypatch.setattr(pyfuse3, name, getattr(pyfuse3, name))
    gate = serving.Gate()
    serving.install(gate)
    assert pyfuse3._session_loop is serving._lasting
    reader, writer = os.pipe()
    try:
        os.write(writer, b"request")
        trio.run(_wait_readable, gate, reader)
        trio.run(_wait_readable, gate, reader)
        assert os.read(reader, 100) == b"request"
        with pytest.raises(BlockingIOError):
            os.read(reader, 100)
    finally:
        os.close(reader)
        os.close(writer)


async def _wait_readable(gate: serving.Gate, line: int) -> None:
    await gate.wait_readable(line)
