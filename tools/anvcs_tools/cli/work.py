"""``status``, ``add`` and ``commit``.

Inside a view these talk to its control files, so that there is one way to do each
thing; without a mount they work on the stream's room through the library.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anvcs.errors import AnvcsError
from anvcs_tools.cli.meter import UploadMeter
from anvcs_tools.cli.output import path_text, print_json, printable, say
from anvcs_tools.cli.places import Place, find_place
from anvcs_tools.exit_codes import code_by_name

if TYPE_CHECKING:
    from anvcs.selection import Selection

_MAX_MESSAGE = 1 << 20


class RequestFailed(AnvcsError):
    """The view refused a request; what it said is the message."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(str(answer.get("message") or answer.get("error") or "the request failed"))
        self.answer = answer
        self.told_type = answer.get("error")
        self.exit_code = code_by_name(str(answer.get("error")))


class NothingThere(AnvcsError):
    """A path was chosen that is neither there nor uncommitted."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"nothing is at {path_text(path)}, and nothing uncommitted has that name")
        self.path = path


class RequestMalformed(AnvcsError):
    """An option of ``commit`` that can't be sent."""


def status(arguments: argparse.Namespace) -> int:
    """Show uncommitted work."""
    place = find_place(arguments)
    document = _status(place)
    document["selected"] = _texts(_selection(place).get())
    if arguments.json:
        print_json(document)
    else:
        _print_status(document)
    return 0


def _status(place: Place) -> dict[str, Any]:
    if place.control is not None:
        document: dict[str, Any] = json.loads((place.control / "status").read_bytes())
        return document
    from anvcs.status import room_status

    return room_status(place.repository, place.stream)


def _print_status(document: dict[str, Any]) -> None:
    from anvcs.conflict_reports import conflict_line

    base = document.get("base")
    where = "detached" if document.get("detached") else f"stream {document['stream']}"
    print(printable(f"{where} at {base[:12]}" if base else f"{where}, no commit yet"))
    for change in document["changed"]:
        renamed = f"  (was {change['renamed_from']})" if change.get("renamed_from") else ""
        print(printable(f"  {change['status']} {change['path']}{renamed}"))
    for held in document.get("local_only", ()):
        print(printable(f"  - {held['path']}  (large: stays here until it is committed)"))
    if not document["changed"]:
        print("nothing to commit")
    for conflict in document.get("conflicts", ()):
        print(printable(f"  ! {conflict_line(conflict)}"))
    if document.get("conflicts"):
        print("look at conflicts: .anvcs/conflicts, `ai-vcs conflicts`")
    if document["selected"]:
        print(printable("the next `ai-vcs commit` takes only: " + ", ".join(document["selected"])))
    _print_artifacts(document.get("artifacts") or {})
    if document.get("problem"):
        say(f"problem: {document['problem']}")
    if document.get("last_error"):
        say(f"last failed request: {document['last_error'].get('message')}")


def _print_artifacts(told: dict[str, Any]) -> None:
    for one in told.get("fetching", ()):
        share = 100 * one["here"] // max(one["size"], 1)
        print(printable(f"  fetching {one['key']}: {share} % of {one['size']} bytes"))
    if told.get("queued"):
        print(f"{told['queued']} objects of artifacts are not uploaded yet: `ai-vcs retry-uploads`")
    for one in told.get("failures", ()):
        say(f"artifact {one['message']}")


def add(arguments: argparse.Namespace) -> int:
    """Choose what the next commit takes."""
    place = find_place(arguments)
    selection = _selection(place)
    if arguments.clear:
        selection.clear()
    chosen = selection.get()
    if arguments.paths:
        paths = place.relative(arguments.paths, Path.cwd())
        _check_there(place, paths)
        chosen = selection.add(paths)
    texts = _texts(chosen)
    if arguments.json:
        print_json({"stream": place.stream, "selected": texts})
    elif texts:
        say(f"the next `ai-vcs commit` takes only: {', '.join(texts)}")
    else:
        say("the next `ai-vcs commit` takes everything that has changed")
    return 0


def _check_there(place: Place, paths: Iterable[bytes]) -> None:
    """Refuse a path that can only be a slip of the keyboard: a deleted file is uncommitted work, this is nothing."""
    document = _status(place)
    known = {change[key] for change in document["changed"] for key in ("path", "renamed_from") if key in change}
    known |= {held["path"] for held in document.get("local_only", ())}
    for path in paths:
        shown = path.decode("utf-8", "backslashreplace")  # as the document has it
        if shown in known or any(name.startswith(shown + "/") for name in known) or place.has(path):
            continue
        raise NothingThere(path)


def _selection(place: Place) -> "Selection":
    return place.repository.selection(place.stream, place.view.name if place.view else "")


def _texts(paths: Iterable[bytes]) -> list[str]:
    return [path_text(path) or "." for path in paths]


def commit(arguments: argparse.Namespace) -> int:
    """Commit, through the view's control file or the library."""
    place = find_place(arguments)
    request = _request(arguments, place)
    with UploadMeter(place.control) as meter:
        if place.control is not None:
            answer = ask(place.control / "commit", request)
        else:
            from anvcs.offline import commit_room

            answer = commit_room(place.repository, place.stream, request, opened=meter.look_at)
    _selection(place).clear()
    if arguments.json:
        print_json(answer)
    else:
        _print_commit(answer)
    return 0


def _print_commit(answer: dict[str, Any]) -> None:
    count = len(answer["paths"])
    files = f"{count} file{'' if count == 1 else 's'}"
    print(printable(f"[{answer['stream']} {answer['commit'][:12]}] {answer['subject']} ({files})"))
    for note in answer["notes"]:
        say(f"note: {note}")


def ask(control: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Write a request to a control file and return its answer, from the same handle."""
    handle = os.open(control, os.O_RDWR)
    failure: OSError | None = None
    interrupted = False
    try:
        os.write(handle, json.dumps(request).encode())
        try:
            os.fsync(handle)
        except OSError as error:  # the answer says why in words
            failure = error
        except KeyboardInterrupt:  # the view saw it, too: its answer says what came of it
            interrupted = True
        os.lseek(handle, 0, os.SEEK_SET)
        text = b"".join(iter(lambda: os.read(handle, 1 << 16), b""))
    finally:
        os.close(handle)
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise failure or RequestFailed({"message": "the view gave no answer"}) from None
    if failure is not None or answer.get("ok") is False:
        raise RequestFailed(answer)
    return answer


def _request(arguments: argparse.Namespace, place: Place) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "message": _message(arguments),
        "agent": arguments.agent,
        "model": arguments.model,
        "prompt": arguments.prompt,
        "tests_passed": arguments.tests_passed,
        "test_report": arguments.test_report,
        "coverage": arguments.coverage,
        "env": _pairs(arguments.env, "--env") or None,
        "trailers": _pairs(arguments.trailer, "--trailer") or None,
        "allow_empty": arguments.allow_empty or None,
        "no_verify": arguments.no_verify or None,
        "upload": "later" if arguments.no_upload else None,
        "scope": "mine" if arguments.mine else None,
        "paths": _texts(_paths(arguments, place)) or None,
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _paths(arguments: argparse.Namespace, place: Place) -> Sequence[bytes]:
    """What to take: the paths of the command line, else those chosen before; with ``--mine`` only the former."""
    named = place.relative([*arguments.paths, *arguments.only], Path.cwd())
    return named if named or arguments.mine else _selection(place).get()


def _message(arguments: argparse.Namespace) -> str:
    if arguments.message is not None:
        return "\n\n".join(arguments.message)
    if arguments.file == "-":
        data = sys.stdin.buffer.read(_MAX_MESSAGE)
    else:
        with Path(arguments.file).open("rb") as file:
            data = file.read(_MAX_MESSAGE)
    return data.decode("utf-8", "replace")


def _pairs(given: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise RequestMalformed(f"{option} {text}: needs KEY=VALUE")
        pairs[key] = value
    return pairs
