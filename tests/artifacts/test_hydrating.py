"""Reading artifacts: what is asked for comes, verified, and nothing twice."""

import errno
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from anvcs.artifacts import parts
from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.errors import (
    AccessDenied,
    CacheFull,
    DigestMismatch,
    HydrationCancelled,
    HydrationTimedOut,
    NoSuchVersion,
    StoreBusy,
    StoreUnreachable,
)
from anvcs.artifacts.folders import LocalBlobStore
from anvcs.artifacts.hydrating import Hydrator, Where
from anvcs.artifacts.pieces import PIECE
from anvcs.artifacts.retrying import Backoff, Canceller
from anvcs.artifacts.transfers import Limits
from anvcs.artifacts.uploading import Uploader
from anvcs.model.pin import Pin
from support.blob_stores import FaultyStore, Gate, cut, failing, fine, flipped, short
from support.waiting import eventually

QUICK = Backoff(first_s=0.001, longest_s=0.002)
MIB = 1 << 20
BIG = 3 * PIECE + 12_345


class Bench:
    """A store with faults, a cache and a hydrator."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.store = FaultyStore(top / "store")
        self.cache = ContentCache(top / "cache")
        self.told: list[str] = []
        self.hydrators: list[Hydrator] = []

    def hydrator(self, **options: object) -> Hydrator:
        limits = Limits(backoff=QUICK, deadline_s=options.pop("deadline_s", 20.0))
        made = Hydrator(self.cache, lambda pin: self.store, limits=limits, tell=self.told.append, **options)
        self.hydrators.append(made)
        return made

    def pin(self, data: bytes, key: str = "m.pt", *, compress: bool = False) -> Pin:
        """Stored, and not in the cache."""
        file = self.top / "file"
        file.write_bytes(data)
        elsewhere = ContentCache(self.top / "elsewhere")
        return Uploader(elsewhere, self.store, "local", compress=compress).upload(elsewhere.take(file), key)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    for hydrator in made.hydrators:
        hydrator.close()


@pytest.fixture(scope="module")
def big() -> bytes:
    return os.urandom(BIG)


@pytest.fixture(params=["pieces", "frames"])
def compress(request) -> bool:
    return request.param == "frames"


def test_the_whole_is_read(bench, big, compress):
    pin = bench.pin(big, compress=compress)
    with bench.hydrator().open(pin) as artifact:
        assert artifact.read(0, BIG) == big
        assert artifact.read(BIG - 5, 100) == big[-5:]
        assert artifact.read(BIG, 100) == b""
        artifact.whole()
    assert bench.cache.path(pin.sha256).read_bytes() == big
    assert not list((bench.cache.root / "parts").iterdir())


@pytest.mark.parametrize("size", [0, 1, 4096, PIECE, PIECE + 1])
def test_sizes_at_the_edges(bench, big, compress, size):
    pin = bench.pin(big[:size], compress=compress)
    hydrator = bench.hydrator()
    hydrator.ensure(pin)
    with hydrator.open(pin) as artifact:
        assert artifact.read(0, size + 1) == big[:size]


def test_opening_fetches_nothing(bench, big):
    pin = bench.pin(big)
    with bench.hydrator().open(pin):
        assert bench.store.requests == []


def test_a_range_fetches_only_its_piece(bench, big, compress):
    pin = bench.pin(big, compress=compress)
    with bench.hydrator().open(pin) as artifact:
        assert artifact.read(2 * PIECE + 7, 1000) == big[2 * PIECE + 7 : 2 * PIECE + 1007]
    assert len(bench.store.asked("m.pt")) == 1
    if not compress:
        assert bench.store.asked("m.pt") == [(2 * PIECE, PIECE)]


def test_the_first_piece_is_there_before_the_rest(bench, big):
    pin = bench.pin(big)
    gate = Gate()
    bench.store.faults.extend([fine, fine, gate, gate, gate])
    with bench.hydrator().open(pin) as artifact:
        for at in range(0, MIB, 1 << 17):  # as `head -c 1M` reads
            assert artifact.read(at, 1 << 17) == big[at : at + (1 << 17)]
        assert bench.store.asked("m.pt") == [(0, PIECE)]
        for at in range(MIB, 2 * MIB, 1 << 17):  # reading on asks for more, and doesn't wait for it
            assert artifact.read(at, 1 << 17) == big[at : at + (1 << 17)]
        assert gate.reached.wait(20)
        gate.opened.set()
        assert artifact.read(2 * MIB, BIG) == big[2 * MIB :]


def test_what_is_partly_here_counts_for_the_limit(bench, big):
    """It goes by the same rule as what is whole, unless somebody has it open."""
    kept, left = bench.pin(big), bench.pin(bytes(BIG), "other.pt")
    hydrator = bench.hydrator()
    with hydrator.open(left) as artifact:
        artifact.read(0, 5)
    with hydrator.open(kept) as artifact:
        artifact.read(0, 5)
        assert 2 * PIECE <= bench.cache.partial() < 3 * PIECE
        eventually(lambda: bench.cache.shrink(0).freed)  # once nobody has the other open
        assert PIECE <= bench.cache.partial() < 2 * PIECE
        assert artifact.read(0, BIG) == big
        artifact.whole()
    bench.cache.limit = PIECE
    with hydrator.open(left) as artifact:
        artifact.read(0, 5)
        eventually(lambda: not bench.cache.has(kept.sha256))  # the oldest makes way for what is coming
    assert PIECE <= bench.cache.partial() < 2 * PIECE


def test_what_has_come_is_ready_without_a_wait(bench, big, compress):
    pin = bench.pin(big, compress=compress)
    with bench.hydrator().open(pin) as artifact:
        assert artifact.ready(0, 100) is None
        artifact.read(PIECE, 100)
        asked = len(bench.store.requests)
        assert artifact.ready(PIECE + 5, 1000) == big[PIECE + 5 : PIECE + 1005]
        assert artifact.ready(2 * PIECE - 1, 2) is None
        assert len(bench.store.requests) == asked
        artifact.whole()
        assert artifact.ready(BIG - 5, 100) == big[-5:]
        assert artifact.ready(BIG, 1) == b""


def test_who_reads_on_what_is_ready_gets_more_ahead(bench, big):
    pin = bench.pin(big)
    with bench.hydrator().open(pin) as artifact:
        artifact.read(0, 1 << 17)
        for at in range(1 << 17, 2 * MIB, 1 << 17):
            assert artifact.ready(at, 1 << 17) == big[at : at + (1 << 17)]
        eventually(lambda: artifact.ready(PIECE, 1) == big[PIECE : PIECE + 1])
    assert len(bench.store.asked("m.pt")) >= 2


def test_who_has_read_it_all_and_leaves_has_it_in_the_cache(bench, big, compress):
    pin = bench.pin(big, compress=compress)
    hydrator = bench.hydrator()
    hydrator._told(pin, NoSuchVersion("local", pin.key, pin.version_id))
    artifact = hydrator.open(pin)
    (transfer,) = hydrator._transfers.values()
    reached, go_on = threading.Event(), threading.Event()
    finish = transfer._finish

    def held() -> None:
        reached.set()
        assert go_on.wait(20)
        finish()

    transfer._finish = held
    assert artifact.read(0, BIG) == big
    assert reached.wait(20)
    artifact.close()  # before it could be looked at as a whole
    assert hydrator._transfers == {}
    go_on.set()
    eventually(lambda: bench.cache.has(pin.sha256))
    eventually(lambda: not list((bench.cache.root / "parts").iterdir()))
    eventually(lambda: bench.cache.evict(pin.sha256))  # nobody has it open
    eventually(lambda: hydrator.status().failures == ())  # what went wrong before is over


def test_readers_share_one_transfer(bench, big):
    pin = bench.pin(big)
    hydrator = bench.hydrator()
    found: list[bytes] = []

    def read() -> None:
        with hydrator.open(pin) as artifact:
            found.append(artifact.read(0, BIG))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [big] * 8
    fetched = sum(length for _, length in bench.store.asked("m.pt"))
    assert fetched == BIG


FAULTS = {
    "reset": cut(PIECE + 1000),
    "truncated": short(PIECE + 1000),
    "flipped": flipped(PIECE + 3),
    "busy": failing(StoreBusy("faulty", "503 SlowDown")),
    "unreachable": failing(StoreUnreachable("faulty", "no route")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_is_tried_again(bench, big, compress, fault):
    pin = bench.pin(big, compress=compress)
    bench.store.faults.extend([fine, FAULTS[fault], FAULTS[fault]])
    with bench.hydrator().open(pin) as artifact:
        assert artifact.read(0, BIG) == big


@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_is_tried_again_without_pieces(bench, big, fault):
    data = big[:PIECE]
    pin = bench.pin(data)
    assert pin.pieces is None
    at = {"reset": cut(1000), "truncated": short(1000), "flipped": flipped(3)}.get(fault, FAULTS[fault])
    bench.store.faults.append(at)
    with bench.hydrator().open(pin) as artifact:
        assert artifact.read(5, 100) == data[5:105]


def test_a_reset_resumes_at_the_last_good_piece(bench, big):
    pin = bench.pin(big)
    bench.store.faults.extend([fine, cut(2 * PIECE + 5)])
    with bench.hydrator().open(pin) as artifact:
        artifact.read(0, BIG)
    assert bench.store.asked("m.pt") == [(0, BIG), (2 * PIECE, BIG - 2 * PIECE)]


def test_without_pieces_it_resumes_at_the_last_byte(bench, big):
    pin = bench.pin(big[:PIECE])
    bench.store.faults.extend([cut(1 << 20), cut(1 << 20)])
    bench.hydrator().ensure(pin)
    assert bench.store.asked("m.pt") == [(0, None), (1 << 20, None), (2 << 20, None)]


def test_wrong_bytes_are_never_served(bench, big, compress):
    pin = bench.pin(big, compress=compress)
    bench.store.faults.append(fine)
    bench.store.always = flipped(10)
    with bench.hydrator().open(pin) as artifact:
        with pytest.raises(DigestMismatch):
            artifact.read(0, 100)
        assert len(bench.store.asked("m.pt")) == 3
        bench.store.always = None
        assert artifact.read(0, 100) == big[:100]
    assert "piece 0 of m.pt" in bench.told[0] or "m.pt" in bench.told[0]


def test_wrong_bytes_without_pieces_leave_nothing(bench, big):
    pin = bench.pin(big[:1000])
    bench.store.always = flipped(10)
    hydrator = bench.hydrator()
    with pytest.raises(DigestMismatch):
        hydrator.ensure(pin)
    assert not bench.cache.has(pin.sha256)
    bench.store.always = None
    hydrator.ensure(pin)
    assert bench.cache.path(pin.sha256).read_bytes() == big[:1000]


def test_an_object_that_is_too_long_is_not_read_to_its_end(bench, big):
    pin = bench.pin(big[:1000])
    bench.store.always = lambda body: iter_endless()
    with pytest.raises(DigestMismatch, match="more bytes"):
        bench.hydrator().ensure(pin)


def iter_endless():
    while True:
        yield bytes(1000)


def test_a_pin_that_contradicts_itself_poisons_nothing(bench, big):
    from dataclasses import replace

    honest = bench.pin(big)
    wrong = replace(honest, sha256="0" * 64)
    hydrator = bench.hydrator()
    with pytest.raises(DigestMismatch):
        hydrator.ensure(wrong)
    assert not bench.cache.has(wrong.sha256)


@pytest.mark.parametrize(
    ("error", "requests"),
    [
        (NoSuchVersion("faulty", "m.pt", "v"), 1),
        (AccessDenied("faulty", "403"), 1),
        (StoreUnreachable("faulty", "no route"), 3),
        (StoreBusy("faulty", "503"), 6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_does_not_pass_is_told(bench, big, error, requests):
    pin = bench.pin(big[:1000])
    bench.store.always = failing(error)
    hydrator = bench.hydrator()
    with hydrator.open(pin) as artifact, pytest.raises(type(error)):
        artifact.read(0, 10)
    assert len(bench.store.requests) == requests
    assert bench.told == [str(error)]
    assert hydrator.status().failures[0].message == str(error)


def test_a_store_that_is_away_fails_the_next_at_once(bench, big):
    first, second = bench.pin(big[:1000], "a"), bench.pin(big[:2000], "b")
    bench.store.always = failing(StoreUnreachable("faulty", "no route"))
    hydrator = bench.hydrator()
    for pin in (first, second):
        with pytest.raises(StoreUnreachable):
            hydrator.ensure(pin)
    assert bench.store.asked("b") == []


def test_a_patient_reader_waits_until_the_store_is_back(bench, big):
    pin = bench.pin(big[:1000])
    bench.store.faults.extend([failing(StoreUnreachable("faulty", "no route"))] * 10)
    hydrator = bench.hydrator(patient=True)
    hydrator.ensure(pin)
    assert len(bench.store.requests) == 11


def test_a_silent_store_ends_at_the_deadline(bench, big):
    pin = bench.pin(big)
    gate = Gate()
    bench.store.always = gate
    with bench.hydrator(deadline_s=0.05).open(pin) as artifact:
        with pytest.raises(HydrationTimedOut):
            artifact.read(0, 10)
        assert [line for line in bench.told if "storage.deadline_s" in line]
        gate.opened.set()


def test_a_waiting_reader_is_cancelled_and_others_go_on(bench, big):
    pin = bench.pin(big)
    gate = Gate()
    bench.store.faults.append(gate)
    hydrator = bench.hydrator()
    results: list[object] = []
    cancel = Canceller()

    def read(cancel: Canceller | None) -> None:
        with hydrator.open(pin) as artifact:
            try:
                results.append(artifact.read(0, 10, cancel))
            except HydrationCancelled as error:
                results.append(error)

    threads = [threading.Thread(target=read, args=(one,)) for one in (cancel, None)]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(20)
    cancel.cancel()
    threads[0].join()
    assert isinstance(results[0], HydrationCancelled)
    gate.opened.set()
    threads[1].join()
    assert results[1] == big[:10]


def test_other_artifacts_are_not_blocked(bench, big):
    stuck, free = bench.pin(big, "stuck"), bench.pin(big[:1000], "free")
    gate = Gate()
    bench.store.faults.append(gate)
    hydrator = bench.hydrator()
    with hydrator.open(stuck) as artifact:
        thread = threading.Thread(target=lambda: artifact.read(0, 10))
        thread.start()
        assert gate.reached.wait(20)
        hydrator.ensure(free)
        gate.opened.set()
        thread.join()


def test_a_store_that_hangs_keeps_no_thread_from_another(bench, big):
    gate = Gate()
    bench.store.always = gate
    stuck = [bench.pin(big[:size], f"stuck{size}") for size in range(1000, 1003)]
    free = replace(bench.pin(big[:1003], "free"), bucket="other")
    healthy = LocalBlobStore(bench.top / "store")
    hydrator = Hydrator(bench.cache, lambda pin: healthy if pin.bucket else bench.store, workers=2)
    bench.hydrators.append(hydrator)
    threads = [threading.Thread(target=hydrator.ensure, args=(pin,)) for pin in stuck]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(20)
    hydrator.ensure(free)
    gate.opened.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("size", [1000, PIECE, BIG])
def test_a_full_disk_is_told_and_what_is_here_stays(bench, big, monkeypatch, size):
    kept, pin = bench.pin(big[:500], "kept"), bench.pin(big[:size])
    hydrator = bench.hydrator()
    hydrator.ensure(kept)

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        for name in ("write", "pwrite"):
            patched.setattr(parts.os, name, full)
        patched.setattr(Path, "write_bytes", full)
        with hydrator.open(pin) as artifact, pytest.raises(CacheFull):
            artifact.read(0, 10)
    with hydrator.open(kept) as artifact:
        assert artifact.read(0, 500) == big[:500]
    hydrator.ensure(pin)
    assert bench.cache.path(pin.sha256).read_bytes() == big[:size]


def test_many_at_once(bench, big):
    pins = [bench.pin(big[:size], f"f{size}") for size in range(1, 40)]
    bench.store.always = None
    told: list[Pin] = []
    bench.hydrator().ensure_many(pins, done=lambda pin, error: told.append(pin) if error is None else None)
    assert sorted(pin.size for pin in told) == list(range(1, 40))
    assert all(bench.cache.has(pin.sha256) for pin in pins)


def test_states(bench, big):
    pin = bench.pin(big)
    hydrator = bench.hydrator()
    assert hydrator.state(pin).where is Where.REMOTE
    gate = Gate()
    bench.store.faults.extend([fine, fine, gate])
    with hydrator.open(pin) as artifact:
        artifact.read(0, 10)
        assert hydrator.state(pin).where is Where.REMOTE  # nobody is fetching the rest
        thread = threading.Thread(target=lambda: artifact.read(PIECE, 2 * PIECE))
        thread.start()
        assert gate.reached.wait(20)
        assert str(hydrator.state(pin)) == "hydrating 25%"
        gate.opened.set()
        thread.join()
        artifact.whole()
    assert hydrator.state(pin).where is Where.LOCAL


def test_what_nobody_goes_on_with_is_forgotten_and_what_is_fetched_is_not(bench, big):
    old, new = bench.pin(big, "old"), bench.pin(big[: 2 * PIECE], "new")
    gate = Gate()
    hydrator = bench.hydrator()
    with hydrator.open(old) as artifact:
        artifact.read(0, 10)
    with hydrator.open(new) as artifact:
        artifact.read(0, 10)
        bench.store.faults.append(gate)
        thread = threading.Thread(target=lambda: artifact.read(PIECE, 10))
        thread.start()
        assert gate.reached.wait(20)
        for file in (bench.cache.root / "parts").glob("*/*"):
            os.utime(file, (0, 0))
        bench.cache.clean()
        (left,) = (bench.cache.root / "parts").glob("*/map")
        assert left.parent.name.startswith(new.sha256)
        gate.opened.set()
        thread.join()


READER = """
import sys, hashlib
from pathlib import Path
from anvcs.artifacts import parts
from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.folders import LocalBlobStore
from anvcs.artifacts.hydrating import Hydrator
from anvcs.model.pointer import decode_pointer
top = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from support.blob_stores import FaultyStore
store = FaultyStore(top / "store")
STEPS
pin = decode_pointer((top / "pointer").read_bytes())
hydrator = Hydrator(ContentCache(top / "cache"), lambda pin: store)
with hydrator.open(pin) as artifact:
    data = artifact.read(0, pin.size)
print(hashlib.sha256(data).hexdigest(), sum(length for _, length in store.asked("m.pt")), flush=True)
"""

HALT = """
def halt(body):
    for number, chunk in enumerate(body):
        if number == 6:  # in the middle of the second piece
            print("halted", flush=True)
            sys.stdin.read()
        yield chunk
from support.blob_stores import fine
store.faults.extend([fine, halt])
"""


def reader(bench: Bench, steps: str = "") -> subprocess.Popen[str]:
    support = str(Path(__file__).resolve().parents[1])
    script = READER.replace("STEPS", steps)
    return subprocess.Popen(
        [sys.executable, "-c", script, bench.top, support], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def pointed(bench: Bench, data: bytes) -> Pin:
    from anvcs.model.pointer import encode_pointer

    pin = bench.pin(data)
    (bench.top / "pointer").write_bytes(encode_pointer(pin))
    return pin


def test_a_killed_process_is_continued(bench, big):
    pin = pointed(bench, big)
    first = reader(bench, HALT)
    with first:
        assert first.stdout.readline() == "halted\n"
        first.send_signal(signal.SIGKILL)
    assert not bench.cache.has(pin.sha256)
    with reader(bench) as second:
        digest, fetched = second.stdout.readline().split()
    assert digest == pin.sha256
    assert int(fetched) == BIG - PIECE


def test_two_processes_fetch_each_piece_once(bench, big):
    pin = pointed(bench, big)
    with reader(bench, HALT) as first:
        assert first.stdout.readline() == "halted\n"
        with bench.hydrator().open(pin) as artifact:
            # What the other process has verified is read at once, what it is fetching is waited for.
            assert artifact.read(0, 100) == big[:100]
            thread = threading.Thread(target=lambda: artifact.read(0, BIG))
            thread.start()
            eventually(lambda: bench.hydrators[0].state(pin).where is Where.HYDRATING)
            first.stdin.close()
            assert first.stdout.readline().split() == [pin.sha256, str(BIG)]
            thread.join()
            assert artifact.read(0, BIG) == big
    assert bench.store.asked("m.pt") == []
