"""Two-sided changes of files: from the merge commits of repositories, and dealt out from versions.

Where there is no history with merges, one change between two versions of a file is dealt
out to two people, in pieces that each could have made alone.  What the merge should give is
then known: the later version.
"""

import random
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from anvcs.linediff import Hunk, split_lines
from anvcs.merging.histogram import compared
from anvcs.merging.parsing import parses

LARGEST = 400_000
_TIMEOUT_S = 300
_SAME_LINE = 0.5


class Case(NamedTuple):
    """One file that two sides changed, and what people made of it."""

    name: str
    base: bytes
    left: bytes
    right: bytes
    wanted: bytes


def real_merges(repo: Path) -> Iterator[Case]:
    """Files that both parents of a merge commit changed."""
    for line in _git(repo, "log", "--merges", "--format=%H %P").decode().splitlines():
        merge, left, *others = line.split()
        base = _git(repo, "merge-base", left, others[0]).decode().strip()
        if len(others) != 1 or not base:
            continue
        changed = [set(_git(repo, "diff", "--name-only", "-z", base, side).split(b"\0")) for side in (left, others[0])]
        for raw in sorted((changed[0] & changed[1]) - {b""}):
            name = raw.decode(errors="surrogateescape")
            texts = [_show(repo, commit, name) for commit in (base, left, others[0], merge)]
            if all(text is not None and is_text(text) for text in texts):
                yield Case(f"{merge[:10]}/{name}", *[text for text in texts if text is not None])


def dealt(versions: Sequence[Path], times: int, seed: int) -> Iterator[Case]:
    """Changes between neighbouring versions of a package, *times* each."""
    chance = random.Random(seed)  # noqa: S311  # nothing secret
    for older, newer in pairwise(versions):
        for path in sorted(older.rglob("*")):
            name = path.relative_to(older)
            later = newer / name
            if not path.is_file() or not later.is_file() or path.stat().st_size > LARGEST:
                continue
            before, after = path.read_bytes(), later.read_bytes()
            if before == after or not (is_text(before) and is_text(after)):
                continue
            for number in range(times):
                sides = deal(before, after, chance)
                if sides is not None and _all_parse(name.name.encode(), (before, after, *sides)):
                    yield Case(f"{older.name}-{newer.name}-{number}/{name}", before, *sides, after)


def _all_parse(name: bytes, texts: Sequence[bytes]) -> bool:
    if any(parses(name, text) is False for text in texts):
        return False
    return not name.endswith(b".py") or all(_compiles(text) for text in texts)


def _compiles(text: bytes) -> bool:
    try:
        compile(text, "text", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def deal(before: bytes, after: bytes, chance: random.Random) -> tuple[bytes, bytes] | None:
    """One change as two; ``None`` when one of them would have nothing."""
    old, new = split_lines(before), split_lines(after)
    pieces = [piece for hunk in compared(old, new) for piece in _cut(old, new, hunk, chance)]
    sides = []
    turns = [chance.random() < 0.5 for _ in pieces]  # a coin
    for turn in (False, True):
        out: list[bytes] = []
        at = 0
        for (a0, a1, b0, b1), chosen in zip(pieces, turns, strict=True):
            if chosen == turn:
                out += old[at:a0] + new[b0:b1]
                at = a1
        sides.append(b"".join(out + old[at:]))
    return None if before in sides else (sides[0], sides[1])


def _cut(old: list[bytes], new: list[bytes], hunk: Hunk, chance: random.Random) -> list[Hunk]:
    """A hunk in two where two people could have made it: between lines that correspond, or between statements."""
    a0, a1, b0, b1 = hunk
    if a1 - a0 == b1 - b0 and a1 - a0 > 1:
        at = chance.randrange(1, a1 - a0)
        if all(_alike(old[a0 + step], new[b0 + step]) for step in range(a1 - a0)):
            return [(a0, a0 + at, b0, b0 + at), (a0 + at, a1, b0 + at, b1)]
    if a0 == a1:
        starts = [at for at in range(b0 + 1, b1) if _is_seam(new, b0, at, b1)]
        if starts:
            at = chance.choice(starts)
            return [(a0, a0, b0, at), (a0, a0, at, b1)]
    return [hunk]


def _is_seam(lines: list[bytes], start: int, at: int, stop: int) -> bool:
    """Whether statements end before line *at* of an insertion, and others begin there, blank lines first."""
    before = [line for line in lines[start:at] if line.strip()]
    after = [line for line in lines[at:stop] if line.strip()]
    if not before or not after or before[-1].lstrip().startswith(_LEADING):
        return False
    blank = not lines[at - 1].strip(), not lines[at].strip()
    # Blank lines go with what follows them if the insertion begins with some, else with what they follow.
    if any(blank) and blank != ((False, True) if not lines[start].strip() else (True, False)):
        return False
    if any(blank) and lines[start].strip() and lines[stop - 1].strip():
        return False
    depth = min(map(_depth, before + after))
    return _depth(before[0]) == _depth(after[0]) == depth


_LEADING = (b"#", b"//", b"/*", b"*", b"@", b"else", b"elif", b"except", b"finally")


def _depth(line: bytes) -> int:
    return len(line) - len(line.lstrip())


def _alike(one: bytes, other: bytes) -> bool:
    first, second = set(one.split()), set(other.split())
    return len(first & second) >= _SAME_LINE * max(len(first), len(second), 1)


def is_text(data: bytes) -> bool:
    """Whether a merge of lines makes sense."""
    return len(data) <= LARGEST and b"\0" not in data


def _show(repo: Path, commit: str, name: str) -> bytes | None:
    command = ["git", "-C", str(repo), "show", f"{commit}:{name}"]
    done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    return done.stdout if done.returncode == 0 else None


def _git(repo: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(repo), *arguments]
    return subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False).stdout
