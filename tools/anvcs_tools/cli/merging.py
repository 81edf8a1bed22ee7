"""``merge-file`` and ``merge-driver``: merging single files, also for Git."""

import argparse
import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anvcs_tools.cli.output import print_error, print_json, say
from anvcs_tools.exit_codes import exit_code

if TYPE_CHECKING:
    from anvcs.merging import Options
    from anvcs.model.merge import MergeResult

_MOST_CONFLICTS = 127
_ERROR = 128
_LABELS = ("left", "base", "right")
_STYLES = ("merge", "diff3", "zdiff3")


def merge_file(arguments: argparse.Namespace) -> int:
    """Merge three files; the number of conflicts, or 128 and more for an error."""
    try:
        texts = [Path(name).read_bytes() for name in (arguments.base, arguments.left, arguments.right)]
        path = os.fsencode(arguments.path or arguments.left)
        result = _merged(texts, path, arguments)
        if arguments.output:
            Path(arguments.output).write_bytes(result.content)
        elif not arguments.json:
            sys.stdout.buffer.write(result.content)
    except BrokenPipeError:
        raise
    except OSError as error:
        code = _ERROR + exit_code(error)
        print_error(error, code, as_json=arguments.json)
        return code
    if arguments.json:
        print_json(_document(result))
    elif not arguments.quiet:
        _tell(path, result)
    return min(len(result.conflicts), _MOST_CONFLICTS)


def _merged(texts: Sequence[bytes], path: bytes, arguments: argparse.Namespace) -> "MergeResult":
    from anvcs.merging import merge_file as merged

    options = _options(arguments)
    try:
        result = merged(texts[0], texts[1], texts[2], path, options)
    except Exception:  # noqa: BLE001  # to Git a driver that fails has merged: what it left in the file counts
        traceback.print_exc()
        options = replace(options, seconds=0)
        result = merged(texts[0], texts[1], texts[2], path, options)
    if result.conflicts and arguments.style is None and (style := _style_of_git()) != options.marking.style:
        options = replace(options, marking=replace(options.marking, style=style))
        result = merged(texts[0], texts[1], texts[2], path, options)
    return result


def _options(arguments: argparse.Namespace) -> "Options":
    from anvcs.merging import Marking, Options

    left, base, right = [*arguments.labels, *_LABELS[len(arguments.labels) :]][: len(_LABELS)]
    marking = Marking(size=arguments.marker_size, style=arguments.style or "merge", left=left, base=base, right=right)
    return Options(marking=marking, locks=arguments.locks)


def _style_of_git() -> str:
    """What the user has told Git, where this is a repository."""
    try:
        done = subprocess.run(
            ["git", "config", "merge.conflictStyle"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:  # no git here
        return "merge"
    style = done.stdout.decode(errors="replace").strip()
    return style if style in _STYLES else "merge"


def _tell(path: bytes, result: "MergeResult") -> None:
    from anvcs.model.merge import EXPLAINED

    name = path.decode("utf-8", "surrogateescape")
    for note in result.notes:
        say(f"{name}: {note}")
    for each in result.conflicts:
        where = f"{name}:{each.first_line}" if each.first_line else name
        inside = f" in {each.entity}" if each.entity else ""
        say(f"{where}: conflict{inside}: {EXPLAINED[each.reason]}{f' ({each.detail})' if each.detail else ''}")
        for place in each.related:
            say(f"  see {place.side}, line {place.first_line}")


def _document(result: "MergeResult") -> dict[str, object]:
    return {
        "how": result.how.value,
        "clean": result.clean,
        "notes": list(result.notes),
        "content": _text(result.content),
        "conflicts": [
            {
                "reason": each.reason.value,
                "entity": each.entity,
                "detail": each.detail,
                "lines": [each.first_line, each.last_line],
                "base": _text(each.base),
                "left": _text(each.left),
                "right": _text(each.right),
                "related": [
                    {"side": place.side, "lines": [place.first_line, place.last_line]} for place in each.related
                ],
            }
            for each in result.conflicts
        ],
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def merge_driver(arguments: argparse.Namespace) -> int:
    """Have Git use `merge_file`, or no longer."""
    from anvcs.git import merge_driver as driver
    from anvcs.git.setup import inspect

    info = inspect(Path(arguments.repo).absolute())
    where = info.work_tree or info.common_dir
    patterns: list[str] = []
    if arguments.action == "install":
        from anvcs.merging import known_patterns

        patterns = arguments.patterns or known_patterns()
        driver.install(info.common_dir, f"{_program()} merge-file -L ours -L base -L theirs", patterns)
        told = f"git merge, rebase and cherry-pick in {where} merge by syntax now"
    elif driver.uninstall(info.common_dir):
        told = f"git merge, rebase and cherry-pick in {where} merge lines again"
    else:
        told = f"{where} has no merge driver of ours"
    if arguments.json:
        print_json({"common_dir": str(info.common_dir), "patterns": patterns})
    else:
        say(told)
    return 0


def _program() -> str:
    """This program as a shell finds it, wherever it is called."""
    script = Path(sys.argv[0])
    if script.name == "ai-vcs" and script.exists():
        return shlex.quote(str(script.absolute()))
    return f"{shlex.quote(sys.executable)} -m anvcs_tools"
