"""Two agents change the tree, the second from an older picture: nothing is lost, and a record says what met."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs.model.room import Moved
from anvcs.model.tree import EXECUTABLE, REGULAR
from anvcs.rooms.errors import NoSuchPath
from anvcs.rooms.room import Room
from support.rooms import Place
from support.two_rooms import AB, BASE, Two


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    found = Two(Place(tmp_path), BASE)
    yield found
    found.ann.close()
    found.bob.close()


# --- one name, two files


def test_the_same_name_created_twice_with_different_contents(two: Two) -> None:
    two.ann.write(b"new", b"ann's\n", seen=two.ann.told, fresh=True)
    moved = two.bob.write(b"new", b"bob's\n", seen=two.seen, fresh=True)
    assert moved.at == b"new~bob"
    assert two.files == BASE | {b"new": b"ann's\n", b"new~bob": b"bob's\n"}
    assert two.records == [("same-name", b"new~bob", AB)]


def test_the_same_name_created_twice_with_equal_contents_is_one_file(two: Two) -> None:
    two.ann.write(b"new", b"both\n", fresh=True)
    moved = two.bob.write(b"new", b"both\n", seen=two.seen, fresh=True)
    assert moved.at == b"new"
    assert two.files == BASE | {b"new": b"both\n"}
    assert two.records == []


def test_the_loser_of_a_name_gets_a_free_one(two: Two) -> None:
    two.ann.write(b"new", b"1\n", fresh=True)
    for content in (b"2\n", b"3\n"):
        two.bob.write(b"new", content, fresh=True)
    assert two.files == BASE | {b"new": b"1\n", b"new~bob": b"2\n", b"new~bob~2": b"3\n"}


def test_names_stay_as_short_as_the_system_wants(two: Two) -> None:
    name = "ü".encode() * 127
    two.ann.write(name, b"1\n", fresh=True)
    moved = two.bob.write(name, b"2\n", fresh=True)
    assert moved.at is not None
    assert len(moved.at) <= 255
    assert moved.at.decode().endswith("~bob")


@pytest.mark.parametrize("first", ["text", "object", "link"])
@pytest.mark.parametrize("second", ["text", "object", "link"])
def test_the_same_name_created_twice_as_anything(two: Two, first: str, second: str) -> None:
    make(two.ann, first, b"new", b"1")
    moved = make(two.bob, second, b"new", b"2", seen=two.seen)
    assert moved.at == b"new~bob"
    assert two.files == BASE | {b"new": value(first, b"1"), b"new~bob": value(second, b"2")}
    assert two.records == [("same-name", b"new~bob", AB)]


@pytest.mark.parametrize("kind", ["text", "object", "link"])
def test_equal_files_of_any_kind_are_one(two: Two, kind: str) -> None:
    for room in (two.ann, two.bob):
        make(room, kind, b"new", b"1")
    assert two.files == BASE | {b"new": value(kind, b"1")}
    assert two.records == []


def value(kind: str, data: bytes) -> bytes:
    return b"\xff" + data if kind == "object" else data


def make(room: Room, kind: str, path: bytes, data: bytes, **knows: object) -> Moved:
    if kind == "text":
        return room.write(path, data, fresh=True, **knows)
    if kind == "link":
        return room.create_link(path, data, 1, fresh=True, **knows)
    data = value(kind, data)
    return room.write_object(path, room.put_bytes(data), len(data), fresh=True, **knows)


def test_a_file_where_another_made_a_directory(two: Two) -> None:
    two.ann.mkdir(b"new", 1)
    two.ann.write(b"new/in", b"in\n")
    moved = two.bob.write(b"new", b"file\n", seen=two.seen, fresh=True)
    assert moved.at == b"new~bob"
    assert two.files == BASE | {b"new/in": b"in\n", b"new~bob": b"file\n"}
    assert two.records == [("directory", b"new~bob", ("ann", "bob"))] or two.records[0][0] == "directory"


def test_a_directory_where_another_made_a_file(two: Two) -> None:
    two.ann.write(b"new", b"file\n", fresh=True)
    assert two.bob.mkdir(b"new", 1, seen=two.seen).at == b"new~bob"
    # The kernel goes on with the name that it asked for.
    two.bob.write(b"new/in", b"in\n", seen=two.seen, fresh=True)
    files = two.files
    assert files.pop(b"new") == b"file\n"
    assert sorted(files) == sorted([*BASE, next(path for path in files if path.endswith(b"/in"))])
    assert b"in\n" in files.values()
    assert {kind for kind, _, _ in two.records} == {"directory"}


def test_both_make_the_same_directory(two: Two) -> None:
    two.ann.mkdir(b"m", 1)
    two.ann.write(b"m/a", b"a\n")
    assert two.bob.mkdir(b"m", 1, seen=two.seen).at == b"m"
    two.bob.write(b"m/b", b"b\n", seen=two.seen, fresh=True)
    assert two.files == BASE | {b"m/a": b"a\n", b"m/b": b"b\n"}
    assert two.records == []


def test_a_name_that_another_created_and_committed(two: Two) -> None:
    two.ann.write(b"new", b"ann's\n", fresh=True)
    two.ann.move_base(two.place.tree.commit(BASE | {b"new": b"ann's\n"}), keep=True)
    moved = two.bob.write(b"new", b"bob's\n", seen=two.seen, fresh=True)
    assert moved.at == b"new~bob"
    assert two.files == BASE | {b"new": b"ann's\n", b"new~bob": b"bob's\n"}
    assert two.records == [("same-name", b"new~bob", ("", "bob"))]


def test_an_edit_that_was_committed_meanwhile_is_one(two: Two) -> None:
    edited = BASE | {b"a": b"edited\n"}
    two.ann.write(b"a", b"edited\n")
    two.ann.move_base(two.place.tree.commit(edited), keep=True)
    assert two.bob.remove(b"a", seen=two.seen).kept
    assert two.files == edited
    assert [kind for kind, _, _ in two.records] == ["delete-edit"]


def test_a_rename_that_was_committed_meanwhile_is_one(two: Two) -> None:
    moved = {path: data for path, data in BASE.items() if path != b"a"} | {b"moved": BASE[b"a"]}
    two.ann.rename(b"a", b"moved")
    two.ann.move_base(two.place.tree.commit(moved), keep=True)
    two.bob.write(b"a", BASE[b"a"] + b"four\n", base=two.seen, seen=two.seen)
    assert two.files[b"moved"] == BASE[b"a"] + b"four\n"
    assert b"a" not in two.files


def test_a_file_keeps_its_identity_when_its_new_name_is_committed(two: Two) -> None:
    identity = two.ann._core.base_entry(b"a", two.ann._core.base.leaf(b"a")).id
    two.ann.rename(b"a", b"b")
    two.ann.move_base(two.place.tree.commit({b"b": BASE[b"a"]} | {b"d/x": b"x\n"}), keep=False)
    two.ann.write(b"b", b"more\n")
    assert two.ann.entry(b"b").id == identity


def test_an_edit_of_a_file_whose_name_another_has_got_and_committed(two: Two) -> None:
    two.ann.rename(b"b", b"a")
    files = {path: data for path, data in BASE.items() if path != b"b"} | {b"a": BASE[b"b"]}
    two.ann.move_base(two.place.tree.commit(files), keep=True)
    moved = two.bob.write(b"a", BASE[b"a"] + b"four\n", base=two.seen, seen=two.seen)
    assert moved.at == b"a~bob"
    assert two.files == files | {b"a~bob": BASE[b"a"] + b"four\n"}


# --- names that differ only in case


@pytest.mark.parametrize(
    ("one", "other"), [(b"README", b"readme"), ("Äpfel".encode(), "äPFEL".encode()), (b"\xffA", b"\xffa")]
)
def test_names_that_differ_only_in_case_live_and_are_told(two: Two, one: bytes, other: bytes) -> None:
    two.ann.write(one, b"1\n", fresh=True)
    two.bob.write(other, b"2\n", seen=two.seen, fresh=True)
    assert two.files == BASE | {one: b"1\n", other: b"2\n"}
    assert two.records == [("case", other, AB)]


def test_case_only_differences_from_the_base_and_of_directories_are_told_too(two: Two) -> None:
    two.ann.write(b"A", b"1\n", fresh=True)
    two.ann.mkdir(b"D", 1)
    assert [(kind, path) for kind, path, _ in two.records] == [("case", b"A"), ("case", b"D")]


def test_a_rename_that_changes_only_the_case_is_no_conflict(two: Two) -> None:
    two.ann.rename(b"a", b"A")
    two.ann.rename_tree(b"d", b"D")
    assert two.records == []


# --- deleted, and not known


def test_a_delete_yields_to_an_edit_that_its_author_had_not_seen(two: Two) -> None:
    two.ann.write(b"a", BASE[b"a"] + b"more\n")
    moved = two.bob.remove(b"a", seen=two.seen)
    assert moved.kept
    assert two.files == BASE | {b"a": BASE[b"a"] + b"more\n"}
    assert two.records == [("delete-edit", b"a", AB)]


def test_a_delete_of_what_was_seen_is_one(two: Two) -> None:
    two.ann.write(b"a", b"changed\n")
    two.look()
    assert not two.bob.remove(b"a", seen=two.seen).kept
    assert b"a" not in two.files
    assert two.records == []


def test_a_delete_after_a_mere_chmod_is_one(two: Two) -> None:
    two.ann.set_mode(b"a", EXECUTABLE)
    two.bob.remove(b"a", seen=two.seen)
    assert b"a" not in two.files


def test_both_delete(two: Two) -> None:
    two.ann.remove(b"a")
    two.bob.remove(b"a", seen=two.seen)
    assert b"a" not in two.files
    assert two.records == []
    with pytest.raises(NoSuchPath):
        two.bob.remove(b"a", seen=two.seen)


def test_a_delete_under_the_old_name_of_a_renamed_file(two: Two) -> None:
    two.ann.rename(b"a", b"moved")
    assert two.bob.remove(b"a", seen=two.seen).kept
    assert two.files[b"moved"] == BASE[b"a"]
    assert two.records == [("delete-edit", b"moved", AB)]


def test_a_delete_never_hits_a_file_that_came_to_the_name_since(two: Two) -> None:
    two.ann.remove(b"a")
    two.ann.rename(b"b", b"a")
    two.bob.remove(b"a", seen=two.seen)
    assert two.files[b"a"] == BASE[b"b"]


@pytest.mark.parametrize("path", [b"a", b"new"])
def test_an_edit_of_a_deleted_file_brings_it_back(two: Two, path: bytes) -> None:
    two.ann.write(b"new", b"one\ntwo\nthree\n", fresh=True)
    two.look()
    base = two.bob.version(path)
    two.ann.write(path, b"zero\none\ntwo\nthree\n")
    two.ann.remove(path)
    two.bob.write(path, b"one\ntwo\nthree\nfour\n", base=base, seen=two.seen)
    assert two.files[path] == b"zero\none\ntwo\nthree\nfour\n"
    assert two.records == [("delete-edit", path, AB)]


def test_an_edit_of_a_file_whose_name_another_has_by_now(two: Two) -> None:
    two.ann.rename(b"b", b"a")
    moved = two.bob.write(b"a", BASE[b"a"] + b"four\n", base=two.seen, seen=two.seen)
    assert moved.at == b"a~bob"
    assert two.files[b"a"] == BASE[b"b"]
    assert two.files[b"a~bob"] == BASE[b"a"] + b"four\n"
    assert two.records == [("delete-edit", b"a~bob", AB)]


# --- renames


def test_an_edit_under_the_old_name_goes_to_the_renamed_file(two: Two) -> None:
    two.ann.rename(b"a", b"moved")
    moved = two.bob.write(b"a", BASE[b"a"] + b"four\n", base=two.seen, seen=two.seen)
    assert moved.at == b"moved"
    files = two.files
    assert files[b"moved"] == BASE[b"a"] + b"four\n"
    assert b"a" not in files
    assert two.records == [("rename-edit", b"moved", AB)]


def test_a_rename_of_a_file_that_was_edited(two: Two) -> None:
    two.ann.write(b"a", BASE[b"a"] + b"four\n")
    two.bob.rename(b"a", b"moved", seen=two.seen)
    files = two.files
    assert files[b"moved"] == BASE[b"a"] + b"four\n"
    assert b"a" not in files
    assert two.records == [("rename-edit", b"moved", AB)]


def test_renamed_by_both(two: Two) -> None:
    two.ann.rename(b"a", b"ann's")
    two.bob.rename(b"a", b"bob's", seen=two.seen)
    files = two.files
    assert files[b"bob's"] == BASE[b"a"]
    assert not {b"a", b"ann's"} & set(files)
    assert two.records == [("rename-rename", b"bob's", AB)]
    assert [side.text for side in two.ann.conflicts()[0].sides] == [b"ann's", b"bob's"]


def test_renamed_by_both_to_one_name(two: Two) -> None:
    two.ann.rename(b"a", b"same")
    two.bob.rename(b"a", b"same", seen=two.seen)
    assert two.files[b"same"] == BASE[b"a"]
    assert two.records == []


def test_two_files_renamed_to_one_name(two: Two) -> None:
    two.ann.rename(b"a", b"same")
    moved = two.bob.rename(b"b", b"same", seen=two.seen)
    assert moved.at == b"same~bob"
    files = two.files
    assert (files[b"same"], files[b"same~bob"]) == (BASE[b"a"], BASE[b"b"])
    assert two.records == [("same-name", b"same~bob", AB)]


def test_a_rename_onto_a_name_that_was_just_created(two: Two) -> None:
    two.ann.write(b"new", b"new\n", fresh=True)
    two.bob.rename(b"a", b"new", seen=two.seen)
    files = two.files
    assert (files[b"new"], files[b"new~bob"]) == (b"new\n", BASE[b"a"])
    assert b"a" not in files


def test_a_rename_over_a_file_that_was_edited(two: Two) -> None:
    two.ann.write(b"b", b"edited\n")
    moved = two.bob.rename(b"a", b"b", seen=two.seen)
    assert moved.at == b"b~bob"
    files = two.files
    assert (files[b"b"], files[b"b~bob"]) == (b"edited\n", BASE[b"a"])
    assert two.records == [("delete-edit", b"b", AB)]


def test_a_temporary_renamed_over_a_file_that_was_renamed(two: Two) -> None:
    base = two.bob.version(b"a")
    two.bob.write(b"a.tmp", BASE[b"a"] + b"four\n", fresh=True)
    two.look()
    two.ann.rename(b"a", b"moved")
    two.bob.rename(b"a.tmp", b"a", base=base, seen=two.seen)
    files = two.files
    assert files[b"moved"] == BASE[b"a"] + b"four\n"
    assert not {b"a", b"a.tmp"} & set(files)
    assert two.records == [("rename-edit", b"moved", AB)]


def test_a_temporary_renamed_over_a_file_that_was_deleted(two: Two) -> None:
    base = two.bob.version(b"a")
    two.bob.write(b"a.tmp", BASE[b"a"] + b"four\n", fresh=True)
    two.look()
    two.ann.write(b"a", b"zero\n" + BASE[b"a"])
    two.ann.remove(b"a")
    two.bob.rename(b"a.tmp", b"a", base=base, seen=two.seen)
    assert two.files[b"a"] == b"zero\n" + BASE[b"a"] + b"four\n"
    assert two.records == [("delete-edit", b"a", AB)]


def test_a_rename_of_a_file_that_was_deleted(two: Two) -> None:
    two.ann.remove(b"a")
    two.bob.rename(b"a", b"moved", seen=two.seen)
    assert two.files[b"moved"] == BASE[b"a"]
    assert two.records == [("delete-edit", b"moved", AB)]


def test_a_rename_into_a_directory_that_was_deleted(two: Two) -> None:
    two.ann.remove(b"e/z")
    two.ann.rmdir(b"e")
    two.bob.rename(b"a", b"e/a", seen=two.seen)
    assert two.files[b"e/a"] == BASE[b"a"]
    assert two.records == [("directory", b"e/a", AB)]


# --- whole values


def test_an_opaque_file_written_twice(two: Two) -> None:
    base = two.bob.version(b"blob")
    put(two.ann, b"blob", b"\xffann")
    put(two.bob, b"blob", b"\xffbob", base=base, seen=two.seen)
    assert two.files == BASE | {b"blob": b"\xffbob", b"blob~ann": b"\xffann"}
    assert two.records == [("opaque", b"blob", AB)]


def test_an_opaque_file_written_twice_with_one_content(two: Two) -> None:
    base = two.bob.version(b"blob")
    for room in (two.ann, two.bob):
        put(room, b"blob", b"\xffboth", base=base)
    assert two.files == BASE | {b"blob": b"\xffboth"}
    assert two.records == []


def test_text_against_opaque(two: Two) -> None:
    base = two.bob.version(b"a")
    two.ann.write(b"a", b"text of ann\n")
    put(two.bob, b"a", b"\xffbob", base=base, seen=two.seen)
    assert two.files == BASE | {b"a": b"\xffbob", b"a~ann": b"text of ann\n"}
    assert two.records == [("opaque", b"a", AB)]


def test_opaque_against_text(two: Two) -> None:
    base = two.bob.version(b"a")
    put(two.ann, b"a", b"\xffann")
    two.bob.write(b"a", b"text of bob\n", base=base, seen=two.seen)
    assert two.files == BASE | {b"a": b"text of bob\n", b"a~ann": b"\xffann"}
    assert two.records == [("opaque", b"a", AB)]


def test_a_text_over_what_became_a_text_after_it_was_opaque(two: Two) -> None:
    put(two.bob, b"a", b"\xffbob")
    base = two.bob.version(b"a")
    two.ann.catch_up()
    two.ann.write(b"a", b"text of ann\n", base=two.ann.version(b"a"))
    two.ann.move_base(two.place.tree.commit(BASE | {b"a": b"text of ann\n"}), keep=True)
    two.bob.write(b"a", b"text of bob\n", base=base, seen=two.seen)
    assert two.files == BASE | {b"a": b"text of bob\n", b"a~ann": b"text of ann\n"}


def test_a_link_against_an_edit(two: Two) -> None:
    base = two.bob.version(b"a")
    two.ann.remove(b"a")
    two.ann.create_link(b"a", b"b", 1)
    two.bob.write(b"a", BASE[b"a"] + b"four\n", base=base, seen=two.seen)
    files = two.files
    assert b"b" in files.values()  # the link's target
    assert BASE[b"a"] + b"four\n" in files.values()
    assert len(two.records) == 1


def test_a_merge_does_not_make_losers_of_texts(two: Two) -> None:
    base = two.bob.version(b"a")
    two.ann.write(b"a", b"zero\n" + BASE[b"a"])
    two.bob.write(b"a", BASE[b"a"] + b"four\n", base=base, seen=two.seen)
    assert two.files == BASE | {b"a": b"zero\n" + BASE[b"a"] + b"four\n"}


def put(room: Room, path: bytes, data: bytes, **knows: object) -> Moved:
    return room.write_object(path, room.put_bytes(data), len(data), **knows)


def test_a_whole_value_renamed_over_one_that_its_author_had_not_seen(two: Two) -> None:
    base = two.bob.version(b"blob")
    put(two.bob, b"blob.tmp", b"\xffbob", fresh=True)
    two.look()
    put(two.ann, b"blob", b"\xffann")
    two.look()
    two.bob.rename(b"blob.tmp", b"blob", base=base, seen=two.seen)
    assert two.files == BASE | {b"blob": b"\xffbob", b"blob~ann": b"\xffann"}


def test_a_deletion_of_a_backup_whose_name_another_has_taken_is_no_save(two: Two) -> None:
    two.bob.rename(b"a", b"b.old")
    two.ann.write(b"a", b"ann's\n", fresh=True)
    two.bob.remove(b"b.old", seen=two.seen)
    files = two.files
    assert files[b"a"] == b"ann's\n"
    assert b"b.old" not in files


# --- modes


def test_a_mode_set_by_one_survives_the_save_of_another(two: Two) -> None:
    base = two.bob.version(b"a")
    two.ann.set_mode(b"a", EXECUTABLE)
    two.bob.write(b"a", BASE[b"a"] + b"four\n", base=base, seen=two.seen, mode=REGULAR)
    assert two.files[b"a"] == BASE[b"a"] + b"four\n"
    assert two.ann.entry(b"a").mode == EXECUTABLE


def test_a_mode_set_under_the_old_name(two: Two) -> None:
    two.ann.rename(b"a", b"moved")
    two.bob.set_mode(b"a", EXECUTABLE, seen=two.seen)
    assert two.files[b"moved"] == BASE[b"a"]
    assert two.ann.entry(b"moved").mode == EXECUTABLE


# --- what one's own window did is known


def test_own_ops_belong_to_the_picture(two: Two) -> None:
    two.ann.write(b"b", b"something else\n")
    two.bob.write(b"a", b"mine\n", seen=two.seen)
    two.bob.rename(b"a", b"moved", seen=two.seen)
    assert not two.bob.remove(b"moved", seen=two.seen).kept
    files = two.files
    assert not {b"a", b"moved"} & set(files)
    assert two.records == []


def test_told_is_what_catch_up_has_told(two: Two) -> None:
    two.ann.write(b"b", b"1\n")
    two.bob.write(b"a", b"mine\n")
    assert (two.bob.told, two.bob.seq) == (0, 2)
    two.bob.catch_up()
    assert two.bob.told == 2
