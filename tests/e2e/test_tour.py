"""The README's tour does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from anvcs_tools.bench.views import environment

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

README = Path(__file__).resolve().parents[2] / "README.md"


def tour() -> str:
    found = re.search(r"<!-- tour[^>]*-->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_tour(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "ai-vcs"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m anvcs_tools "$@"\n')
    command.chmod(0o755)
    env = environment({"PATH": f"{programs}:{os.environ['PATH']}"})
    try:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", tour()],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=100,
            check=False,
        )
    finally:
        for view in ("second", "view"):
            subprocess.run(["fusermount3", "-uz", tmp_path / view], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"subject": "feat: greet the world"' in done.stdout
    assert "Agent:  ann" in done.stdout
    assert '+print("hello, world")' in done.stdout  # git diff
    assert '> print("hello, world")' in done.stdout  # diff -r of two commits
    assert "hello.py | 2 +-" in done.stdout  # git log --stat, after the unmount
    assert 'print("by bob")\nprint("hello, world")\nprint("by ann")\n' in done.stdout  # cat of what both wrote
    assert re.search(r"op \d+ +bob .*1\) print\(\"by bob\"\)", done.stdout)  # blame
    assert (tmp_path / "project" / "hello.py").read_text() == 'print("hello, world")\n'
