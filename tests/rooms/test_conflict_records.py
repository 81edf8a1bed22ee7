"""Conflict records: their bytes, their table, who sees them, and how they end."""

import sqlite3
from pathlib import Path

import msgpack
import pytest

from anvcs.model.conflict import TEXT_LIMIT, Side, parse_conflict_id
from anvcs.model.ids import FileId, Seq
from anvcs.rooms.conflicts import ConflictPart
from anvcs.rooms.errors import NoSuchConflict
from anvcs.rooms.fsck import fsck
from anvcs.rooms.records import MalformedRecord, Payload, decode, encode
from anvcs.rooms.room import Room
from support.rooms import Place

FILE = FileId(b"f" * 16)
PART = ConflictPart("lines", FILE, b"a.py", 3, 4, (("ann", "m", b"x\n"), ("bob", "", b"y\n")), "both changed it")
PAYLOAD = Payload(b"a.py", None, 0, 0, None, False, (), (), (), (), (PART,), ((7, 1),))
GOLDEN = (
    "9c02c404612e7079c00000c2c09090909082a9636f6e666c696374739197a56c696e6573c41066666666666666666666666666666666c404"
    "612e707903049293a3616e6ea16dc402780a93a3626f62a0c402790aaf626f7468206368616e676564206974a87265736f6c766564919207"
    "01"
)


def test_a_record_with_conflicts_is_of_format_2() -> None:
    assert encode(PAYLOAD, Seq(9)).hex() == GOLDEN
    assert decode(bytes.fromhex(GOLDEN), Seq(9)) == PAYLOAD


def test_an_unknown_part_is_no_guess() -> None:
    items = msgpack.unpackb(bytes.fromhex(GOLDEN))
    items[11]["later"] = 1
    with pytest.raises(MalformedRecord, match="later"):
        decode(msgpack.packb(items), Seq(9))


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


def note(room: Room, text: bytes = b"mine\n", kind: str = "same-name") -> str:
    """An op with one conflict in it: the record's name."""
    with (change := room._change(b"f", None)) as draft:
        draft.kind = "note"
        draft.conflict(kind, FILE, b"f", [Side(agent="ann", text=text), Side(agent="bob")], "two of it", lines=(1, 2))
    assert change.moved.conflicts
    return f"{change.moved.seq}-0"


def test_every_window_sees_the_same_records(here: Place) -> None:
    with here.room() as room, here.room("bob") as other:
        name = note(room)
        (moved,) = other.catch_up()
        assert moved.conflicts
        (record,) = other.conflicts()
        assert (record.id, record.kind, record.path, record.first_line, record.last_line) == (
            name,
            "same-name",
            b"f",
            1,
            2,
        )
        assert [(side.agent, side.text) for side in record.sides] == [("ann", b"mine\n"), ("bob", b"")]
        assert room.conflicts() == [record]
        assert (room.open_conflicts(), other.open_conflicts()) == (1, 1)
    with here.room() as again:
        assert again.conflicts() == [record]
        assert again.open_conflicts() == 1


def test_resolving_is_an_op(here: Place) -> None:
    with here.room() as room, here.room("bob") as other:
        first, second = note(room), note(room)
        other.catch_up()
        moved = other.resolve(first)
        assert moved.conflicts
        room.catch_up()
        assert [one.id for one in room.conflicts()] == [second]
        assert [(one.id, one.resolved) for one in room.conflicts(resolved=True)] == [(first, True), (second, False)]
        last = list(room.ops())[-1]
        assert (last.kind, last.agent, last.path) == ("resolve", "bob", b"f")
        assert other.resolve(first).seq == moved.seq, "a second time is no op"
        for name in ("9-9", "x", "1", "-1-0", "1-0x"):
            with pytest.raises(NoSuchConflict):
                room.resolve(name)
        assert room.conflict(first).resolved


def raised(error: Exception) -> None:
    raise error


def test_a_failed_change_leaves_no_conflict(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.room() as room:
        full = sqlite3.OperationalError("disk full")
        monkeypatch.setattr(room._core.log, "commit", lambda: raised(full))
        with pytest.raises(sqlite3.OperationalError):
            note(room)
        assert (room.conflicts(), room.open_conflicts(), room.seq) == ([], 0, 0)
        with pytest.raises(ValueError, match="kind"), room._change(b"f", None) as draft:
            draft.conflict("unheard-of", FILE, b"f", [], "")


def test_a_long_text_is_cut(here: Place) -> None:
    with here.room() as room:
        note(room, b"x" * (TEXT_LIMIT + 1))
        text = room.conflicts()[0].sides[0].text
        assert len(text) == TEXT_LIMIT
        assert text.endswith(b"[cut]\n")


def base_entry_id(room: Room) -> FileId:
    entry = room.entry(b"f")
    assert entry is not None
    return entry.id


def downgrade(here: Place) -> None:
    """Make the file what the program before conflicts left."""
    db = sqlite3.connect(here.file)
    db.execute("DROP TABLE conflicts")
    db.execute("UPDATE meta SET value = 1 WHERE key = 'format'")
    db.commit()
    db.close()


def test_an_older_file_is_brought_up_to_date(here: Place) -> None:
    with here.room() as room:
        room.write(b"f", b"one\n")
    downgrade(here)
    assert fsck(here.file).ok
    with here.room("reader", read_only=True) as reader:
        assert (reader.conflicts(resolved=True), reader.open_conflicts()) == ([], 0)
        with pytest.raises(NoSuchConflict):
            reader.conflict("1-0")
    with here.room() as room:
        assert room.text_at(base_entry_id(room), room.seq) == b"one\n"
        note(room)
        assert room.open_conflicts() == 1
    assert fsck(here.file).ok


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM conflicts",
        "UPDATE conflicts SET resolved = 77",
        "UPDATE conflicts SET file = x'00'",
        "UPDATE conflicts SET ordinal = 5",
    ],
)
def test_fsck_makes_the_table_again(here: Place, damage: str) -> None:
    with here.room() as room:
        note(room)
        done = note(room)
        room.resolve(done)
        before = room.conflicts(resolved=True)
    assert fsck(here.file).ok
    with sqlite3.connect(here.file) as db:
        db.execute(damage)
    db.close()
    assert not fsck(here.file).ok
    assert fsck(here.file, repair=True).repaired
    assert fsck(here.file).ok
    with here.room() as room:
        assert room.conflicts(resolved=True) == before


def test_names_are_strict() -> None:
    assert parse_conflict_id("12-3") == (12, 3)
    for junk in ("", "1", "1-", "-1", "1-2-3", "a-1", "1 -2", "\N{SUPERSCRIPT TWO}-1"):
        with pytest.raises(ValueError, match="123-0"):
            parse_conflict_id(junk)
