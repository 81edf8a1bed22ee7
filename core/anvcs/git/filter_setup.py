"""The filter ``anvcs`` in a repository's settings: which paths Git hands to it, in ``info/attributes``.

That file is stronger than any ``.gitattributes``, so what those give to Git LFS, in any directory, is said again after
our lines.
Git's patterns for attributes know no directories: what a pattern names is named with all below it.  The filter looks
at the exact rules itself, so a path too many does no harm.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Final

from anvcs.git.lfs_lines import escaped, lfs_lines, quoted
from anvcs.git.program import Git

_BEGIN: Final = b"# artifacts: written by ai-vcs from blobs.track in ai-vcs.config.yaml"
_END: Final = b"# end of artifacts"
_GIVEN: Final = "filter=anvcs -merge -text"
_BLOCK = re.compile(re.escape(_BEGIN) + rb"\n.*?" + re.escape(_END) + rb"\n", re.DOTALL)
_OTHERS: Final = b"# artifacts under names that no pattern matches"
_THEIRS: Final = b"# what .gitattributes give to Git LFS"


def filter_program() -> str:
    """How Git starts our filter: by this very Python, which need not be on anybody's path."""
    return f"{shlex.quote(sys.executable)} -m anvcs_tools filter-process"


def install_filter(
    common_dir: Path,
    patterns: Iterable[str],
    *,
    everything: bool,
    program: str,
    attributes: Mapping[bytes, bytes] | None = None,
    outside: Iterable[bytes] = (),
) -> bool:
    """Have Git ask our filter about *patterns* (or *everything*); whether something was changed.

    *attributes* are all ``.gitattributes``, by directory; None: what they give to LFS is as it was.  *outside* are
    artifacts that no pattern matches; those that were told of before stay.
    """
    lines = ["* filter=anvcs"] if everything else []
    lines += [line for pattern in patterns for line in _attribute_lines(pattern)]
    file = common_dir / "info" / "attributes"
    others = dict.fromkeys([*_known(file, _OTHERS), *map(_path_line, outside)])
    if not (lines or others):
        return remove_filter(common_dir)
    theirs = _known(file, _THEIRS) if attributes is None else lfs_lines(attributes)
    ours = [line.encode("utf-8", "surrogateescape") for line in lines]
    for title, more in ((_OTHERS, others), (_THEIRS, theirs)):
        ours += [title, *more] if more else []
    changed = _write(file, b"\n".join((_BEGIN, *ours, _END)) + b"\n")
    git = Git(common_dir)
    for key, value in (("filter.anvcs.process", program), ("filter.anvcs.required", "true")):
        if git.run("config", "--local", "--get", key, allow=(1,)).out.rstrip(b"\n") != value.encode():
            git.run("config", "--local", key, value)
            changed = True
    return changed


def _known(file: Path, title: bytes) -> list[bytes]:
    """The lines under a title that were written last."""
    known = _BLOCK.search(file.read_bytes()) if file.exists() else None
    rest = [] if known is None else known[0].partition(title + b"\n")[2].splitlines()
    return list(takewhile(lambda line: line not in (_OTHERS, _THEIRS, _END), rest))


def _path_line(path: bytes) -> bytes:
    """The line for one file."""
    return quoted(b"/" + escaped(path)) + b" " + _GIVEN.encode()


def remove_filter(common_dir: Path) -> bool:
    """Take out what `install_filter` put in; whether something was there."""
    changed = _write(common_dir / "info" / "attributes", b"")
    done = Git(common_dir).run("config", "--local", "--remove-section", "filter.anvcs", allow=(1, 128))
    return changed or done.code == 0


def _attribute_lines(pattern: str) -> Iterator[str]:
    """Lines of an attributes file for one line of gitignore's kind."""
    text = pattern.strip()
    if not text or text.startswith("#"):
        return
    given = _GIVEN
    if text.startswith("!"):
        text, given = text[1:], "!filter !merge !text"
    text = text.removeprefix("\\") if text.startswith(("\\!", "\\#")) else text
    bare = text.rstrip("/")
    anchored = "/" in bare
    below = f"{bare}/**" if anchored else f"**/{bare}/**"
    # What two wrote at the same time is there twice, as "name" and as "name~agent".
    for one in ([] if text.endswith("/") else [bare, f"{bare}~*"]) + [below]:
        yield f"{_quoted(one)} {given}"


def _quoted(pattern: str) -> str:
    if not any(char in ' "\t\\' for char in pattern) and not pattern.startswith("#"):
        return pattern
    return '"' + pattern.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write(path: Path, block: bytes) -> bool:
    """Have *block* in the file in place of the one there is."""
    text = path.read_bytes() if path.exists() else b""
    rest = _BLOCK.sub(b"", text)
    glue = b"\n" if rest and block and not rest.endswith(b"\n") else b""
    fresh = rest + glue + block
    if fresh == text:
        return False
    path.parent.mkdir(exist_ok=True)
    if fresh:
        part = path.with_name("attributes.anvcs")
        part.write_bytes(fresh)
        part.replace(path)
    else:
        path.unlink()
    return True
