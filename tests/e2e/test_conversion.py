"""A view shows what ``git checkout`` would write, and commits clean it, for each kind of conversion."""

from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, commit
from support.programs import git, needs
from support.trees import assert_same_tree

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

LINES = b"first\nsecond\nthird\n"


def prepared(tmp_path: Path, attributes: str, files: dict[str, bytes], config: dict[str, str]) -> tuple[Path, Path]:
    """A repository, and a native checkout of it made under the same settings."""
    work, bare, native = tmp_path / "work", tmp_path / "bare.git", tmp_path / "native"
    git("init", "-q", "-b", "main", str(work), cwd=tmp_path)
    # Stored raw: attributes and settings come after the content, as in repositories that grew.
    for name, data in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "content", cwd=work)
    for name, value in config.items():
        git("config", name, value, cwd=work)
    if attributes:
        (work / ".gitattributes").write_text(attributes)
        git("add", "-A", cwd=work)
        git("add", "--renormalize", ".", cwd=work)
        git("commit", "-q", "-m", "attributes", cwd=work)
    git("clone", "-q", "--bare", str(work), str(bare), cwd=tmp_path)
    for name, value in config.items():
        git("config", name, value, cwd=bare)
    git("worktree", "add", "-q", "-b", "native", str(native), "main", cwd=bare)
    return bare, native


CASES = {
    "eol=crlf": ("*.txt eol=crlf\n", {"a.txt": LINES, "b.py": LINES}, {}),
    "eol=lf": ("*.txt eol=lf\n", {"a.txt": LINES.replace(b"\n", b"\r\n"), "b.txt": LINES}, {}),
    "text=auto with core.eol": ("* text=auto\n", {"a.txt": LINES, "b.bin": b"\0\r\n\n"}, {"core.eol": "crlf"}),
    "autocrlf": ("", {"a.txt": LINES, "b.bin": b"\0\n", "mixed.txt": b"a\r\nb\n"}, {"core.autocrlf": "true"}),
    "ident": ("*.c ident\n", {"a.c": b"/* $Id$ */\nint x;\n"}, {}),
    "encoding": ("*.u16 text working-tree-encoding=UTF-16LE\n", {"a.u16": "gr\u00fc\u00dfe\nzwei\n".encode("utf-16-le")}, {}),
    "filter": (
        "*.rot filter=rot\n",
        {"a.rot": b"uryyb\n", "plain.txt": LINES},
        {"filter.rot.smudge": "tr a-z n-za-m", "filter.rot.clean": "tr a-z n-za-m", "filter.rot.required": "true"},
    ),
    "nested attributes": ("*.txt text\n", {"sub/.gitattributes": b"*.txt eol=crlf\n", "sub/a.txt": LINES, "a.txt": LINES}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_conversion(tmp_path: Path, mounted, case: str):
    needs("tr")
    bare, native = prepared(tmp_path, *CASES[case])
    view: MountedView = mounted(bare, tmp_path / "view")
    assert_same_tree(native, view.path)
    assert git("status", "--porcelain", cwd=view.path) == ""
    converted = sorted(path for path in CASES[case][1] if not path.endswith((".gitattributes", "plain.txt")))
    for top in (native, view.path):
        for name in converted:
            with open(top / name, "ab") as file:
                file.write("added\n".encode("utf-16-le") if name.endswith("u16") else b"added\n")
    assert git("diff", "--stat", cwd=view.path) == git("diff", "--stat", cwd=native)
    told = commit(view.path, "edited in the view")
    git("commit", "-q", "-am", "edited natively", cwd=native)
    assert sorted(told["paths"]) == sorted(git("diff", "--name-only", "native^", "native", cwd=bare).splitlines())
    # The strictest comparison: both roads made the same tree.
    assert git("rev-parse", "main^{tree}", cwd=bare) == git("rev-parse", "native^{tree}", cwd=bare)
    assert git("status", "--porcelain", cwd=view.path) == ""
    view.remount()
    assert git("status", "--porcelain", cwd=view.path) == ""


def test_attributes_that_change_in_the_view(tmp_path: Path, mounted):
    bare, native = prepared(tmp_path, "", {"a.txt": LINES}, {})
    view: MountedView = mounted(bare, tmp_path / "view")
    for top in (native, view.path):
        (top / ".gitattributes").write_text("*.crlf eol=crlf\n")
        (top / "new.crlf").write_bytes(b"one\r\ntwo\r\n")
        git("add", "-A", cwd=top)
    assert git("ls-files", "-s", cwd=view.path) == git("ls-files", "-s", cwd=native)
    git("reset", "-q", cwd=view.path)
    commit(view.path, "by the control file")
    git("commit", "-q", "-m", "natively", cwd=native)
    assert git("rev-parse", "main^{tree}", cwd=bare) == git("rev-parse", "native^{tree}", cwd=bare)


def test_a_required_filter_that_fails_is_told(tmp_path: Path, mounted):
    """Wrong bytes are worse than none: EIO, and the reason in the view's status or log."""
    config = {"filter.bad.smudge": "false", "filter.bad.clean": "cat", "filter.bad.required": "true"}
    work = tmp_path / "work"
    git("init", "-q", "-b", "main", str(work), cwd=tmp_path)
    (work / ".gitattributes").write_text("*.bad filter=bad\n")
    (work / "a.bad").write_bytes(LINES)
    (work / "good.txt").write_bytes(LINES)
    for name in ("filter.bad.clean", "filter.bad.required"):
        git("config", name, config[name], cwd=work)
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "content", cwd=work)
    git("config", "filter.bad.smudge", "false", cwd=work)
    view: MountedView = mounted(work, tmp_path / "view")
    mounted.expect_faults = True
    with pytest.raises(OSError, match=r"a\.bad"):
        (view.path / "a.bad").read_bytes()
    assert (view.path / "good.txt").read_bytes() == LINES
