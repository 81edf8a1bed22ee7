"""The ``ai-vcs`` command.

Data goes to standard output, messages to standard error, and how it went into the exit
code (`anvcs_tools.exit_codes`).  A command's own module is imported when it is called:
``ai-vcs --help`` must not wait for libraries that it doesn't need.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from anvcs.errors import AnvcsError
from anvcs_tools.cli.parser import build_parser
from anvcs_tools.exit_codes import BROKEN_PIPE, INTERRUPTED, MERGE_USAGE, USAGE, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parsed(sys.argv[1:] if argv is None else argv)
    module, _, name = arguments.handler.partition(":")
    try:
        code: int = getattr(import_module(module), name)(arguments)
        sys.stdout.flush()  # here, where a closed pipe still has its own answer
    except BrokenPipeError:  # `ai-vcs log | head`
        _silence_stdout()
        return BROKEN_PIPE
    except (AnvcsError, OSError) as error:
        return _told(error, exit_code(error), as_json=getattr(arguments, "json", False))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    try:
        return build_parser().parse_args(words)
    except SystemExit as end:
        if end.code == USAGE and words[:1] == ["merge-file"]:  # to Git a 2 would mean two conflicts
            raise SystemExit(MERGE_USAGE) from None
        raise


def _told(error: Exception, code: int, *, as_json: bool) -> int:
    from anvcs_tools.cli.output import print_error

    print_error(error, code, as_json=as_json)
    return code


def _silence_stdout() -> None:
    import os

    # Python flushes standard output once more at exit and would complain about the same pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
