"""What the model of several views has found, one story each: what one does before it has heard of the other's work."""

import os
from pathlib import Path

import pytest

from anvcsfs.status import AttributeChange
from support.handlers import make_handled_repository
from support.stations import Station, make_stations


@pytest.fixture
def views(tmp_path: Path):
    repository = make_handled_repository(tmp_path / "repository")
    stations = make_stations(repository, 2)
    yield stations
    for station in stations:
        station.crash()


def both_show(views: list[Station], files: dict[bytes, bytes | None]) -> None:
    """After everybody has heard of everything."""
    for view in views:
        view.publish()
    for view in views:
        view.hear()
        for path, text in files.items():
            assert (view.kernel.find(path) is not None) == (text is not None), path
            assert text is None or view.kernel.read(path) == text


def test_a_file_deleted_under_its_old_name_is_shown_under_its_new_one(views):
    ann, bob = views
    ann.kernel.rename(b"main.py", b"renamed.py")
    bob.kernel.at(b"main.py")
    bob.kernel.unlink(b"main.py")
    assert bob.kernel.find(b"main.py") is None
    both_show(views, {b"main.py": None, b"renamed.py": b"one\ntwo\nthree\n"})


def test_a_file_deleted_by_both_is_gone_for_both(views):
    ann, bob = views
    bob.kernel.at(b"main.py")
    ann.kernel.unlink(b"main.py")
    bob.kernel.unlink(b"main.py")
    assert bob.kernel.find(b"main.py") is None
    both_show(views, {b"main.py": None})


def test_appends_of_who_had_not_heard_of_each_other_are_both_there(views):
    ann, bob = views
    for view, line in ((ann, b"by ann\n"), (bob, b"by bob\n")):
        handle = view.kernel.open(b"main.py", os.O_WRONLY | os.O_APPEND)
        view.kernel.put(handle, line, view.kernel.stat(b"main.py").size)
        view.kernel.close(handle)
    ann.hear()
    text = ann.kernel.read(b"main.py")
    assert sorted(text.splitlines()) == [b"by ann", b"by bob", b"one", b"three", b"two"]
    both_show(views, {b"main.py": text})


def test_a_name_that_was_met_before_it_was_told_can_be_renamed(views):
    ann, bob = views
    ann.kernel.rename(b"src/a.py", b"src/z.py")
    bob.kernel.rename(b"other.py", b"another.py")  # bob's room has ann's rename now, bob's nodes have not
    bob.kernel.rename(b"src/z.py", b"other.py")
    both_show(views, {b"src/a.py": None, b"src/z.py": None, b"other.py": b"a\n", b"another.py": b"other\n"})


@pytest.mark.parametrize("theirs", [b"x\n", b"by bob: some forty bytes of his own text\n"])
@pytest.mark.parametrize("at", [0, 3, 10, 12])
def test_what_is_written_in_place_behind_a_change_fits_what_its_writer_had_read(views, at, theirs):
    """From the first changed byte to the end, as `truncate` and `pwrite` are used, while the start moves."""
    ann, bob = views
    start = b"".join(b'    """a %d= b"""\n' % number for number in range(12))
    ann.kernel.write(b"main.py", start)
    both_show(views, {b"main.py": start})
    handle = ann.kernel.open(b"main.py", os.O_RDWR)
    lines = ann.kernel.get(handle).splitlines(keepends=True)
    bob.kernel.write(b"main.py", theirs + bob.kernel.read(b"main.py"))
    ann.hear()
    lines.insert(at, b"by ann\n")
    new = b"".join(lines)
    same = len(b"".join(lines[:at]))
    ann.kernel.put(handle, new[same:], same)
    ann.kernel.call(
        lambda: ann.kernel.table.setattr(
            handle.node.ino, AttributeChange(size=len(new)), handle.number, ann.kernel.process
        )
    )
    ann.kernel.close(handle)
    both_show(views, {b"main.py": theirs + new})


@pytest.mark.parametrize("way", ["rewrite", "rename"])
def test_who_has_made_a_file_as_in_the_base_again_knows_that(views, way):
    """What others did elsewhere came with that save, and this view has not told its nodes of it."""
    ann, bob = views
    base = ann.kernel.read(b"main.py")

    def save(text: bytes) -> None:
        if way == "rewrite":
            ann.kernel.write(b"main.py", text)
        else:
            ann.kernel.write(b"main.py.tmp", text)
            ann.kernel.rename(b"main.py.tmp", b"main.py")

    save(b"after\n")
    bob.kernel.write(b"other.py", b"by bob\n")
    save(base)
    save(b"next\n")
    assert ann.kernel.read(b"main.py") == b"next\n"
    both_show(views, {b"main.py": b"next\n", b"other.py": b"by bob\n"})
