"""What every test folder shares: what is skipped where, and a private Git."""

import os
import shutil
from functools import cache
from pathlib import Path

import pytest


@cache
def why_no_fuse() -> str | None:
    """The reason why nothing can be mounted here, or None."""
    if not Path("/dev/fuse").exists():
        return "/dev/fuse is missing (load the fuse module, or give the container --device /dev/fuse)"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is missing (Debian package fuse3)"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse can't be opened by this user"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_no_fuse()
    if reason is None:
        return
    for item in items:
        if item.get_closest_marker("fuse"):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reason := why_no_fuse():
        terminalreporter.write_line(f"Tests that mount were skipped: {reason}.", yellow=True)


@pytest.fixture(autouse=True, scope="session")
def _private_git(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Git with no settings of this user or this machine, and a fixed identity."""
    home = tmp_path_factory.mktemp("home")
    config = home / ".gitconfig"
    config.write_text(
        "[user]\n\tname = Tess Ter\n\temail = tess@example.com\n"
        "[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n'
        "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    )
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
    os.environ.update(HOME=str(home), GIT_CONFIG_NOSYSTEM="1", XDG_CONFIG_HOME=str(home / ".config"), LC_ALL="C.UTF-8")
