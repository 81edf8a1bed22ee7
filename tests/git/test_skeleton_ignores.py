"""What Git ignores: our answer against the git program's, for generated patterns and names."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anvcs.git.ignores import IgnoreList, IgnoreRules

NAMES = [
    b"a", b"b", b"ab", b"abc", b".x", b"x.o", b"a.b.o", b"\xff\xfe", b" a", b"a ", b"-", b"[a]", b"a*", b"a\\",
    b"\xc3\xa9", b"#a", b"!a", b"A", b"a\nb", b"\t", b"5",
]  # fmt: skip
DIRECTORIES = [b"", b"a", b"a/b", b"a/b/ab", b"ab", b"ab/a", b"\xff\xfe", b"!a", b"abc"]
PIECES = [
    b"a", b"b", b"c", b"x", b"o", b".", b"*", b"*", b"**", b"/", b"/", b"?", b"[ab]", b"[!a]", b"[^a/]", b"[a-c]",
    b"[]a]", b"[[:alpha:]]", b"[[:digit:][:upper:]]", b"[[:alpha]", b"[", b"\\", b"\\*", b"\\[", b"!", b"#", b" ",
    b"\\ ", b"\xff", b"\xc3", b"\xa9", b"\r", b"***", b"**/", b"/**", b"-", b"[-a]", b"[a-]", b"[\\]]", b"[[:foo:]]",
    b"\0", b"\t", b"[a-\\c]",
]  # fmt: skip

pattern = st.builds(
    lambda no, pieces, end: no + b"".join(pieces) + end,
    st.sampled_from([b"", b"", b"!"]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6),
    st.sampled_from([b"", b"", b"/", b" ", b"  ", b"\r", b"/ "]),
)
ignore_file = st.builds(
    lambda bom, lines, end: bom + b"\n".join(lines) + end,
    st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]),
    st.lists(pattern, max_size=5),
    st.sampled_from([b"\n", b""]),
)


class Oracle:
    """A tree of real files and ``git check-ignore``."""

    def __init__(self, top: Path) -> None:
        self.top = os.fsencode(top)
        subprocess.run(["git", "init", "-q", top], check=True)
        for directory in DIRECTORIES:
            os.makedirs(os.path.join(self.top, directory), exist_ok=True)
        self.paths: dict[bytes, bool] = {d: True for d in DIRECTORIES if d}
        for directory in DIRECTORIES:
            for name in NAMES:
                path = directory + b"/" + name if directory else name
                if path not in self.paths:
                    self.paths[path] = False
                    os.close(os.open(os.path.join(self.top, path), os.O_CREAT | os.O_WRONLY))

    def ask(self, files: dict[bytes, bytes], exclude: bytes, *config: str) -> set[bytes]:
        for directory in DIRECTORIES:
            place = os.path.join(self.top, directory, b".gitignore")
            if directory in files:
                Path(os.fsdecode(place)).write_bytes(files[directory])
            elif os.path.exists(place):
                os.unlink(place)
        Path(os.fsdecode(self.top), ".git/info/exclude").write_bytes(exclude)
        done = subprocess.run(
            ["git", *config, "check-ignore", "--no-index", "-z", "-v", "-n", "--stdin"],
            cwd=self.top,
            input=b"".join(path + b"\0" for path in self.paths),
            capture_output=True,
            check=False,
        )
        fields = done.stdout.split(b"\0")
        rows = zip(fields[0::4], fields[2::4], fields[3::4], strict=False)
        return {path for source, line, path in rows if source and not line.startswith(b"!")}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory) -> Oracle:
    return Oracle(tmp_path_factory.mktemp("ignores"))


def ours(oracle: Oracle, files: dict[bytes, bytes], exclude: bytes, *, fold: bool = False) -> set[bytes]:
    lists = {directory: IgnoreList(data, fold=fold) for directory, data in files.items()}
    rules = IgnoreRules(lists, (IgnoreList(exclude, fold=fold),))
    return {path for path, is_dir in oracle.paths.items() if rules.ignored(path, is_dir=is_dir)}


@pytest.mark.property
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from(DIRECTORIES), ignore_file, max_size=3), exclude=ignore_file)
def test_agrees_with_git(oracle, files, exclude):
    assert ours(oracle, files, exclude) == oracle.ask(files, exclude)


@pytest.mark.property
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from([b"", b"a"]), ignore_file, max_size=2), exclude=ignore_file)
def test_agrees_with_git_where_case_does_not_count(oracle, files, exclude):
    assert ours(oracle, files, exclude, fold=True) == oracle.ask(files, exclude, "-c", "core.ignoreCase=true")


@pytest.mark.parametrize(
    "lines",
    [
        b"a\n!a/b\n",  # a parent that is ignored can't be opened again
        b"a/*\n!a/b\n",
        b"/a\n", b"a/\n", b"**/b\n", b"a/**\n", b"a/**/b\n", b"a/b**/ab\n", b"a/b**\n",
        b"*\n!*/\n!*.o\n", b"\\!a\n\\#a\n", b"a\\ \n", b"*\\\n", b"/\n", b"//\n", b"\n\n", b"!\n", b"\\\n",
        b"***/b\n", b"a**b\n", b"**\\/b\n", b"*.o\n!a.b.o\n", b"[[:upper:]]\n", b"a\\*\n",
    ],
)  # fmt: skip
def test_lines_of_note(oracle, lines):
    assert ours(oracle, {b"": lines}, b"") == oracle.ask({b"": lines}, b"")


def test_many_lines_keep_their_order(oracle):
    lines = b"".join(b"*%d*\n" % i for i in range(250)) + b"[5a]\n" + b"".join(b"!*%d*\n" % i for i in range(250))
    assert ours(oracle, {b"": lines}, b"") == oracle.ask({b"": lines}, b"")


@pytest.mark.parametrize(
    "line",
    [
        b"*a" * 60 + b"b",
        b"x/" + b"*a" * 60 + b"b",
        b"**/a/" * 20 + b"b",
        b"/".join([b"*a*"] * 10) + b"/**/b",
        b"[a-b]*" * 60,
    ],
)
def test_no_pattern_is_slow(line):
    rules = IgnoreRules({b"": IgnoreList(line)}, ())
    start = time.process_time()
    for path in (b"a" * 255, b"x/" + b"a" * 255, b"/".join([b"a"] * 120), b"/".join([b"aaaa"] * 120)):
        rules.ignored(path, is_dir=False)
    assert time.process_time() - start < 1


def test_paths_deeper_than_the_stack():
    rules = IgnoreRules({b"": IgnoreList(b"b\n")}, ())
    deep = b"a/" * 2000
    assert not rules.ignored(deep + b"a", is_dir=False)
    assert rules.ignored(deep + b"b/c", is_dir=False)
