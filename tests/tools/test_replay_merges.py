"""The replay of merges finds them, deals changes out so that they add up, and counts what it says."""

import random

import pytest

from anvcs_tools.bench import deals, replay
from anvcs_tools.bench.__main__ import main
from support.plumbing import Repo

BASE = "import os\n\n\ndef f():\n    return 1\n"


@pytest.fixture
def repo(tmp_path):
    """A merge that Git makes alone, and one that somebody had to make."""
    repo = Repo(tmp_path / "repo", "-b", "main")
    repo.commit({"a.py": BASE, "b.py": BASE})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({"a.py": "import re\n" + BASE, "b.py": BASE + "\n\ndef g():\n    return 2\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a.py": BASE + "\n\nx = 1\n", "b.py": BASE + "\n\ndef h():\n    return 3\n"})
    repo.raw("merge", "-q", "side", check=False)
    repo.commit({"b.py": BASE + "\n\ndef h():\n    return 3\n\n\ndef g():\n    return 2\n"}, "merged")
    return repo


def test_real_merges_are_found_and_judged(repo, capsys):
    rows = {row.case.name.partition("/")[2]: row for row in replay.replay(deals.real_merges(repo.path))}
    assert {name: row.verdict for name, row in rows.items()} == {
        "a.py": "git clean and right, ours same",
        "b.py": "git conflict, ours exact",
    }
    assert b"<<<<<<<" in rows["b.py"].git.content
    assert main(["replay-merges", str(repo.path)]) == 0
    assert ".py: 2 files" in capsys.readouterr().out


def test_dealt_changes_add_up(tmp_path):
    old, new = tmp_path / "1", tmp_path / "2"
    for folder, text in (
        (old, "a = 1\nb = 2\nc = 3\n"),
        (new, "a = 10\nb = 20\nc = 3\n\n\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n"),
    ):
        folder.mkdir()
        folder.joinpath("m.py").write_text(text)
        folder.joinpath("same.py").write_text("x = 1\n")
    cases = list(deals.dealt([old, new], 8, 3))
    assert cases
    for case in cases:
        assert case.base == (old / "m.py").read_bytes()
        assert case.wanted == (new / "m.py").read_bytes()
        assert case.base not in (case.left, case.right)
        words = [sorted(text.split()) for text in (case.left, case.right)]
        assert words[0] != words[1]
    rows = replay.replay(cases)
    assert any(not row.git.clean and row.verdict == "git conflict, ours exact" for row in rows)
    replay.keep([row._replace(git=replay.Answer(clean=True, content=b"x")) for row in rows], tmp_path / "kept")
    assert (tmp_path / "kept/00000/wanted").read_bytes() == cases[0].wanted


def test_a_single_change_is_not_dealt():
    assert deals.deal(b"a = 1\n", b"a = 2\n", random.Random(1)) is None
