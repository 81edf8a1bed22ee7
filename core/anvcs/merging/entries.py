"""Files that are sets of lines, such as ``.gitignore``, and tables with a key in each row.

Both start from the merge of lines and look only at what that leaves to decide.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from anvcs.linediff import split_lines
from anvcs.merging.lines import LineMerge
from anvcs.merging.meaning import Doubt
from anvcs.merging.pieces import Clash, Piece, text_of
from anvcs.model.merge import Place, Reason

SETS = frozenset({
    b".gitignore", b".dockerignore", b".npmignore", b".eslintignore", b".prettierignore", b".stylelintignore",
    b".hgignore", b".helmignore", b".containerignore", b".vscodeignore", b".gcloudignore", b".git-blame-ignore-revs",
    b"go.sum",
})  # fmt: skip
"""Names of files whose lines are a set."""
TABLES = {b"csv": b",", b"tsv": b"\t"}
"""Suffix → what is between two cells."""


def merged_sets(pieces: Sequence[Piece]) -> list[Piece]:
    """*pieces* without clashes of lines whose order means nothing."""
    return [_as_set(piece) if isinstance(piece, Clash) else piece for piece in pieces]


def _as_set(clash: Clash) -> Piece:
    base, left, right = (split_lines(text) for text in (clash.base, clash.left, clash.right))
    if any(line.startswith(b"!") for line in (*base, *left, *right)):
        return clash  # an exception from what stands before it
    gone = (set(base) - set(left)) | (set(base) - set(right))
    kept = [line for line in left if line not in gone]
    return b"".join([*kept, *(line for line in right if line not in gone and line not in left)])


# --- tables


def merged_tables(pieces: Sequence[Piece], versions: Sequence[bytes], between: bytes) -> list[Piece] | None:
    """*pieces* with clashes of rows decided row by row; ``None`` where rows have no key or headers differ."""
    column = _key_column([split_lines(text) for text in versions], between)
    if column is None:
        return None
    out: list[Piece] = []
    for piece in pieces:
        out += _merged_rows(piece, column, between) if isinstance(piece, Clash) else [piece]
    for side in ("left", "right"):
        keys = [_cells(line, between)[column] for line in split_lines(text_of(out, side))]
        if len(keys) > len(set(keys)):
            return None
    return out


def doubled_rows(lines: LineMerge, between: bytes) -> list[Doubt]:
    """Rows with one key in a clean merge of lines, of which each side has put in one."""
    column = _key_column([lines.base, lines.left, lines.right], between)
    if column is None:
        return []
    merged = split_lines(b"".join(piece for piece in lines.pieces() if isinstance(piece, bytes)))
    keys = Counter(_cells(line, between)[column] for line in merged)
    twice = {key for key, count in keys.items() if count > 1}
    found: list[Doubt] = []
    for chunk in lines.chunks if twice else ():
        mine = twice & {_cells(line, between)[column] for line in lines.right[slice(*chunk.right)]}
        if mine and not chunk.by_left:
            key = min(mine)
            there = next(at for at, line in enumerate(lines.left) if _cells(line, between)[column] == key)
            place = Place("left", there + 1, there + 1)
            found.append(Doubt(chunk, Reason.SAME_KEY, key.decode("utf-8", "replace"), (place,)))
    return found


def _key_column(versions: Sequence[Sequence[bytes]], between: bytes) -> int | None:
    """The first column in which no version has a value twice; ``None`` also where headers differ or it is no table."""
    tables = [[_cells(line, between) for line in lines] for lines in versions]
    if not all(tables) or len({tuple(table[0]) for table in tables}) > 1:
        return None
    if any(len(row) != len(tables[0][0]) for table in tables for row in table):
        return None  # cells with newlines, or not a table
    for column in range(len(tables[0][0])):
        if all(len({row[column] for row in table}) == len(table) for table in tables):
            return column
    return None


def _cells(line: bytes, between: bytes) -> list[bytes]:
    """The cells of a row as they are written."""
    cells: list[bytes] = [b""]
    for part in line.rstrip(b"\r\n").split(between):
        if cells[-1].count(b'"') % 2:
            cells[-1] += between + part
        else:
            cells.append(part)
    return cells[1:]


def _merged_rows(clash: Clash, column: int, between: bytes) -> list[Piece]:
    base, left, right = (
        {_cells(line, between)[column]: line for line in split_lines(text)}
        for text in (clash.base, clash.left, clash.right)
    )
    out: list[Piece] = []
    for key in _order(base, left, right):
        rows = base.get(key, b""), left.get(key, b""), right.get(key, b"")
        merged = _row(*rows, between)
        detail = key.decode("utf-8", "replace")
        reason = Reason.SAME_KEY if not rows[0] else Reason.BOTH_CHANGED if all(rows) else Reason.DELETED_CHANGED
        clashing = replace(clash, base=rows[0], left=rows[1], right=rows[2], reason=reason, detail=detail)
        out.append(clashing if merged is None else merged)
    return [piece for piece in out if piece]


def _order(base: dict[bytes, bytes], left: dict[bytes, bytes], right: dict[bytes, bytes]) -> list[bytes]:
    """Left's keys, and right's new ones after what they follow there, or sorted where both sides are."""
    keys = list(left)
    at = 0
    for key in right:
        if key in left:
            at = keys.index(key) + 1
        else:
            while key not in base and at < len(keys) and keys[at] not in base and keys[at] not in right:
                at += 1
            keys.insert(at, key)
            at += 1
    keys += [key for key in base if key not in left and key not in right]
    in_order = all(len(side) > 1 and list(side) == sorted(side) for side in (left, right))
    return sorted(keys) if in_order else keys


def _row(base: bytes, left: bytes, right: bytes, between: bytes) -> bytes | None:
    """One row of three; ``None`` where that has to be decided."""
    if left in (right, base):
        return right
    if right == base:
        return left
    if not (base and left and right):
        return None
    cells: list[bytes] = []
    for before, one, other in zip(*(_cells(row, between) for row in (base, left, right)), strict=True):
        if one not in (before, other) and other != before:
            return None
        cells.append(other if one == before else one)
    return between.join(cells) + left[len(left.rstrip(b"\r\n")) :]
