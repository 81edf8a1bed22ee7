"""The wheel: what is in it, and that it gives the commands."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A directory with an sdist, and a wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, TOP]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_wheel_has_our_packages_and_no_others(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"anvcs", "anvcsfs", "anvcs_tools"}
    for package in ("anvcs", "anvcsfs", "anvcs_tools"):
        assert f"{package}/py.typed" in names
    assert not [name for name in names if "test" in name.lower()]


def test_the_sdist_can_be_tested(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "README.md", "LICENSE", "tools/setup.sh", "tests/conftest.py", ".ci/run"} <= names


def test_the_installed_wheel_gives_the_command(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # What it depends on is installed beside us already; a network is not needed for this.
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True, env=env)
    done = subprocess.run(
        [tmp_path / "env" / "bin" / "ai-vcs", "--version"], capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout.startswith("ai-vcs 0.")
    assert (tmp_path / "env" / "bin" / "anvcsfs").exists()
