"""Two agents' windows on one room, the second of whom acts on an older picture."""

from support.rooms import Place, shown, shown_directories

AB = ("ann", "bob")
BASE = {
    b"a": b"one\ntwo\nthree\n",
    b"b": b"bee\n",
    b"blob": b"\xff\xfe",
    b"d/x": b"x\n",
    b"d/y": b"y\n",
    b"e/z": b"z\n",
}


class Two:
    """Ann's and Bob's windows; Bob's user has seen what there was when `look` was last called."""

    def __init__(self, place: Place, base: dict[bytes, bytes]) -> None:
        self.place = place
        self.ann = place.room("ann", place.tree.commit(base))
        self.bob = place.room("bob")

    @property
    def seen(self):
        return self.bob.told

    def look(self) -> None:
        self.ann.catch_up()
        self.bob.catch_up()

    @property
    def files(self) -> dict[bytes, bytes]:
        """What everybody shows."""
        self.look()
        files = shown(self.ann)
        assert shown(self.bob) == files
        assert shown_directories(self.ann) == shown_directories(self.bob)
        with self.place.room("late") as fresh:
            assert shown(fresh) == files
        return files

    @property
    def records(self) -> list[tuple[str, bytes, tuple[str, ...]]]:
        found = self.ann.conflicts()
        assert all(record.note for record in found)
        return [(record.kind, record.path, tuple(side.agent for side in record.sides)) for record in found]
