"""Attributes of paths: our answer against ``git check-attr``."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anvcs.git.attributes import CONVERTING, AttributeList, AttributeRules, macros_defined

NAMES = [b"a", b"b", b"ab", b"x.o", b"a.b.o", b"\xff\xfe", b" a", b'"a', b"\xc3\xa9", b"#a", b"!a", b"A"]
DIRECTORIES = [b"", b"a", b"b", b"a/b", b"b/a"]
PATHS = [directory + b"/" + name if directory else name for directory in DIRECTORIES for name in NAMES]
PIECES = [
    b"a", b"b", b"x", b"o", b".", b"*", b"*", b"**", b"/", b"?", b"[ab]", b"[!a]", b"[^a/]", b"\\", b"\\*", b"!",
    b"#", b'"', b"\xff", b"**/", b"/**", b"\\377",
]  # fmt: skip

pattern = st.builds(
    lambda quote, pieces: quote + b"".join(pieces) + quote,
    st.sampled_from([b"", b"", b"", b'"']),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4),
)
attribute_name = st.sampled_from([*sorted(CONVERTING), b"binary", b"mac", b"mac2", b"other"])
attribute = st.builds(
    lambda name, before, after: before + name + after,
    attribute_name,
    st.sampled_from([b"", b"", b"", b"-", b"!", b"--"]),
    st.sampled_from([b"", b"", b"", b"=lf", b"=auto", b"=", b"=a=b", b"@"]),
)
macro = st.builds(
    b"[attr]%b%b".__mod__, st.tuples(st.sampled_from([b"", b" "]), st.sampled_from([b"mac", b"mac2", b"binary"]))
)
line = st.builds(
    lambda start, what, states, gap, end: start + gap.join([what, *states]) + end,
    st.sampled_from([b"", b"", b" ", b"\t"]),
    st.one_of(pattern, pattern, pattern, pattern, macro),
    st.lists(attribute, max_size=3),
    st.sampled_from([b" ", b"\t", b"  "]),
    st.sampled_from([b"", b"", b" ", b"\r"]),
)
attribute_file = st.builds(
    lambda lines, end: b"\n".join(lines) + end, st.lists(line, max_size=5), st.sampled_from([b"\n", b""])
)


@pytest.fixture(scope="module")
def top(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("attributes")
    subprocess.run(["git", "init", "-q", top], check=True)
    for directory in DIRECTORIES:
        os.makedirs(top / os.fsdecode(directory), exist_ok=True)
    return top


def theirs(top: Path, files: dict[bytes, bytes], info: bytes, user: bytes) -> dict[bytes, dict[bytes, object]]:
    for directory in DIRECTORIES:
        place = top / os.fsdecode(directory) / ".gitattributes"
        place.unlink(missing_ok=True)
        if directory in files:
            place.write_bytes(files[directory])
    (top / ".git/info/attributes").write_bytes(info)
    (top / ".git/user").write_bytes(user)
    out = subprocess.run(
        ["git", "-c", "core.attributesFile=.git/user", "check-attr", "-z", "--stdin", *sorted(CONVERTING)],
        cwd=top,
        input=b"".join(path + b"\0" for path in PATHS),
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    found: dict[bytes, dict[bytes, object]] = {path: {} for path in PATHS}
    for path, name, value in zip(out[0::3], out[1::3], out[2::3], strict=False):
        if value != b"unspecified":
            found[path][name] = {b"set": True, b"unset": False}.get(value, value)
    return found


@pytest.mark.property
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(st.sampled_from(DIRECTORIES), attribute_file, max_size=3),
    info=attribute_file,
    user=attribute_file,
)
def test_agrees_with_git(top, files, info, user):
    macros = [name for data in (info, files.get(b"", b""), user) for name in macros_defined(data)]
    lists = {directory: AttributeList(data, macros=macros) for directory, data in files.items()}
    rules = AttributeRules(AttributeList(info, macros=macros), lists, [AttributeList(user, macros=macros)])
    want = theirs(top, files, info, user)
    assert {path: rules.get(path) for path in PATHS} == want
    if rules.neutral:
        assert not any(want.values())


def test_lines_that_are_too_long_count_for_nothing(top):
    data = b"a " + b"text " * 500 + b"\nb text\n"
    rules = AttributeRules(None, {b"": AttributeList(data)}, [])
    assert {path: rules.get(path) for path in PATHS} == theirs(top, {b"": data}, b"", b"")


def test_lines_about_other_things_are_neutral():
    rules = AttributeRules(None, {b"": AttributeList(b"*.py diff=python\n*.x linguist-generated\n")}, [])
    assert rules.neutral
