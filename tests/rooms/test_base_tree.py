"""The fake base tree keeps the contract that Git's will have to keep."""

import pytest

from support.base_tree_contract import BaseTreeContract, Committing
from support.fake_tree import FakeTree


class TestFakeTree(BaseTreeContract):
    @pytest.fixture
    def tree(self) -> FakeTree:
        return FakeTree()

    @pytest.fixture
    def commit(self, tree: FakeTree) -> Committing:
        return tree.commit
