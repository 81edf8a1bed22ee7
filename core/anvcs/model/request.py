"""A request to commit, as people and programs write it to a control file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from anvcs.errors import AnvcsError

SCOPES = ("all", "mine")
UPLOAD_LATER: Mapping[str, bool | None] = MappingProxyType({"": None, "now": False, "later": True})
"""What ``upload`` may be, and whether that means later; None: as configured."""
_MAX_BYTES = 1 << 20
_MAX_YAML = 64 << 10
"""YAML is read in Python: a megabyte of it would hold up the view for half a minute."""


class BadRequest(AnvcsError):
    """A request that can't be understood; the message says what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest:
    """What the next commit takes and says."""

    message: str
    prompt: str = ""
    model: str = ""
    agent: str = ""
    test_report: str = ""
    """Where the test report is: a path or an address."""
    tests_passed: bool | None = None
    coverage: float | None = None
    """Per cent."""
    env: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[bytes, ...] = ()
    """Only these files and directories; empty: everything that changed."""
    scope: str = "all"
    """``all``: what all agents did; ``mine``: only what the committing agent did."""
    upload: str = ""
    """``now`` or ``later``: when artifacts go to their store; empty: as configured."""
    allow_empty: bool = False
    no_verify: bool = False
    trailers: Mapping[str, str] = field(default_factory=dict)

    def full_message(self) -> str:
        """The message with its trailers, one blank line before them."""
        text = self.message.rstrip("\n")
        lines = [f"{key}: {value}" for key, value in self.trailers.items()]
        return text + "\n\n" + "\n".join(lines) + "\n" if lines else text + "\n"


KEYS = frozenset(CommitRequest.__dataclass_fields__)


def parse_commit_request(data: bytes) -> CommitRequest:
    """A message (first line: the subject), or a YAML or JSON mapping that has ``message``.

    A message such as ``fix: the parser`` would also be YAML; only a text that begins
    with ``{`` or with one of the keys, and has ``message`` among them, is a mapping.

    Raises:
        BadRequest: empty, not UTF-8, or a mapping with wrong keys or types.
    """
    if len(data) > _MAX_BYTES:
        raise BadRequest("a request is at most 1 MiB")
    try:
        text = data.decode("utf-8").strip("\n")
    except UnicodeDecodeError:
        raise BadRequest("a request is UTF-8 text") from None
    if not text.strip():
        raise BadRequest("the message is empty: write a subject line, or a mapping with the key message")
    mapping = _mapping(text)
    return _from_mapping(mapping) if mapping is not None else CommitRequest(message=text)


def _mapping(text: str) -> dict[str, Any] | None:
    first = text.lstrip()
    if first.startswith("{"):
        try:
            loaded = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadRequest(f"the JSON can't be read: {error}") from None
        except RecursionError:
            raise BadRequest("the JSON is nested too deeply") from None
    elif (first.partition(":")[0].strip() in KEYS and "\n" in text) or first.startswith("message:"):
        loaded = _yaml(text)
    else:
        return None
    if not isinstance(loaded, dict) or "message" not in loaded:
        if first.startswith("{"):
            raise BadRequest("the mapping lacks the key message")
        return None
    return loaded


def _yaml(text: str) -> object:
    if len(text) > _MAX_YAML:
        raise BadRequest("a request in YAML is at most 64 KiB: write a larger one in JSON")
    import yaml  # costs 40 ms that a plain message does not need

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadRequest(f"the YAML can't be read: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise BadRequest("the YAML is nested too deeply") from None


def _from_mapping(mapping: dict[str, Any]) -> CommitRequest:
    unknown = sorted(str(key) for key in mapping if key not in KEYS)
    if unknown:
        raise BadRequest(f"unknown key {unknown[0]!r}; known are: {', '.join(sorted(KEYS))}")
    fields: dict[str, Any] = {"message": _text(mapping, "message")}
    if not fields["message"].strip():
        raise BadRequest("the message is empty")
    for key in ("prompt", "model", "agent", "test_report"):
        if mapping.get(key) is not None:
            fields[key] = _text(mapping, key)
    if mapping.get("scope") is not None:
        if mapping["scope"] not in SCOPES:
            raise BadRequest(f"scope is one of {', '.join(SCOPES)}")
        fields["scope"] = mapping["scope"]
    if mapping.get("upload") is not None:
        if mapping["upload"] not in UPLOAD_LATER or not mapping["upload"]:
            raise BadRequest("upload is one of now, later")
        fields["upload"] = mapping["upload"]
    for key in ("tests_passed", "allow_empty", "no_verify"):
        if mapping.get(key) is not None:
            fields[key] = _flag(mapping, key)
    if mapping.get("coverage") is not None:
        fields["coverage"] = _number(mapping["coverage"])
    for key in ("env", "trailers"):
        if mapping.get(key) is not None:
            fields[key] = _texts(mapping[key], key)
    if mapping.get("paths") is not None:
        fields["paths"] = _paths(mapping["paths"])
    return CommitRequest(**fields)


def _text(mapping: dict[str, Any], key: str) -> str:
    value = mapping[key]
    if not isinstance(value, str):
        raise BadRequest(f"{key} must be text")
    return value


def _flag(mapping: dict[str, Any], key: str) -> bool:
    if not isinstance(mapping[key], bool):
        raise BadRequest(f"{key} must be true or false")
    return bool(mapping[key])


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRequest("coverage must be a number (per cent)")
    return float(value)


def _texts(value: object, key: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadRequest(f"{key} must be a mapping of names to text")
    # A list may hold itself many times over (YAML's aliases): as text it would fill the memory.
    if any(isinstance(item, dict | list | tuple | set) for pair in value.items() for item in pair):
        raise BadRequest(f"{key} must be a mapping of names to text, without lists or mappings in it")
    if any("\n" in str(item) or "\n" in str(name) for name, item in value.items()):
        raise BadRequest(f"{key} must not hold line breaks")
    return {str(name): str(item) for name, item in value.items()}


def _paths(value: object) -> tuple[bytes, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise BadRequest("paths must be a list of paths from the top of the view")
    found = []
    for item in value:
        path = item.encode("utf-8", "surrogateescape").strip(b"/")
        parts = path.split(b"/")
        if b".." in parts or b"" in parts:
            raise BadRequest(f"{item!r} is not a path from the top of the view")
        found.append(b"" if path == b"." else path)
    return tuple(found)
