"""Two agents change directories, the second from an older picture: nothing is lost, and a record says what met."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.rooms.errors import DirectoryNotEmpty
from support.rooms import Place
from support.two_rooms import AB, BASE, Two


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    found = Two(Place(tmp_path), BASE)
    yield found
    found.ann.close()
    found.bob.close()


def test_files_made_in_a_directory_while_it_is_renamed_go_along(two: Two) -> None:
    two.ann.write(b"d/new", b"new\n", fresh=True)
    two.bob.rename_tree(b"d", b"moved", seen=two.seen)
    files = two.files
    assert {path for path in files if path.startswith((b"d", b"moved"))} == {b"moved/new", b"moved/x", b"moved/y"}
    assert two.records == [("directory", b"moved/new", AB)]


def test_a_file_made_in_a_directory_after_it_was_renamed_follows(two: Two) -> None:
    two.ann.rename_tree(b"d", b"moved")
    moved = two.bob.write(b"d/new", b"new\n", seen=two.seen, fresh=True)
    assert moved.at == b"moved/new"
    assert two.files[b"moved/new"] == b"new\n"
    assert two.records == [("directory", b"moved/new", AB)]


def test_a_directory_renamed_by_both(two: Two) -> None:
    two.ann.rename_tree(b"d", b"ann's")
    two.bob.rename_tree(b"d", b"bob's", seen=two.seen)
    files = two.files
    assert (files[b"bob's/x"], files[b"bob's/y"]) == (b"x\n", b"y\n")
    assert len(files) == len(BASE)
    assert two.records == [("rename-rename", b"bob's", AB)]


def test_a_directory_moved_into_one_that_was_deleted(two: Two) -> None:
    two.ann.remove(b"e/z")
    two.ann.rmdir(b"e")
    two.bob.rename_tree(b"d", b"e/d", seen=two.seen)
    files = two.files
    assert (files[b"e/d/x"], files[b"e/d/y"]) == (b"x\n", b"y\n")
    assert two.records == [("directory", b"e/d", AB)]


def test_a_directory_renamed_while_it_was_deleted(two: Two) -> None:
    for path in (b"d/x", b"d/y"):
        two.ann.remove(path)
    two.ann.rmdir(b"d")
    two.bob.rename_tree(b"d", b"moved", seen=two.seen)
    files = two.files
    assert (files[b"moved/x"], files[b"moved/y"]) == (b"x\n", b"y\n")
    assert two.records == [("delete-edit", b"moved", AB)]


def test_two_directories_that_are_moved_into_each_other(two: Two) -> None:
    two.ann.rename_tree(b"d", b"e/d")
    two.bob.rename_tree(b"e", b"d/e", seen=two.seen)
    assert sorted(two.files.values()) == sorted(BASE.values())


def test_a_directory_renamed_onto_one_that_was_just_made(two: Two) -> None:
    two.ann.mkdir(b"m", 1)
    two.ann.write(b"m/new", b"new\n")
    moved = two.bob.rename_tree(b"d", b"m", seen=two.seen)
    assert moved.at == b"m~bob"
    files = two.files
    assert (files[b"m/new"], files[b"m~bob/x"]) == (b"new\n", b"x\n")
    assert two.records == [("directory", b"m~bob", AB)]


def test_a_file_made_in_a_directory_that_was_removed(two: Two) -> None:
    two.ann.remove(b"e/z")
    two.ann.rmdir(b"e")
    two.bob.write(b"e/new", b"new\n", seen=two.seen, fresh=True)
    assert two.files[b"e/new"] == b"new\n"
    assert two.records == [("directory", b"e/new", AB)]


def test_a_directory_that_others_filled_is_not_removed(two: Two) -> None:
    two.ann.mkdir(b"m", 1)
    two.look()
    two.ann.write(b"m/new", b"new\n")
    with pytest.raises(DirectoryNotEmpty):
        two.bob.rmdir(b"m", seen=two.seen)
    assert two.files[b"m/new"] == b"new\n"


def test_both_remove_a_directory(two: Two) -> None:
    two.ann.mkdir(b"m", 1)
    two.look()
    two.ann.rmdir(b"m")
    two.bob.rmdir(b"m", seen=two.seen)
    assert two.files == BASE


def test_a_file_where_a_directory_above_became_a_file(two: Two) -> None:
    for path in (b"d/x", b"d/y"):
        two.ann.remove(path)
    two.ann.rmdir(b"d")
    two.ann.write(b"d", b"a file\n", fresh=True)
    moved = two.bob.write(b"d/new", b"new\n", seen=two.seen, fresh=True)
    assert moved.at == b"d~bob/new"
    files = two.files
    assert (files[b"d"], files[b"d~bob/new"]) == (b"a file\n", b"new\n")
    assert {kind for kind, _, _ in two.records} == {"directory"}
