"""Several agents change one tree from older pictures of it: nothing unknowingly deleted is missing, all agree."""

import tempfile
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from anvcs.model.tree import DIRECTORY, EXECUTABLE, REGULAR
from anvcs.rooms.errors import DirectoryNotEmpty, NoSuchPath, PathInUse
from anvcs.rooms.room import Room
from support.rooms import Place, shown, shown_directories

NAMES = [b"a", b"A", b"d"]
BASE = {b"a": b"base0\n", b"d/a": b"base1\n", b"d/b": b"\xff base2\n", b"e/d/a": b"base3\n"}
REFUSALS = (NoSuchPath, PathInUse, DirectoryNotEmpty)
names = st.sampled_from(NAMES)
numbers = st.integers(0, 5)
actors = st.integers(0, 2)


class Actor:
    """One agent's window, and the tree as it was shown to the agent when it last looked."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.files: dict[bytes, bytes] = {}
        self.directories: set[bytes] = set()
        self.versions: dict[bytes, int] = {}
        self.look()

    def look(self) -> None:
        self.room.catch_up()
        self.files = shown(self.room)
        self.directories = shown_directories(self.room) | {b""}
        self.versions = {path: self.room.version(path) for path in self.files}

    def has(self, path: bytes) -> None:
        """The view shows its own work at *path*, merged with whatever is there."""
        entry = self.room.entry(path)
        assert entry is None or entry.mode != DIRECTORY
        self.files[path] = self.room.read(entry) if entry else shown(self.room)[path]
        self.versions[path] = self.room.version(path)

    def is_free(self, path: bytes) -> bool:
        return path not in self.files and path not in self.directories

    def below(self, directory: bytes) -> list[bytes]:
        return [path for path in (*self.files, *self.directories) if path.startswith(directory + b"/")]

    def some_file(self, number: int) -> bytes | None:
        files = sorted(self.files)
        return files[number % len(files)] if files else None

    def some_directory(self, number: int) -> bytes:
        return sorted(self.directories)[number % len(self.directories)]

    def new_name(self, number: int, name: bytes) -> bytes:
        directory = self.some_directory(number)
        return directory + b"/" + name if directory else name


class StaleTree(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place = Place(Path(self.folder.name))
        self.tokens = count()
        self.alive: set[bytes] = set()
        """What somebody wrote and nobody has knowingly deleted."""

    @initialize()
    def start(self) -> None:
        commit = self.place.tree.commit(BASE)
        self.actors = [Actor(self.place.room(name, commit)) for name in ("ann", "bob", "cid")]
        self.alive = tokens(b"".join(BASE.values()))

    def teardown(self) -> None:
        for actor in getattr(self, "actors", []):
            actor.room.close()
        self.folder.cleanup()

    def token(self) -> bytes:
        made = b"t%d\n" % next(self.tokens)
        self.alive.add(made)
        return made

    @rule(who=actors)
    def look(self, who: int) -> None:
        self.actors[who].look()

    @rule(who=actors, where=numbers, name=names, opaque=st.booleans())
    def create(self, who: int, where: int, name: bytes, opaque: bool) -> None:
        actor = self.actors[who]
        path = actor.new_name(where, name)
        if not actor.is_free(path):
            return
        data = (b"\xff " if opaque else b"") + self.token()
        moved = actor.room.write(path, data, seen=actor.room.told, fresh=True)
        actor.has(moved.at or path)

    @rule(who=actors, which=numbers, how=st.sampled_from(["append", "replace", "opaque"]))
    def edit(self, who: int, which: int, how: str) -> None:
        actor = self.actors[who]
        path = actor.some_file(which)
        if path is None:
            return
        before = actor.files[path]
        new = self.token()
        data = before + new if how == "append" else b"\xff " + new if how == "opaque" else new
        self.alive -= tokens(before) - tokens(data)
        moved = actor.room.write(path, data, base=actor.versions[path], seen=actor.room.told)
        del actor.files[path]
        actor.has(moved.at or path)

    @rule(who=actors, which=numbers)
    def remove(self, who: int, which: int) -> None:
        actor = self.actors[who]
        path = actor.some_file(which)
        if path is None:
            return
        known = tokens(actor.files[path])
        try:
            moved = actor.room.remove(path, seen=actor.room.told)
        except REFUSALS:
            actor.look()
            return
        del actor.files[path]
        if not moved.kept:
            self.alive -= known

    @rule(who=actors, which=numbers, where=numbers, name=names)
    def rename(self, who: int, which: int, where: int, name: bytes) -> None:
        actor = self.actors[who]
        old, new = actor.some_file(which), actor.new_name(where, name)
        if old is None or old == new or new in actor.directories or new.startswith(old + b"/"):
            return
        known = tokens(actor.files.get(new, b""))
        base = actor.versions.get(new)
        try:
            moved = actor.room.rename(old, new, base=base, seen=actor.room.told)
        except REFUSALS:
            actor.look()
            return
        self.alive -= known - tokens(actor.files[old])
        actor.files.pop(old)
        actor.files.pop(new, None)
        actor.has(moved.at or new)

    @rule(who=actors, which=numbers, where=numbers, name=names)
    def rename_tree(self, who: int, which: int, where: int, name: bytes) -> None:
        actor = self.actors[who]
        old, new = actor.some_directory(which), actor.new_name(where, name)
        if not old or old == new or new in actor.files or actor.below(new) or new.startswith(old + b"/"):
            return
        if old.startswith(new + b"/"):
            return
        try:
            actor.room.rename_tree(old, new, seen=actor.room.told)
        except REFUSALS:
            pass
        actor.look()

    @rule(who=actors, where=numbers, name=names)
    def mkdir(self, who: int, where: int, name: bytes) -> None:
        actor = self.actors[who]
        path = actor.new_name(where, name)
        if actor.is_free(path):
            moved = actor.room.mkdir(path, 1, seen=actor.room.told)
            actor.directories.add(moved.at or path)

    @rule(who=actors, which=numbers)
    def rmdir(self, who: int, which: int) -> None:
        actor = self.actors[who]
        path = actor.some_directory(which)
        if not path or actor.below(path):
            return
        try:
            actor.room.rmdir(path, seen=actor.room.told)
        except REFUSALS:
            actor.look()
        else:
            actor.directories.discard(path)

    @rule(who=actors, which=numbers, mode=st.sampled_from([REGULAR, EXECUTABLE]))
    def set_mode(self, who: int, which: int, mode: int) -> None:
        actor = self.actors[who]
        path = actor.some_file(which)
        if path is None:
            return
        try:
            moved = actor.room.set_mode(path, mode, seen=actor.room.told)
        except REFUSALS:
            actor.look()
            return
        if moved.at is not None:
            del actor.files[path]
            actor.has(moved.at)

    @rule(who=actors)
    def commit(self, who: int) -> None:
        """Somebody commits all that is shown."""
        room = self.actors[who].room
        self.actors[who].look()
        modes = {entry.path: entry.mode for entry in room.changed()}
        leaves = self.place.tree.commits[room.base] if room.base else {}
        files = {}
        for path, data in shown(room).items():
            mode = modes.get(path) or leaves[path].mode
            files[path] = self.place.tree.leaf(data, mode)
        room.move_base(self.place.tree.commit(files), keep=True)

    @invariant()
    def nothing_is_lost_and_all_agree(self) -> None:
        if not hasattr(self, "actors"):
            return
        views = []
        for name in ("new", "newer"):
            with self.place.room(name) as fresh:
                views.append((shown(fresh), shown_directories(fresh)))
        assert views[0] == views[1]
        there = tokens(b"\n".join(views[0][0].values()))
        assert self.alive <= there, self.alive - there

    @invariant()
    def records_can_be_read(self) -> None:
        if hasattr(self, "actors"):
            assert all(record.note for record in self.actors[0].room.conflicts())


def tokens(data: bytes) -> set[bytes]:
    """The words that `StaleTree.token` gave, wherever in *data*."""
    return {word + b"\n" for word in data.replace(b"\xff", b"").split() if word}


StaleTree.TestCase.settings = settings(stateful_step_count=25, deadline=None)
test_stale_tree = pytest.mark.property(StaleTree.TestCase)
