"""Renaming in all its forms, with what is open while it happens."""

import errno
import os

import pytest

from support.kernel import RENAME_EXCHANGE, RENAME_NOREPLACE, fails, rename
from support.places import DATA, TEXT, Place
from support.trees import snapshot


def test_to_a_free_name(place: Place):
    os.rename(place / "text", place / "moved")
    assert (place / "moved").read_bytes() == TEXT
    assert not (place / "text").exists()
    assert sorted(os.listdir(place.path)) == ["data", "empty", "link", "moved", "run", "sub"]


def test_over_a_file(place: Place):
    os.rename(place / "text", place / "data")
    assert (place / "data").read_bytes() == TEXT
    assert "text" not in os.listdir(place.path)


def test_into_another_directory_and_back(place: Place):
    os.rename(place / "text", place / "sub" / "text")
    assert (place / "sub" / "text").read_bytes() == TEXT
    os.rename(place / "sub" / "text", place / "text")
    assert (place / "text").read_bytes() == TEXT
    assert os.listdir(place / "sub") == ["inner"]


def test_keeps_mode_and_time(place: Place):
    os.utime(place / "run", ns=(1, 1_600_000_000_123_456_789))
    os.rename(place / "run", place / "sub" / "walk")
    status = (place / "sub" / "walk").stat()
    assert status.st_mode & 0o777 == 0o755
    assert status.st_mtime_ns == 1_600_000_000_123_456_789


def test_keeps_the_inode_number(place: Place):
    before = os.stat(place / "text").st_ino
    os.rename(place / "text", place / "moved")
    assert os.stat(place / "moved").st_ino == before


def test_onto_itself(place: Place):
    os.rename(place / "text", place / "text")
    os.rename(place / "sub", place / "sub")
    assert (place / "text").read_bytes() == TEXT
    assert (place / "sub" / "inner").read_bytes() == b"inner\n"


def test_a_link_itself(place: Place):
    os.rename(place / "link", place / "sub" / "link")
    assert os.readlink(place / "sub" / "link") == "text"
    os.rename(place / "sub" / "link", place / "text")
    assert os.readlink(place / "text") == "text"


def test_a_directory(place: Place):
    os.rename(place / "sub", place / "other")
    assert (place / "other" / "inner").read_bytes() == b"inner\n"
    assert not (place / "sub").exists()
    (place / "other" / "more").write_bytes(b"more")
    os.rename(place / "other", place / "sub")
    assert sorted(os.listdir(place / "sub")) == ["inner", "more"]


def test_a_directory_into_another(place: Place):
    (place / "target").mkdir()
    os.rename(place / "sub", place / "target" / "below")
    assert (place / "target" / "below" / "inner").read_bytes() == b"inner\n"


def test_a_directory_over_an_empty_one(place: Place):
    (place / "hollow").mkdir()
    os.rename(place / "sub", place / "hollow")
    assert os.listdir(place / "hollow") == ["inner"]
    assert not (place / "sub").exists()


def test_a_directory_over_a_full_one(place: Place):
    (place / "full").mkdir()
    (place / "full" / "file").write_bytes(b"")
    with fails(errno.ENOTEMPTY, errno.EEXIST):
        os.rename(place / "sub", place / "full")
    assert os.listdir(place / "full") == ["file"]
    assert os.listdir(place / "sub") == ["inner"]


def test_a_directory_that_was_emptied_can_be_replaced(place: Place):
    os.unlink(place / "sub" / "inner")
    (place / "full").mkdir()
    (place / "full" / "file").write_bytes(b"x")
    os.rename(place / "full", place / "sub")
    assert os.listdir(place / "sub") == ["file"]


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [
        ("absent", "text", errno.ENOENT),
        ("text", "absent/below", errno.ENOENT),
        ("text", "data/below", errno.ENOTDIR),
        ("text", "sub", errno.EISDIR),
        ("sub", "text", errno.ENOTDIR),
        ("sub", "sub/deeper", errno.EINVAL),
        ("text", "n" * 256, errno.ENAMETOOLONG),
    ],
)
def test_errors(place: Place, old, new, number):
    before = snapshot(place.path)
    with fails(number):
        os.rename(place / old, place / new)
    assert snapshot(place.path) == before


def test_no_replace(place: Place):
    with fails(errno.EEXIST):
        rename(place / "text", place / "data", RENAME_NOREPLACE)
    assert (place / "data").read_bytes() == DATA
    with fails(errno.EEXIST):
        rename(place / "text", place / "sub", RENAME_NOREPLACE)
    rename(place / "text", place / "free", RENAME_NOREPLACE)
    assert (place / "free").read_bytes() == TEXT
    rename(place / "sub", place / "free-directory", RENAME_NOREPLACE)
    assert os.listdir(place / "free-directory") == ["inner"]


def test_exchange_of_files(place: Place):
    inodes = os.stat(place / "text").st_ino, os.stat(place / "run").st_ino
    rename(place / "text", place / "run", RENAME_EXCHANGE)
    assert (place / "run").read_bytes() == TEXT
    assert (place / "text").stat().st_mode & 0o777 == 0o755
    assert (os.stat(place / "run").st_ino, os.stat(place / "text").st_ino) == inodes


def test_exchange_of_directories(place: Place):
    (place / "other").mkdir()
    (place / "other" / "file").write_bytes(b"other")
    rename(place / "sub", place / "other", RENAME_EXCHANGE)
    assert os.listdir(place / "other") == ["inner"]
    assert (place / "sub" / "file").read_bytes() == b"other"


def test_exchange_of_a_file_and_a_directory(place: Place):
    rename(place / "text", place / "sub", RENAME_EXCHANGE)
    assert (place / "sub").read_bytes() == TEXT
    assert os.listdir(place / "text") == ["inner"]


def test_exchange_needs_both(place: Place):
    with fails(errno.ENOENT):
        rename(place / "text", place / "absent", RENAME_EXCHANGE)
    assert (place / "text").read_bytes() == TEXT


def test_exchange_and_no_replace_exclude_each_other(place: Place):
    with fails(errno.EINVAL):
        rename(place / "text", place / "data", RENAME_EXCHANGE | RENAME_NOREPLACE)


def test_an_open_file_over_its_rename(place: Place):
    with open(place / "text", "r+b", buffering=0) as file:
        os.rename(place / "text", place / "sub" / "moved")
        file.seek(0, os.SEEK_END)
        file.write(b"delta\n")
        assert os.fstat(file.fileno()).st_size == len(TEXT) + 6
    assert (place / "sub" / "moved").read_bytes() == TEXT + b"delta\n"
    assert not (place / "text").exists()


def test_a_replaced_file_stays_readable(place: Place):
    with open(place / "data", "rb", buffering=0) as old:
        os.rename(place / "text", place / "data")
        assert old.read() == DATA
        assert os.fstat(old.fileno()).st_nlink == 0
        assert os.fstat(old.fileno()).st_size == len(DATA)
    assert (place / "data").read_bytes() == TEXT


def test_writes_to_a_replaced_file_go_nowhere(place: Place):
    with open(place / "data", "r+b", buffering=0) as old:
        os.rename(place / "text", place / "data")
        old.write(b"lost")
        os.fsync(old.fileno())
    assert (place / "data").read_bytes() == TEXT


def test_open_files_over_renames_of_parents(place: Place):
    os.makedirs(place / "one" / "two")
    (place / "one" / "two" / "file").write_bytes(b"first ")
    with open(place / "one" / "two" / "file", "ab", buffering=0) as file:
        os.rename(place / "one", place / "uno")
        file.write(b"second ")
        os.rename(place / "uno" / "two", place / "due")
        file.write(b"third")
    assert (place / "due" / "file").read_bytes() == b"first second third"
    assert os.listdir(place / "uno") == []


def test_a_file_below_renamed_directories_is_found(place: Place):
    for name in ("a", "b", "c"):
        os.rename(place / "sub", place / name)
        os.rename(place / name, place / "sub")
        (place / "sub" / name).write_bytes(name.encode())
    assert sorted(os.listdir(place / "sub")) == ["a", "b", "c", "inner"]


def test_the_directory_somebody_stands_in(place: Place):
    before = os.getcwd()
    try:
        os.chdir(place / "sub")
        os.rename(place / "sub", place / "elsewhere")
        assert os.path.samefile(".", place / "elsewhere")
        with open("here", "wb") as file:
            file.write(b"here")
        assert os.listdir(".") == os.listdir(place / "elsewhere")
        assert os.getcwd() == str(place / "elsewhere")
        assert os.path.samefile("..", place.path)
    finally:
        os.chdir(before)
    assert (place / "elsewhere" / "here").read_bytes() == b"here"


def test_names_in_a_circle(place: Place):
    os.rename(place / "text", place / "spare")
    os.rename(place / "data", place / "text")
    os.rename(place / "run", place / "data")
    os.rename(place / "spare", place / "run")
    assert (place / "run").read_bytes() == TEXT
    assert (place / "text").read_bytes() == DATA
    assert (place / "data").read_bytes() == b"#!/bin/sh\necho ran\n"


def test_a_new_file_takes_the_name_of_a_moved_one(place: Place):
    os.rename(place / "text", place / "backup~")
    (place / "text").write_bytes(TEXT + b"edited\n")
    assert (place / "backup~").read_bytes() == TEXT
    os.unlink(place / "backup~")
    assert (place / "text").read_bytes() == TEXT + b"edited\n"


def test_saving_through_a_temporary_many_times(place: Place):
    for number in range(20):
        temporary = place / f"text.{number}.tmp"
        temporary.write_bytes(TEXT + b"version %d\n" % number)
        os.replace(temporary, place / "text")
        assert (place / "text").read_bytes() == TEXT + b"version %d\n" % number
    assert sorted(os.listdir(place.path)) == ["data", "empty", "link", "run", "sub", "text"]


def test_a_deep_tree(place: Place):
    deep = place.path / "/".join(f"level{number}" for number in range(12))
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(b"bottom")
    before = snapshot(place / "level0")
    os.rename(place / "level0", place / "sub" / "lifted")
    assert snapshot(place / "sub" / "lifted") == before


def test_case_only(place: Place):
    os.rename(place / "text", place / "TEXT")
    assert "text" not in os.listdir(place.path)
    (place / "text").write_bytes(b"another")
    assert (place / "TEXT").read_bytes() == TEXT
