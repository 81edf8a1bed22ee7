"""Laws of saves: what is written is read, windows converge, and nobody's insertion is lost."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anvcs.model.ids import Oid
from anvcs.rooms.diffing import diff
from anvcs.rooms.room import Room
from support.rooms import Place, shown

pytestmark = pytest.mark.property

# Endings, a byte order mark, combining and astral characters, and words that diff in tokens.
PIECES = ["\n", "\r\n", "a", "word ", "x = 1", "é", "e\u0301", "\U0001f600", "漢字", "\ufeff", "\t", "(", "", "\r"]
texts = st.lists(st.sampled_from(PIECES), max_size=30).map(lambda parts: "".join(parts).encode())
lines = st.lists(st.sampled_from(["one", "two", "three", "", "}", "  return x"]), max_size=12)
contents = texts | st.binary(max_size=20) | lines.map(lambda parts: "\r\n".join([*parts, ""]).encode())


@contextmanager
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        yield Place(Path(folder))


@given(old=texts, new=texts)
def test_a_diff_leads_from_the_old_text_to_the_new(old: bytes, new: bytes) -> None:
    at, parts = 0, []
    for start, stop, text in diff(old, new).splices:
        assert at <= start <= stop <= len(old)
        old[:start].decode()
        old[:stop].decode()
        parts += [old[at:start], text]
        at = stop
    assert b"".join([*parts, old[at:]]) == new


@given(base=contents, saves=st.lists(contents, max_size=5))
def test_what_was_written_is_read_byte_for_byte(base: bytes, saves: list[bytes]) -> None:
    with place() as here:
        commit = here.tree.commit({b"f": base})
        with here.room(base=commit) as room:
            for data in saves:
                room.write(b"f", data)
                assert shown(room)[b"f"] == data
                with here.room("reader") as again:
                    assert shown(again)[b"f"] == data


@given(base=texts, saves=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), contents), max_size=8))
def test_windows_converge_whatever_is_saved_from_whichever_version(
    base: bytes, saves: list[tuple[int, int, bytes]]
) -> None:
    with place() as here:
        commit = here.tree.commit({b"f": base})
        with here.room("ann", commit) as ann, here.room("bob") as bob:
            versions = [ann.version(b"f")]
            for who, back, data in saves:
                room = (ann, bob)[who]
                room.write(b"f", data, base=versions[max(0, len(versions) - 1 - back)])
                versions.append(room.version(b"f"))
            ann.catch_up()
            bob.catch_up()
            with here.room("late") as late:
                assert shown(ann) == shown(bob) == shown(late)
                assert list(ann.changed()) == list(bob.changed()) or {e.id: e for e in ann.changed()} == {
                    e.id: e for e in bob.changed()
                }


@given(data=st.data())
def test_saves_from_stale_reads_keep_every_insertion(data: st.DataObject) -> None:
    """Each agent inserts lines of its own into what it last read, and never deletes."""
    numbers = itertools.count()
    with place() as here:
        commit = here.tree.commit({b"f": b"alpha\nbeta\ngamma\n"})
        names = ("ann", "bob", "cyd")
        rooms = [here.room(name, commit if name == "ann" else None) for name in names]
        read = [(room.version(b"f"), b"alpha\nbeta\ngamma\n") for room in rooms]
        for _ in range(data.draw(st.integers(1, 8))):
            who = data.draw(st.integers(0, 2))
            room, (version, seen) = rooms[who], read[who]
            saved = seen.splitlines(keepends=True)
            at = data.draw(st.integers(0, len(saved)))
            saved.insert(at, b"%s %d\n" % (names[who].encode(), next(numbers)))
            room.write(b"f", b"".join(saved), base=version)
            if data.draw(st.booleans()):
                read[who] = (room.version(b"f"), shown(room)[b"f"])
            else:  # it goes on from what it wrote itself, without having looked
                read[who] = (version, seen)
        total = next(numbers)
        for room in rooms:
            room.catch_up()
            final = shown(room)[b"f"].splitlines()
            inserted = {int(line.split()[1]) for line in final if b" " in line}
            assert inserted == set(range(total))
            assert [line for line in final if b" " not in line] == [b"alpha", b"beta", b"gamma"]
            assert len(final) == total + 3
            room.close()


@given(base=texts, first=texts, second=texts, moved=texts)
def test_old_versions_stay_readable(base: bytes, first: bytes, second: bytes, moved: bytes) -> None:
    with place() as here:
        commit = here.tree.commit({b"f": base})
        with here.room(base=commit) as room:
            room.write(b"g", b"another file, so that numbers differ")
            seen = [(room.seq, base)]
            for text in (first, second):
                room.write(b"f", text)
                seen.append((room.seq, text))
            other: Oid = here.tree.commit({b"f": moved})
            file = next((entry.id for entry in room.changed() if entry.path == b"f"), None)
            if file is None:
                return
            room.move_base(other, keep=True)
            for version, text in seen:
                assert room.text_at(file, version) == text


@given(ours=lines, theirs=lines)
def test_what_both_did_alike_is_there_once(ours: list[str], theirs: list[str]) -> None:
    with place() as here:
        base = b"top\nmiddle\nbottom\n"
        commit = here.tree.commit({b"f": base})
        with here.room("ann", commit) as ann, here.room("bob") as bob:
            same = base.replace(b"middle\n", b"middle\n" + "\n".join([*ours, ""]).encode())
            version = ann.version(b"f")
            ann.write(b"f", same, base=version)
            bob.write(b"f", same, base=version)
            assert shown(bob)[b"f"] == same


def test_a_revert_of_what_was_seen_is_a_revert(tmp_path: Path) -> None:
    here = Place(tmp_path)
    commit = here.tree.commit({b"f": b"one\ntwo\n"})
    with here.room("ann", commit) as ann, here.room("bob") as bob:
        ann.write(b"f", b"one\nnew\ntwo\n")
        bob.catch_up()
        bob.write(b"f", b"one\ntwo\n", base=bob.version(b"f"))
        ann.catch_up()
        assert shown(ann) == {b"f": b"one\ntwo\n"}
        assert not list(ann.changed())


def _save(room: Room, data: bytes, base: int | None = None) -> bytes:
    room.write(b"f", data, base=base)
    return shown(room)[b"f"]


def test_line_ends_of_the_whole_file_can_change_under_a_stale_save(tmp_path: Path) -> None:
    here = Place(tmp_path)
    commit = here.tree.commit({b"f": b"one\r\ntwo\r\n"})
    with here.room("ann", commit) as ann:
        version = ann.version(b"f")
        assert _save(ann, b"one\ntwo\n") == b"one\ntwo\n"
        assert _save(ann, b"one\r\ntwo\r\nthree\r\n", version) == b"one\ntwo\nthree\n"


def test_a_stale_save_over_a_commit_and_a_new_edit_keeps_both(tmp_path: Path) -> None:
    here = Place(tmp_path)
    commit = here.tree.commit({b"f": b"1\n2\n3\n4\n5\n"})
    with here.room("ann", commit) as ann:
        _save(ann, b"1\n2\n3\n4\n5\n6\n")
        version = ann.version(b"f")
        seen = b"1\n2\n3\n4\n5\n6\n"
        ann.move_base(here.tree.commit({b"f": b"0\n" + seen}), keep=False)  # somebody else's, with ours in it
        assert shown(ann)[b"f"] == b"0\n" + seen
        _save(ann, b"0\n" + seen.replace(b"3", b"three"))
        assert _save(ann, seen.replace(b"5", b"five"), version) == b"0\n1\n2\nthree\n4\nfive\n6\n"
