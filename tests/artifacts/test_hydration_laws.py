"""Whatever a store does, a reader gets the right bytes or an error; and in the end all of them."""

import hashlib
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anvcs.artifacts.cache import ContentCache
from anvcs.artifacts.errors import ArtifactError, NoSuchVersion, StoreBusy, StoreUnreachable
from anvcs.artifacts.hydrating import Hydrator
from anvcs.artifacts.pieces import PieceList
from anvcs.artifacts.retrying import Backoff
from anvcs.artifacts.transfers import Limits
from anvcs.model.pin import Pieces, Pin
from support.blob_stores import FaultyStore, cut, failing, fine, flipped, short

PIECE = 4096
QUICK = Backoff(attempts=3, first_s=0.0001, longest_s=0.0002)

faults = st.one_of(
    st.just(fine),
    st.builds(cut, st.integers(0, 30_000)),
    st.builds(short, st.integers(0, 30_000)),
    st.builds(flipped, st.integers(0, 30_000)),
    st.sampled_from(
        [
            failing(StoreBusy("faulty", "503")),
            failing(StoreUnreachable("faulty", "no route")),
            failing(NoSuchVersion("faulty", "k", "v")),
        ]
    ),
)
reads = st.lists(st.tuples(st.integers(0, 45_000), st.integers(1, 20_000)), min_size=1, max_size=6)


def store_it(top: Path, store: FaultyStore, data: bytes, *, pieces: bool, compress: bool) -> Pin:
    """Store a content in pieces of the least size there may be."""
    parts = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    frames = [zstandard.compress(part) for part in parts]
    (top / "object").write_bytes(b"".join(frames) if compress else data)
    listed = PieceList(
        tuple(hashlib.sha256(part).digest() for part in parts), tuple(map(len, frames)) if compress else ()
    ).encode()
    (top / "list").write_bytes(listed)
    found = Pieces(size=PIECE, digest=hashlib.sha256(listed).hexdigest())
    store.upload(top / "list", found.key)
    stored = store.upload(top / "object", "k")
    return Pin(
        storage="local",
        key="k",
        version_id=stored["version_id"],
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        pieces=found if pieces else None,
        compress="zstd" if compress else "",
    )


@pytest.mark.property
@settings(max_examples=60)
@example(size=20_000, pieces=True, compress=False, script=[fine, flipped(5)], wanted=[(0, 100)], in_memory=False)
@example(size=20_000, pieces=True, compress=True, script=[fine, flipped(5)], wanted=[(0, 100)], in_memory=False)
@example(size=20_000, pieces=False, compress=False, script=[flipped(5)], wanted=[(0, 100)], in_memory=False)
@example(size=20_000, pieces=False, compress=True, script=[flipped(5)], wanted=[(0, 100)], in_memory=False)
@example(size=20_000, pieces=False, compress=False, script=[flipped(5)], wanted=[(0, 100)], in_memory=True)
@given(
    size=st.integers(1, 45_000),
    pieces=st.booleans(),
    compress=st.booleans(),
    script=st.lists(faults, max_size=12),
    wanted=reads,
    in_memory=st.booleans(),
)
def test_right_bytes_or_an_error(size, pieces, compress, script, wanted, in_memory):
    data = hashlib.shake_128(b"%d" % size).digest(size)
    small = patch("anvcs.artifacts.transfers.SMALL", 1 << 20 if in_memory else 0)
    with small, tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        store = FaultyStore(top / "store")
        pin = store_it(top, store, data, pieces=pieces, compress=compress)
        store.faults.extend(script)

        def hydrator() -> Hydrator:
            limits = Limits(backoff=QUICK, deadline_s=20)
            return Hydrator(ContentCache(top / "cache"), lambda pin: store, limits=limits)

        for offset, length in wanted:
            made = hydrator()  # a process each time: what has come so far is on the disk
            with made.open(pin) as artifact:
                try:
                    assert artifact.read(offset, length) == data[offset : offset + length]
                except ArtifactError:
                    pass
            made.close()
        store.faults.clear()
        made = hydrator()
        made.ensure(pin)
        made.close()
        assert ContentCache(top / "cache").path(pin.sha256).read_bytes() == data
