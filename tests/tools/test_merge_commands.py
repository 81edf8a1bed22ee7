"""``merge-file`` as a command and ``merge-driver``, with real Git."""

import json
import subprocess
import sys

import pytest

from anvcs_tools.cli import main
from anvcs_tools.exit_codes import MERGE_USAGE
from support.plumbing import Repo

BASE = "import os\n\n\ndef f():\n    return 1\n"
LEFT = "import os\nimport re\n\n\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n"
RIGHT = "import os\nimport sys\n\n\ndef f():\n    return 1\n\n\ndef h():\n    return 3\n"
MERGED = (
    "import os\nimport re\nimport sys\n\n\n"
    "def f():\n    return 1\n\n\ndef g():\n    return 2\n\n\ndef h():\n    return 3\n"
)


@pytest.fixture
def files(tmp_path):
    def write(base: str, left: str, right: str, suffix: str = "py") -> list[str]:
        names = [tmp_path / f"{name}.{suffix}" for name in ("base", "left", "right")]
        for name, text in zip(names, (base, left, right), strict=True):
            name.write_text(text)
        return [str(name) for name in names]

    return write


def test_a_clean_merge(files, capfdbinary, tmp_path):
    assert main(["merge-file", *files(BASE, LEFT, RIGHT)]) == 0
    assert capfdbinary.readouterr() == (MERGED.encode(), b"")
    out = tmp_path / "out"
    assert main(["merge-file", *files(BASE, LEFT, RIGHT), "-o", str(out)]) == 0
    assert out.read_text() == MERGED
    assert capfdbinary.readouterr().out == b""


def test_conflicts_are_counted_and_told(files, capsys):
    three = files("a = 1\n\nb = 1\n\nc = 1\n", "a = 2\n\nb = 1\n\nc = 2\n", "a = 3\n\nb = 1\n\nc = 3\n")
    assert main(["merge-file", *three, "--path", "x.py", "--marker-size", "9", "-L", "mine", "-L", "old"]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("<<<<<<<<< mine\na = 2\n=========\na = 3\n>>>>>>>>> right\n\nb")
    assert shown.err.splitlines()[0] == "x.py:1: conflict: both sides changed the same place"


def test_the_base_is_shown_on_request(files, capsys):
    three = files("x\na\ny\n", "x\nb\nd\ny\n", "x\nb\ne\ny\n", "txt")
    assert main(["merge-file", *three, "--zdiff3", "-q"]) == 1
    assert capsys.readouterr() == ("x\nb\n<<<<<<< left\nd\n||||||| base\na\n=======\ne\n>>>>>>> right\ny\n", "")
    assert main(["merge-file", *three, "--diff3", "-q"]) == 1
    assert capsys.readouterr().out == "x\n<<<<<<< left\nb\nd\n||||||| base\na\n=======\nb\ne\n>>>>>>> right\ny\n"


def test_as_a_document(files, capsys):
    assert main(["merge-file", *files('{"a": 1}\n', '{"a": 2}\n', '{"a": 3}\n', "json"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["how"], document["clean"]) == ("ast", False)
    [conflict] = document["conflicts"]
    assert (conflict["entity"], conflict["lines"], conflict["left"]) == ('key "a"', [1, 5], '{"a": 2}\n')


def test_errors_are_no_conflicts(files, tmp_path, capsys, monkeypatch):
    three = files(BASE, LEFT, RIGHT)
    assert main(["merge-file", *three[:2], str(tmp_path / "absent")]) >= 128
    with pytest.raises(SystemExit) as end:
        main(["merge-file", *three[:2]])
    assert end.value.code == MERGE_USAGE
    with pytest.raises(SystemExit) as end:
        main(["merge-file", *three, "--marker-size", "x"])
    assert end.value.code == MERGE_USAGE
    capsys.readouterr()
    monkeypatch.setattr("anvcs.merging.merge.TreeMerge", lambda *_: 1 // 0)
    assert main(["merge-file", *three]) == 2  # the lines' merge: Git would take what there is for a result
    shown = capsys.readouterr()
    assert "ZeroDivisionError" in shown.err
    assert shown.out.count("<<<<<<<") == 2


@pytest.fixture
def repo(tmp_path, monkeypatch):
    repo = Repo(tmp_path / "it's a repo", "-b", "main")
    repo.commit({"a.py": BASE, "dir/ä b.py": BASE})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({"a.py": LEFT, "dir/ä b.py": LEFT}, "left")
    repo.git("checkout", "-q", "main")
    repo.commit({"a.py": RIGHT, "dir/ä b.py": RIGHT}, "right")
    monkeypatch.chdir(repo.path)
    return repo


def conflicts(repo: Repo, *command: str) -> bool:
    """Whether a command of Git stops with conflicts."""
    done = subprocess.run(["git", *command], cwd=repo.path, capture_output=True, check=False)
    return done.returncode != 0


def test_git_merges_with_it_until_told_otherwise(repo, capsys):
    (repo.git_dir / "info/attributes").write_text("*.txt text")
    assert conflicts(repo, "merge", "-q", "side")
    repo.git("merge", "--abort")
    assert main(["merge-driver", "install"]) == 0
    assert main(["merge-driver", "install", "--json"]) == 0
    assert "*.py" in json.loads(capsys.readouterr().out)["patterns"]
    repo.git("merge", "-q", "-m", "merged", "side")
    assert (
        (repo.path / "a.py").read_text()
        == (repo.path / "dir/ä b.py").read_text()
        == MERGED.replace("import re\nimport sys", "import re\nimport sys").replace(
            "def g():\n    return 2\n\n\ndef h():\n    return 3", "def h():\n    return 3\n\n\ndef g():\n    return 2"
        )
    )
    repo.git("reset", "-q", "--hard", "HEAD^")
    assert main(["merge-driver", "uninstall"]) == 0
    assert (repo.git_dir / "info/attributes").read_text() == "*.txt text\n"
    assert "anvcs" not in (repo.git_dir / "config").read_text()
    assert conflicts(repo, "merge", "-q", "side")
    assert main(["merge-driver", "uninstall"]) == 0


def test_rebase_and_cherry_pick(repo):
    assert main(["merge-driver", "install", "*.py"]) == 0
    repo.git("checkout", "-q", "-b", "picked")
    repo.git("cherry-pick", "side")
    repo.git("checkout", "-q", "main")
    repo.git("rebase", "-q", "side")
    assert (repo.path / "a.py").read_text() == MERGED


def test_a_conflict_stops_git_with_markers(repo):
    main(["merge-driver", "install"])
    repo.git("checkout", "-q", "side")
    repo.commit({"a.py": LEFT + "\n\ndef h():\n    return 4\n"}, "another h")
    repo.git("config", "merge.conflictStyle", "diff3")
    assert conflicts(repo, "merge", "-q", "main")
    text = (repo.path / "a.py").read_text()
    assert (
        "<<<<<<< ours def h\ndef h():\n    return 4\n||||||| base\n=======\ndef h():\n    return 3\n>>>>>>> theirs def h\n"
        in text
    )
    assert repo.git("diff", "--name-only", "--diff-filter=U") == "a.py"


def test_it_runs_as_a_program(files):
    command = [sys.executable, "-m", "anvcs_tools", "merge-file", *files(BASE, LEFT, RIGHT)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == MERGED.encode()
