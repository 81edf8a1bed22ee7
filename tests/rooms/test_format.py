"""The bytes of a record are part of the format; docs/reference/formats/op-log.md describes them."""

import pytest

from anvcs.model.ids import FileId, Oid, Seq
from anvcs.model.room import Content, Entry
from anvcs.rooms.diffing import Splice
from anvcs.rooms.documents import Document, DocumentFailed, seed, seed_client
from anvcs.rooms.records import DocumentPart, Drop, MalformedRecord, Payload, decode, encode, row_check

ENTRY = Entry(
    id=FileId(b"i" * 16),
    path=b"new",
    base_path=b"old",
    mode=0o100644,
    content=Content.TEXT,
    ref=b"\r\n",
    size=3,
    mtime_ns=4,
    seq=Seq(5),
    content_seq=Seq(5),
)
PAYLOAD = Payload(
    path=b"new",
    old_path=b"old",
    added=1,
    removed=2,
    base=Oid(b"b" * 20),
    rebased=True,
    puts=(ENTRY,),
    drops=(Drop(FileId(b"d" * 16), None),),
    docs=(DocumentPart(FileId(b"i" * 16), 0, True, (b"p",), 7, (b"u", b"v")),),
    traces=((b"was", FileId(b"t" * 16)),),
)
GOLDEN = (
    "9b01c4036e6577c4036f6c640102c3c41462626262626262626262626262626262626262629199c41069696969696969"
    "696969696969696969c4036e6577c4036f6c64cd81a401c4020d0a0304c09192c4106464646464646464646464646464"
    "6464c09196c4106969696969696969696969696969696900c391c401700792c40175c401769192c403776173c4107474"
    "7474747474747474747474747474"
)


def test_record_bytes_are_pinned() -> None:
    assert encode(PAYLOAD, Seq(5)).hex() == GOLDEN
    assert decode(bytes.fromhex(GOLDEN), Seq(5)) == PAYLOAD


def test_the_check_covers_every_column() -> None:
    row = (1, 2, "agent", "model", "view", "edit", b"file", b"payload")
    assert row_check(*row) == 0x98FD0D47
    for column in range(len(row)):
        other = list(row)
        other[column] = other[column] + (1 if isinstance(other[column], int) else other[column][:1])
        assert row_check(*other) != row_check(*row)


def test_junk_is_malformed() -> None:
    for junk in (b"", b"\xc1", b"\x9b", b"\x91\x02", bytes.fromhex(GOLDEN)[:-1]):
        with pytest.raises(MalformedRecord):
            decode(junk, Seq(1))


def test_a_seed_is_the_same_in_every_process() -> None:
    assert seed_client(b"one\n") == 0xAC8B08DA
    assert seed(b"one\n").hex() == "0101da91ace40a0004010474657874046f6e650a00"
    assert seed(b"one\n") == seed(b"one\n")


@pytest.mark.parametrize(
    "splice", [Splice(1, 1, b"x"), Splice(0, 1, b""), Splice(0, 99, b""), Splice(2, 1, b""), Splice(0, 0, b"\xa9")]
)
def test_the_door_refuses_what_would_panic_or_diverge(splice: Splice) -> None:
    document = Document()
    document.edit(b"", [Splice(0, 0, "é".encode())])
    with pytest.raises(DocumentFailed):
        document.edit("é".encode(), [splice])
    assert document.text() == "é".encode()


def test_a_panic_is_an_error_of_ours() -> None:
    with pytest.raises(DocumentFailed):
        Document().apply([b"\xff\xff\xffjunk"])


def test_many_splices_are_several_updates() -> None:
    text = b"a\n" * 250
    document = Document()
    document.edit(b"", [Splice(0, 0, text)])
    updates = document.edit(text, [Splice(2 * line, 2 * line + 1, b"bb") for line in range(250)])
    assert len(updates) == 3
    assert document.text() == b"bb\n" * 250
