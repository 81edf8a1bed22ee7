"""Each of our errors has one meaning for the kernel."""

import errno
import importlib
import os
import pkgutil
import sqlite3

import pytest

import anvcs
import anvcsfs
from anvcs.errors import AnvcsError
from anvcs.git.program import GitFailed
from anvcsfs.errnos import ERRNO, errno_of, words_of


def _all_errors() -> set[type[AnvcsError]]:
    """Every error class of the two packages, whose modules are all imported."""
    for package in (anvcs, anvcsfs):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    found: set[type[AnvcsError]] = set()
    waiting = [AnvcsError]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        # Tests and the command line have errors of their own, which no mount meets.
        own = [each for each in subclasses if each.__module__.partition(".")[0] in ("anvcs", "anvcsfs")]
        found.update(own)
        waiting.extend(own)
    return found


def test_every_error_has_an_errno():
    missing = {f"{each.__module__}.{each.__name__}" for each in _all_errors() if each.__name__ not in ERRNO}
    assert missing == set()


def test_the_table_names_no_error_that_is_gone():
    assert ERRNO.keys() - {each.__name__ for each in _all_errors()} == set()


def test_no_two_errors_share_a_name():
    names = [each.__name__ for each in _all_errors()]
    assert len(names) == len(set(names))


def test_numbers_are_real():
    assert ERRNO.keys() == {name for name, number in ERRNO.items() if number in errno.errorcode}


def test_what_is_no_error_of_ours_keeps_its_number():
    assert errno_of(OSError(errno.ENOSPC, "full")) == errno.ENOSPC
    assert errno_of(ValueError("a bug")) == errno.EIO
    assert words_of(ValueError("a bug")) == os.strerror(errno.EIO)


def test_a_subclass_means_what_its_class_means():
    class Fresh(next(each for each in _all_errors() if each.__name__ == "NoSuchPath")):
        pass

    assert errno_of(Fresh.__new__(Fresh)) == errno.ENOENT


def test_a_full_disk_is_told_as_one_whoever_met_it(tmp_path):
    database = sqlite3.connect(tmp_path / "small.sqlite")
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        database.executescript("".join(f"CREATE TABLE t{number} (x);" for number in range(100)))
    database.close()
    git = GitFailed("commit-tree", 128, "fatal: unable to write file: No space left on device\n")
    assert [errno_of(each) for each in (full.value, git)] == [errno.ENOSPC] * 2
    assert errno_of(GitFailed("commit-tree", 128, "fatal: not a valid object name")) == errno.EIO
    assert errno_of(sqlite3.OperationalError("disk I/O error")) == errno.EIO
