"""Documents that are made from code agree with it."""

import pytest

from anvcs_tools import refdocs


@pytest.mark.parametrize("path", list(refdocs.pages()), ids=lambda path: path.name)
def test_generated_pages_are_up_to_date(path):
    assert path.read_text() == refdocs.pages()[path], "run `make docs`"
