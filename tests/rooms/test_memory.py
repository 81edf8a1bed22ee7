"""Documents that nobody touches leave memory, and come back when they are wanted."""

from pathlib import Path

from support.rooms import Place, shown


def test_untouched_documents_are_dropped_and_come_back(tmp_path: Path):
    here = Place(tmp_path)
    commit = here.tree.commit({b"a": b"one\n", b"b": b"two\n"})
    with here.room("ann", commit) as ann, here.room("bob") as bob:
        ann.write(b"a", b"one\nmore\n")
        ann.write(b"b", b"two\nmore\n")
        live = ann._core.docs._live
        ann.drop_unused()
        assert len(live) == 2  # both were touched before the call
        seen = ann.seq
        ann.write(b"a", b"one\nmore\nand more\n")
        bob.write(b"b", b"two\nmore\nby bob\n")
        ann.catch_up()
        ann.drop_unused()
        assert [ann.entry_of(file).path for file in live] == [b"a"]  # what bob did to b wants no document here
        assert ann._core.docs._weight > 0
        ann.drop_unused()
        assert not live
        assert ann._core.docs._weight == 0
        assert shown(ann) == {b"a": b"one\nmore\nand more\n", b"b": b"two\nmore\nby bob\n"}
        ann.write(b"b", b"0\ntwo\nmore\n", base=seen)  # a save from a version that nobody holds
        bob.catch_up()
        assert shown(ann)[b"b"] == shown(bob)[b"b"] == b"0\ntwo\nmore\nby bob\n"
