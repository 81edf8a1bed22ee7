"""Pins are valid from birth; pointers are exact bytes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anvcs.model.pin import MalformedPin, Pieces, Pin, content_key, pin_from_document
from anvcs.model.pointer import (
    LIMIT,
    MalformedPointer,
    PointerTooLong,
    PointerVersionUnknown,
    decode_pointer,
    encode_pointer,
    is_pointer,
)

A, B = "a" * 64, "0123456789abcdef" * 4

FULL = Pin(
    storage="s3",
    bucket="models",
    region="eu-central-1",
    key="nets/ü 50%.pt",
    version_id="3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
    sha256=A,
    size=10737418240,
    pieces=Pieces(size=4194304, digest=B, version_id="v2"),
    compress="zstd",
    mtime_ns=1_714_564_800_120_000_000,
    extra=(("owner", "Ann & Ben"), ("x.later", "1")),
)

FULL_BYTES = f"""\
anvcs artifact 1
sha256 {A}
size 10737418240
storage s3
bucket models
region eu-central-1
key nets/ü 50%25.pt
version_id 3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY
pieces 4194304 {B} v2
compress zstd
mtime 2024-05-01T12:00:00.12Z
owner Ann & Ben
x.later 1
""".encode()

LEAST = Pin(storage="local", key="k", sha256=A, size=0)
LEAST_BYTES = f"anvcs artifact 1\nsha256 {A}\nsize 0\nstorage local\nkey k\n".encode()


def test_pointer_bytes_are_pinned():
    assert encode_pointer(FULL) == FULL_BYTES
    assert encode_pointer(LEAST) == LEAST_BYTES
    assert decode_pointer(FULL_BYTES) == FULL
    assert decode_pointer(LEAST_BYTES) == LEAST


def test_lines_in_another_order_say_the_same():
    head, *lines = FULL_BYTES.decode().splitlines()
    assert decode_pointer("\n".join([head, *sorted(lines)]).encode() + b"\n") == FULL


def test_unknown_keys_come_back():
    data = LEAST_BYTES + b"licence MIT 100%25 and so on\n"
    assert decode_pointer(data).extra == (("licence", "MIT 100% and so on"),)
    assert encode_pointer(decode_pointer(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        LEAST_BYTES[:-1],
        LEAST_BYTES.replace(b"size 0\n", b""),
        LEAST_BYTES.replace(b"size 0", b"size 00"),
        LEAST_BYTES.replace(b"size 0", b"size -1"),
        LEAST_BYTES.replace(b"size 0", b"size  0"),
        LEAST_BYTES.replace(b"key k", b"key k "),
        LEAST_BYTES.replace(b"key k", b"key "),
        LEAST_BYTES.replace(b"key k", b"key ../k"),
        LEAST_BYTES.replace(b"key k", b"key /k"),
        LEAST_BYTES.replace(b"key k", b"key a%0Ab"),
        LEAST_BYTES.replace(b"key k", b"key a%zz"),
        LEAST_BYTES.replace(b"key k", b"key a%FF"),
        LEAST_BYTES.replace(b"key k", b"key \xff"),
        LEAST_BYTES.replace(b"a" * 64, b"A" * 64),
        LEAST_BYTES + b"key l\n",
        LEAST_BYTES + b"\n",
        LEAST_BYTES.replace(b"\n", b"\r\n").replace(b"1\r\n", b"1\n", 1),
        LEAST_BYTES + b"pieces 4194304\n",
        LEAST_BYTES + b"pieces 5 " + b"a" * 64 + b"\n",
        LEAST_BYTES + b"compress lzma\n",
        LEAST_BYTES + b"mtime yesterday\n",
        LEAST_BYTES + b"mtime 2024-02-30T12:00:00Z\n",
        LEAST_BYTES + b"later " + b"x" * LIMIT + b"\n",
        LEAST_BYTES.replace(b"storage local", b"storage ../x"),
    ],
)
def test_damage_is_told(data):
    assert is_pointer(data)
    with pytest.raises(MalformedPointer):
        decode_pointer(data)


def test_a_later_version_is_not_guessed_at():
    with pytest.raises(PointerVersionUnknown, match="'2'"):
        decode_pointer(b"anvcs artifact 2\nwhatever\n")


@pytest.mark.parametrize("data", [b"", b"anvcs", b"version https", b" anvcs artifact 1\n"])
def test_other_files_are_no_pointers(data):
    assert not is_pointer(data)
    with pytest.raises(MalformedPointer):
        decode_pointer(data)


def test_a_pointer_is_below_a_kibibyte():
    with pytest.raises(PointerTooLong):
        encode_pointer(Pin(storage="local", key="k" * 1024, sha256=A, size=0))


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "a" * 63},
        {"size": -1},
        {"size": 1 << 60},
        {"storage": "S3"},
        {"bucket": "a b"},
        {"region": "eu\n"},
        {"key": ""},
        {"key": "a//b"},
        {"key": "\udc80"},
        {"version_id": "a b"},
        {"compress": "gzip"},
        {"mtime_ns": -1},
        {"mtime_ns": 1 << 63},
        {"extra": (("size", "1"),)},
        {"extra": (("a", "1"), ("a", "2"))},
        {"size": 1 << 40, "pieces": Pieces(size=4096, digest=A)},
    ],
)
def test_a_pin_that_cannot_be_is_not_born(change):
    with pytest.raises(MalformedPin):
        Pin(**{"storage": "s3", "key": "k", "sha256": A, "size": 1} | change)


def test_documents_are_pinned():
    assert json.loads(json.dumps(FULL.document())) == {
        "storage": "s3",
        "bucket": "models",
        "region": "eu-central-1",
        "key": "nets/ü 50%.pt",
        "version_id": "3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
        "sha256": A,
        "size": 10737418240,
        "pieces": {"size": 4194304, "digest": B, "version_id": "v2"},
        "compress": "zstd",
        "mtime": "2024-05-01T12:00:00.12Z",
        "owner": "Ann & Ben",
        "x.later": "1",
    }
    assert pin_from_document(FULL.document()) == FULL
    assert pin_from_document(LEAST.document()) == LEAST


@pytest.mark.parametrize("change", [{"size": "1"}, {"size": True}, {"key": 3}, {"pieces": []}, {"pieces": {}}])
def test_documents_of_other_people_are_checked(change):
    with pytest.raises(MalformedPin):
        pin_from_document(LEAST.document() | change)


words = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip)
pins = st.builds(
    Pin,
    storage=st.sampled_from(["local", "s3", "nfs", "ipfs", "x-y_2"]),
    bucket=st.sampled_from(["", "b.c-d"]),
    region=st.sampled_from(["", "eu-west-1"]),
    key=st.sampled_from(["k", "a b/c", "%41", content_key(A), "ü/😀 x%"]),
    version_id=words,
    sha256=st.sampled_from([A, B]),
    size=st.integers(0, 1 << 32),
    pieces=st.none() | st.builds(Pieces, size=st.just(4 << 20), digest=st.just(B), version_id=words),
    compress=st.sampled_from(["", "zstd"]),
    mtime_ns=st.integers(0, 1 << 60),
    extra=st.dictionaries(st.sampled_from(["aa", "b.c", "d-e"]), texts, max_size=3).map(lambda d: tuple(d.items())),
)


@settings(max_examples=50)
@given(pins)
def test_every_pin_survives_both_forms(pin):
    assert decode_pointer(encode_pointer(pin)) == pin
    assert pin_from_document(pin.document()) == pin
