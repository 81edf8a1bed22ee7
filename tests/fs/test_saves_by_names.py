"""Saves that are renames and deletions: who made one knows what it wrote, whichever file that was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.company import Peer, peers
from support.fake_kernel import FakeKernel
from support.kernel import RENAME_EXCHANGE

OLD = b"one\ntwo\nthree\n"
NEW = b"# new\n" + OLD


def backup(kernel: FakeKernel) -> None:
    kernel.rename(b"main.py", b"main.py~")
    kernel.write(b"main.py", NEW)
    kernel.unlink(b"main.py~")


def temporary(kernel: FakeKernel) -> None:
    kernel.write(b"aside", NEW)
    kernel.rename(b"aside", b"main.py")


def published_temporary(kernel: FakeKernel) -> None:
    kernel.write(b"aside", NEW)
    kernel.table.publisher.publish_all()
    kernel.rename(b"aside", b"main.py")


def recreate(kernel: FakeKernel) -> None:
    kernel.unlink(b"main.py")
    kernel.write(b"main.py", NEW)


def exchange(kernel: FakeKernel) -> None:
    kernel.write(b"aside", NEW)
    kernel.rename(b"aside", b"main.py", RENAME_EXCHANGE)
    kernel.unlink(b"aside")


def published_exchange(kernel: FakeKernel) -> None:
    kernel.write(b"aside", NEW)
    kernel.table.publisher.publish_all()
    kernel.rename(b"aside", b"main.py", RENAME_EXCHANGE)
    kernel.unlink(b"aside")


SAVES = [backup, temporary, published_temporary, recreate, exchange, published_exchange]


@pytest.fixture
def two(handled_repository: Path, tmp_path: Path) -> Iterator[list[Peer]]:
    with peers(handled_repository, tmp_path, "ann", "ben") as both:
        yield both


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("save", SAVES)
def test_who_saved_may_write_the_old_content_again(kernel: FakeKernel, save, looks: bool):
    assert kernel.read(b"main.py") == OLD
    save(kernel)
    if looks:
        assert kernel.read(b"main.py") == NEW
    kernel.write(b"main.py", OLD)
    for _ in range(2):
        assert kernel.read(b"main.py") == OLD
        kernel.forget_all()
    assert not list(kernel.table.view.room.changes())


@pytest.mark.parametrize("save", SAVES)
def test_a_peers_line_outlives_two_saves_from_before_it(two: list[Peer], save):
    ann, ben = two
    assert ann.read(b"main.py") == OLD
    ben.write(b"main.py", OLD + b"ben\n")
    ann.hear()
    save(ann)
    assert ann.read(b"main.py") == NEW + b"ben\n"


@pytest.mark.parametrize("save", SAVES)
def test_who_has_not_read_what_was_merged_in_deletes_none_of_it(two: list[Peer], save):
    ann, ben = two
    assert ann.read(b"main.py") == OLD
    ben.write(b"main.py", OLD + b"ben\n")
    ann.hear()
    save(ann)
    ann.write(b"main.py", b"# newer\n" + OLD)
    assert ann.read(b"main.py") == b"# newer\n" + OLD + b"ben\n"
    assert {one.kind for one in ann.table.view.room.conflicts()} <= {"delete-edit"}


@pytest.mark.parametrize("step", [False, True])
@pytest.mark.parametrize("save", SAVES)
def test_who_had_read_the_file_before_a_peers_save_deletes_none_of_it(two: list[Peer], save, step: bool):
    ann, ben = two
    assert ben.read(b"main.py") == OLD
    if step:
        rename = ann.rename

        def heard(*args: object) -> None:
            rename(*args)
            ben.hear()
            assert [ben.find(name) for name in (b"aside", b"main.py~")]

        ann.rename = heard
    save(ann)
    ben.hear()
    ben.write(b"main.py", OLD + b"ben\n")
    assert ben.read(b"main.py") == NEW + b"ben\n"
