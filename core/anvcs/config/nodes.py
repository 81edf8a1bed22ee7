"""YAML without its dangerous half: mappings, lists and plain scalars, each with its line.

Scalars stay text: a setting knows what it wants, so ``model: 4.10`` does not become
a number and ``name: no`` not a boolean.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

_MAX_DEPTH = 16
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
)
_NULL = "tag:yaml.org,2002:null"


class Mark(Enum):
    """Whether a scalar says something."""

    VALUE = "value"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Item:
    """A value of the file: text, None, a list of items or a mapping to items."""

    line: int
    value: Any
    mark: Mark = Mark.VALUE


class NotPlainYaml(ValueError):
    """The text is not YAML, or uses more of it than a configuration needs."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


def read_mapping(data: bytes) -> dict[str, Item]:
    """Read a document whose top is a mapping; an empty one is an empty mapping."""
    import yaml  # 30 ms, and most commands never need it

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotPlainYaml(data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    try:
        # Events first: an alias must be refused before a composer builds anything from it.
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise NotPlainYaml(_line(event.start_mark), "anchors and aliases are not allowed")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise NotPlainYaml(_line(event.start_mark), f"nested deeper than {_MAX_DEPTH}")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise NotPlainYaml(_line(error.problem_mark), f"not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:  # a character that YAML doesn't allow has no mark
        raise NotPlainYaml(1, f"not YAML: {str(error).splitlines()[0]}") from None
    if node is None:
        return {}
    item = _item(node)
    if item.value is None:
        return {}
    if not isinstance(item.value, dict):
        raise NotPlainYaml(item.line, "needs keys at its top, such as `agent:`")
    return item.value


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 1


def _item(node: Any) -> Item:
    import yaml

    line = _line(node.start_mark)
    if node.tag not in _PLAIN:
        raise NotPlainYaml(line, f"the tag {node.tag} is not allowed")
    if isinstance(node, yaml.MappingNode):
        return Item(line, _mapping(node))
    if isinstance(node, yaml.SequenceNode):
        return Item(line, [_item(child) for child in node.value])
    if node.tag == _NULL:
        return Item(line, None, Mark.NULL)
    return Item(line, node.value)


def _mapping(node: Any) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for key, value in node.value:
        line = _line(key.start_mark)
        if not isinstance(key.value, str):
            raise NotPlainYaml(line, "a key must be a word")
        if key.value in found:
            raise NotPlainYaml(line, f"the key {key.value} stands here twice")
        # The line of the key is where a reader looks, even when the value starts below it.
        found[key.value] = replace(_item(value), line=line)
    return found
