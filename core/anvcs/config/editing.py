"""Adding to ``ai-vcs.config.yaml`` without touching what a person wrote in it."""

from typing import Any

from anvcs.config.loading import ConfigInvalid, Problem, parse_config
from anvcs.config.schema import FILE_NAME


def add_patterns(data: bytes, patterns: list[str]) -> bytes:
    """The file with more patterns in ``blobs.track``; raises `ConfigInvalid` where a person has to do it."""
    known = parse_config(data, env=_Anything()).blobs.track
    fresh = [pattern for pattern in dict.fromkeys(patterns) if pattern not in known]
    if not fresh:
        return data
    edited = _edited(data.decode("utf-8-sig"), fresh).encode()
    try:
        told = parse_config(edited, env=_Anything()).blobs.track
    except ConfigInvalid:
        told = ()
    if told != (*known, *fresh):
        listed = ", ".join(f'"{pattern}"' for pattern in fresh)
        raise ConfigInvalid(FILE_NAME, (Problem(1, f"can't be edited by a program; add to blobs.track: {listed}"),))
    return edited


def _edited(text: str, patterns: list[str]) -> str:
    import yaml

    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    blobs = _value_of(yaml.compose(text, Loader=yaml.SafeLoader), "blobs")
    if blobs is None:
        return "".join(lines) + "\n" * bool(lines) + "blobs:\n  track:\n" + _items(patterns, "    ")
    track = _value_of(blobs[1], "track")
    if track is None:
        indent = " " * _indent(blobs[1])
        at = blobs[0].start_mark.line + 1
        return "".join([*lines[:at], f"{indent}track:\n", _items(patterns, f"{indent}  "), *lines[at:]])
    node = track[1]
    if not isinstance(node, yaml.SequenceNode) or node.flow_style:
        return _flow(text, node, patterns)
    last = node.value[-1]
    at = last.end_mark.line + 1
    return "".join([*lines[:at], _items(patterns, " " * node.start_mark.column), *lines[at:]])


def _value_of(node: Any, name: str) -> tuple[Any, Any] | None:
    """The nodes of a key and of its value."""
    for key, value in getattr(node, "value", None) or ():
        if getattr(key, "value", None) == name:
            return key, value
    return None


def _indent(node: Any) -> int:
    """Where the keys of a mapping stand; two columns in for an empty one."""
    import yaml

    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return int(node.value[0][0].start_mark.column)
    return 2


def _flow(text: str, node: Any, patterns: list[str]) -> str:
    """A list in brackets or a single pattern, as a longer list in brackets."""
    values = [one.value for one in node.value] if isinstance(node.value, list) else [node.value] if node.value else []
    listed = ", ".join(_quoted(value) for value in [*values, *patterns])
    return f"{text[: node.start_mark.index]}[{listed}]{text[node.end_mark.index :]}"


def _items(patterns: list[str], indent: str) -> str:
    return "".join(f"{indent}- {_quoted(pattern)}\n" for pattern in patterns)


def _quoted(text: str) -> str:
    import json

    # `${` would be taken for a variable; JSON's text is YAML's.
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False)


class _Anything(dict[str, str]):
    """An environment that has every variable: here only the shape of the file counts."""

    def get(self, _name: str, _default: object = None) -> str:
        return "x"
