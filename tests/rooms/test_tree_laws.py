"""Random tree operations against a dictionary, through two windows, reopened at every step."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from anvcs.model.ids import Oid
from anvcs.model.tree import EXECUTABLE, REGULAR
from anvcs.rooms.errors import DirectoryNotEmpty, NoSuchPath, PathInUse
from anvcs.rooms.room import Room
from support.rooms import Place, shown, shown_directories

NAMES = [b"a", b"b", b"d", b"d/a", b"d/b", b"d/e/a", b"d/e/b", b"g/h/i", b"k"]
DIRECTORIES = [b"d", b"d/e", b"g", b"g/h", b"m", b"m/n", b"a"]
paths = st.sampled_from(NAMES)
directories = st.sampled_from(DIRECTORIES)
contents = st.sampled_from([b"", b"one\n", b"one\ntwo\n", b"other\n", b"\xff\0", b"x\r\ny\r\n"])


class Model:
    """What a file system without history would show."""

    def __init__(self, files: dict[bytes, bytes]) -> None:
        self.files = dict(files)
        self.directories: set[bytes] = set()
        for path in files:
            self.add_parents(path)

    def add_parents(self, path: bytes) -> None:
        while path := path.rpartition(b"/")[0]:
            self.directories.add(path)

    def below(self, directory: bytes) -> list[bytes]:
        start = directory + b"/"
        return [path for path in (*self.files, *self.directories) if path.startswith(start)]

    def blocked(self, path: bytes) -> bool:
        above = path
        while above := above.rpartition(b"/")[0]:
            if above in self.files:
                return True
        return False

    def move(self, old: bytes, new: bytes) -> None:
        def at(path: bytes) -> bytes:
            inside = path == old or path.startswith(old + b"/")
            return new + path[len(old) :] if inside else path

        self.files = {at(path): data for path, data in self.files.items() if at(path) == path} | {
            at(path): data for path, data in self.files.items() if at(path) != path
        }
        self.directories = {at(path) for path in self.directories}
        self.add_parents(new)


class TreeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place = Place(Path(self.folder.name))

    @initialize(base=st.dictionaries(paths, contents))
    def start(self, base: dict[bytes, bytes]) -> None:
        base = {p: d for p, d in base.items() if not any(q.startswith(p + b"/") for q in base)}
        self.base = base
        self.model = Model(base)
        commit = self.place.tree.commit(base) if base else None
        self.rooms = [self.place.room("ann", commit), self.place.room("bob")]
        self.turn = 0

    def teardown(self) -> None:
        for room in getattr(self, "rooms", []):
            room.close()
        self.folder.cleanup()

    def room(self) -> Room:
        self.turn += 1
        return self.rooms[self.turn % 2]

    def expect(self, error: type[Exception] | None, call: Any, *arguments: Any, **named: Any) -> None:
        if error is None:
            call(*arguments, **named)
            return
        with pytest.raises(error):
            call(*arguments, **named)

    @rule(path=paths, data=contents)
    def write(self, path: bytes, data: bytes) -> None:
        wrong = path in self.model.directories or self.model.blocked(path)
        self.expect(PathInUse if wrong else None, self.room().write, path, data)
        if not wrong:
            self.model.files[path] = data
            self.model.add_parents(path)

    @rule(path=paths)
    def remove(self, path: bytes) -> None:
        if path in self.model.files:
            self.room().remove(path)
            self.model.files.pop(path)
        else:
            self.expect((NoSuchPath, PathInUse), self.room().remove, path)

    @rule(old=paths, new=paths)
    def rename(self, old: bytes, new: bytes) -> None:
        model = self.model
        if old not in model.files:
            return
        wrong = new in model.directories or model.blocked(new) or new.startswith(old + b"/")
        self.expect(PathInUse if wrong else None, self.room().rename, old, new)
        if not wrong:
            model.move(old, new)

    @rule(a=paths | directories, b=paths | directories)
    def exchange(self, a: bytes, b: bytes) -> None:
        both = {*self.model.files, *self.model.directories}
        if a == b or a.startswith(b + b"/") or b.startswith(a + b"/") or not {a, b} <= both:
            return
        self.room().exchange(a, b)
        self.model.move(a, b"\0")
        self.model.directories.discard(b"")
        self.model.move(b, a)
        self.model.move(b"\0", b)

    @rule(path=directories)
    def mkdir(self, path: bytes) -> None:
        model = self.model
        if path in model.directories:
            return
        wrong = path in model.files or model.blocked(path)
        self.expect(PathInUse if wrong else None, self.room().mkdir, path, 1)
        if not wrong:
            model.directories.add(path)
            model.add_parents(path)

    @rule(path=directories)
    def rmdir(self, path: bytes) -> None:
        model = self.model
        if path not in model.directories:
            return
        wrong = bool(model.below(path))
        self.expect(DirectoryNotEmpty if wrong else None, self.room().rmdir, path)
        if not wrong:
            model.directories.discard(path)

    @rule(old=directories, new=directories)
    def rename_tree(self, old: bytes, new: bytes) -> None:
        model = self.model
        if old not in model.directories or new in model.files or model.blocked(new):
            return
        if old == new or new.startswith(old + b"/") or old.startswith(new + b"/"):
            return
        wrong = bool(model.below(new))
        self.expect(DirectoryNotEmpty if wrong else None, self.room().rename_tree, old, new)
        if not wrong:
            model.directories.discard(new)
            model.move(old, new)

    @rule(path=paths, mode=st.sampled_from([REGULAR, EXECUTABLE]))
    def set_mode(self, path: bytes, mode: int) -> None:
        if path in self.model.files:
            self.room().set_mode(path, mode)

    @rule()
    def commit(self) -> None:
        """Somebody commits all that is shown: nothing is changed any more."""
        room = self.room()
        room.catch_up()
        files: dict[bytes, Any] = {}
        for path, data in shown(room).items():
            entry = room.entry(path)
            leaf = self.place.tree.commits[room.base].get(path) if room.base else None
            mode = entry.mode if entry else leaf.mode if leaf else REGULAR
            files[path] = self.place.tree.leaf(data, mode)
        room.move_base(self.place.tree.commit(files), keep=bool(self.turn % 3))
        self.base = dict(self.model.files)
        assert room.changes() == []

    @rule(files=st.dictionaries(paths, contents))
    def keep_on_another_base(self, files: dict[bytes, bytes]) -> None:
        files = {p: d for p, d in files.items() if not any(q.startswith(p + b"/") for q in files)}
        commit: Oid = self.place.tree.commit(files)
        self.room().move_base(commit, keep=True)
        self.base = files

    @rule()
    def restore_all(self) -> None:
        room = self.room()
        room.catch_up()
        every = {entry.path for entry in room.changed()} | {entry.base_path for entry in room.changed()}
        room.restore([path for path in every if path is not None])
        assert list(room.changed()) == []
        self.model = Model(self.base)

    @rule()
    def reopen(self) -> None:
        for number, name in enumerate(("ann", "bob")):
            self.rooms[number].close()
            self.rooms[number] = self.place.room(name)

    @invariant()
    def all_windows_show_the_model(self) -> None:
        if not hasattr(self, "rooms"):
            return
        with self.place.room("new") as fresh:
            for room in (*self.rooms, fresh):
                room.catch_up()
                assert shown(room) == self.model.files
                assert shown_directories(room) == self.model.directories
        told = {change.path: change.status for change in self.rooms[0].changes()}
        for path in {*self.base, *self.model.files}:
            if self.base.get(path) != self.model.files.get(path):
                assert path in told


TreeMachine.TestCase.settings = settings(stateful_step_count=20, deadline=None)
test_tree = pytest.mark.property(TreeMachine.TestCase)
