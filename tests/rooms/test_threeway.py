"""Two changes of one text made into one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anvcs.rooms.threeway import Clash, changed_lines, merge

BASE = b"one\ntwo\nthree\nfour\nfive\n"


def clashes(seen: bytes, now: bytes, new: bytes) -> tuple[bytes, list[tuple[int, int, bytes, bytes]]]:
    found = merge(seen, now, new)
    return found.text, [(each.first_line, each.last_line, each.now, each.new) for each in found.clashes]


def test_different_lines_are_no_clash() -> None:
    now, new = BASE.replace(b"one", b"1"), BASE.replace(b"five", b"5")
    assert clashes(BASE, now, new) == (b"1\ntwo\nthree\nfour\n5\n", [])
    assert clashes(BASE, now, BASE + b"six\n") == (now + b"six\n", [])


def test_the_same_change_is_there_once() -> None:
    same = BASE.replace(b"two", b"2")
    assert clashes(BASE, same, same) == (same, [])
    now, new = same.replace(b"five", b"5"), same + b""
    assert clashes(BASE, now, new) == (now, [])


def test_neighbouring_lines_clash_as_for_git_and_both_edits_are_done() -> None:
    now, new = BASE.replace(b"two", b"2"), BASE.replace(b"three", b"3")
    assert clashes(BASE, now, new) == (b"one\n2\n3\nfour\nfive\n", [(2, 3, b"2\nthree\n", b"two\n3\n")])


def test_different_words_of_a_line_are_both_edited() -> None:
    seen, now, new = b"def f(a, b):\n", b"def g(a, b):\n", b"def f(a, b, c):\n"
    assert clashes(seen, now, new) == (b"def g(a, b, c):\n", [(1, 1, now, new)])


def test_the_same_word_gives_two_whole_lines() -> None:
    seen, now, new = b"a\nx = 1\nb\n", b"a\nx = 2\nb\n", b"a\nx = 3\nb\n"
    assert clashes(seen, now, new) == (b"a\nx = 2\nx = 3\nb\n", [(2, 3, b"x = 2\n", b"x = 3\n")])


def test_two_insertions_in_one_place_are_both_there_in_order() -> None:
    assert clashes(BASE, BASE + b"ann\n", BASE + b"bob\n") == (BASE + b"ann\nbob\n", [(6, 7, b"ann\n", b"bob\n")])
    assert merge(BASE, b"ann\n" + BASE, b"bob\n" + BASE).text == b"ann\nbob\n" + BASE


def test_what_one_side_has_of_the_other_is_not_repeated() -> None:
    assert merge(BASE, BASE + b"ann\nbob\n", BASE + b"bob\n").text == BASE + b"ann\nbob\n"
    assert merge(BASE, BASE + b"ann\n", BASE + b"ann\nmore\n").text == BASE + b"ann\nmore\n"


def test_blocks_that_end_alike_stay_whole() -> None:
    now, new = BASE + b"def a():\n    return 1\n", BASE + b"def b():\n    return 1\n"
    assert merge(BASE, now, new).text == now + b"def b():\n    return 1\n"


def test_a_deletion_yields_to_an_edit_of_the_same_line() -> None:
    deleted, edited = BASE.replace(b"three\n", b""), BASE.replace(b"three", b"3")
    assert merge(BASE, deleted, edited).text == edited
    assert merge(BASE, edited, deleted).text == edited
    assert merge(BASE, deleted, edited).clashes
    assert merge(BASE, b"", edited).text == b"3\n"
    assert merge(BASE, edited, b"").text == b"3\n"


def test_texts_without_a_last_newline() -> None:
    assert merge(b"a", b"a\nann", b"a\nbob").text == b"a\nann\nbob"
    assert merge(b"a", b"ann", b"bob").text == b"ann\nbob"
    assert merge(b"", b"ann", b"bob").text == b"ann\nbob"
    assert merge(b"a\nb", b"a\nb\n", b"x\nb").text == b"x\nb\n"


def test_who_indents_all_of_it_meets_who_edits_a_word() -> None:
    lines = [b"line %d (a, b)\n" % number for number in range(400)]
    seen = b"".join(lines)
    formatted = b"".join(b"    " + line for line in lines)
    edited = seen.replace(b"line 77 (a", b"line 77 (c")
    both = formatted.replace(b"line 77 (a", b"line 77 (c")
    assert merge(seen, edited, formatted).text == both
    assert merge(seen, formatted, edited).text == both


def test_who_indents_a_line_meets_who_replaces_it() -> None:
    seen = b"if a:\nb = 1\nc = 2\n"
    indented = b"if a:\n    b = 1\n    c = 2\n"
    replaced = b"if a:\nother()\nc = 2\n"
    assert merge(seen, indented, replaced).text == b"if a:\n    other()\n    c = 2\n"
    assert merge(seen, replaced, indented).text == b"if a:\n    other()\n    c = 2\n"
    assert merge(seen, replaced, indented).clashes
    assert merge(b"a = 1\n", b"a  =  1\n", b"x y z\n").text == b"a  =  1\nx y z\n", "white space is not all of it"


def test_a_clash_tells_where_it_is_in_the_merged_text() -> None:
    lines = [b"%d\n" % number for number in range(100)]
    now, new = list(lines), list(lines)
    now[50], new[50] = b"fifty\n", b"L\n"
    now[3:3] = [b"new\n"] * 5
    found = merge(b"".join(lines), b"".join(now), b"".join(new))
    (clash,) = found.clashes
    assert clash == Clash(56, 57, b"50\n", b"fifty\n", b"L\n")
    assert found.text.splitlines()[55:57] == [b"fifty", b"L"]


def test_changed_lines() -> None:
    assert changed_lines(BASE, BASE) == []
    assert changed_lines(BASE, BASE.replace(b"four\n", b"4\n4\n")) == [(3, 4, 3, 5)]
    assert changed_lines(BASE, BASE + b"six") == [(5, 5, 5, 6)]
    assert changed_lines(b"a", b"a\n") == [(0, 1, 0, 1)]


texts = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "a b\n", "é c\n", "}\n", "\n", "end"]), max_size=8).map(
    lambda parts: "".join(parts).encode()
)


@given(texts, texts, texts)
def test_any_three_texts_merge_to_a_text(seen: bytes, now: bytes, new: bytes) -> None:
    found = merge(seen, now, new)
    found.text.decode()
    for clash in found.clashes:
        assert 1 <= clash.first_line <= clash.last_line
    if seen == now:
        assert found.text == new
    if seen == new:
        assert found.text == now
    words = set(found.text.split())
    for word in set(new.split()) - set(seen.split()):
        assert word in words or any(word in part.split(b" ") for part in words), "an inserted word got lost"


@pytest.mark.parametrize("number", range(5))
def test_who_is_first_only_decides_the_order(number: int) -> None:
    seen = b"".join(b"%d\n" % line for line in range(20))
    now = seen.replace(b"%d\n" % number, b"ann\n", 1)
    new = seen.replace(b"%d\n" % number, b"bob\n", 1)
    one, other = merge(seen, now, new), merge(seen, new, now)
    assert sorted(one.text.splitlines()) == sorted(other.text.splitlines())
    assert len(one.clashes) == len(other.clashes) == 1
