"""A request to merge a stream into another, as people and programs write it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anvcs.model.request import BadRequest

_MAX_BYTES = 64 << 10
_FLAGS = {
    "--auto": "auto",
    "--test-check": "test_check",
    "--dry-run": "dry_run",
    "--no-commit": "no_commit",
    "--no-verify": "no_verify",
    "-n": "no_verify",
}
_VALUES = {"--strategy": "strategy", "-s": "strategy", "-m": "message", "--message": "message"}
_TEXTS = ("source", "into", "strategy", "message", "agent", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRequest:
    """What is to be merged, and how."""

    source: str
    into: str = ""
    """The stream that moves; empty: that of the view, or the repository's HEAD branch."""
    strategy: str = ""
    """Empty: as configured."""
    message: str = ""
    auto: bool = False
    """Ask the configured assistant about what is left."""
    test_check: bool = False
    """Refuse to merge untested."""
    dry_run: bool = False
    no_commit: bool = False
    """Leave the merge as a proposal, also when it is clean."""
    no_verify: bool = False
    agent: str = ""
    model: str = ""


def sources_of(words: list[str]) -> tuple[str, str]:
    """Source and target of the words ``SRC [into DST]``; raises `BadRequest`, also for several sources."""
    if "into" in words[1:]:
        at = words.index("into", 1)
        words, rest = words[:at], words[at + 1 :]
        if len(rest) != 1:
            raise BadRequest("one stream is merged into one other: SRC into DST")
        target = rest[0]
    else:
        target = ""
    if len(words) > 1:
        raise BadRequest(f"streams are merged one at a time, not {len(words)} at once (no octopus): name one source")
    if not words or not words[0]:
        raise BadRequest("name the stream to merge: SRC, or SRC into DST")
    return words[0], target


def parse_merge_request(data: bytes) -> MergeRequest:
    """One line as for ``ai-vcs merge``, or a JSON mapping; raises `BadRequest`."""
    if len(data) > _MAX_BYTES:
        raise BadRequest("a request to merge is at most 64 KiB")
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise BadRequest("a request is UTF-8 text") from None
    return _from_mapping(text) if text.startswith("{") else _from_line(text)


def _from_line(text: str) -> MergeRequest:
    import shlex

    if "\n" in text:
        raise BadRequest("a request to merge is one line: SRC [into DST] [--dry-run] ...")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadRequest(f"the line can't be split into words: {error}") from None
    fields: dict[str, Any] = {}
    plain = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in _FLAGS:
            fields[_FLAGS[word]] = True
        elif name in _VALUES:
            fields[_VALUES[name]] = value if equals else next(rest, "")
        elif word.startswith("-"):
            raise BadRequest(f"{word} is not an option of a merge; known are: {', '.join((*_FLAGS, *_VALUES))}")
        else:
            plain.append(word)
    source, target = sources_of(plain)
    return MergeRequest(source=source, into=target, **fields)


def _from_mapping(text: str) -> MergeRequest:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the JSON can't be read: {error}") from None
    return merge_request(fields)


def merge_request(fields: Mapping[str, Any]) -> MergeRequest:
    """The request that a mapping makes; raises `BadRequest`."""
    known = MergeRequest.__dataclass_fields__
    for name, value in fields.items():
        if name not in known:
            raise BadRequest(f"unknown key {name!r}; known are: {', '.join(known)}")
        if not isinstance(value, str if name in _TEXTS else bool):
            raise BadRequest(f"{name} is {'text' if name in _TEXTS else 'true or false'}")
    if not fields.get("source"):
        raise BadRequest("name the stream to merge: source")
    return MergeRequest(**fields)
