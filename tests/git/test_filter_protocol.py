"""Git's filter protocol, spoken to the program's side, and the settings that bring Git to it."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from anvcs.git.filter_protocol import FilterProcess, FilterProtocolError
from anvcs.git.filter_setup import install_filter, remove_filter
from support.programs import git


def packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


def told(*lines: bytes) -> bytes:
    return b"".join(packet(line + b"\n") for line in lines) + b"0000"


HELLO = told(b"git-filter-client", b"version=2") + told(b"capability=clean", b"capability=smudge", b"capability=delay")


class Shouting:
    """Cleans to lower and smudges to upper case; what begins with ``bad`` is refused, with ``late`` comes later."""

    def __init__(self) -> None:
        self.late: list[bytes] = []

    def clean(self, path: bytes, content: Iterator[bytes]) -> Iterable[bytes]:
        first = next(content, b"")
        if path.startswith(b"bad"):
            raise OSError(5, "no")
        return [first.lower(), *(chunk.lower() for chunk in content)]

    def smudge(self, path: bytes, content: Iterator[bytes], *, may_wait: bool) -> Iterable[bytes] | None:
        if may_wait and path.startswith(b"late"):
            self.late.append(path)
            return None
        return [b"".join(content).upper()]

    def ready(self) -> list[bytes]:
        late, self.late = self.late, []
        return late


def talk(*requests: bytes) -> tuple[bytes, list[str]]:
    """What the filter says after its greeting."""
    complaints: list[str] = []
    out = io.BytesIO()
    FilterProcess(io.BytesIO(HELLO + b"".join(requests)), out, Shouting(), complaints.append).serve()
    greeting = told(b"git-filter-server", b"version=2")
    greeting += told(b"capability=clean", b"capability=smudge", b"capability=delay")
    assert out.getvalue().startswith(greeting)
    return out.getvalue()[len(greeting) :], complaints


def test_contents_come_back_and_large_ones_in_packets():
    large = b"A" * 70_000
    request = told(b"command=clean", b"pathname=a") + packet(large[:65516]) + packet(large[65516:]) + b"0000"
    answer, _ = talk(request, told(b"command=smudge", b"pathname=b") + packet(b"x") + b"0000")
    body = packet(b"a" * 65516) + packet(b"a" * (70_000 - 65516)) + b"0000"
    assert answer == told(b"status=success") + body + b"0000" + told(b"status=success") + packet(b"X") + b"0000" * 2


def test_a_refusal_leaves_the_conversation_in_step():
    bad = told(b"command=clean", b"pathname=bad") + packet(b"1") + packet(b"2") + b"0000"
    answer, complaints = talk(bad, told(b"command=clean", b"pathname=good") + packet(b"Q") + b"0000")
    assert answer == told(b"status=error") + told(b"status=success") + packet(b"q") + b"0000" * 2
    assert complaints == ["bad: [Errno 5] no"]


def test_what_comes_later_is_asked_for_again():
    late = told(b"command=smudge", b"pathname=late", b"can-delay=1") + packet(b"x") + b"0000"
    listing = told(b"command=list_available_blobs")
    again = told(b"command=smudge", b"pathname=late") + b"0000"
    answer, _ = talk(late, listing, again, listing)
    expected = told(b"status=delayed") + told(b"pathname=late") + told(b"status=success")
    expected += told(b"status=success") + b"0000" * 2 + told() + told(b"status=success")
    assert answer == expected


@pytest.mark.parametrize("data", [b"hello there", told(b"git-filter-client", b"version=9"), b"00ff" + b"short"])
def test_what_is_not_git_is_told_so(data: bytes):
    with pytest.raises(FilterProtocolError):
        FilterProcess(io.BytesIO(data), io.BytesIO(), Shouting(), print).serve()


def asked(repository: Path, path: str) -> str:
    return git("check-attr", "filter", path, cwd=repository).rpartition(": ")[2]


def test_attributes_name_what_patterns_name(tmp_path: Path):
    git("init", "-q", str(tmp_path), cwd=tmp_path)
    info = tmp_path / ".git" / "info" / "attributes"
    info.parent.mkdir(exist_ok=True)
    info.write_text("*.txt text")
    lfs = {
        b"": b"*.psd filter=lfs diff=lfs merge=lfs -text\n*.lfs filter=lfs\n[attr]large filter=lfs\n# *.pt filter=lfs\n",
        b"deep er/[x]": b'"*.pt" filter=lfs\n/top/*.c filter=lfs\n\n*.lfs -filter\n*.md text\n',
    }
    patterns = ["*.pt", "data/", "/top", "a b/*.c", "# nothing", "!keep.pt"]
    assert install_filter(tmp_path / ".git", [*patterns, "*.psd"], everything=False, program="p", attributes=lfs)
    assert not install_filter(tmp_path / ".git", [*patterns, "*.psd"], everything=False, program="p", attributes=lfs)
    for path in ("m.pt", "deep/m.pt", "data/x", "deep/data/x/y", "top", "top/x", "a b/x.c", "x.pt/inside"):
        assert asked(tmp_path, path) == "anvcs", path
    for path in ("m.py", "deep/top", "keep.pt", "a/x.c"):
        assert asked(tmp_path, path) != "anvcs", path
    for path in ("x.psd", "a.lfs", "deep er/[x]/m.pt", "deep er/[x]/y/m.pt", "deep er/[x]/top/x.c"):
        assert asked(tmp_path, path) == "lfs", path
    assert asked(tmp_path, "deep er/[x]/a.lfs") == asked(tmp_path, "deep er/x/m.pt") == "anvcs"
    # Who doesn't look at .gitattributes leaves what was found there.
    assert not install_filter(tmp_path / ".git", [*patterns, "*.psd"], everything=False, program="p")
    outside = [b"a*b", b'"q"/x y', b"#n"]
    assert install_filter(tmp_path / ".git", [*patterns, "*.psd"], everything=False, program="p", outside=outside)
    assert not install_filter(tmp_path / ".git", [*patterns, "*.psd"], everything=False, program="p", attributes=lfs)
    for name in outside:
        assert asked(tmp_path, name.decode()) == "anvcs"
    assert asked(tmp_path, "axb") == "unspecified"
    assert asked(tmp_path, "x.psd") == "lfs"
    assert git("config", "filter.anvcs.process", cwd=tmp_path) == "p"
    assert remove_filter(tmp_path / ".git")
    assert info.read_text() == "*.txt text\n"
    assert not remove_filter(tmp_path / ".git")
    assert asked(tmp_path, "m.pt") == "unspecified"
