"""A branch without a commit starts from the work tree as it is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anvcs.base_tree import GitBaseTree
from anvcs.git.objects import ObjectStore
from anvcs.git.refs import Refs
from anvcs.git.skeleton import Skeleton
from anvcs.model.room import Author
from anvcs.rooms.room import Room
from anvcsfs.carrying import carry
from support.programs import git


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``main`` and ``other``, between which a link, a file and a directory differ."""
    path = tmp_path_factory.mktemp("carrying") / "repository"
    git("init", "-q", "-b", "main", str(path), cwd=path.parent)
    (path / "link").symlink_to("one")
    (path / "same").write_text("same\n")
    (path / "text").write_text("main\n")
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "main", cwd=path)
    git("switch", "-q", "-c", "other", cwd=path)
    (path / "link").unlink()
    (path / "link").symlink_to("two")
    (path / "text").write_text("other\n")
    git("commit", "-q", "-a", "-m", "other", cwd=path)
    return path


Rooms = Callable[[str], Room]


@pytest.fixture
def store(branches: Path) -> ObjectStore:
    return ObjectStore(branches / ".git")


@pytest.fixture
def rooms(store: ObjectStore, tmp_path: Path) -> Iterator[Rooms]:
    """The room of a branch."""
    refs = Refs(store)
    skeleton = Skeleton(store.common_dir, tmp_path / "skeleton.git", tmp_path / "skeleton")
    opened: list[Room] = []

    def room(branch: str) -> Room:
        opened.append(
            Room.open(
                tmp_path / f"{branch}.sqlite",
                tree=GitBaseTree(store, skeleton),
                objects=tmp_path / "objects",
                author=Author(agent="tester"),
                base=refs.get(f"refs/heads/{branch}"),
            )
        )
        return opened[-1]

    yield room
    for each in opened:
        each.close()
    skeleton.close()


def changes(room: Room) -> dict[bytes, str]:
    return {change.path: change.status for change in room.changes()}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"two", {}),  # what the other branch has anyway
        (b"three", {b"link": "M"}),
    ],
)
def test_a_changed_link_comes_along(store: ObjectStore, rooms: Rooms, target: bytes, expected: dict[bytes, str]):
    old, new = rooms("main"), rooms("other")
    old.write(b"text", b"other\n")  # Git has written its side of the switch
    old.remove(b"link")
    old.create_link(b"link", target, 0)
    assert carry(store, old, new) == []
    assert changes(new) == expected
    if expected:
        assert new.read(new.entry(b"link")) == target


def test_a_link_in_the_place_of_a_file_comes_along(store: ObjectStore, rooms: Rooms):
    old, new = rooms("main"), rooms("other")
    old.write(b"text", b"other\n")
    for path, target in ((b"link", b"two"), (b"same", b"elsewhere")):
        old.remove(path)
        old.create_link(path, target, 0)
    carry(store, old, new)
    assert changes(new) == {b"same": "T"}
    assert new.entry(b"same").mode == 0o120000


def test_edits_new_files_and_deletions_come_along(store: ObjectStore, rooms: Rooms):
    old, new = rooms("main"), rooms("other")
    old.write(b"text", b"other\n")
    old.remove(b"link")
    old.write(b"same", b"edited\n")
    old.write(b"new", b"new\n")
    carry(store, old, new)
    assert changes(new) == {b"same": "M", b"new": "A", b"link": "D"}
    assert new.read(new.entry(b"same")) == b"edited\n"


def test_what_the_other_room_has_of_its_own_stays(store: ObjectStore, rooms: Rooms):
    old, new = rooms("main"), rooms("other")
    new.write(b"text", b"unfinished\n")
    old.write(b"text", b"other\n")
    old.remove(b"link")
    old.create_link(b"link", b"two", 0)
    assert carry(store, old, new) == [b"text"]
    assert changes(new) == {b"text": "M"}
    assert new.read(new.entry(b"text")) == b"unfinished\n"
