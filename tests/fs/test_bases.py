"""Whose version a save is based on."""

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from anvcs.model.ids import Seq
from anvcsfs.bases import Bases, Seen
from anvcsfs.callers import holds_for_writing
from anvcsfs.processes import Process, Processes, is_alive, look
from anvcsfs.readerlog import ReaderLog

F = b"f"


class World(Processes):
    """Processes as a test says: number → parent; each alive unless it is said to be dead."""

    def __init__(self, parents: dict[int, int], sessions: dict[int, int] | None = None) -> None:
        super().__init__()
        self._parents = parents
        self._sessions = sessions or {}

    def of(self, thread: int) -> Process:
        lineage = [thread]
        while (above := self._parents.get(lineage[-1], 1)) > 1:
            lineage.append(above)
        return Process(thread, 7, self._sessions.get(thread, 0), tuple(lineage))


# An agent 10 with tools 11 to 14, of which 14 has a child 15; a stranger 20.
BASES = {11: 10, 12: 10, 13: 10, 14: 10, 15: 14}


@pytest.fixture
def bases() -> Bases:
    return Bases(World(BASES))


def test_nobody_has_opened_it(bases: Bases) -> None:
    assert bases.of(F, 11, 5) == Seen()


def test_everybody_has_seen_what_is_there(bases: Bases) -> None:
    bases.opened(F, 11, 5)
    bases.opened(F, 20, 5)
    assert bases.of(F, 12, 5) == Seen()


def test_the_own_process_comes_first(bases: Bases) -> None:
    bases.opened(F, 11, 3)
    bases.opened(F, 12, 5)
    assert bases.of(F, 11, 6) == Seen(Seq(3))


def test_then_the_nearest_relatives_and_of_those_the_last(bases: Bases) -> None:
    bases.opened(F, 10, 1)
    bases.opened(F, 11, 2)
    bases.opened(F, 20, 4)
    assert bases.of(F, 12, 6) == Seen(Seq(2)), "a tool of the same agent"
    bases.opened(F, 14, 3)
    bases.opened(F, 13, 5)
    assert bases.of(F, 15, 6) == Seen(Seq(3)), "its parent"
    assert bases.of(F, 10, 6) == Seen(Seq(1)), "itself"


def test_a_child_reads_for_its_parent(bases: Bases) -> None:
    bases.opened(F, 15, 3)
    bases.opened(F, 11, 4)
    assert bases.of(F, 14, 6) == Seen(Seq(3))


def test_then_the_session() -> None:
    bases = Bases(World({}, sessions={30: 9, 31: 9, 32: 8}))
    bases.opened(F, 30, 2)
    bases.opened(F, 32, 3)
    assert bases.of(F, 31, 6) == Seen(Seq(2))


def test_else_the_newest_with_doubts(bases: Bases) -> None:
    bases.opened(F, 10, 2)
    bases.opened(F, 11, 3)
    assert bases.of(F, 20, 6) == Seen(Seq(3), None, (Seq(2),))


def test_who_sweeps_is_a_doubt(bases: Bases) -> None:
    bases.opened(F, 11, 2)
    for number in range(20):
        bases.opened(b"other %d" % number, 12, 5)
    bases.opened(F, 12, 5)
    assert bases.of(F, 13, 6) == Seen(Seq(2), None, (Seq(5),))
    assert bases.of(F, 12, 6) == Seen(Seq(5)), "it knows what it read itself"


def test_a_program_that_goes_on_looking_is_a_doubt() -> None:
    real = Processes()
    me = os.getpid()
    bases = Bases(real)
    program = "import sys; sys.stdin.read()"
    with ExitStack() as stack:
        watcher, tool, writer = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE))
            for _ in range(3)
        ]
        bases.opened(F, tool.pid, 2)
        bases.opened(F, watcher.pid, 2)
        bases.opened(F, watcher.pid, 4)
        assert bases.of(F, writer.pid, 6) == Seen(Seq(2), None, (Seq(4),))
        assert bases.of(F, me, 6) == Seen(Seq(2), None, (Seq(4),))


def test_what_a_process_wrote_it_knows_as_text(bases: Bases) -> None:
    bases.opened(F, 11, 2)
    bases.wrote(F, 11, 2, b"mine")
    assert bases.of(F, 11, 5) == Seen(Seq(2), b"mine")
    assert bases.of(F, 12, 5) == Seen(Seq(2), b"mine"), "its relatives, too"
    bases.wrote(F, 11, 5, None)
    assert bases.of(F, 11, 5) == Seen()
    bases.wrote(F, 11, 5, b"mine again")
    bases.opened(F, 11, 7)
    assert bases.of(F, 11, 8) == Seen(Seq(7)), "it has read since"


def test_texts_are_bounded_and_the_version_before_serves(bases: Bases) -> None:
    bases.wrote(F, 11, 2, b"mine")
    for number in range(9):
        bases.wrote(b"other %d" % number, 11, 3, bytes(1 << 20))
    assert bases.of(F, 11, 5) == Seen(Seq(2))


def test_files_and_readers_are_bounded(bases: Bases) -> None:
    for number in range(5000):
        bases.opened(b"%d" % number, 11, 2)
    assert bases.of(b"0", 11, 5) == Seen()
    assert bases.of(b"4999", 11, 5) == Seen(Seq(2))
    for pid in range(100, 150):
        bases.opened(b"4999", pid, 3)
    assert bases.of(b"4999", 11, 5).base == 3


def test_a_file_keeps_its_readers_when_it_moves(bases: Bases) -> None:
    bases.wrote(b"a/f", 11, 2, b"mine")
    bases.moved(b"a", b"b/c")
    bases.moved(b"b/c/f", b"g")
    assert bases.of(b"g", 11, 5) == Seen(Seq(2), b"mine")
    assert bases.of(b"a/f", 11, 5) == Seen()
    bases.forget()
    assert bases.of(b"g", 11, 5) == Seen()


def test_a_unit_of_git_gives_new_numbers(bases: Bases) -> None:
    bases.opened(F, 11, 12)
    bases.opened(F, 12, 3)
    bases.renumber(F, 10, 5)
    assert bases.of(F, 11, 6) == Seen(Seq(5))
    assert bases.of(F, 12, 6) == Seen(Seq(3))


def written(log: ReaderLog, room: str = "main") -> None:
    job = log.write(room)
    if job is not None:
        job()


def test_it_outlives_its_process(tmp_path: Path) -> None:
    """What was appended as well as what was written anew; half a row at the end is nothing."""
    me, file = os.getpid(), tmp_path / "readers"
    before = Bases()
    log = ReaderLog(file, before)
    before.opened(b"first", me, 1)
    written(log)
    before.opened(F, me, 2)
    before.opened(F, me, 3)
    before.opened(b"of the future", me, 9)
    assert before.has_news
    assert log.write("main") is None
    assert not before.has_news
    assert file.read_bytes().count(b"\n") == 4
    with file.open("ab") as half:
        half.write(b'["half')
    after = Bases()
    ReaderLog(file, after).restore("main", Seq(5))
    assert after.of(b"first", me, 5) == Seen(Seq(1))
    assert after.of(F, me, 5) == Seen(Seq(3))
    assert after.of(b"of the future", me, 5) == Seen()
    assert not file.exists(), "once"
    assert after.has_news


def test_what_moved_is_written_anew(tmp_path: Path) -> None:
    me, file = os.getpid(), tmp_path / "readers"
    before = Bases()
    log = ReaderLog(file, before)
    before.opened(F, me, 3)
    written(log)
    before.moved(F, b"moved")
    written(log)
    after = Bases()
    ReaderLog(file, after).restore("main", Seq(5))
    assert after.of(F, me, 5) == Seen()
    assert after.of(b"moved", me, 5) == Seen(Seq(3))


def test_another_rooms_rows_and_damage_are_nothing(tmp_path: Path) -> None:
    me, file = os.getpid(), tmp_path / "readers"
    before = Bases()
    log = ReaderLog(file, before)
    before.opened(F, me, 3)
    for text in (None, b"main\n[1]\n", b'"main"\n[1]\n', b""):
        written(log, "other" if log.write("main") is not None else "main")
        if text is not None:
            file.write_bytes(text)
        after = Bases()
        ReaderLog(file, after).restore("main", Seq(5))
        assert after.of(F, me, 5) == Seen()


def test_it_does_not_grow_for_ever(tmp_path: Path) -> None:
    me, file = os.getpid(), tmp_path / "readers"
    bases = Bases()
    log = ReaderLog(file, bases)
    largest = 0
    for version in range(3000):
        for name in (b"a" * 100, b"b" * 100):
            bases.opened(name, me, version)
        written(log)
        largest = max(largest, file.stat().st_size)
    assert largest < 300 << 10


def test_threads_have_a_leader_and_processes_ancestors() -> None:
    found: list[Process] = []
    thread = threading.Thread(target=lambda: found.append(Processes().of(threading.get_native_id())))
    thread.start()
    thread.join()
    assert found[0].pid == os.getpid()
    assert found[0].lineage[:2] == (os.getpid(), os.getppid())
    assert found[0].session == os.getsid(0)
    assert is_alive(os.getpid(), found[0].started)
    assert not is_alive(os.getpid(), found[0].started + 1)
    assert look(0) is None
    assert look(1 << 22) is None
    assert Processes().of(1 << 22) == Process(1 << 22, 0, 0, (1 << 22,))


def test_who_holds_a_file_for_writing(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("")
    me, top = os.getpid(), str(tmp_path)
    with file.open():
        assert not holds_for_writing(me, top, F)
        with file.open("a"):
            assert holds_for_writing(me, top, F)
    assert not holds_for_writing(me, top, F)
    assert not holds_for_writing(1 << 22, top, F)
