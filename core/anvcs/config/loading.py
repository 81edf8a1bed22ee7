"""From the bytes of ``ai-vcs.config.yaml`` to a `Config`, with the line of every complaint."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from anvcs.config.kinds import Kind, Setting
from anvcs.config.nodes import Item, Mark, NotPlainYaml, read_mapping
from anvcs.config.schema import FILE_NAME, LATER, SECTIONS, Config, looks_secret, settings
from anvcs.config.storage import AdaptersConfig
from anvcs.errors import AnvcsError
from anvcs.model.secret import Secret

MAX_BYTES = 256 << 10

_VARIABLE = re.compile(r"\$(\$\{|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})")
_SIZE = re.compile(r"(\d{1,15})\s*([kKMGT]?)(i?)[bB]?")
_ADAPTERS = "adapters"
_LONGEST_LIST = 500
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint; ``line`` counts from 1."""

    line: int
    message: str


class ConfigInvalid(AnvcsError):
    """The configuration file can't be used as it is."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(f"{source}:{problem.line}: {problem.message}" for problem in problems))
        self.source, self.problems = source, problems


class _Unusable(ValueError):
    """A value that its setting does not take; the text says why and never quotes a secret."""


def parse_config(data: bytes, *, source: str = FILE_NAME, env: Mapping[str, str] | None = None) -> Config:
    """Check the whole file and return it; raises `ConfigInvalid` with every problem at once."""
    reader = _Reader(source, os.environ if env is None else env)
    config = reader.read(data)
    if reader.problems:
        raise ConfigInvalid(source, tuple(sorted(reader.problems, key=lambda problem: problem.line)))
    return config


class _Reader:
    def __init__(self, source: str, env: Mapping[str, str]) -> None:
        self.source, self.env = source, env
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def read(self, data: bytes) -> Config:
        if len(data) > MAX_BYTES:
            self.problems.append(Problem(1, f"the file has {len(data)} bytes, at most {MAX_BYTES} are read"))
            return Config()
        try:
            top = read_mapping(data)
        except NotPlainYaml as error:
            self.problems.append(Problem(error.line, error.reason))
            return Config()
        known = list(dict.fromkeys(name.partition(".")[0] for name in (*SECTIONS, *LATER)))
        sections = {name: self._section(name, top[name]) for name in SECTIONS if name in top}
        if _ADAPTERS in top:
            sections[_ADAPTERS] = self._adapters(top[_ADAPTERS])
        later = {name: self._loose(name, top[name]) for name in LATER if name in top}
        for name, item in top.items():
            if name not in known:
                self._warn_unknown(item, name, known)
        return replace(Config(later=later, warnings=tuple(self.warnings)), **sections)

    def _section(self, name: str, item: Item) -> Any:
        known = {setting.name: setting for setting in settings() if setting.section == name}
        values = {}
        for key, value in self._children(name, item):
            if key not in known:
                self._warn_unknown(value, key, list(known), prefix=f"{name}.")
                continue
            try:
                values[key] = self._convert(known[key], value)
            except _Unusable as error:
                self.problems.append(Problem(value.line, f"{name}.{key}: {error}"))
        return SECTIONS[name](**values)

    def _adapters(self, item: Item) -> AdaptersConfig:
        """The sections within ``adapters``; those of registered stores are kept as they stand."""
        ours: dict[str, Any] = {}
        other: dict[str, Any] = {}
        for name, child in self._children(_ADAPTERS, item):
            section = f"{_ADAPTERS}.{name}"
            if section in SECTIONS:
                ours[name] = self._section(section, child)
            else:
                other[name] = self._loose(section, child)
        return AdaptersConfig(other=other, **ours)

    def _children(self, name: str, item: Item) -> Iterator[tuple[str, Item]]:
        if item.value is None:  # a section whose keys are all commented out
            return
        if not isinstance(item.value, dict):
            self.problems.append(Problem(item.line, f"{name}: needs keys and values below it"))
            return
        yield from item.value.items()

    def _loose(self, name: str, item: Item) -> Any:
        """Keep a section of a later version: its shape is checked, its keys are not."""
        if item.value is not None and not isinstance(item.value, dict):
            self.problems.append(Problem(item.line, f"{name}: needs keys and values below it"))
            return {}
        return self._plain(name, item)

    def _plain(self, key: str, item: Item) -> Any:
        if isinstance(item.value, dict):
            return {name: self._plain(name, child) for name, child in item.value.items()}
        if isinstance(item.value, list):
            return [self._plain(key, child) for child in item.value]
        if item.value is None:
            return None
        try:
            return self._secret(key, item) if looks_secret(key) else self._expand(key, item.value)
        except _Unusable as error:
            self.problems.append(Problem(item.line, f"{key}: {error}"))
            return None

    def _secret(self, key: str, item: Item) -> Secret | None:
        """A secret, which only the environment may hold; None when it doesn't."""
        if not item.value:
            return None
        match = _VARIABLE.fullmatch(item.value)
        if match is None or match["name"] is None or match["default"] is not None:
            raise _Unusable("needs ${VARIABLE} and nothing else: a secret must not stand in a file of the repository")
        value = self.env.get(match["name"])
        if not value:
            # Whoever only reads code needs no credentials: the store complains when it needs them.
            self.warnings.append(f"{self.source}:{item.line}: {key}: the environment has no {match['name']}")
            return None
        return Secret(value)

    def _convert(self, setting: Setting, item: Item) -> Any:
        if item.mark is Mark.NULL:
            return setting.default
        if setting.kind is Kind.LIST:
            return self._list(setting, item)
        if not isinstance(item.value, str):
            raise _Unusable(f"needs {setting.kind.value}, not keys or a list")
        if setting.kind is Kind.SECRET:
            return self._secret(setting.name, item)
        return _value(setting, self._expand(setting.name, item.value).strip())

    def _list(self, setting: Setting, item: Item) -> tuple[str, ...]:
        values = [item] if isinstance(item.value, str) else item.value
        if not isinstance(values, list) or len(values) > _LONGEST_LIST:
            raise _Unusable(f"needs a list of at most {_LONGEST_LIST} texts")
        if not all(isinstance(one.value, str) for one in values):
            raise _Unusable("needs a list of texts")
        return tuple(_text(self._expand(setting.name, one.value)) for one in values)

    def _expand(self, key: str, text: str) -> str:
        """Fill in ``${VAR}`` and ``${VAR:-default}``; ``$${`` stands for ``${``."""

        def fill(match: re.Match[str]) -> str:
            name = match["name"]
            if name is None:
                return "${"
            if looks_secret(name) and not looks_secret(key):
                # The file is the repository's: it must not carry a secret into a name that commits show.
                raise _Unusable(f"${{{name}}} looks like a secret and this key is shown to everybody")
            value = self.env.get(name) or match["default"]
            if value is None:
                raise _Unusable(f"the environment has no {name}; ${{{name}:-default}} gives it a default")
            return value

        return _VARIABLE.sub(fill, text)

    def _warn_unknown(self, item: Item, name: str, known: list[str], prefix: str = "") -> None:
        import difflib  # only for a file with a mistake in it

        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {prefix}{near[0]}?" if near else ""
        self.warnings.append(f"{self.source}:{item.line}: unknown key {prefix}{name}{hint}")


def _value(setting: Setting, text: str) -> str | int | bool:
    # The text may come from the environment: complaints describe what is wanted and don't quote it.
    match setting.kind:
        case Kind.TEXT | Kind.LIST | Kind.SECRET:  # of the last two, `_Reader` has taken care
            return _text(text)
        case Kind.CHOICE:
            if text not in setting.choices:
                raise _Unusable(f"needs one of {', '.join(setting.choices)}")
            return text
        case Kind.BOOLEAN:
            if text.lower() not in _TRUE | _FALSE:
                raise _Unusable("needs true or false")
            return text.lower() in _TRUE
        case Kind.SIZE | Kind.INTEGER:
            return _number(setting, text)


def _text(text: str) -> str:
    if len(text) > 200 or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise _Unusable("needs at most 200 characters on one line")
    return text


def _number(setting: Setting, text: str) -> int:
    if setting.kind is Kind.SIZE:
        match = _SIZE.fullmatch(text)
        if match is None:
            raise _Unusable("needs a number of bytes, or one with a unit such as 4MiB")
        step = 1024 if match[3] else 1000
        number: int = int(match[1]) * step ** _POWER[match[2].lower()]
    elif text.isascii() and text.isdigit() and len(text) <= 15:
        number = int(text)
    else:
        raise _Unusable("needs a whole number")
    if not setting.low <= number <= setting.high:
        raise _Unusable(f"needs a value from {setting.low} to {setting.high}")
    return number
