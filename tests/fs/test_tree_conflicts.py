"""Two views change the tree at once: what each shows, and that nothing is lost."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcsfs.nodes import Dir
from support.handlers import FILES, make_handled_repository
from support.kernel import RENAME_EXCHANGE
from support.stations import Station, make_stations

TEXT = {path.encode(): text.encode() for path, text in FILES.items()}


class Views:
    """Ann's view and Bob's; what one does the other hears of when `hear` says so."""

    def __init__(self, repository: Path) -> None:
        self.stations = make_stations(repository, 2)
        self.ann, self.bob = [station.kernel for station in self.stations]

    def hear(self) -> None:
        for station in self.stations:
            station.hear()

    def publish(self) -> None:
        for station in self.stations:
            station.publish()

    def agree(self) -> dict[bytes, bytes]:
        """Every file that both show in the end."""
        self.publish()
        self.hear()
        first, second = [tree(station) for station in self.stations]
        assert first == second
        for station in self.stations:
            station.kernel.forget_all()
        assert tree(self.stations[0]) == first
        return first

    @property
    def records(self) -> list[tuple[str, bytes]]:
        room = self.stations[0].parts.view.room
        room.catch_up()
        return [(record.kind, record.path) for record in room.conflicts()]


def tree(station: Station) -> dict[bytes, bytes]:
    kernel = station.kernel
    paths = [path for path in kernel.walk() if not path.startswith((b".anvcs", b".git/")) and path != b".git"]
    return {path: kernel.read(path) for path in paths if not isinstance(kernel.at(path), Dir) and path != b"link"}


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    made = Views(make_handled_repository(tmp_path / "repository"))
    yield made
    for station in made.stations:
        station.crash()


ALL = TEXT | {b"run.sh": b"#!/bin/sh\n"}


# --- one name, two files


def test_a_name_that_two_views_create(views: Views):
    views.ann.write(b"new.txt", b"ann's\n")
    views.bob.write(b"new.txt", b"bob's\n")
    views.publish()
    assert views.agree() == ALL | {b"new.txt": b"ann's\n", b"new.txt~view1": b"bob's\n"}
    assert views.records == [("same-name", b"new.txt~view1")]


def test_a_name_that_two_views_create_when_the_first_has_been_heard_of(views: Views):
    views.bob.write(b"new.txt", b"bob's\n")
    views.ann.write(b"new.txt", b"ann's\n")
    views.stations[0].publish()
    views.hear()
    assert views.bob.read(b"new.txt") == b"bob's\n"
    assert views.agree() == ALL | {b"new.txt": b"ann's\n", b"new.txt~view1": b"bob's\n"}


def test_equal_new_files_are_one(views: Views):
    for kernel in (views.ann, views.bob):
        kernel.write(b"new.txt", b"both\n")
    assert views.agree() == ALL | {b"new.txt": b"both\n"}
    assert views.records == []


def test_handles_of_the_one_who_lost_the_name_go_on(views: Views):
    views.ann.write(b"new.txt", b"ann's\n")
    views.stations[0].publish()
    handle = views.bob.open(b"new.txt", os.O_RDWR | os.O_CREAT)
    ino = handle.node.ino
    views.bob.put(handle, b"bob's\n")
    views.bob.call(lambda: views.bob.table.flush(handle.number))
    views.bob.table.publisher.publish(b"new.txt", force=True)
    assert handle.node.path == b"new.txt~view1"
    assert views.bob.get(handle) == b"bob's\n"
    views.bob.put(handle, b"and more\n", 6)
    views.bob.close(handle)
    assert views.bob.at(b"new.txt~view1").ino == ino
    assert views.bob.read(b"new.txt") == b"ann's\n"
    assert views.agree() == ALL | {b"new.txt": b"ann's\n", b"new.txt~view1": b"bob's\nand more\n"}


def test_attributes_go_with_the_file_that_lost_the_name(views: Views):
    views.ann.write(b"new.txt", b"ann's\n")
    views.stations[0].publish()
    views.bob.write(b"new.txt", b"bob's\n")
    views.bob.set(b"new.txt", mode=0o600)
    views.stations[1].publish()
    assert views.bob.stat(b"new.txt~view1").mode & 0o777 == 0o600
    assert views.bob.stat(b"new.txt").mode & 0o777 == 0o644


def test_a_link_and_a_directory_of_one_name(views: Views):
    views.ann.mkdir(b"new")
    views.ann.write(b"new/in", b"in\n")
    views.stations[0].publish()
    views.bob.symlink(b"main.py", b"new")
    files = views.agree()
    assert files[b"new/in"] == b"in\n"
    assert views.ann.table.readlink(views.ann.at(b"new~view1").ino) == b"main.py"


def test_a_directory_where_another_view_made_a_file(views: Views):
    views.ann.write(b"new", b"file\n")
    views.stations[0].publish()
    node = views.bob.mkdir(b"new")
    assert node.path == b"new~view1"
    views.bob.write(b"new~view1/in", b"in\n")
    assert views.agree() == ALL | {b"new": b"file\n", b"new~view1/in": b"in\n"}


def test_both_make_the_same_directory(views: Views):
    for kernel, name in ((views.ann, b"m/a"), (views.bob, b"m/b")):
        kernel.mkdir(b"m")
        kernel.write(name, b"x\n")
    assert views.agree() == ALL | {b"m/a": b"x\n", b"m/b": b"x\n"}
    assert views.records == []


def test_names_that_differ_in_case(views: Views):
    views.ann.write(b"README", b"1\n")
    views.bob.write(b"readme", b"2\n")
    assert views.agree() == ALL | {b"README": b"1\n", b"readme": b"2\n"}
    assert views.records == [("case", b"readme")]


# --- deleted by one, edited by the other


def test_a_delete_by_who_has_not_heard_of_the_edit(views: Views):
    views.bob.stat(b"main.py")
    views.ann.write(b"main.py", b"changed\n")
    views.bob.unlink(b"main.py")
    assert views.bob.read(b"main.py") == b"changed\n"
    assert views.agree() == ALL | {b"main.py": b"changed\n"}
    assert views.records == [("delete-edit", b"main.py")]


def unlink_blindly(kernel, path: bytes) -> None:
    """As a program does it whose kernel has the name cached: nothing is asked about the file."""
    parent, name = kernel._parent(path)
    kernel.call(lambda: kernel.table.unlink(parent, name))


def test_a_delete_by_who_has_not_looked_since_the_edit(views: Views):
    views.bob.stat(b"main.py")
    views.ann.write(b"main.py", b"changed\n")
    views.hear()
    unlink_blindly(views.bob, b"main.py")
    assert views.agree() == ALL | {b"main.py": b"changed\n"}
    assert views.records == [("delete-edit", b"main.py")]


@pytest.mark.parametrize("look", ["stat", "walk"])
def test_a_delete_by_who_only_saw_that_there_is_a_file_a_moment_ago(views: Views, look: str):
    """``rm`` asks for the attributes itself: its user may have read the file long before."""
    views.bob.read(b"main.py")
    views.ann.write(b"main.py", b"changed\n")
    views.hear()
    views.bob.walk() if look == "walk" else views.bob.stat(b"main.py")
    unlink_blindly(views.bob, b"main.py")
    assert views.agree() == ALL | {b"main.py": b"changed\n"}
    assert views.records == [("delete-edit", b"main.py")]


def test_who_deletes_once_more_means_it(views: Views):
    views.bob.read(b"main.py")
    views.ann.write(b"main.py", b"changed\n")
    views.bob.unlink(b"main.py")
    views.bob.unlink(b"main.py")
    assert b"main.py" not in views.agree()


def test_a_delete_a_while_after_the_edit(views: Views, monkeypatch: pytest.MonkeyPatch):
    views.bob.stat(b"main.py")
    views.ann.write(b"main.py", b"changed\n")
    views.hear()
    monkeypatch.setattr("anvcsfs.view._NOTICE_NS", 0)
    views.bob.stat(b"main.py")
    unlink_blindly(views.bob, b"main.py")
    assert b"main.py" not in views.agree()


def test_a_delete_by_who_has_read_the_edit_is_one(views: Views):
    views.bob.stat(b"main.py")
    views.ann.write(b"main.py", b"changed\n")
    views.hear()
    views.bob.read(b"main.py")
    unlink_blindly(views.bob, b"main.py")
    assert b"main.py" not in views.agree()
    assert views.records == []


def test_a_new_file_that_was_heard_of_can_be_deleted(views: Views):
    views.ann.write(b"new.txt", b"new\n")
    views.publish()
    views.hear()
    views.bob.unlink(b"new.txt")
    assert views.agree() == ALL


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("path", [b"main.py", b"src/deep/c.py", b"new.txt"])
def test_a_save_through_a_handle_of_a_file_that_was_deleted(views: Views, path: bytes, heard: bool):
    views.ann.write(b"new.txt", b"new\n")
    views.publish()
    views.hear()
    before = views.bob.read(path)
    handle = views.bob.open(path, os.O_RDWR)
    assert views.bob.get(handle) == before
    views.ann.unlink(path)
    if heard:
        views.hear()
        assert views.bob.find(path) is None
    assert views.bob.get(handle) == before
    views.bob.put(handle, b"more\n", len(before))
    views.bob.close(handle)
    assert views.bob.read(path) == before + b"more\n"
    assert views.agree() == ALL | {b"new.txt": b"new\n"} | {path: before + b"more\n"}
    assert ("delete-edit", path) in views.records


def test_a_save_that_was_under_way_when_the_file_was_deleted(views: Views):
    handle = views.bob.open(b"main.py", os.O_RDWR)
    views.bob.put(handle, b"zero\n")
    views.ann.unlink(b"main.py")
    views.hear()
    views.bob.close(handle)
    assert b"main.py" in views.agree()
    assert views.records == [("delete-edit", b"main.py")]


def test_what_the_own_view_deleted_is_not_brought_back_by_its_handles(views: Views):
    handle = views.bob.open(b"main.py", os.O_RDWR)
    views.bob.unlink(b"main.py")
    views.bob.put(handle, b"more\n")
    views.bob.close(handle)
    assert b"main.py" not in views.agree()


def test_a_reader_of_a_file_that_another_view_deletes_brings_nothing_back(views: Views):
    handle = views.bob.open(b"main.py")
    views.ann.unlink(b"main.py")
    views.hear()
    assert views.bob.get(handle) == TEXT[b"main.py"]
    views.bob.close(handle)
    assert b"main.py" not in views.agree()


# --- renames


@pytest.mark.parametrize("heard", [False, True])
def test_a_save_through_a_handle_of_a_file_that_was_renamed(views: Views, heard: bool):
    handle = views.bob.open(b"main.py", os.O_RDWR)
    views.ann.rename(b"main.py", b"src/moved.py")
    if heard:
        views.hear()
    views.bob.put(handle, b"zero\n" + TEXT[b"main.py"])
    views.bob.close(handle)
    files = views.agree()
    assert files[b"src/moved.py"] == b"zero\n" + TEXT[b"main.py"]
    assert b"main.py" not in files
    assert handle.node.path == b"src/moved.py"


@pytest.mark.parametrize("heard", [False, True])
def test_an_atomic_save_of_a_file_that_was_renamed(views: Views, heard: bool):
    views.bob.read(b"main.py")
    views.bob.write(b"main.py.tmp", TEXT[b"main.py"] + b"four\n")
    views.ann.rename(b"main.py", b"moved.py")
    views.bob.rename(b"main.py.tmp", b"main.py")
    files = views.agree()
    assert files[b"moved.py"] == TEXT[b"main.py"] + b"four\n"
    assert not {b"main.py", b"main.py.tmp"} & files.keys()
    assert views.records == [("rename-edit", b"moved.py")]


def test_both_rename_one_file(views: Views):
    views.bob.stat(b"main.py")
    views.ann.rename(b"main.py", b"ann.py")
    views.bob.rename(b"main.py", b"bob.py")
    files = views.agree()
    assert files[b"bob.py"] == TEXT[b"main.py"]
    assert not {b"main.py", b"ann.py"} & files.keys()
    assert views.records == [("rename-rename", b"bob.py")]


def test_a_rename_onto_a_name_that_another_has_just_made(views: Views):
    views.ann.write(b"new.txt", b"ann's\n")
    views.stations[0].publish()
    node = views.bob.at(b"main.py")
    views.bob.rename(b"main.py", b"new.txt")
    assert node.path == b"new.txt~view1"
    files = views.agree()
    assert (files[b"new.txt"], files[b"new.txt~view1"]) == (b"ann's\n", TEXT[b"main.py"])
    assert b"main.py" not in files


def test_a_rename_over_a_file_that_was_edited(views: Views):
    views.bob.stat(b"other.py")
    views.ann.write(b"other.py", b"edited\n")
    views.bob.rename(b"main.py", b"other.py")
    files = views.agree()
    assert (files[b"other.py"], files[b"other.py~view1"]) == (b"edited\n", TEXT[b"main.py"])


# --- directories


@pytest.mark.parametrize("heard", [False, True])
def test_a_directory_renamed_while_another_makes_files_in_it(views: Views, heard: bool):
    views.bob.write(b"src/new.py", b"new\n")
    views.bob.write(b"src/x.log", b"local\n")
    views.ann.rename(b"src", b"lib")
    if heard:
        views.hear()
        assert views.bob.read(b"lib/new.py") == b"new\n"
    files = agree_but_for(views, b"lib/x.log")
    assert files[b"lib/new.py"] == b"new\n"
    assert not [path for path in files if path.startswith(b"src/")]


def agree_but_for(views: Views, local: bytes, content: bytes = b"local\n") -> dict[bytes, bytes]:
    views.publish()
    views.hear()
    first, second = [tree(station) for station in views.stations]
    assert second.pop(local) == content
    assert first == second
    return first


def test_local_files_go_along_when_another_view_renames_their_directory(views: Views):
    views.bob.write(b"src/x.log", b"local\n")
    views.ann.rename(b"src", b"lib")
    files = agree_but_for(views, b"lib/x.log")
    assert b"lib/a.py" in files


def test_a_new_file_in_a_directory_that_another_removes(views: Views):
    for kernel in (views.ann, views.bob):
        kernel.stat(b"src/deep/c.py")
    views.bob.write(b"src/deep/new.py", b"new\n")
    views.ann.unlink(b"src/deep/c.py")
    views.ann.rmdir(b"src/deep")
    views.hear()
    assert views.bob.read(b"src/deep/new.py") == b"new\n"
    files = views.agree()
    assert files[b"src/deep/new.py"] == b"new\n"
    assert views.records == [("directory", b"src/deep/new.py")]


def test_a_directory_moved_into_one_that_another_removes(views: Views):
    views.bob.walk()
    views.bob.mkdir(b"m")
    views.bob.write(b"m/x", b"x\n")
    views.publish()
    views.hear()
    views.ann.unlink(b"src/deep/c.py")
    views.ann.rmdir(b"src/deep")
    views.bob.rename(b"m", b"src/deep/m")
    assert views.agree()[b"src/deep/m/x"] == b"x\n"


def test_both_rename_one_directory(views: Views):
    views.bob.walk()
    views.ann.rename(b"src", b"ann")
    views.bob.rename(b"src", b"bob")
    files = views.agree()
    assert files[b"bob/deep/c.py"] == TEXT[b"src/deep/c.py"]
    assert not [path for path in files if path.startswith((b"ann", b"src"))]


def test_a_directory_renamed_to_a_name_that_another_has_filled(views: Views):
    views.ann.mkdir(b"m")
    views.ann.write(b"m/x", b"x\n")
    views.stations[0].publish()
    views.bob.write(b"src/new.py", b"new\n")
    views.bob.rename(b"src", b"m")
    files = views.agree()
    assert files[b"m/x"] == b"x\n"
    assert files[b"m~view1/a.py"] == TEXT[b"src/a.py"]
    assert files[b"m~view1/new.py"] == b"new\n"


def test_exchanged_while_another_edits(views: Views):
    views.ann.write(b"main.py", b"edited\n")
    views.bob.rename(b"main.py", b"other.py", RENAME_EXCHANGE)
    files = views.agree()
    assert (files[b"main.py"], files[b"other.py"]) == (TEXT[b"other.py"], b"edited\n")


# --- whole values and modes


def test_an_opaque_file_saved_by_two(views: Views):
    views.ann.write(b"blob", b"\xff0")
    views.publish()
    views.hear()
    for kernel in (views.ann, views.bob):
        kernel.read(b"blob")
    handle = views.bob.open(b"blob", os.O_RDWR)
    views.ann.write(b"blob", b"\xffann")
    views.bob.put(handle, b"\xffbob")
    views.bob.names()
    views.bob.close(handle)
    views.stations[1].hear()
    assert b"blob~view0" in views.bob.names()
    assert views.agree() == ALL | {b"blob": b"\xffbob", b"blob~view0": b"\xffann"}
    assert views.records == [("opaque", b"blob")]


def test_a_mode_set_by_one_survives_the_save_of_the_other(views: Views):
    handle = views.bob.open(b"main.py", os.O_RDWR)
    views.ann.set(b"main.py", mode=0o755)
    views.bob.put(handle, b"zero\n")
    views.bob.close(handle)
    views.agree()
    for kernel in (views.ann, views.bob):
        assert kernel.stat(b"main.py").mode & 0o111


def test_a_file_made_private_while_another_edits_it(views: Views):
    views.bob.read(b"main.py")
    views.ann.write(b"main.py", b"changed\n")
    views.bob.rename(b"main.py", b"main.log")
    assert views.bob.read(b"main.py") == b"changed\n"
    assert views.bob.read(b"main.log") == TEXT[b"main.py"]
    files = agree_but_for(views, b"main.log", TEXT[b"main.py"])
    assert files[b"main.py"] == b"changed\n"


# --- directories of one view only


def test_an_empty_directory_that_was_ignored_when_it_was_made(views: Views):
    views.bob.mkdir(b"build")
    views.bob.mkdir(b"build/empty")
    views.bob.write(b".gitignore", b"")
    views.bob.forget_all()
    for station in views.stations:
        station.remount()
    kernel = views.stations[1].kernel
    assert b"build" in kernel.names()
    assert b"empty" in kernel.names(b"build")


def test_the_shadow_of_a_directory_that_another_removed_is_no_directory(views: Views):
    for kernel in (views.ann, views.bob):
        kernel.stat(b"src/deep/c.py")
    views.bob.write(b"src/deep/x.log", b"local\n")
    views.bob.unlink(b"src/deep/x.log")
    views.ann.unlink(b"src/deep/c.py")
    views.ann.rmdir(b"src/deep")
    views.stations[1].remount()
    assert b"deep" not in views.stations[1].kernel.names(b"src")


def test_local_files_of_a_directory_that_another_removed_stay(views: Views):
    for kernel in (views.ann, views.bob):
        kernel.stat(b"src/deep/c.py")
    views.bob.write(b"src/deep/x.log", b"local\n")
    views.ann.unlink(b"src/deep/c.py")
    views.ann.rmdir(b"src/deep")
    views.hear()
    assert views.bob.read(b"src/deep/x.log") == b"local\n"
    assert views.bob.stat(b"src/deep").mode & 0o7777 == 0o755


def test_a_mode_set_under_the_old_name_of_a_renamed_file(views: Views):
    node = views.bob.at(b"main.py")
    views.ann.rename(b"main.py", b"moved.py")
    views.bob.set(b"main.py", mode=0o755)
    assert node.path == b"moved.py"
    views.agree()
    assert views.ann.stat(b"moved.py").mode & 0o111
