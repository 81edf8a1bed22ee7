"""What every test folder shares: what is skipped where, and a private Git."""

import os
import shutil
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("support.fixtures", "support.places")

FOLDERS_OF_LONG_FILES = ("e2e", "property", "tools")

# What a mount takes varies with the machine: no deadlines, and the checks for slowness are off.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
settings.register_profile("fast", _PATIENT, max_examples=20, derandomize=True)
settings.register_profile("ci", _PATIENT, max_examples=100, derandomize=True)
settings.register_profile("deep", _PATIENT, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow (minutes)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _leave_out_slow(config, items)
    _long_files_first(items)
    reason = why_no_fuse()
    if reason is None:
        return
    for item in items:
        if item.get_closest_marker("fuse"):
            item.add_marker(pytest.mark.skip(reason=reason))


def _long_files_first(items: list[pytest.Item]) -> None:
    """Otherwise one worker is still busy with one of them when the others have finished."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in FOLDERS_OF_LONG_FILES)


def _leave_out_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the slow tests, visibly in the summary, unless the command line speaks of them."""
    # A test named by its id (``file.py::name``) is wanted, whatever its marks.
    named = any("::" in argument for argument in config.args)
    if named or config.getoption("--slow") or "slow" in config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


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
