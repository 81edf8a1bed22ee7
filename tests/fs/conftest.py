"""A view's request handlers with a kernel in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fake_kernel import FakeKernel
from support.handlers import Remounts, make_handled_repository


@pytest.fixture(scope="session")
def handled_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that tests only read."""
    return make_handled_repository(tmp_path_factory.mktemp("handlers") / "repository")


@pytest.fixture
def make_kernel(handled_repository: Path, tmp_path: Path) -> Iterator[Remounts]:
    """A view on the repository; called again it is the same one after a remount."""
    remounts = Remounts(handled_repository, tmp_path)
    yield remounts
    remounts.close()


@pytest.fixture
def kernel(make_kernel: Remounts) -> FakeKernel:
    """A view in which nothing is published by itself."""
    return make_kernel(publish_s=3600.0)


@pytest.fixture
def hasty(make_kernel: Remounts) -> FakeKernel:
    """A view in which new files may be published at once."""
    return make_kernel(publish_s=0.0)
