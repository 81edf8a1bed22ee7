"""Saves that meet: what is kept, what is told, and when that is over."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anvcs.model.ids import Seq
from anvcs.rooms.fsck import fsck
from anvcs.rooms.room import Room
from support.rooms import Place, shown

TEXT = b"one\ntwo\nthree\nfour\nfive\n"


class Pair:
    """Two windows on one room with one file."""

    def __init__(self, folder: Path) -> None:
        self.here = Place(folder)
        commit = self.here.tree.commit({b"f": TEXT})
        self.ann, self.bob = self.here.room("ann", commit), self.here.room("bob")
        self.seen = self.ann.version(b"f")

    @property
    def text(self) -> bytes:
        self.ann.catch_up()
        self.bob.catch_up()
        assert shown(self.ann) == shown(self.bob)
        assert self.ann.conflicts(resolved=True) == self.bob.conflicts(resolved=True)
        return shown(self.ann)[b"f"]

    def close(self) -> None:
        self.ann.close()
        self.bob.close()
        assert fsck(self.here.file).ok


@pytest.fixture
def two(tmp_path: Path):
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def open_ones(room: Room) -> list[str]:
    return [record.kind for record in room.conflicts()]


def collide(two: Pair) -> str:
    """Both edit line 2 from the same version: the record's name."""
    two.ann.write(b"f", TEXT.replace(b"two", b"ann"), base=two.seen)
    two.bob.write(b"f", TEXT.replace(b"two", b"bob"), base=two.seen)
    assert two.text == b"one\nann\nbob\nthree\nfour\nfive\n"
    (record,) = two.ann.conflicts()
    return record.id


def test_a_record_names_lines_agents_and_texts(two: Pair) -> None:
    name = collide(two)
    record = two.ann.conflict(name)
    assert (record.kind, record.path, record.first_line, record.last_line) == ("lines", b"f", 2, 3)
    assert [(side.agent, side.model, side.text) for side in record.sides] == [
        ("ann", "model-1", b"ann\n"),
        ("bob", "model-1", b"bob\n"),
    ]
    assert not record.resolved
    assert record.time_ns == list(two.ann.ops())[-1].time_ns


def test_the_author_of_the_other_side_is_found_among_many(two: Pair) -> None:
    with two.here.room("cid") as cid:
        two.ann.write(b"f", TEXT.replace(b"two", b"ann"), base=two.seen)
        cid.write(b"f", TEXT.replace(b"five", b"cid"), base=two.seen)
        two.bob.write(b"f", TEXT.replace(b"two", b"bob"), base=two.seen)
    assert [side.agent for side in two.bob.conflicts()[0].sides] == ["ann", "bob"]


def test_clean_merges_leave_no_record(two: Pair) -> None:
    two.ann.write(b"f", TEXT.replace(b"one", b"1"), base=two.seen)
    two.bob.write(b"f", TEXT.replace(b"five", b"5"), base=two.seen)
    two.ann.write(b"f", TEXT.replace(b"one", b"1"), base=two.seen)
    assert two.text == b"1\ntwo\nthree\nfour\n5\n"
    assert two.ann.conflicts(resolved=True) == []


def test_an_edit_of_the_lines_by_who_saw_them_resolves(two: Pair) -> None:
    collide(two)
    now = two.text
    two.bob.write(b"f", now.replace(b"five", b"5"), base=two.bob.version(b"f"))
    assert open_ones(two.bob) == ["lines"], "elsewhere"
    two.bob.write(b"f", b"zero\n" + now.replace(b"five", b"5"), base=two.bob.version(b"f"))
    assert open_ones(two.bob) == ["lines"], "the lines have moved down"
    two.ann.catch_up()
    assert two.ann.conflict_lines(two.ann.conflicts()[0]) == (3, 4)
    two.ann.write(b"f", two.text.replace(b"ann\nbob\n", b"both\n"), base=two.ann.version(b"f"))
    assert two.text == b"zero\none\nboth\nthree\nfour\n5\n"
    assert open_ones(two.ann) == open_ones(two.bob) == []
    assert two.bob.conflicts(resolved=True)[0].resolved


def test_without_a_base_the_current_text_was_seen(two: Pair) -> None:
    collide(two)
    two.ann.write(b"f", two.text.replace(b"ann\nbob\n", b"both\n"))
    assert open_ones(two.ann) == []


def test_who_has_not_seen_the_merged_text_resolves_nothing(two: Pair) -> None:
    collide(two)
    two.ann.write(b"f", TEXT.replace(b"two", b"cid"), base=two.seen)
    assert two.text == b"one\nann\nbob\ncid\nthree\nfour\nfive\n"
    assert open_ones(two.ann) == ["lines", "lines"]


def test_a_deleted_or_restored_file_has_no_open_conflict(two: Pair) -> None:
    collide(two)
    two.ann.catch_up()
    two.ann.restore([b"f"])
    assert open_ones(two.ann) == []
    two.seen = two.ann.seq
    two.bob.catch_up()
    collide(two)
    two.ann.catch_up()
    two.ann.remove(b"f")
    assert open_ones(two.ann) == []


def test_many_places_are_a_bounded_number_of_records(tmp_path: Path) -> None:
    here = Place(tmp_path)
    lines = [b"line %d\n" % number for number in range(200)]
    commit = here.tree.commit({b"f": b"".join(lines)})
    with here.room("ann", commit) as ann, here.room("bob") as bob:
        seen = ann.version(b"f")
        every_third = [b"ann\n" if number % 3 == 0 else line for number, line in enumerate(lines)]
        ann.write(b"f", b"".join(every_third), base=seen)
        bob.write(b"f", b"".join(every_third).replace(b"ann", b"bob"), base=seen)
        records = bob.conflicts()
        assert len(records) == 20
        assert "47 more places" in records[-1].note


def test_line_ends_do_not_matter(tmp_path: Path) -> None:
    here = Place(tmp_path)
    commit = here.tree.commit({b"f": TEXT.replace(b"\n", b"\r\n")})
    with here.room("ann", commit) as ann, here.room("bob") as bob:
        seen = ann.version(b"f")
        ann.write(b"f", TEXT.replace(b"\n", b"\r\n").replace(b"two", b"ann"), base=seen)
        bob.write(b"f", TEXT.replace(b"\n", b"\r\n").replace(b"two", b"bob"), base=seen)
        (record,) = bob.conflicts()
        assert shown(bob)[b"f"] == b"one\r\nann\r\nbob\r\nthree\r\nfour\r\nfive\r\n"
        bob.write(b"f", shown(bob)[b"f"].replace(b"ann\r\n", b""))
        assert bob.conflict(record.id).resolved


# --- whose base is not a version


def test_who_goes_on_from_its_own_save_reverts_nobody(two: Pair) -> None:
    """An editor keeps its own text; what was merged in behind its back isn't in it."""
    two.ann.write(b"f", TEXT.replace(b"one", b"1"), base=two.seen)
    mine = TEXT.replace(b"five", b"5")
    two.bob.write(b"f", mine, base=two.seen)
    again = mine.replace(b"5", b"V").replace(b"four", b"4")
    two.bob.write(b"f", again, base=two.seen, had=mine)
    assert two.text == b"1\ntwo\nthree\n4\nV\n"
    back = again.replace(b"V", b"five").replace(b"4", b"four")
    two.bob.write(b"f", back, base=two.seen, had=again)
    assert two.text == b"1\ntwo\nthree\nfour\nfive\n", "also what it takes back of its own"
    assert two.bob.conflicts(resolved=True) == []


def test_a_doubt_keeps_the_text_and_says_so(two: Pair) -> None:
    two.ann.write(b"f", TEXT + b"six\n", base=two.seen)
    two.bob.catch_up()
    newest = two.bob.version(b"f")
    moved = two.bob.write(b"f", TEXT.replace(b"one", b"1"), base=newest, doubts=(two.seen,))
    assert moved.conflicts
    assert two.text == b"1\ntwo\nthree\nfour\nfive\nsix\n"
    (record,) = two.ann.conflicts()
    assert (record.kind, record.first_line, record.last_line) == ("base-unsure", 6, 6)
    assert [(side.agent, side.text) for side in record.sides] == [("ann", b"six\n"), ("bob", b"")]
    two.bob.write(b"f", b"1\ntwo\nthree\nfour\nfive\n")
    assert open_ones(two.bob) == []


def test_a_doubt_in_two_places_is_two_records(two: Pair) -> None:
    two.ann.write(b"f", b"zero\n" + TEXT + b"six\n", base=two.seen)
    two.bob.catch_up()
    two.bob.write(b"f", TEXT.replace(b"three", b"3"), base=two.bob.version(b"f"), doubts=(two.seen,))
    assert two.text == b"zero\none\ntwo\n3\nfour\nfive\nsix\n"
    assert [(one.kind, one.first_line, one.last_line) for one in two.ann.conflicts()] == [
        ("base-unsure", 1, 1),
        ("base-unsure", 7, 7),
    ]


def test_a_doubt_that_changes_nothing_says_nothing(two: Pair) -> None:
    two.ann.write(b"f", TEXT + b"six\n", base=two.seen)
    two.bob.catch_up()
    two.bob.write(b"f", TEXT.replace(b"one", b"1") + b"six\n", base=two.bob.version(b"f"), doubts=(two.seen,))
    assert two.text == b"1\ntwo\nthree\nfour\nfive\nsix\n"
    assert two.bob.conflicts(resolved=True) == []


# --- merges that don't parse


def unbalanced(path: bytes, data: bytes) -> int | None:
    """A language in which brackets must be balanced; in files called ``f``."""
    if path != b"f":
        return None
    return 0 if data.count(b"(") == data.count(b")") else 1 + data[: data.rfind(b"(") + 1].count(b"\n")


def broken_merge(two: Pair) -> None:
    """Each side is balanced, both together are not."""
    start = b"(\n1\n2\n3\n4\n5\n)\n"
    two.ann.write(b"f", start)
    two.bob.catch_up()
    two.seen = two.ann.version(b"f")
    two.ann.write(b"f", start.replace(b"(\n", b"").replace(b")\n", b"end\n"), base=two.seen)
    two.bob.write(b"f", start.replace(b"3\n", b"3 )\n(\n"), base=two.seen)
    assert two.text == b"1\n2\n3 )\n(\n4\n5\nend\n"


def half_broken_merge(two: Pair) -> None:
    start = b"(\n1\n2\n3\n4\n5\n)\n6\n"
    two.ann.write(b"f", start)
    two.bob.catch_up()
    two.seen = two.ann.version(b"f")
    two.ann.write(b"f", start.replace(b"(\n", b"", 1).replace(b")\n", b"", 1), base=two.seen)
    two.bob.write(
        b"f",
        start.replace(b"1\n2\n", b"1\n)\n(\n2\n").replace(b"3\n", b"3 (\n").replace(b"5\n)\n", b"5\n))\n"),
        base=two.seen,
    )


@pytest.fixture
def parsing(tmp_path: Path):
    pair = Pair(tmp_path)
    pair.bob.close()
    pair.bob = pair.here.room("bob", broken=unbalanced)
    yield pair
    pair.close()


def test_a_merge_that_parses_is_no_conflict(parsing: Pair) -> None:
    broken_merge(parsing)
    assert parsing.bob.has_unchecked
    parsing.bob.check_merges()
    assert not parsing.bob.has_unchecked
    assert parsing.text.count(b"(") == parsing.text.count(b")")
    assert parsing.ann.conflicts() == []


def test_a_merge_that_does_not_parse_though_both_sides_did_is_one(parsing: Pair) -> None:
    half_broken_merge(parsing)
    parsing.bob.check_merges()
    assert parsing.text.count(b"(") != parsing.text.count(b")")
    record = next(one for one in parsing.ann.conflicts() if one.kind == "parse")
    assert [side.agent for side in record.sides] == ["ann", "bob"]
    assert parsing.text.splitlines()[record.first_line - 1].count(b"(") == 1
    parsing.bob.write(b"f", parsing.text + b"still\n")
    parsing.bob.check_merges()
    assert "parse" in open_ones(parsing.bob), "it still doesn't"
    parsing.bob.write(b"f", b"(1)\n")
    parsing.bob.check_merges()
    assert "parse" not in open_ones(parsing.bob)
    assert "parse" not in [one.kind for one in parsing.ann.conflicts() if parsing.text and not one.resolved]


def test_what_was_broken_before_or_has_changed_since_is_not_told(parsing: Pair) -> None:
    parsing.ann.write(b"f", b"1\n2\n3\n4\n")
    parsing.bob.catch_up()
    seen = parsing.bob.version(b"f")
    parsing.ann.write(b"f", b"(\n1\n2\n3\n4\n", base=seen)
    parsing.bob.write(b"f", b"1\n2\n3\n4\n5\n", base=seen)
    parsing.bob.check_merges()
    assert "parse" not in open_ones(parsing.bob), "one side alone was broken"
    half_broken_merge(parsing)
    (merge,) = parsing.bob.unchecked()
    line = parsing.bob.judge(merge)
    assert line
    parsing.bob.write(b"f", b"fine\n")
    assert not parsing.bob.is_current(merge)
    before = parsing.bob.seq
    parsing.bob.note_broken(merge, line)
    assert parsing.bob.seq == before


# --- laws


@settings(deadline=None)
@given(st.integers(0, 1 << 30))
def test_windows_agree_on_every_record_and_no_line_is_lost(
    tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    chance = random.Random(number)
    here = Place(tmp_path_factory.mktemp("law"))
    commit = here.tree.commit({b"f": b"".join(b"line %d\n" % line for line in range(8))})
    rooms = [here.room("ann", commit), here.room("bob"), here.room("cid")]
    read: list[tuple[Seq, bytes]] = [(room.version(b"f"), shown(room)[b"f"]) for room in rooms]
    kept: set[bytes] = set()
    for step in range(12):
        who = chance.randrange(3)
        base, text = read[who]
        lines = text.splitlines(keepends=True)
        mark = b"mark %d of %d\n" % (step, who)
        at = chance.randrange(len(lines) + 1)
        victim = lines[at] if at < len(lines) else b""
        if chance.random() < 0.5 and victim and not victim.startswith(b"mark"):
            lines[at] = mark
        else:
            lines.insert(at, mark)
        rooms[who].write(b"f", b"".join(lines), base=base)
        kept.add(mark)
        if chance.random() < 0.6:
            other = chance.randrange(3)
            rooms[other].catch_up()
            read[other] = rooms[other].version(b"f"), shown(rooms[other])[b"f"]
        else:
            read[who] = base, text
    for room in rooms:
        room.catch_up()
    texts = {shown(room)[b"f"] for room in rooms}
    assert len(texts) == 1
    assert kept <= set(texts.pop().splitlines(keepends=True))
    records = [room.conflicts(resolved=True) for room in rooms]
    assert records[0] == records[1] == records[2]
    for room in rooms:
        room.close()
    with here.room("dan") as late:
        assert late.conflicts(resolved=True) == records[0]
    assert fsck(here.file).ok
