"""ANVCS as a merge driver of Git: the setting that names it, and the attributes that choose it.

The attributes stand in ``info/attributes``, in a block of our own, so that no tracked file
says anything about one person's tools.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from anvcs.git.program import Git

_SECTION = "merge.anvcs"
_BEGIN = b"# added by ai-vcs merge-driver install, removed by ai-vcs merge-driver uninstall"
_END = b"# end of the merge driver"
_BLOCK = re.compile(re.escape(_BEGIN) + rb"\n.*?" + re.escape(_END) + rb"\n", re.DOTALL)


def install(common_dir: Path, program: str, patterns: Iterable[str]) -> None:
    """Have Git call *program*, a piece of shell, for files that match *patterns*; again to renew it."""
    git = Git(common_dir)
    git.run("config", f"{_SECTION}.name", "ANVCS: merge by syntax")
    git.run("config", f"{_SECTION}.driver", f"{program} %O %A %B -o %A --marker-size %L --path %P")
    # What stands for several common ancestors is merged by lines: nobody sees it.
    git.run("config", f"{_SECTION}.recursive", "text")
    lines = [f"{pattern} merge=anvcs".encode() for pattern in sorted(set(patterns))]
    path = common_dir / "info/attributes"
    text = _without_block(path)
    if text and not text.endswith(b"\n"):
        text += b"\n"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text + b"\n".join((_BEGIN, *lines, _END)) + b"\n")


def uninstall(common_dir: Path) -> bool:
    """Undo `install`; says whether there was anything to undo."""
    # 128: there is no such section
    done = Git(common_dir).run("config", "--local", "--remove-section", _SECTION, allow=(1, 128))
    path = common_dir / "info/attributes"
    text = _without_block(path)
    if not path.exists() or text == path.read_bytes():
        return done.code == 0
    if text:
        path.write_bytes(text)
    else:
        path.unlink()
    return True


def _without_block(path: Path) -> bytes:
    try:
        return _BLOCK.sub(b"", path.read_bytes())
    except FileNotFoundError:
        return b""
