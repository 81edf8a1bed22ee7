"""Edits whose survival can be checked: lines that no other agent writes or touches.

A mark is a comment line with its writer's name and a number.  Its writer may change or
delete it later; nobody else does.  So whatever is merged how, in the end each mark must be
there once, as its writer last saved it, and the deleted ones must not.
"""

import random
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

_NEAR = re.compile(rb"[ \t]*(?:async def|def|class|@)\b|\s*$")
_MARK = re.compile(rb"# seen-by (\S+) rev \d+: [a-z ]+")
_WORDS = (b"check", b"cache", b"later", b"value", b"empty", b"retry", b"first", b"clean", b"state", b"index")


@dataclass(slots=True)
class Marks:
    """The marks of one agent in one file; an edit counts once it is acknowledged."""

    agent: str
    lines: dict[bytes, bytes] = field(default_factory=dict)
    """Name of each mark, and its line without indentation and line end."""
    saves: int = 0
    refused: set[bytes] = field(default_factory=set)
    """Names of marks whose edit was refused: an error says that it may not be saved, not that it is not."""
    _number: int = 0
    _next: dict[bytes, bytes] = field(default_factory=dict)

    def edit(self, seen: bytes, chance: random.Random) -> bytes:
        """*seen* with one thing done: a mark inserted near a function, or an own one changed or deleted."""
        lines = seen.splitlines(keepends=True)
        own = [number for number, line in enumerate(lines) if self._owns(line)]
        act = chance.random()
        self._next = dict(self.lines)
        if own and act < 0.25:
            self._next.pop(_name(lines.pop(chance.choice(own))))
        elif own and act < 0.5:
            self._change(lines, chance.choice(own), chance)
        else:
            self._insert(lines, chance)
        return b"".join(lines)

    def append(self, chance: random.Random) -> bytes:
        """A mark to append to the file."""
        self._next = dict(self.lines)
        return self._new(chance) + b"\n"

    def acknowledge(self) -> None:
        """The last edit was saved."""
        self.lines = dict(self._next)
        self.saves += 1

    def refuse(self) -> None:
        """Saving the last edit failed."""
        self.refused |= self._changing()

    @property
    def uncertain(self) -> set[bytes]:
        """Names of the marks of which nobody can say how they were saved last."""
        return self.refused | self._changing()

    def _changing(self) -> set[bytes]:
        """What the last edit was about, if it was not acknowledged."""
        return {name for name in {*self.lines, *self._next} if self.lines.get(name) != self._next.get(name)}

    def _owns(self, line: bytes) -> bool:
        """Whether *line* is one of ours as we last saved it: from an older one we would edit what is gone."""
        found = _MARK.search(line)
        return found is not None and self.lines.get(found[1]) == found[0]

    def _change(self, lines: list[bytes], at: int, chance: random.Random) -> None:
        old = lines[at]
        name = _name(old)
        new = _line(name, int(old.partition(b"rev ")[2].partition(b":")[0]) + 1, chance)
        lines[at] = _MARK.sub(new, old)
        self._next[name] = new

    def _insert(self, lines: list[bytes], chance: random.Random) -> None:
        near = [number for number, line in enumerate(lines) if _NEAR.match(line)]
        at = chance.choice(near) if near else len(lines)
        if at == len(lines) and lines and not lines[-1].endswith(b"\n"):
            lines[-1] += b"\n"
        below = lines[at] if at < len(lines) else b""
        indent = below[: len(below) - len(below.lstrip(b" \t"))]
        end = b"\r\n" if any(line.endswith(b"\r\n") for line in lines[:3]) else b"\n"
        lines.insert(at, indent + self._new(chance) + end)

    def _new(self, chance: random.Random) -> bytes:
        self._number += 1
        name = f"{self.agent}-{self._number}".encode()
        line = _line(name, 0, chance)
        self._next[name] = line
        return line


def _name(line: bytes) -> bytes:
    found = _MARK.search(line)
    assert found is not None  # the caller has found a mark there
    return found[1]


def _line(name: bytes, revision: int, chance: random.Random) -> bytes:
    words = b" ".join(chance.choices(_WORDS, k=chance.randrange(1, 6)))
    return b"# seen-by %s rev %d: %s" % (name, revision, words)


def marks_in(text: bytes) -> Counter[bytes]:
    """The mark lines of *text*, each with how often it is there."""
    return Counter(line.strip() for line in text.splitlines() if b"# seen-by " in line)


def lost_edits(text: bytes, agents: Iterable[dict[bytes, bytes]], uncertain: Collection[bytes] = ()) -> list[str]:
    """A line for each mark that is missing, changed, twice there or deleted and there again, but for *uncertain* ones."""
    wanted = Counter(line for lines in agents for name, line in lines.items() if name not in uncertain)
    found = marks_in(text)
    for line in [line for line in found if (mark := _MARK.search(line)) and mark[1] in uncertain]:
        del found[line]
    missing = [f"missing: {line.decode()}" for line in (wanted - found).elements()]
    return missing + [f"should not be: {line.decode(errors='replace')}" for line in (found - wanted).elements()]
