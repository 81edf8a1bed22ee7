"""What the kernel is told, and when it is told again."""

import threading
from collections import Counter

import pytest

from anvcsfs.notifier import Notifier


class SlowKernel:
    """Learns of an inode only after it was told about it several times."""

    def __init__(self, refusals: int) -> None:
        self.told: Counter[int] = Counter()
        self.knows = threading.Event()
        self._refusals = refusals

    def forget_content(self, ino: int) -> None:
        self.told[ino] += 1
        if self.told[ino] <= self._refusals:
            raise FileNotFoundError
        self.knows.set()

    def forget_attributes(self, ino: int) -> None:
        self.forget_content(ino)

    def forget_entry(self, parent: int, name: bytes) -> None:
        self.forget_content(parent)

    def forget_deleted(self, parent: int, name: bytes, ino: int) -> None:
        self.forget_content(parent)


@pytest.fixture
def notifier():
    made = Notifier()
    yield made
    made.stop()


def test_an_inode_on_its_way_to_the_kernel_is_told_of_again(notifier: Notifier):
    """Its first lookup is answered and not taken in: with "no such inode" the news would be lost."""
    kernel = SlowKernel(refusals=5)
    notifier.was_shown = lambda ino: ino == 7
    notifier.start(kernel)
    notifier.attributes(7)
    notifier.wait_for(7)
    assert kernel.knows.is_set()
    assert kernel.told[7] == 6
    assert not notifier.is_behind(7)


def test_others_need_not_wait_for_it(notifier: Notifier):
    kernel = SlowKernel(refusals=1)
    shown = {7}
    notifier.was_shown = shown.__contains__
    notifier.start(kernel)
    notifier.attributes(7)
    notifier.entry(8, b"name")
    notifier.wait_for(8)
    assert kernel.told[8] == 1  # a name that it doesn't know is no news
    notifier.wait_for(7)
    assert kernel.told[7] == 2


def test_what_the_kernel_has_given_back_is_not_told_again(notifier: Notifier):
    kernel = SlowKernel(refusals=1000)
    notifier.start(kernel)
    notifier.content(7)
    notifier.wait_for(7)
    assert kernel.told[7] == 1
    assert not notifier.is_behind(7)
