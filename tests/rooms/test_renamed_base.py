"""A base that has a file under another name, while the room has changed it."""

from pathlib import Path

import pytest

from support.rooms import Place, shown

TEXT = b"".join(b"line %d\n" % number for number in range(20))
EDITED = TEXT.replace(b"line 1\n", b"LINE 1\n")
LATER = TEXT.replace(b"line 18\n", b"LINE 18\n")
BOTH = EDITED.replace(b"line 18\n", b"LINE 18\n")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({b"b": TEXT}, {b"b": EDITED}),
        ({b"d/e/b": LATER}, {b"d/e/b": BOTH}),
        # The one with the same name, or else the more alike one.
        ({b"x": TEXT, b"d/a": TEXT}, {b"x": TEXT, b"d/a": EDITED}),
        ({b"b": LATER, b"c": LATER.replace(b"line 9\n", b"")}, {b"b": BOTH, b"c": LATER.replace(b"line 9\n", b"")}),
        # Something else that came, or nothing: the edit stays where it was made.
        ({b"b": b"other\n" * 20}, {b"a": EDITED, b"b": b"other\n" * 20}),
        ({}, {b"a": EDITED}),
    ],
)
def test_where_the_edit_goes(after: dict[bytes, bytes], expected: dict[bytes, bytes], tmp_path: Path) -> None:
    place = Place(tmp_path)
    first, second = place.tree.commit({b"a": TEXT, b"k": b"k\n"}), place.tree.commit(after | {b"k": b"k\n"})
    with place.room("ann", base=first) as ann, place.room("ben") as ben:
        ann.write(b"a", EDITED)
        before = ann.entry(b"a")
        ann.move_base(second, keep=False)
        ben.catch_up()
        for room in (ann, ben):
            assert shown(room) == expected | {b"k": b"k\n"}
        edited = next(path for path, text in expected.items() if b"LINE 1\n" in text)
        entry = ann.entry(edited)
        assert before is not None
        assert entry is not None
        assert entry.id == before.id, "the same file, for blame and for who has it open"
        assert [change.path for change in ann.changes()] == [edited]


def test_a_name_that_the_room_has_taken(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first, second = place.tree.commit({b"a": TEXT}), place.tree.commit({b"b": LATER})
    with place.room("ann", base=first) as ann:
        ann.write(b"a", EDITED)
        ann.write(b"b", b"ann's own\n")
        ann.move_base(second, keep=False)
        texts = [*shown(ann).values()]
        assert EDITED in texts
        assert b"ann's own\n" in texts
