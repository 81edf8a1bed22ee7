"""``diff``: two commits, by line as Git tells it, or by what the language calls things."""

import argparse
import sys
from pathlib import Path
from typing import Any

from anvcs_tools.cli.output import path_text, print_json, printable
from anvcs_tools.cli.places import find_place
from anvcs_tools.exit_codes import FAILED


def diff(arguments: argparse.Namespace) -> int:
    """Compare two commits."""
    place = find_place(arguments, needs_stream=False)
    objects = place.repository.objects
    old, new = objects.resolve(arguments.old), objects.resolve(arguments.new)
    paths = place.relative(arguments.paths, Path.cwd())
    if not arguments.semantic:
        return _by_line(place.repository.info.common_dir, (old.hex(), new.hex()), paths, as_json=arguments.json)
    from anvcs.comparing import compared

    files = compared(objects, old, new, paths)
    if arguments.json:
        print_json({"old": old.hex(), "new": new.hex(), "files": files})
    else:
        for file in files:
            _print(file)
    return 0


def _by_line(common_dir: Path, commits: tuple[str, str], paths: list[bytes], *, as_json: bool) -> int:
    from anvcs.git.program import Git

    names = [path_text(path) for path in paths]
    kind = ("--name-status", "-z") if as_json else ()
    done = Git(common_dir).run("--literal-pathspecs", "diff", "--no-renames", *kind, *commits, "--", *names, allow=(1,))
    if not as_json:
        sys.stdout.flush()
        sys.stdout.buffer.write(done.out)
        return 0 if done.code == 0 else FAILED
    fields = done.out.split(b"\0")[:-1]
    changes = [
        {"status": status.decode("ascii"), "path": path_text(path)}
        for status, path in zip(fields[::2], fields[1::2], strict=True)
    ]
    print_json({"old": commits[0], "new": commits[1], "changes": changes})
    return 0


def _print(file: dict[str, Any]) -> None:
    was = f" (was {file['was']})" if file["was"] else ""
    changes = file["changes"]
    print(printable(f"{file['path']}{was}" + (": changed" if changes is None else "")))
    for one in changes or ():
        at = f":{one['line']}" if one["line"] else ""
        source = f" from {one['from']}" if "from" in one else ""
        before = f" (was {one['was']})" if one["what"] == "renamed" else ""
        print(printable(f"  {one['what']}{at}: {one['entity']}{source}{before}"))
