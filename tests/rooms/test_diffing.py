"""Where a line is put: edits are whole lines wherever they can be."""

import pytest

from anvcs.rooms.diffing import Splice, diff
from support.rooms import Place, shown

OLD = b"def a():\ndef c():\n    # note\n"


@pytest.mark.parametrize(
    ("new", "splice"),
    [
        (b"def a():\ndef b():\ndef c():\n    # note\n", Splice(9, 9, b"def b():\n")),
        (b"def _():\ndef a():\ndef c():\n    # note\n", Splice(0, 0, b"def _():\n")),
        (b"def a():\ndef c():\n    # new\n    # note\n", Splice(18, 18, b"    # new\n")),
        (b"def c():\n    # note\n", Splice(0, 9, b"")),
        (b"def a():\n    # note\n", Splice(9, 18, b"")),
        # Inside a line, and where the text ends without a newline, it stays what it is.
        (b"def a():\ndef cdef c():\n    # note\n", Splice(14, 14, b"def c")),
        (OLD + b"    # more", Splice(len(OLD), len(OLD), b"    # more")),
    ],
)
def test_whole_lines_are_inserted_and_deleted_as_such(new: bytes, splice: Splice):
    assert list(diff(OLD, new).splices) == [splice]


def test_a_line_put_before_one_that_begins_alike_survives_that_one(tmp_path):
    here = Place(tmp_path)
    commit = here.tree.commit({b"f": b"# mark one\nend\n"})
    with here.room("ann", commit) as ann, here.room("bob") as bob:
        seen = ann.version(b"f")
        ann.write(b"f", b"end\n", base=seen)
        bob.write(b"f", b"# mark two\n# mark one\nend\n", base=seen)
        assert shown(bob)[b"f"] == b"# mark two\nend\n"
