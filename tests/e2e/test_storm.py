"""Some agents save the same files at the same time: each edit is there once, in every view."""

import random
from pathlib import Path

import pytest

from anvcs_tools.bench.marks import Marks, lost_edits
from anvcs_tools.bench.picture import draw
from anvcs_tools.bench.storm import storm

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_in_views(tmp_path: Path, seed: int):
    outcome = storm("views", tmp_path, agents=3, rounds=8, seed=seed)
    assert outcome.saves == 24
    assert outcome.lost == 0, outcome.examples
    assert outcome.agree
    assert outcome.unparsable == 0


@pytest.mark.slow
@pytest.mark.parametrize("agents", [5, 10])
def test_nothing_is_lost_in_a_longer_storm(tmp_path: Path, agents: int):
    outcome = storm("views", tmp_path, agents=agents, rounds=30)
    assert outcome.lost == 0, outcome.examples
    assert outcome.agree


def test_worktrees_keep_everything_that_a_person_merges(tmp_path: Path):
    """The checker itself: the same agents in worktrees, where Git merges."""
    outcome = storm("worktrees", tmp_path, agents=3, rounds=8)
    assert outcome.saves == 24
    assert outcome.lost == 0, outcome.examples


def test_the_checker_sees_what_a_plain_directory_loses(tmp_path: Path):
    outcome = storm("directory", tmp_path, agents=6, rounds=30)
    assert outcome.lost > 0


def test_lost_edits_are_missing_changed_doubled_or_back():
    ann = Marks("ann", {b"ann-1": b"# seen-by ann-1 rev 0: state", b"ann-2": b"# seen-by ann-2 rev 1: value"})
    good = b"  # seen-by ann-1 rev 0: state\nx\n# seen-by ann-2 rev 1: value\n"
    assert lost_edits(good, [ann.lines]) == []
    assert lost_edits(good.replace(b"rev 1", b"rev 0"), [ann.lines]) == [
        "missing: # seen-by ann-2 rev 1: value",
        "should not be: # seen-by ann-2 rev 0: value",
    ]
    assert len(lost_edits(good + good, [ann.lines])) == 2
    assert len(lost_edits(b"x\n", [ann.lines])) == 2


def test_an_edit_whose_save_was_refused_may_be_there_or_not():
    ann = Marks("ann", {b"ann-9": b"# seen-by ann-9 rev 0: state"})
    line = ann.append(random.Random(1))
    ann.refuse()
    for text in (b"# seen-by ann-9 rev 0: state\n", b"# seen-by ann-9 rev 0: state\n" + line):
        assert lost_edits(text, [ann.lines], ann.uncertain) == []
    assert len(lost_edits(line, [ann.lines], ann.uncertain)) == 1


def test_the_picture_shows_every_figure():
    storms = [
        {"place": place, "agents": agents, "rounds": 50, "lost": lost, "conflicts": lost + 1}
        for place, agents, lost in [("views", 2, 0), ("directory", 2, 17), ("worktrees", 2, 0), ("directory", 20, 423)]
    ]
    picture = draw(storms)
    assert picture.startswith("<svg")
    assert all(f">{text}</text>" in picture for text in ("17", "423", "424", "2 agents", "20 agents"))
