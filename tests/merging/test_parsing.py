"""Whether files parse, here and in the helper process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from anvcs.merging import apart
from anvcs.merging.apart import ParserProcess
from anvcs.merging.parsing import broken_line, parses

SAMPLES = [
    (b"a.py", b"def f():\n    return 1\n", b"x = 1\ndef f(:\n", 2),
    (b"dir/a.pyi", b"x: int\n", b"x: = \n", 1),
    (b"a.js", b"let a = 1;\n", b"let = = ;\n", 1),
    (b"a.ts", b"let a: number = 1;\n", b"let a: = }\n", 1),
    (b"a.tsx", b"let a = <b/>;\n", b"let }", 1),
    (b"a.json", b'{"a": [1, 2]}', b'{"a": }', 1),
    (b"a.c", b"int f(void) { return 1; }\n", b"int f( { return }}\n", 1),
    (b"a.cpp", b"class A {};\n", b"class A { {\n", 1),
    (b"a.go", b"package a\nfunc f() {}\n", b"package a\nfunc f( {}\n", 2),
    (b"a.rs", b"fn f() {}\n", b"fn f( {}\n", 1),
    (b"a.java", b"class A {}\n", b"class A {{\n", 1),
    (b"a.yml", b"a: 1\n", b"a: [1\nb: }\n", 1),
    (b"a.toml", b"a = 1\n", b"a = = 1\n", 1),
    (b"a.sh", b"if a; then b; fi\n", b"echo\nif a; then b\n", 3),
    (b"a.html", b"<p>a</p>\n", b"<p <<>\n", 1),
    (b"a.css", b"a { b: c; }\n", b"a { b: c; \n", 1),
]


@pytest.mark.parametrize(("path", "good", "bad", "line"), SAMPLES, ids=[sample[0].decode() for sample in SAMPLES])
def test_a_language(path: bytes, good: bytes, bad: bytes, line: int) -> None:
    assert (parses(path, good), parses(path, bad)) == (True, False)
    assert (broken_line(path, good), broken_line(path, bad)) == (0, line)


def test_what_nobody_knows() -> None:
    for path in (b"notes.txt", b"Makefile", b"py", b"a.\xff", b"dir.py/file"):
        assert parses(path, b"x = = 1\n") is None
    assert parses(b"a.py", b"x = 1\n" * 1_000_000) is None


def test_nothing_is_imported_before_a_file_is_looked_at() -> None:
    program = (
        "import sys, anvcs.merging.parsing, anvcs.merging.apart, anvcsfs.assembly\n"
        "assert not [name for name in sys.modules if name.startswith('tree_sitter')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.fixture
def parser() -> Iterator[ParserProcess]:
    process = ParserProcess()
    yield process
    process.close()


def test_the_helper_says_the_same(parser: ParserProcess) -> None:
    for path, good, bad, line in SAMPLES:
        assert (parser.broken_line(path, good), parser.broken_line(path, bad)) == (0, line)
    assert parser.broken_line(b"notes.txt", b"") is None
    assert parser.broken_line(b"a.py", b"x = 1\n" * 50_000) == 0


def test_a_helper_that_died_is_replaced(parser: ParserProcess) -> None:
    assert parser.broken_line(b"a.py", b"x = 1\n") == 0
    assert parser._helper is not None
    first = parser._helper
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert parser.broken_line(b"a.py", b"x = = 1\n") == 1
    assert parser._helper is not first


def test_closing_ends_the_helper() -> None:
    process = ParserProcess()
    process.close()
    assert process.broken_line(b"a.py", b"x = 1\n") == 0
    helper = process._helper
    assert helper is not None
    process.close()
    assert helper.returncode is not None


def test_the_helper_ends_with_its_parent() -> None:
    helper = subprocess.Popen([sys.executable, "-m", "anvcs.merging.apart"], stdin=subprocess.PIPE)
    assert helper.stdin is not None
    helper.stdin.close()
    assert helper.wait(30) == 0


def test_the_helper_ends_when_nobody_takes_its_answer():
    """Its view was killed while it parsed: no traceback in the view's log."""
    process = subprocess.Popen(
        [sys.executable, "-m", "anvcs.merging.apart"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(apart._HEAD.pack(4, 6) + b"a.py" + b"x = 1\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
