"""``anvcsfs REPO DIR -o OPTS``: what mount(8) runs for ``-t fuse.anvcsfs``.

``/sbin/mount.fuse3`` looks the program up in PATH and gives it the source, the
directory and every option, its own and mount(8)'s.  An fstab line::

    /srv/project  /home/ann/project  fuse.anvcsfs  agent=ann,allow_other,noauto,user  0  0
"""

import sys
from collections.abc import Sequence

_VALUE_OPTIONS = ("-o", "-t", "-N")
_IGNORED_FLAGS = frozenset({"-n", "-v", "-s", "-f"})
"""mount(8)'s own: not in mtab, talk, ignore unknown options, and its fake mode's leftover."""


def main(argv: Sequence[str] | None = None) -> int:
    """Translate to ``ai-vcs mount``."""
    from anvcs_tools.cli import main as command_line

    words, options = _split(sys.argv[1:] if argv is None else argv)
    if len(words) != 2:
        print("usage: anvcsfs REPOSITORY DIRECTORY [-o OPTIONS]", file=sys.stderr)
        return 2
    return command_line(["mount", "--quiet", *options, "--", *words])


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    words: list[str] = []
    options: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word in _VALUE_OPTIONS:
            value = next(rest, "")
            options += ["-o", value] if word == "-o" else []
        elif word not in _IGNORED_FLAGS:
            words.append(word)
    return words, options
