"""What many commands take."""

import argparse
from typing import Any

# How a completion script finds values: what `shtab` calls FILE and DIRECTORY, without importing it.
FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
FOLDERS = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}

Subparsers = Any  # argparse has no public name for what add_subparsers returns


def command(commands: Subparsers, name: str, handler: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """A command of this name, run by *handler* (``module:function``)."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(handler=f"anvcs_tools.cli.{handler}")
    return parser


def json_output(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def quiet(parser: argparse.ArgumentParser) -> None:
    """``--quiet``."""
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing when all goes well")


def in_repository(parser: argparse.ArgumentParser) -> None:
    """``--repo``."""
    help_text = "repository or view to work on (default: here)"
    completed(parser.add_argument("-C", "--repo", metavar="DIR", default=".", help=help_text), FOLDERS)


def completed(action: argparse.Action, values: dict[str, str]) -> None:
    """Have completion scripts propose *values*."""
    action.complete = values  # type: ignore[attr-defined]  # where shtab looks for it


def stream(parser: argparse.ArgumentParser, what: str) -> None:
    """``--stream``; *what* is what it is about."""
    parser.add_argument("--stream", metavar="S", help=f"{what} (default: the view's, or the repository's HEAD branch)")
