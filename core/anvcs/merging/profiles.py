"""Languages as data: what a profile in ``languages/*.toml`` may say, and which one a path has.

A profile names the lists of a language, what may change places in them and what tells one
member from another.  There is no code for any single language.
"""

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

_Named = TypeVar("_Named", "Listing", "Member")
_FOLDER = Path(__file__).with_name("languages")


@dataclass(frozen=True, slots=True)
class Listing:
    """Nodes that are lists of items."""

    nodes: tuple[str, ...]
    """Types of nodes; ``type.field`` are the children of that field, with the brackets around them."""
    of: tuple[str, ...] = ()
    """Only inside a parent of one of these types."""
    after: re.Pattern[bytes] | None = None
    """Only where the text before matches up to its end."""
    style: str = "lines"
    """``lines``, or ``comma``: items have commas between them."""
    commutes: tuple[str, ...] = ()
    """Groups of members whose order means nothing here; those in one string, with blanks, may also mix."""
    leads: tuple[str, ...] = ()
    """Groups that come before the others, of two that both sides added in one place."""
    sorts: tuple[str, ...] = ()
    """Groups whose members people like to keep in the order of the alphabet."""
    unlike: tuple[str, ...] = ()
    """Groups of members that may stand in any order where both sides added some and none is like one of the other side."""
    apart: re.Pattern[bytes] | None = None
    """What a member sets, by its first group: where both sides added members that set nothing in common, their order means nothing."""
    kin: tuple[str, ...] = ()
    """Words of `apart`, with blanks between, that count as one because to set one may set the other."""
    fence: tuple[str, ...] = ()
    """Types of children that open or close the list, beside brackets."""


@dataclass(frozen=True, slots=True)
class Member:
    """Items that have a name."""

    nodes: tuple[str, ...]
    key: tuple[str, ...] = ()
    """Fields, or paths of fields, types and keys in quotes, that tell one from another; nothing: its whole text."""
    names: tuple[str, ...] = ()
    """Only those with one of these keys."""
    looks: re.Pattern[bytes] | None = None
    """Only those whose text begins like this."""
    yields: bool = False
    """What is made by a program and made again: of two versions left's is taken."""
    of: tuple[str, ...] = ()
    """Only in lists of these types, or in lists whose parent has one of them."""
    group: str = ""
    label: str = ""
    """What people call it, in front of its name; without one it isn't told."""
    marks: tuple[str, ...] = ()
    """Tokens that are a part of the key where they stand, such as ``get`` and ``set``."""
    extend: re.Pattern[bytes] | None = None
    """What it matches before the name is a part of the key."""
    unkeyed: re.Pattern[bytes] | None = None
    """Where this matches before the name, several may have the same name."""
    joins: bool = False
    """Two that both sides added under one key become one with the items of both."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What merging knows of a language."""

    name: str
    suffixes: tuple[str, ...]
    grammar: tuple[str, str]
    """Module and the function in it that gives the language."""
    names: tuple[str, ...] = ()
    """Whole names of files."""
    standard: str = ""
    """A parser of the standard library that has to agree: ``python``, ``json`` or ``toml``."""
    comments: tuple[str, ...] = ("comment",)
    attached: tuple[str, ...] = ()
    """Siblings that belong to what comes after them, as comments do."""
    verbatim: tuple[str, ...] = ()
    """Nodes in which the white space at the start of a line means something."""
    prose: tuple[str, ...] = ()
    """Nodes for people to read, beside comments; ``parent/type`` only inside of that parent."""
    atomic: tuple[str, ...] = ()
    """Nodes that are merged as a whole."""
    same_shape: tuple[str, ...] = ()
    """``type.field``: children that say what a node is about; with others of another build it is merged as a whole."""
    family: str = ""
    """Of languages between whose files definitions move: the first of those that extend one another."""
    folder_wide: bool = False
    """What is defined at the top of one file is known in all files of its folder."""
    through: tuple[str, ...] = ()
    """Nodes that have the name of what is in them."""
    begins: re.Pattern[bytes] | None = None
    """What a line looks like that can only begin a definition: from there on a file can be parsed alone."""
    around: bytes = b""
    """What a line must follow that is indented; empty: only lines that aren't can be cut at."""
    whole_lines: tuple[str, ...] = ()
    """Lists without brackets that are as many lines as they stand on."""
    defines: re.Pattern[bytes] | None = None
    """What a line looks like that gives something a name: a quick look before parsing."""
    identifiers: tuple[str, ...] = ()
    """Leaves that are names which something must have defined."""
    imports: tuple[str, ...] = ()
    """Nodes whose names are bound by them."""
    binders: tuple[str, ...] = ()
    """``type.field``: where a name is given a value, so that it isn't missing."""
    accesses: tuple[str, ...] = ()
    """``type.field``: a name behind an object."""
    uses: tuple[str, ...] = ()
    """``type.field``: the only places in which a name is used, of languages that name things in many others."""
    implicit_self: bool = False
    """Members of an object are used inside of it by their name alone."""
    mentions: tuple[str, ...] = ()
    """``type.field``: a name that need not be defined here."""
    listings: tuple[Listing, ...] = ()
    members: tuple[Member, ...] = ()
    by_node: dict[str, tuple[Listing, ...]] = field(default_factory=dict)
    member_of: dict[str, tuple[Member, ...]] = field(default_factory=dict)

    def language(self) -> Any:
        """The grammar, or ``None`` where it isn't installed."""
        return _language(*self.grammar)


def profile_for(path: bytes) -> Profile | None:
    """The profile of the language that the name of a file tells."""
    name = path.rpartition(b"/")[2]
    stem, _, suffix = name.rpartition(b".")
    index = _index()
    file = index.get(name) or (index.get(b"*." + suffix.lower()) if stem else None)
    return None if file is None else load(file)


def all_profiles() -> list[Profile]:
    """Every profile there is, by file name."""
    return [load(path.stem) for path in sorted(_FOLDER.glob("*.toml"))]


def profile_patterns() -> list[str]:
    """Names of files that have a profile, as Git writes patterns."""
    return sorted(name.decode() for name in _index())


@cache
def load(name: str) -> Profile:
    """The profile in the file of this name."""
    raw = _raw(name)
    listings = tuple(Listing(**_values(each)) for each in raw.pop("list", ()))
    members = tuple(Member(**_values(each)) for each in raw.pop("member", ()))
    return Profile(
        **_values(raw), listings=listings, members=members, by_node=_by_node(listings), member_of=_by_node(members)
    )


def _raw(name: str) -> dict[str, Any]:
    """What the file says, over what the one says that it extends."""
    own = tomllib.loads(_FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    extended = own.pop("extends", None)
    if extended is None:
        return {"family": name, **own}
    inherited = _raw(extended)
    inherited.pop("names", None)
    for key in ("list", "member"):
        own[key] = [*own.get(key, ()), *inherited.get(key, ())]
    return inherited | own


def _by_node(tables: tuple[_Named, ...]) -> dict[str, tuple[_Named, ...]]:
    nodes = {node for table in tables for node in table.nodes}
    return {node: tuple(table for table in tables if node in table.nodes) for node in nodes}


_PATTERNS = ("after", "apart", "begins", "extend", "unkeyed", "defines", "looks")


def _values(table: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name in _PATTERNS:
            found[name] = re.compile(value.encode(), re.MULTILINE)
        elif name == "around":
            found[name] = value.encode()
        else:
            found[name] = tuple(value) if isinstance(value, list) else value
    return found


@cache
def _index() -> dict[bytes, str]:
    """Suffixes, behind ``*.``, and whole names → profile."""
    # The first lines alone, because reading all profiles in full would take longer than most merges.
    index: dict[bytes, str] = {}
    for path in sorted(_FOLDER.glob("*.toml")):
        head = tomllib.loads(path.read_text(encoding="utf-8").partition("\n\n")[0])
        index |= {b"*." + suffix.encode(): path.stem for suffix in head["suffixes"]}
        index |= {name.encode(): path.stem for name in head.get("names", ())}
    return index


@cache
def _language(module: str, function: str) -> Any:
    try:
        from tree_sitter import Language

        return Language(getattr(import_module(module), function)())
    except ImportError:  # an installation without this grammar
        return None
