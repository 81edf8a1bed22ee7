"""Asking an assistant about what a merge left open: a command, or an endpoint for chat completions.

What comes back is untrusted.  It is bounded in size and time, and taken for a file only if all of its
conflicts were answered, the file parses where its sides do, and no word that a side has put in is lost.
Then it still has to pass the guards.  Otherwise the conflict stays a conflict.
"""

import http.client
import json
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anvcs.bounded import run_bounded
from anvcs.config import MergeConfig
from anvcs.deciding import has_markers
from anvcs.errors import AnvcsError
from anvcs.git.objects import ObjectStore
from anvcs.merging.accepting import keeps_words
from anvcs.merging.names import python_error
from anvcs.merging.parsing import broken_line
from anvcs.model.stream_merge import Dispute, FileResult, Merged
from anvcs.model.tree import Leaf

_LARGEST = 1 << 20
"""Bytes of an answer."""
_RATIONALE = 2000
_CONTEXT_LINES = 20
_LOCAL = ("localhost", "127.0.0.1", "::1")
_ASK = (
    "You resolve one conflict of a three-way merge. The user's message is a JSON document with the path, the entity, the "
    "conflicting text of both sides and of their common base, and the lines before and after. Keep what both sides have put "
    'in. Answer with one JSON object and nothing else: {"resolution": the text that replaces the conflict, "rationale": why}.'
)


class NoAnswer(AnvcsError):
    """The assistant gave nothing that can be used; the text says why, for a note."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an assistant says about one conflict."""

    resolution: bytes
    rationale: str


Ask = Callable[[dict[str, Any]], Answer]


@dataclass(frozen=True, slots=True)
class Assisted:
    """A merge after the assistant was asked."""

    merged: Merged
    told: tuple[dict[str, str], ...]
    """For the metadata and the audit: path, entity, rationale, and by whom."""
    notes: tuple[str, ...]


def assistant(config: MergeConfig) -> Ask | None:
    """The configured one, or none."""
    wanted = config.assistant
    if not wanted:
        return None
    if wanted.startswith(("http://", "https://")):
        return lambda question: _by_endpoint(config, question)
    return lambda question: _by_command(config, question)


def assist(objects: ObjectStore, merged: Merged, ask: Ask, who: str) -> Assisted:
    """Have *ask* decide what is open in *merged*, file by file."""
    files: list[FileResult] = []
    changes: dict[bytes, Leaf | None] = {}
    told: list[dict[str, str]] = []
    notes: list[str] = []
    for file in merged.files:
        if not file.disputes or any(one.lines == (0, 0) for one in file.disputes):
            files.append(file)  # what is about whole files is nothing to be written anew
            continue
        try:
            text, answers = _decided(objects, merged, file, ask)
        except NoAnswer as error:
            notes.append(f"{_text(file.path)}: the assistant's answer was not taken: {error}")
            files.append(file)
            continue
        found = objects.find(merged.tree, file.path)
        assert found is not None  # it has marked lines
        changes[file.path] = Leaf(found.mode, objects.write_blob(text))
        files.append(replace(file, how="llm", disputes=()))
        told += [
            {"path": _text(file.path), "entity": one.entity, "rationale": answer.rationale, "by": who}
            for one, answer in zip(file.disputes, answers, strict=True)
        ]
    tree = objects.write_tree(merged.tree, changes) if changes else merged.tree
    leaves = {**merged.leaves, **changes}
    return Assisted(replace(merged, files=tuple(files), tree=tree, leaves=leaves), tuple(told), tuple(notes))


def _decided(objects: ObjectStore, merged: Merged, file: FileResult, ask: Ask) -> tuple[bytes, list[Answer]]:
    found = objects.find(merged.tree, file.path)
    if found is None or file.stages is None:
        raise NoAnswer("its versions are gone")
    lines = objects.blob(found.oid).splitlines(keepends=True)
    answers = [ask(_question(file.path, lines, one)) for one in file.disputes]
    for one, answer in sorted(zip(file.disputes, answers, strict=True), key=lambda pair: -pair[0].lines[0]):
        first, last = one.lines
        if not keeps_words(one.base, one.ours, one.theirs, answer.resolution):
            raise NoAnswer(f"it drops or doubles something of lines {first} to {last}")
        lines[first - 1 : last] = [_ended(answer.resolution)]
    text = b"".join(lines)
    if has_markers(text):
        raise NoAnswer("it has conflict markers")
    sides = [objects.blob(side.oid) for side in (file.stages.ours, file.stages.theirs) if side is not None]
    if _broken(file.path, text) and not any(_broken(file.path, side) for side in sides):
        raise NoAnswer("the file can't be parsed with it")
    return text, answers


def _question(path: bytes, lines: list[bytes], one: Dispute) -> dict[str, Any]:
    first, last = one.lines
    return {
        "path": _text(path),
        "entity": one.entity,
        "reason": one.reason,
        "detail": one.detail,
        "base": _text(one.base),
        "ours": _text(one.ours),
        "theirs": _text(one.theirs),
        "before": _text(b"".join(lines[max(0, first - 1 - _CONTEXT_LINES) : first - 1])),
        "after": _text(b"".join(lines[last : last + _CONTEXT_LINES])),
    }


def _by_command(config: MergeConfig, question: dict[str, Any]) -> Answer:
    ran = run_bounded(
        config.assistant,
        Path("/"),
        limit_s=config.assistant_timeout_s,
        keep=_LARGEST + 1,
        stdin=json.dumps(question).encode(),
        with_errors=False,
    )
    if not ran.in_time:
        raise NoAnswer("it took too long")
    if ran.code != 0:
        raise NoAnswer(f"the command ended with {ran.code}")
    if ran.size > _LARGEST:
        raise NoAnswer("it is too large")
    return _parsed(ran.output)


def _by_endpoint(config: MergeConfig, question: dict[str, Any]) -> Answer:
    """One POST; no redirect is followed, and a token goes over HTTPS or stays on this machine."""
    url = urllib.parse.urlsplit(config.assistant)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if config.assistant_token is not None:
        if url.scheme != "https" and url.hostname not in _LOCAL:
            raise NoAnswer("merge.assistant_token is only sent over https")
        headers["Authorization"] = f"Bearer {config.assistant_token.reveal()}"
    messages = [{"role": "system", "content": _ASK}, {"role": "user", "content": json.dumps(question)}]
    body = {"messages": messages, "temperature": 0}
    if config.assistant_model:
        body["model"] = config.assistant_model
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(url.hostname or "", url.port, timeout=config.assistant_timeout_s)
        try:
            target = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
            connection.request("POST", target, json.dumps(body).encode(), headers)
            data = _read(connection, time.monotonic() + config.assistant_timeout_s)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAnswer(f"the endpoint failed ({type(error).__name__})") from None
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise NoAnswer("the endpoint's answer has another shape") from None
    if not isinstance(content, str):
        raise NoAnswer("the endpoint's answer has another shape")
    return _parsed(content.encode("utf-8", "surrogatepass"))


def _read(connection: http.client.HTTPConnection, until: float) -> bytes:
    response = connection.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise NoAnswer(f"the endpoint said {response.status}")
    parts, size = [], 0
    while part := response.read1(1 << 16):
        parts.append(part)
        size += len(part)
        if size > _LARGEST:
            raise NoAnswer("it is too large")
        if time.monotonic() > until:  # one that comes drop by drop
            raise NoAnswer("it took too long")
    return b"".join(parts)


def _parsed(data: bytes) -> Answer:
    """The answer in *data*: a JSON object, perhaps in a fence."""
    text = data.decode("utf-8", "replace").strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise NoAnswer("it is no JSON") from None
    resolution = told.get("resolution") if isinstance(told, dict) else None
    if not isinstance(resolution, str):
        raise NoAnswer("it has no text called resolution")
    rationale = told.get("rationale", "")
    if "\0" in resolution:
        raise NoAnswer("it isn't text")
    shown = rationale[:_RATIONALE] if isinstance(rationale, str) else ""
    try:
        return Answer(resolution.encode(), shown)
    except UnicodeEncodeError:
        raise NoAnswer("it isn't text") from None


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _broken(path: bytes, text: bytes) -> int:
    return python_error(text) if path.endswith(b".py") else broken_line(path, text) or 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
