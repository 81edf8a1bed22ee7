"""``merge_file``: three versions of one file made into one.

The order is always the same.  What only one side changed is taken.  Then lines are merged,
and where that is clean it stands, unless the two changes don't go together (`meaning`).
Where it isn't, the file's structure decides what it can; and what it says is believed only
if it parses and drops or doubles nothing (`accepting`).  Everything else is a conflict.
"""

import time
from dataclasses import dataclass

from anvcs.merging.accepting import keeps_words, new_doubles, still_parses
from anvcs.merging.entries import SETS, TABLES, doubled_rows, merged_sets, merged_tables
from anvcs.merging.histogram import histogram_hunks
from anvcs.merging.lines import Hunks, line_merge, refined
from anvcs.merging.marking import PLAIN, Marking, finished
from anvcs.merging.meaning import Doubt, contested, doubts, given_by_both, lost_names
from anvcs.merging.moving import replayed
from anvcs.merging.pieces import Clash, Piece, is_clean, size_of, text_of, whole_lines
from anvcs.merging.profiles import Profile, profile_for, profile_patterns
from anvcs.merging.structure import TooSlow, TreeMerge
from anvcs.merging.trees import Source
from anvcs.model.merge import Conflict, How, MergeResult, Reason

_LARGEST_PARSED = 2 << 20
_SNIFFED = 8000
LOCKS = frozenset({
    b"package-lock.json", b"npm-shrinkwrap.json", b"yarn.lock", b"pnpm-lock.yaml", b"bun.lock", b"Cargo.lock",
    b"poetry.lock", b"uv.lock", b"pdm.lock", b"Pipfile.lock", b"composer.lock", b"Gemfile.lock", b"flake.lock",
    b"packages.lock.json", b"deno.lock", b"gradle.lockfile", b"mix.lock", b"pubspec.lock", b"Podfile.lock",
})  # fmt: skip
"""Names of files that a program writes from others: their structure says nothing about what may be combined."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to merge, whatever the file."""

    seconds: float = 2.0
    """Of processor time, after which the structure is left alone and lines decide; 0: at once."""
    hunks: Hunks = histogram_hunks
    """What finds differing lines."""
    marking: Marking = PLAIN
    locks: str = "conflict"
    """Lock files that both sides changed: ``conflict``, ``left`` or ``right``."""


def merge_file(
    base: bytes,
    left: bytes,
    right: bytes,
    path: bytes | str,
    options: Options = Options(),  # frozen
) -> MergeResult:
    """Three versions of the file *path* as one; the same input gives the same result unless time ran out."""
    name = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    for side, other in ((left, right), (right, left)):
        if side in (other, base):
            return MergeResult(other, How.IDENTICAL)
    if any(b"\0" in text[:_SNIFFED] for text in (base, left, right)):
        return _opaque(base, left, right)
    if name.rpartition(b"/")[2] in LOCKS and options.locks != "conflict":
        return _lock(left, right, options.locks)
    return _text(base, left, right, name, options)


def _lock(left: bytes, right: bytes, side: str) -> MergeResult:
    note = f"a lock file, taken from {side}: have its program write it again"
    return MergeResult(left if side == "left" else right, How.OPAQUE, notes=(note,))


def known_patterns() -> list[str]:
    """Names of files that more can be done for than merging lines, as Git writes patterns."""
    names = {*profile_patterns(), *(f"*.{suffix.decode()}" for suffix in TABLES)}
    return sorted(names | {name.decode() for name in SETS | LOCKS})


def _opaque(base: bytes, left: bytes, right: bytes) -> MergeResult:
    conflict = Conflict(Reason.OPAQUE, 0, 0, base, left, right, detail="not text: both versions are kept")
    return MergeResult(left, How.OPAQUE, (conflict,))


def _text(base: bytes, left: bytes, right: bytes, path: bytes, options: Options) -> MergeResult:
    ended = [text if not text or text.endswith(b"\n") else text + b"\n" for text in (base, left, right)]
    open_ended = [bool(text) and not text.endswith(b"\n") for text in (base, left, right)]
    lacks = open_ended[2] if open_ended[1] == open_ended[0] else open_ended[1]
    work = _Work(ended[0], ended[1], ended[2], path, options)
    pieces, how = work.merged()
    return finished(pieces, how, options.marking, work.notes, drop_last_newline=lacks)


class _Work:
    """One merge of three texts that end with a newline."""

    def __init__(self, base: bytes, left: bytes, right: bytes, path: bytes, options: Options) -> None:
        self.texts = base, left, right
        self.options = options
        self.name = path.rpartition(b"/")[2]
        self.profile = None if self.name in LOCKS else profile_for(path)
        self.keep_common = options.marking.style == "diff3"
        self.lines = line_merge(base, left, right, options.hunks)
        self.notes: list[str] = []
        self.deadline = 0.0

    def merged(self) -> tuple[list[Piece], How]:
        by_lines = self.lines.pieces()
        if is_clean(by_lines):
            return self._looked_through(by_lines)
        decided = self._entries(by_lines)
        if decided is not None:
            return whole_lines(decided, keep_common=self.keep_common), How.AST
        by_lines = whole_lines(self._refined(by_lines), keep_common=self.keep_common)
        structured = self._structured()
        if structured is not None and (size_of(structured) <= size_of(by_lines) or _has_same_key(structured)):
            return structured, How.AST
        return by_lines, How.LINE

    def _looked_through(self, clean: list[Piece]) -> tuple[list[Piece], How]:
        """A clean merge of lines, unless its changes don't go together."""
        between = self._between()
        if between is not None:
            found = doubled_rows(self.lines, between)
        else:
            found = doubts(self.lines, self.profile if self._may_parse() else None)
        if not found:
            return clean, How.LINE
        # A name that is lost is lost in any order.
        structured = None if any(doubt.reason is Reason.LOST_NAME for doubt in found) else self._structured()
        if structured is not None and (_tells(structured, found) or _settles(structured, clean)):
            return structured, How.AST
        return whole_lines(contested(self.lines, found, self.profile), keep_common=True), How.LINE

    def _refined(self, pieces: list[Piece]) -> list[Piece]:
        if self.keep_common:
            return pieces
        hunks = self.options.hunks
        return [
            part
            for piece in pieces
            for part in (refined(piece, hunks) if isinstance(piece, Clash) and not piece.base else [piece])
        ]

    def _between(self) -> bytes | None:
        """What is between the cells of a table."""
        return TABLES.get(self.name.rpartition(b".")[2].lower())

    def _entries(self, by_lines: list[Piece]) -> list[Piece] | None:
        """The merge of a file that is a set of lines, or a table."""
        if self.name in SETS:
            return merged_sets(by_lines)
        between = self._between()
        found = merged_tables(by_lines, self.texts, between) if between else None
        return found if found is not None and size_of(found) <= size_of(by_lines) else None

    def _may_parse(self) -> bool:
        return bool(self.options.seconds) and max(map(len, self.texts)) <= _LARGEST_PARSED

    def _structured(self) -> list[Piece] | None:
        profile = self.profile
        if profile is None or not self._may_parse():
            return None
        if profile.language() is None:
            self.notes.append(f"the grammar for {profile.name} is not installed, so lines were merged")
            return None
        self.deadline = time.thread_time() + self.options.seconds
        try:
            base, left, right = (Source(text, profile) for text in self.texts)
            if left.has_error or right.has_error or base.has_error:
                self.notes.append(f"not every version is well-formed {profile.name}, so lines were merged")
                return None
            merge = TreeMerge((base, left, right), self.deadline, self.options.hunks)
            pieces = whole_lines(merge.pieces(), keep_common=self.keep_common)
            followed = None if is_clean(pieces) else self._followed(merge, profile)
            if followed is not None and size_of(followed) < size_of(pieces):
                return self._refined(followed)
            return self._refined(pieces) if self._is_sound(pieces, merge, profile) else None
        except (TooSlow, RecursionError):
            self.notes.append("the file's structure was too much for the time there is, so lines were merged")
            return None

    def _followed(self, merge: TreeMerge, profile: Profile) -> list[Piece] | None:
        """The merge with changes made where what they change was moved to, if that is to be believed."""
        found = replayed(self.texts, merge.moves.found)
        if found is None:
            return None
        texts, places = found
        sources = merge.base, Source(texts[1], profile), Source(texts[2], profile)
        if any(source.has_error for source in sources):
            return None
        again = TreeMerge(sources, self.deadline, self.options.hunks, places)
        pieces = whole_lines(again.pieces(), keep_common=self.keep_common)
        return pieces if self._is_sound(pieces, again, profile) else None

    def _right_as_taken(self, merge: TreeMerge) -> bytes:
        # Outputs that were left's for the asking are not lost words; where code moved there are none.
        return merge.right_as_taken() if merge.right.text == self.texts[2] else self.texts[2]

    def _is_sound(self, pieces: list[Piece], merge: TreeMerge, profile: Profile) -> bool:
        sources = merge.base, merge.left, merge.right
        if not is_clean(pieces):
            return all(still_parses(text_of(pieces, side), profile, sources) for side in ("left", "right"))
        text = text_of(pieces)
        merged = still_parses(text, profile, sources)
        if merged is None or not keeps_words(self.texts[0], self.texts[1], self._right_as_taken(merge), text):
            return False
        lost = lost_names(self.lines, profile, text)
        if lost:
            self.notes.append(f"one side uses what the other deleted or renamed: {', '.join(lost)}")
            return False
        return not new_doubles(merged, sources, given_by_both(self.lines, profile))


def _has_same_key(pieces: list[Piece]) -> bool:
    """Whether there is something to decide that the merge of lines may have overlooked: two of one name, far apart."""
    return any(isinstance(piece, Clash) and piece.reason is Reason.SAME_KEY for piece in pieces)


def _settles(pieces: list[Piece], doubtful: list[Piece]) -> bool:
    return is_clean(pieces) and text_of(pieces) != text_of(doubtful)


def _tells(pieces: list[Piece], found: list[Doubt]) -> bool:
    """Whether a merge of trees says that there is something to decide where lines are doubtful."""
    clashes = [piece for piece in pieces if isinstance(piece, Clash)]
    return bool(clashes) and len(clashes) >= len(found) and all(clash.firm for clash in clashes)
